"""Programs under a steady load do not grow. FAULT_SECONDS makes it longer, and finds smaller leaks."""

import os
import time
from statistics import median

import pytest

from tests.faults.checker import check
from tests.faults.driver import Driver
from tests.faults.site import Site
from tests.faults.stream import Ledger

SECONDS = float(os.environ.get("FAULT_SECONDS", "120"))
EVERY = 2.0
GROWTH = 1.1
SLACK = 12 * 2**20
"""Bytes that a program may take anew without that it leaks: an arena of its allocator, a model's buffer."""


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_programs_do_not_grow_under_a_steady_load(site: Site) -> None:
    site.wait_until_ready()
    site.forget()
    ledger = Ledger()
    samples = []
    until = time.monotonic() + SECONDS
    with Driver(site.urls, ledger, name="m", seed=1, callback=site.receiver.url):
        while time.monotonic() < until:
            samples.append(site.memory())
            time.sleep(EVERY)
    site.recovery()
    third = len(samples) // 3
    grown = {}
    for program in samples[-1]:
        middle = median(sample[program] for sample in samples[third:-third])
        last = median(sample[program] for sample in samples[-third:])
        print(f"{program[0]:10} {middle / 2**20:7.1f} MiB in the middle third, {last / 2**20:7.1f} in the last")
        if last > middle * GROWTH + SLACK:
            grown[program[0]] = (middle, last)
    site.wait_for_callbacks()
    for body in site.told():
        ledger.was_called_back(body)
    assert check(site.engine, ledger).errors == {}
    assert grown == {}
