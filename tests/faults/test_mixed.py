"""Faults mixed at random, at a steady load. The seed is printed; FAULT_SEED repeats a run, FAULT_SECONDS its length."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.faults import report as reports
from tests.faults.faults import FAULTS, POOLED
from tests.faults.report import Report
from tests.faults.running import run, strike
from tests.faults.site import Site

SECONDS = float(os.environ.get("FAULT_SECONDS", "120"))
SEED = os.environ.get("FAULT_SEED")
TOGETHER = (1, 1, 2, 2, 3)
"""How many faults strike at once."""


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_mixed_faults_lose_nothing_and_double_nothing(site: Site) -> None:
    seed = int(SEED) if SEED else random.SystemRandom().randrange(10**6)
    print(f"\nFAULT_SEED={seed}")

    def breaking(report: Report, chance: random.Random) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            strike(site, report, chance, chance.sample(list(FAULTS), chance.choice(TOGETHER)))
            time.sleep(chance.uniform(0, 2))

    verdict = run(site, Report("mixed", seed), breaking)
    assert verdict.errors == {}
    assert verdict.accepted > 0


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_mixed_faults_lose_and_double_nothing_in_two_containers_of_the_pool(pooled_site: Site) -> None:
    seed = int(SEED) if SEED else random.SystemRandom().randrange(10**6)
    print(f"\nFAULT_SEED={seed}")

    def breaking(report: Report, chance: random.Random) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            strike(pooled_site, report, chance, chance.sample(POOLED, chance.choice(TOGETHER)))
            time.sleep(chance.uniform(0, 2))

    verdict = run(pooled_site, Report("mixed pool", seed), breaking)
    assert verdict.errors == {}
    assert verdict.accepted > 0


def test_a_few_faults_lose_nothing_and_double_nothing(site: Site) -> None:
    """The short version of the suite, for every test run."""

    def breaking(report: Report, chance: random.Random) -> None:
        strike(site, report, chance, ["worker process killed", "Redis flushed"])
        strike(site, report, chance, ["Postgres stopped at once, restarted", "connections to Redis reset"])
        strike(site, report, chance, ["worker killed", "handler killed"])

    verdict = run(site, Report("short", seed=1), breaking)
    assert verdict.errors == {}
    assert verdict.accepted > 0


def test_a_run_that_breaks_off_leaves_what_explains_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(report: Report, chance: random.Random) -> None:
        strike(site, report, chance, ["Redis flushed"])
        raise RuntimeError("the fault itself failed")

    monkeypatch.setattr(reports, "FOLDER", tmp_path)
    report = Report("breaks off", seed=1)
    with pytest.raises(RuntimeError):
        run(site, report, breaking)
    written = json.loads(report.file.read_text())
    assert "the fault itself failed" in written["broke_off"][-1]
    assert "Redis flushed" in written["strikes"][0]
    logs = {log.stem for log in report.evidence.glob("*.log")}
    assert logs == {*site.programs, "postgres", "valkey"}
    state = json.loads((report.evidence / "state.json").read_text())
    assert set(state["processes"]) == set(site.programs)
    assert {"unfinished", "sessions"} < set(state)
