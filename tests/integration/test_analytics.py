"""The questions in store/analytics: exact answers, worked out by hand. test_analytics_*.py have the others."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from serving.catalogue import specs
from store import analytics
from tests.running import ROOT
from tests.seeding import DAY, HOUR, MILLISECOND, MINUTE, Seed


def test_top_priority_ranks_the_reports_of_the_last_day(seed: Seed) -> None:
    low = seed.report(0.1, seed.now - HOUR)
    highest = seed.report(0.98765432, seed.now - 2 * HOUR, report_id="r-1", abuse_type="PRF", model_version="1.1.0")
    newer = seed.report(0.5, seed.now - 3 * HOUR)
    older = seed.report(0.5, seed.now - 4 * HOUR, position=1)
    seed.report(0.5, seed.now - 4 * HOUR, task_id=older, position=0)
    seed.report(0.99, seed.now - DAY)
    rows = seed.ask("top-priority")
    assert [(row["task_id"], row["position"]) for row in rows] == [
        (highest, 0),
        (older, 0),
        (older, 1),
        (newer, 0),
        (low, 0),
    ]
    assert rows[0] == {
        "score": Decimal("0.9877"),
        "abuse_type": "PRF",
        "report_id": "r-1",
        "scored_at": seed.now - 2 * HOUR,
        "model_version": "1.1.0",
        "task_id": highest,
        "position": 0,
    }
    assert rows[1]["report_id"] is None


def test_top_priority_ranks_by_the_whole_score_and_stops_at_fifty(seed: Seed) -> None:
    for n in range(60):
        seed.report(0.9 + n * 1e-7, seed.now - n * MINUTE, report_id=f"r-{n}")
    assert [row["report_id"] for row in seed.ask("top-priority")] == [f"r-{n}" for n in range(59, 9, -1)]


def test_score_distribution_counts_tenths_of_each_abuse_type(seed: Seed) -> None:
    for score in (0.0, 0.0999, 0.1, 0.95, 1.0):
        seed.report(score, seed.now - 6 * DAY)
    seed.report(0.25, seed.now - HOUR, abuse_type="PRF")
    seed.report(0.25, seed.now - 7 * DAY, abuse_type="PRF")
    rows = seed.ask("score-distribution")
    assert [(row["abuse_type"], row["reports"]) for row in rows] == [
        *(("MSG", reports) for reports in (2, 1, 0, 0, 0, 0, 0, 0, 0, 2)),
        *(("PRF", reports) for reports in (0, 0, 1, 0, 0, 0, 0, 0, 0, 0)),
    ]
    assert [row["score"] for row in rows[:2]] == ["0.0 – 0.1", "0.1 – 0.2"]  # noqa: RUF001
    assert rows[9]["score"] == "0.9 – 1.0"  # noqa: RUF001
    assert [row["percent"] for row in rows[:3]] == [Decimal("40.0"), Decimal("20.0"), Decimal("0.0")]
    assert [row["histogram"] for row in rows[:3]] == ["█" * 16, "█" * 8, ""]


def test_hourly_volume_shows_every_hour_of_the_last_day(seed: Seed) -> None:
    batch = seed.report(0.2, seed.hour)
    seed.report(0.4, seed.hour, task_id=batch, position=1)
    seed.report(0.9, seed.hour - MILLISECOND)
    seed.report(0.3, seed.hour - 23 * HOUR)
    seed.report(0.3, seed.hour - 23 * HOUR - MILLISECOND)
    rows = seed.ask("hourly-volume")
    assert [row["hour"] for row in rows] == [seed.hour - n * HOUR for n in range(23, -1, -1)]
    assert [tuple(row.values())[1:] for row in rows] == [
        (1, 1, Decimal("0.3000")),
        *[(0, 0, None)] * 21,
        (1, 1, Decimal("0.9000")),
        (2, 1, Decimal("0.3000")),
    ]


def test_waits_by_hour_gives_percentiles_of_the_tasks_that_were_scored(seed: Seed) -> None:
    hour = seed.hour - 2 * HOUR
    for n in range(11):  # waits 0, 10 … 100 ms; scoring 0, 1 … 10 ms
        seed.task(hour + n * MINUTE, 10 * n, n, attempt=2 if n == 10 else 1)
    seed.task(hour, 7, 3, model="text_classifier")
    seed.task(hour - MILLISECOND, 0.25, 0.25)
    for status in ("PENDING", "STARTED", "FAILURE", "REVOKED", "EXPIRED"):
        never = {"started_at": None, "finished_at": None} if status == "PENDING" else {}
        seed.task(hour, 5000, 5000, status=status, **never)
    seed.task(seed.now - DAY, 5000, 5000)
    rows = seed.ask("waits-by-hour")
    assert list(rows[0]) == [
        "hour",
        "model",
        "tasks",
        "retried",
        *("wait_p50", "wait_p90", "wait_p99"),
        *("scoring_p50", "scoring_p90", "scoring_p99"),
    ]
    assert [tuple(row.values()) for row in rows] == [
        (hour - HOUR, "report_scorer", 1, 0, *map(Decimal, ("0.3", "0.3", "0.3", "0.3", "0.3", "0.3"))),
        (hour, "report_scorer", 11, 1, *map(Decimal, ("50.0", "90.0", "99.0", "5.0", "9.0", "9.9"))),
        (hour, "text_classifier", 1, 0, *map(Decimal, ("7.0", "7.0", "7.0", "3.0", "3.0", "3.0"))),
    ]


def test_waits_by_hour_forgives_a_handler_whose_clock_is_slow(seed: Seed) -> None:
    by_its_clock = seed.now - DAY - 50 * MINUTE
    seed.task(seed.now - 23 * HOUR, id=seed.uuid7(by_its_clock))
    assert [row["tasks"] for row in seed.ask("waits-by-hour")] == [1]


def test_failures_by_cause_cuts_what_differs_from_task_to_task(seed: Seed) -> None:
    def fail(error: str | None, ago: timedelta, **given: Any) -> UUID:
        return seed.task(seed.now - ago, status="FAILURE", error=error, **given)

    fail("ValueError: input 3 of 0199c2a1-6b7c-7000-8000-0000000000aa: cannot read 'abc' as float32", 3 * HOUR)
    latest_value = fail(
        'ValueError: input 12 of 0199c2a1-6b7c-7000-8000-0000000000ab: cannot read "it\'s" as float32',
        2 * HOUR,
        n_inputs=1000,
    )
    fail("worker lost 3 times while scoring this task", 4 * HOUR)
    lost = fail("worker lost 4 times while scoring this task", HOUR)
    other_model = fail("worker lost 3 times while scoring this task", 5 * HOUR, model="text_classifier")
    lines = fail("XGBoostError: [12:01:02] check failed: 1.5e-7 > 0x7ffd\nStack trace:\n  [0] 0x1", 6 * HOUR)
    apostrophe = fail("can't open it, so won't score it", 7 * HOUR)
    silent = fail(None, 8 * HOUR)
    fail("too old", 7 * DAY)
    seed.task(seed.now - HOUR, status="EXPIRED", error="deadline passed before scoring")
    rows = seed.ask("failures-by-cause")
    assert [(row["cause"], row["tasks"], row["latest_task"]) for row in rows] == [
        ("worker lost <n> times while scoring this task", 2, lost),
        ("ValueError: input <n> of <id>: cannot read <value> as float32", 2, latest_value),
        ("worker lost <n> times while scoring this task", 1, other_model),
        ("XGBoostError: [<n>:<n>:<n>] check failed: <n> > <n>", 1, lines),
        ("can't open it, so won't score it", 1, apostrophe),
        (None, 1, silent),
    ]
    assert rows[1] == {
        "cause": "ValueError: input <n> of <id>: cannot read <value> as float32",
        "model": "report_scorer",
        "tasks": 2,
        "inputs": 1001,
        "first_seen": seed.now - 3 * HOUR,
        "last_seen": seed.now - 2 * HOUR,
        "latest_task": latest_value,
    }


def test_versions_compared_gives_quantiles_and_the_drift_to_the_version_before(seed: Seed) -> None:
    for n in range(10):  # one report in each tenth
        seed.report(n / 10 + 0.05, seed.now - 10 * DAY + n * HOUR, model_version="2.0.0")
    for n in range(10):  # half of them in the first tenth, half in the last; "1.9.9" is the newer one
        seed.report(0.05 if n < 5 else 0.95, seed.now - DAY + n * HOUR, model_version="1.9.9")
    seed.report(0.5, seed.now - 30 * DAY, model_version="0.1.0")
    rows = seed.ask("versions-compared")
    # Twice (0.5 - 0.1) ln(0.5 / 0.1), and eight times (0.0001 - 0.1) ln(0.0001 / 0.1).
    assert rows == [
        {
            "model_version": "2.0.0",
            "reports": 10,
            "mean_score": Decimal("0.5000"),
            "p10": Decimal("0.1400"),
            "p50": Decimal("0.5000"),
            "p90": Decimal("0.8600"),
            "p99": Decimal("0.9410"),
            "psi_to_previous": None,
            "first_scored": seed.now - 10 * DAY,
            "last_scored": seed.now - 10 * DAY + 9 * HOUR,
        },
        {
            "model_version": "1.9.9",
            "reports": 10,
            "mean_score": Decimal("0.5000"),
            "p10": Decimal("0.0500"),
            "p50": Decimal("0.5000"),
            "p90": Decimal("0.9500"),
            "p99": Decimal("0.9500"),
            "psi_to_previous": Decimal("6.8082"),
            "first_scored": seed.now - DAY,
            "last_scored": seed.now - DAY + 9 * HOUR,
        },
    ]


def test_cache_hits_gives_the_share_by_model(seed: Seed) -> None:
    for number, cached in enumerate([True, True, False, True]):
        seed.text_label(seed.now - number * MINUTE, cached=cached)
    seed.text_label(seed.now - 2 * DAY, cached=False)
    assert seed.ask("cache-hits") == [
        {"model": "text_classifier", "inputs": 4, "from_cache": 3, "share": Decimal("0.750")}
    ]


@pytest.mark.parametrize("name", analytics.questions())
def test_every_file_opens_with_its_question(name: str) -> None:
    first, _, rest = analytics.statement(name).partition("\n")
    assert first.startswith("-- ")
    assert first.endswith("?")
    assert rest.rstrip().endswith(";")


def test_every_question_has_a_test_of_its_answer() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_analytics*.py"))
    files = {file.stem for file in (ROOT / "store" / "analytics").glob("*.sql")}
    assert files == set(analytics.questions())
    assert {name for name in files if f'seed.ask("{name}")' not in tests} == set()


def test_every_question_has_an_answer_on_empty_tables(engine: Engine) -> None:
    answers = {name: analytics.ask(engine, name).rows for name in analytics.questions()}
    assert {name for name, rows in answers.items() if rows} == {"hourly-volume", "versions-live"}
    assert {tuple(row)[1:] for row in answers["hourly-volume"]} == {(0, 0, None)}


def test_which_version_was_live_when(seed: Seed) -> None:
    """A migrated database has the models of the repository: test_registry.py has versions that come and go."""
    live = seed.ask("versions-live")
    assert {row["model"] for row in live} == set(specs())
    assert all(row["live_until"] is None for row in live)
