"""The questions about clients in store/analytics: exact answers, worked out by hand."""

from decimal import Decimal

from tests.seeding import DAY, HOUR, MILLISECOND, MINUTE, Seed

WEEK = 7 * DAY
HOUR_MS = HOUR / MILLISECOND


def test_clients_largest_ranks_by_inputs_and_counts_those_without_a_key(seed: Seed) -> None:
    seed.task(seed.now - 2 * DAY, client="ada", n_inputs=300)
    seed.task(seed.now - DAY, client="ada", n_inputs=100, status="FAILURE")
    seed.task(seed.now - 29 * DAY, client="bob", n_inputs=100)
    seed.task(seed.now - 3 * DAY, client=None, n_inputs=500)
    seed.task(seed.now - 30 * DAY, client="bob", n_inputs=9000)
    rows = seed.ask("clients-largest")
    assert [tuple(row.values()) for row in rows] == [
        (None, 500, Decimal("50.00"), 1, Decimal("500.0"), Decimal("0.00"), seed.now - 3 * DAY),
        ("ada", 400, Decimal("40.00"), 2, Decimal("200.0"), Decimal("50.00"), seed.now - DAY),
        ("bob", 100, Decimal("10.00"), 1, Decimal("100.0"), Decimal("0.00"), seed.now - 29 * DAY),
    ]
    assert list(rows[0]) == [
        *("client", "inputs", "percent", "tasks", "inputs_per_task", "failed_percent", "latest_task"),
    ]


def test_clients_largest_gives_shares_of_all_clients_and_stops_at_twenty(seed: Seed) -> None:
    for number in range(25):
        seed.task(seed.now - DAY, client=f"client-{number:02}", n_inputs=4)
    rows = seed.ask("clients-largest")
    assert [(row["client"], row["percent"]) for row in rows] == [
        (f"client-{number:02}", Decimal("4.00")) for number in range(20)
    ]


def test_clients_growth_compares_two_weeks(seed: Seed) -> None:
    for client, ago, inputs in [
        ("grows", DAY, 10),
        ("grows", WEEK - HOUR, 20),
        ("grows", WEEK + HOUR, 10),
        ("leaves", 2 * WEEK - HOUR, 40),
        ("is new", MINUTE, 5),
        ("is at the border", WEEK, 1),
        ("was too long ago", 2 * WEEK, 1000),
        (None, DAY, 1000),
    ]:
        seed.task(seed.now - ago, client=client, n_inputs=inputs)
    rows = seed.ask("clients-growth")
    assert list(rows[0]) == ["client", "inputs_before", "inputs", "change", "percent"]
    assert [tuple(row.values()) for row in rows] == [
        ("leaves", 40, 0, -40, Decimal("-100.0")),
        ("grows", 10, 30, 20, Decimal("200.0")),
        ("is new", 0, 5, 5, None),
        ("is at the border", 1, 0, -1, Decimal("-100.0")),
    ]


def test_clients_retained_says_who_comes_back_in_which_week(seed: Seed) -> None:
    for client, weeks_ago in [
        *(("a", 12), ("a", 11), ("a", 0)),
        *(("b", 12), ("b", 8), ("b", 8)),
        *(("d", 1), ("d", 0)),
        ("e", 0),
        *((None, 12), (None, 0)),
    ]:
        seed.task(seed.week - weeks_ago * WEEK, client=client)
    # Not of the first week's clients: it began a millisecond before.
    seed.task(seed.week - 12 * WEEK - MILLISECOND, client="c")
    seed.task(seed.week - 12 * WEEK, client="c")
    rows = seed.ask("clients-retained")
    assert list(rows[0]) == ["began", "clients", "week_1", "week_2", "week_3", "week_4", "week_8", "week_12"]
    none, half, whole = Decimal("0.0"), Decimal("50.0"), Decimal("100.0")
    assert [tuple(row.values()) for row in rows] == [
        ((seed.week - 12 * WEEK).date(), 2, half, none, none, half, none, half),
        ((seed.week - WEEK).date(), 1, whole, None, None, None, None, None),
        (seed.week.date(), 1, None, None, None, None, None, None),
    ]


def test_clients_retained_counts_the_last_moment_of_a_week_as_that_week(seed: Seed) -> None:
    seed.task(seed.week - WEEK, client="a")
    seed.task(seed.week - MILLISECOND, client="a")
    assert [tuple(row.values())[:3] for row in seed.ask("clients-retained")] == [
        ((seed.week - WEEK).date(), 1, Decimal("0.0")),
    ]


def test_clients_first_score_counts_from_the_first_key(seed: Seed) -> None:
    seed.key("ada", seed.now - 10 * DAY)
    seed.key("ada", seed.now - 9 * DAY)
    seed.task(seed.now - 9 * DAY, client="ada", status="FAILURE")
    seed.task(seed.now - 8 * DAY, HOUR_MS, HOUR_MS, client="ada")
    seed.task(seed.now - 8 * DAY + MINUTE, 29 * 60_000, 30 * 60_000, client="ada", model="text_classifier")  # sooner
    seed.task(seed.now - 7 * DAY, client="ada")
    seed.key("bob", seed.now - 5 * DAY, "admin")
    seed.task(seed.now - 4 * DAY, client="bob", status="PENDING", started_at=None, finished_at=None)
    seed.key("carol", seed.now - DAY)
    seed.key("reads only", seed.now - DAY, "read")
    seed.key("came before", seed.now - 91 * DAY)
    seed.key("came before", seed.now - DAY)
    rows = seed.ask("clients-first-score")
    assert list(rows[0]) == [
        *("client", "key_made", "first_task", "first_score", "hours_to_first_task", "hours_to_first_score"),
    ]
    assert [tuple(row.values()) for row in rows] == [
        ("carol", seed.now - DAY, None, None, None, None),
        ("bob", seed.now - 5 * DAY, seed.now - 4 * DAY, None, Decimal("24.00"), None),
        (
            "ada",
            seed.now - 10 * DAY,
            seed.now - 9 * DAY,
            seed.now - 8 * DAY + HOUR,
            Decimal("24.00"),
            Decimal("49.00"),
        ),
    ]
