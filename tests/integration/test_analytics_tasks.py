"""The questions about tasks of any model in store/analytics: exact answers, worked out by hand."""

from decimal import Decimal

from sqlalchemy import text

from store import analytics
from tests.seeding import DAY, HOUR, MILLISECOND, MINUTE, Rows, Seed

LARGE = ("tasks", "report_scores", "text_labels", "image_labels", "translations")


def test_volume_by_day_counts_each_version(seed: Seed) -> None:
    for at, version, inputs in [
        (seed.day, "1.0.0", 1),
        (seed.day, "1.0.0", 2),
        (seed.day, "1.1.0", 10),
        (seed.day - MILLISECOND, "1.0.0", 4),
        (seed.day - 29 * DAY, "1.0.0", 5),
        (seed.day - 29 * DAY - MILLISECOND, "1.0.0", 6),
    ]:
        seed.task(at, model_version=version, n_inputs=inputs)
    seed.task(seed.day, model="translator", model_version="2", n_inputs=7)
    seed.task(seed.day, status="FAILURE")
    rows = seed.ask("volume-by-day")
    assert list(rows[0]) == ["day", "model", "model_version", "tasks", "inputs"]
    assert [tuple(row.values()) for row in rows] == [
        ((seed.day - 29 * DAY).date(), "report_scorer", "1.0.0", 1, 5),
        ((seed.day - DAY).date(), "report_scorer", "1.0.0", 1, 4),
        (seed.day.date(), "report_scorer", "1.0.0", 2, 3),
        (seed.day.date(), "report_scorer", "1.1.0", 1, 10),
        (seed.day.date(), "translator", "2", 1, 7),
    ]


def test_busiest_hours_averages_four_weeks(seed: Seed) -> None:
    last, week = seed.hour - HOUR, 7 * DAY
    for at, inputs in [
        (last, 10),
        (last + 59 * MINUTE, 20),
        (last - week, 50),
        (last - HOUR, 8),
        (seed.hour - 4 * week, 4),
        (seed.hour - 4 * week - MILLISECOND, 1000),
        (seed.hour, 1000),  # this hour is not over
    ]:
        seed.task(at, n_inputs=inputs)
    rows = seed.ask("busiest-hours")
    assert list(rows[0]) == ["weekday", "hour_utc", "tasks_an_hour", "inputs_an_hour", "most_inputs"]
    assert [tuple(row.values()) for row in rows] == [
        (f"{last:%A}", f"{last:%H}:00", Decimal("0.8"), Decimal("20.0"), 50),
        (f"{last - HOUR:%A}", f"{last - HOUR:%H}:00", Decimal("0.3"), Decimal("2.0"), 8),
        (f"{seed.hour:%A}", f"{seed.hour:%H}:00", Decimal("0.3"), Decimal("1.0"), 4),
    ]


def test_endings_by_model_gives_percentages_of_all_tasks(seed: Seed) -> None:
    for status in ("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "REVOKED", "EXPIRED"):
        seed.task(seed.now - DAY, status=status)
    seed.task(seed.now - DAY, attempt=3, lost_attempts=2)
    seed.task(seed.now - DAY, status="PENDING", attempt=0, started_at=None, finished_at=None)
    seed.task(seed.now - 6 * DAY, model="text_classifier", status="STARTED", finished_at=None)
    seed.task(seed.now - 7 * DAY, status="FAILURE")
    eighth, none = Decimal("12.50"), Decimal("0.00")
    rows = seed.ask("endings-by-model")
    assert list(rows[0]) == [
        *("model", "tasks", "unfinished"),
        *("scored_percent", "failed_percent", "cancelled_percent", "expired_percent"),
        *("retried_percent", "lost_attempts"),
    ]
    assert [tuple(row.values()) for row in rows] == [
        ("report_scorer", 8, 1, Decimal("50.00"), eighth, eighth, eighth, eighth, 2),
        ("text_classifier", 1, 1, none, none, none, none, none, 0),
    ]


def test_backlog_says_how_long_the_oldest_has_waited(seed: Seed) -> None:
    def wait(seconds: int, **given: object) -> None:
        waiting = {"status": "PENDING", "started_at": None, "finished_at": None}
        seed.task(seed.now - seconds * 1000 * MILLISECOND, **waiting, **given)

    wait(30, n_inputs=3, deadline=seed.now + 2 * HOUR)
    wait(90, n_inputs=4, deadline=seed.now + HOUR)
    wait(5, priority=0)
    wait(86_400, priority=2, model="translator", n_inputs=100)
    seed.task(seed.now - HOUR, status="STARTED", finished_at=None)
    seed.task(seed.now - HOUR)
    rows = seed.ask("backlog")
    assert list(rows[0]) == ["model", "priority", "tasks", "inputs", "oldest", "oldest_seconds", "next_deadline"]
    assert [tuple(row.values()) for row in rows] == [
        ("report_scorer", "high", 1, 1, seed.now - 5000 * MILLISECOND, Decimal("5.0"), None),
        ("report_scorer", "normal", 2, 7, seed.now - 90_000 * MILLISECOND, Decimal("90.0"), seed.now + HOUR),
        ("translator", "low", 1, 100, seed.now - DAY, Decimal("86400.0"), None),
    ]


def test_the_session_s_time_zone_changes_no_answer(seed: Seed) -> None:
    """Days and weeks are those of UTC, whatever the analyst's psql is set to."""
    seed.key("ada", seed.now - 60 * DAY)
    for hours in range(1, 24 * 60, 7):
        at = seed.now - hours * HOUR
        seed.task(at, hours, hours, client="ada", model_version="1.0.0", status="SUCCESS" if hours % 5 else "FAILURE")
        seed.report(hours % 10 / 10, at, report_id=f"r-{hours % 3}", model_version=f"1.{hours % 2}.0")
        seed.text_label(at, cached=hours % 2 == 0)
    answers: list[dict[str, Rows]] = []
    for zone in ("UTC", "Pacific/Auckland"):
        seed.connection.execute(text(f"SET LOCAL TimeZone = '{zone}'"))
        answers.append({name: seed.ask(name) for name in analytics.questions()})
    assert answers[0] == answers[1]
    assert {name for name, rows in answers[0].items() if not rows} == {"backlog", "drifted-columns"}


def test_an_index_finds_the_rows_of_each_interval(seed: Seed) -> None:
    """PostgreSQL reads a small table whole: told not to, it shows whether there is another way."""
    seed.connection.execute(text("SET LOCAL enable_seqscan = off"))
    connection = seed.connection.execution_options(no_parameters=True)
    for name in analytics.questions():
        plan = connection.exec_driver_sql(f"EXPLAIN {analytics.statement(name)}").scalars().all()
        assert [line for line in plan for table in LARGE if f"Seq Scan on {table}" in line] == [], name
