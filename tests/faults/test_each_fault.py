"""Each fault alone, at a steady load."""

import os
import random

import pytest

from tests.faults.faults import FAULTS
from tests.faults.report import Report
from tests.faults.running import run, strike
from tests.faults.site import Site

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TIMES = 3
"""Each fault is repeated: where exactly it hits is chance."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_alone_loses_nothing_and_doubles_nothing(site: Site, fault: str) -> None:
    def breaking(report: Report, chance: random.Random) -> None:
        for _ in range(TIMES):
            strike(site, report, chance, [fault])

    verdict = run(site, Report(fault, int(os.environ.get("FAULT_SEED", "1"))), breaking)
    assert verdict.errors == {}
    assert verdict.accepted > 0
