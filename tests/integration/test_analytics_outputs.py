"""The questions about outputs and their changes in store/analytics: exact answers, worked out by hand."""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from store import drift
from tests.seeding import DAY, HOUR, MILLISECOND, Seed

WEEK = 7 * DAY


def test_urgent_by_week_counts_what_reaches_a_threshold(seed: Seed) -> None:
    for score in (0.49, 0.5, 0.9):
        seed.report(score, seed.week)
    seed.report(0.95, seed.week, abuse_type="PRF")
    seed.report(0.2, seed.week - MILLISECOND)
    seed.report(0.6, seed.week - 11 * WEEK)
    seed.report(0.6, seed.week - 11 * WEEK - MILLISECOND)
    rows = seed.ask("urgent-by-week")
    assert list(rows[0]) == [
        *("week", "abuse_type", "reports", "mean_score"),
        *("from_half", "from_half_percent", "from_nine_tenths", "from_nine_tenths_percent"),
    ]
    none, all_of_them = Decimal("0.00"), Decimal("100.00")
    assert [tuple(row.values()) for row in rows] == [
        ((seed.week - 11 * WEEK).date(), "MSG", 1, Decimal("0.6000"), 1, all_of_them, 0, none),
        ((seed.week - WEEK).date(), "MSG", 1, Decimal("0.2000"), 0, none, 0, none),
        (seed.week.date(), "MSG", 3, Decimal("0.6300"), 2, Decimal("66.67"), 1, Decimal("33.33")),
        (seed.week.date(), "PRF", 1, Decimal("0.9500"), 1, all_of_them, 1, all_of_them),
    ]


def test_precision_by_week_is_that_of_what_was_reviewed(seed: Seed) -> None:
    def reviewed(score: float, at: datetime, outcome: str | None, version: str = "1.0.0") -> None:
        task_id = seed.report(score, at, model_version=version)
        row = {"id": task_id, "outcome": outcome, "at": at}
        state = """INSERT INTO outcomes (model, task_id, position, outcome, decided_at, everyones)
            VALUES ('report_scorer', :id, 0, :outcome, :at, true)"""
        if outcome:
            seed.connection.execute(text(state), row)

    for outcome in ("abuse", "abuse", "not_abuse", None):
        reviewed(0.5, seed.week, outcome)
    reviewed(0.49, seed.week, "abuse")
    reviewed(0.9, seed.week - WEEK, None)
    reviewed(0.9, seed.week - WEEK, "unclear", "1.1.0")
    reviewed(0.9, seed.week - 12 * WEEK, "abuse")
    assert [tuple(row.values()) for row in seed.ask("precision-by-week")] == [
        ((seed.week - WEEK).date(), "1.0.0", 1, 0, 0, None),
        ((seed.week - WEEK).date(), "1.1.0", 1, 1, 0, Decimal("0.00")),
        (seed.week.date(), "1.0.0", 4, 3, 2, Decimal("66.67")),
    ]


def test_drifted_columns_are_those_that_were_found_in_thirty_days(seed: Seed) -> None:
    today = seed.day.date()

    def computed(column: str, against: str, ago: int, psi: float, *findings: str) -> None:
        row = {"model": "m", "version": "1", "day": today - timedelta(days=ago), "column_name": column}
        sizes = {"against": against, "rows": 5_000, "reference_rows": 35_000, "band": 0.0071}
        figures = {"psi": psi, "jensen_shannon": psi / 6, "missing": 0.0, "unseen": 0.0}
        verdict = {"found": bool(findings), "findings": list(findings)}
        drift.keep(seed.connection, [row | sizes | figures | verdict])

    for ago, psi in ((31, 0.5), (3, 0.08), (2, 0.09)):
        computed("age", "week", ago, psi, "distribution")
    computed("age", "week", 1, 0.001)
    computed("age", "training", 1, 0.001)
    computed("kind", "training", 30, 0.3, "missing", "unseen")
    rows = seed.ask("drifted-columns")
    assert list(rows[0]) == [
        *("model", "version", "column_name", "against", "days_compared", "days_found", "first_found", "last_found"),
        *("what", "psi", "band"),
    ]
    days = [today - timedelta(days=ago) for ago in (3, 2, 30, 30)]
    assert [tuple(row.values())[2:] for row in rows] == [
        ("age", "week", 3, 2, *days[:2], "distribution", Decimal("0.0900"), Decimal("0.0071")),
        ("kind", "training", 1, 1, *days[2:], "missing, unseen", Decimal("0.3000"), Decimal("0.0071")),
    ]


def test_label_mix_compares_two_weeks(seed: Seed) -> None:
    for label, probability, ago in [
        ("sea", 0.59, DAY),
        ("sea", 0.6, DAY),
        ("sea", 0.9, WEEK - HOUR),
        ("sky", 0.5, DAY),
        ("sea", 0.1, WEEK),
        ("sky", 0.1, 2 * WEEK - HOUR),
        ("sky", 0.1, 2 * WEEK),
    ]:
        seed.text_label(seed.now - ago, label=label, probability=probability, cached=False)
    seed.image_label(seed.now - WEEK - HOUR)
    rows = seed.ask("label-mix")
    assert list(rows[0]) == ["model", "label", "inputs", "percent", "percent_before", "unsure", "unsure_percent"]
    half, all_of_them = Decimal("50.00"), Decimal("100.00")
    assert [tuple(row.values()) for row in rows] == [
        ("image_classifier", "8", 0, None, all_of_them, 0, None),
        ("text_classifier", "sea", 3, Decimal("75.00"), half, 1, Decimal("33.33")),
        ("text_classifier", "sky", 1, Decimal("25.00"), half, 1, all_of_them),
    ]


def test_rescored_reports_compares_a_report_with_its_latest_score_before(seed: Seed) -> None:
    def score(client: str, report: str | None, ago: timedelta, version: str, score: float) -> None:
        at = seed.now - ago
        task = seed.task(at, client=client)
        seed.report(score, at, task_id=task, report_id=report, model_version=version)

    score("ada", "r-1", 6 * DAY, "1.0.0", 0.2)
    score("ada", "r-1", 5 * DAY, "1.1.0", 0.6)
    score("ada", "r-1", 4 * DAY, "1.1.0", 0.6)
    score("ada", "r-2", 6 * DAY, "1.0.0", 0.8)
    score("ada", "r-2", 5 * DAY, "1.1.0", 0.5)
    score("bob", "r-1", DAY, "1.1.0", 0.9)  # another client's r-1 is another report
    score("ada", "r-3", 7 * DAY, "1.0.0", 0.1)
    score("ada", "r-3", DAY, "1.1.0", 0.9)
    score("ada", None, 2 * DAY, "1.0.0", 0.1)
    score("ada", None, DAY, "1.1.0", 0.9)
    rows = seed.ask("rescored-reports")
    assert list(rows[0]) == [
        *("from_version", "to_version", "reports", "changed", "mean_change", "mean_distance"),
        *("largest_rise", "largest_fall", "crossed_half"),
    ]
    assert [tuple(map(str, row.values())) for row in rows] == [
        ("1.0.0", "1.1.0", "2", "2", "0.0500", "0.3500", "0.4000", "-0.3000", "1"),
        ("1.1.0", "1.1.0", "1", "0", "0.0000", "0.0000", "0.0000", "0.0000", "0"),
    ]
