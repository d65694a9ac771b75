"""Every order of what workers, rescue, clients and deliverers do to one task keeps the promises, on a real PostgreSQL.

First one transaction after another: what each operation does in each state that can be reached. That depends on what is
stored and on the claims that workers believe they hold, and on nothing else, so it is every order, of any length. Then
two transactions at a time, statement by statement: what comes out must be what both in some order would have done, or
one of them alone.

A new transition is a line in OPERATIONS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from models.report_scorer.spec import SPEC
from store import transitions, webhooks
from store.engine import connect
from store.states import FINAL, Transition
from store.transitions import (
    CANCEL,
    CLAIM,
    DEFER,
    EXPIRE,
    FAIL,
    FAIL_DEFERRED,
    FAIL_LOST,
    FAIL_UNSERVED,
    FINISH,
    GIVE_BACK,
    RENEW,
    REPLAY,
    TAKE_BACK,
)
from tests.conftest import Servers, new_database
from tests.interleaving import Side, every_interleaving
from tests.one_task import (
    AT_ONCE,
    HOUR,
    TASK,
    Held,
    Operation,
    World,
    claim,
    claim_delivery,
    deliver,
    finish,
    goes_on,
    is_killed,
    new,
    over,
    passes,
    put,
    read,
    renew,
    republish,
    sweep_and_claim,
    take_back,
    take_back_after_outage,
)

OPERATIONS = (
    *(
        Operation(worker, name, run, makes)
        for worker in "AB"
        for name, run, makes in (
            ("claim", claim, (CLAIM,)),
            ("renew", renew, (RENEW,)),
            ("finish", finish, (FINISH,)),
            ("fail", over(transitions.fail, "1", "ValueError: no"), (FAIL,)),
            ("give back", over(transitions.give_back), (GIVE_BACK,)),
            ("defer", over(transitions.defer, HOUR, "of a newer release"), (DEFER,)),
            ("give up", over(transitions.defer, AT_ONCE, "of a newer release"), (FAIL_DEFERRED,)),
            ("is killed", is_killed, ()),
        )
    ),
    Operation("rescue", "take back", take_back, (TAKE_BACK, FAIL_LOST)),
    Operation("rescue", "take back after an outage", take_back_after_outage, (TAKE_BACK,)),
    Operation("rescue", "expire", partial(transitions.expire, limit=9), (EXPIRE,)),
    Operation(
        "rescue",
        "fail unserved",
        partial(transitions.fail_unserved, model=SPEC.name, patience=AT_ONCE, limit=9),
        (FAIL_UNSERVED,),
    ),
    Operation("rescue", "republish", republish),
    Operation("client", "cancel", partial(transitions.cancel, task_id=TASK, client=None), (CANCEL,)),
    Operation("client", "replay", partial(transitions.replay, task_id=TASK, client=None), (REPLAY,)),
    Operation("operator", "replay", partial(transitions.replay_these, task_ids=[TASK]), (REPLAY,)),
    Operation("time", "ends the lease", passes("tasks", "lease_until")),
    Operation("time", "passes the deadline", passes("tasks", "deadline")),
)
DELIVERIES = (
    *(one for one in OPERATIONS if one.name in ("claim", "finish", "fail", "cancel", "replay") and one.by != "B"),
    Operation("deliverers", "sweep", webhooks.sweep),
    Operation("D", "claim", claim_delivery),
    Operation("D", "sweep and claim", sweep_and_claim),
    Operation("D", "deliver", deliver),
    Operation("D", "is killed", is_killed),
    Operation("time", "ends the claim", passes("webhooks", "due_at")),
)
"""A callback sees when its task ends and when it is replayed, so its states need not be multiplied by all others."""


MANY = 1_000


@dataclass
class Reachable:
    """The states that can be reached by these operations, and what comes of each operation in each of them."""

    operations: Sequence[Operation]
    worlds: dict[object, World] = field(default_factory=dict)
    after: dict[tuple[object, Operation], World] = field(default_factory=dict)

    def does(self, world: World, operation: Operation) -> bool:
        return self.after[world.key, operation].rows != world.rows


def explore(engine: Engine, operations: Sequence[Operation]) -> Reachable:
    with engine.begin() as connection:
        first = new(connection)
    reachable, todo = Reachable(operations, {first.key: first}), [first]
    for world in todo:
        assert len(todo) < MANY, "something counts for ever"
        with engine.connect() as connection:
            put(connection, world)
            goes_on(connection, world)
            for operation in operations:
                if operation.possible(world.held):
                    found = reachable.after[world.key, operation] = tried(connection, world.held, operation)
                    found.keeps_promises()
                    if reachable.worlds.setdefault(found.key, found) is found:
                        todo.append(found)
    return reachable


def tried(connection: Connection, held: Held, *operations: Operation) -> World:
    """Do these one after another, look, and undo them."""
    with connection.begin_nested() as undone:
        for operation in operations:
            held = operation.then_held(held, operation.do(connection, held))
        found = read(connection, held)
        undone.rollback()
    return found


@pytest.fixture(scope="module")
def url(servers: Servers, template: str) -> str:
    return new_database(servers, template)


@pytest.fixture(scope="module")
def observer(url: str) -> Iterator[Engine]:
    engine = connect(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=[OPERATIONS, DELIVERIES], ids=["transitions", "deliveries"])
def reachable(request: pytest.FixtureRequest, observer: Engine) -> Reachable:
    return explore(observer, request.param)


@pytest.fixture(scope="module")
def sides(url: str) -> Iterator[tuple[Side, Side]]:
    both = Side(url), Side(url)
    yield both
    for side in both:
        side.engine.dispose()


def test_every_order_makes_the_transitions_of_the_table_and_no_others(reachable: Reachable) -> None:
    made = set()
    for (key, operation), after in reachable.after.items():
        before = reachable.worlds[key]
        if operation.on_claim and not before.owns(operation.by):
            assert after.rows == before.rows, f"{operation} wrote for a claim that was over"
        if before.status is not after.status:
            [row] = [row for row in operation.makes if before.status in row.source and row.target is after.status]
            made.add((row, before.status))
    if reachable.operations is DELIVERIES:
        return
    table = [row for row in vars(transitions).values() if isinstance(row, Transition)]
    expected = {(row, source) for row in table for source in row.source if source is not row.target}
    assert made == expected, "an operation is missing"


def test_from_every_state_a_task_comes_to_its_end_without_its_client(reachable: Reachable) -> None:
    ends = {key for key, world in reachable.worlds.items() if world.status in FINAL}
    steps = [(key, after.key) for (key, by), after in reachable.after.items() if by.by not in ("client", "operator")]
    while more := {before for before, after in steps if after in ends} - ends:
        ends |= more
    assert reachable.worlds.keys() - ends == set()


def races(reachable: Reachable) -> Iterator[tuple[World, Operation, Operation]]:
    """Yield each pair of transactions, in a state of each status in which both do something; else where one does."""
    transactions = [one for one in reachable.operations if one.by != "time" and one.name != "is killed"]
    seen = set()
    for both in (True, False):
        for one, other in combinations_with_replacement(transactions, 2):
            if one.holds and one.by == other.by:
                continue
            pair = frozenset((each.name, each.by.replace("B", "A")) for each in (one, other))  # A and B are alike
            for world in reachable.worlds.values():
                if not (one.possible(world.held) and other.possible(world.held)):
                    continue
                does = reachable.does(world, one), reachable.does(world, other)
                kind = (pair, world.status) if both else pair
                if (all if both else any)(does) and kind not in seen:
                    seen |= {kind, pair}
                    yield world, one, other


def test_every_interleaving_of_two_does_what_one_after_the_other_would(
    reachable: Reachable, observer: Engine, sides: tuple[Side, Side]
) -> None:
    runs = 0
    for world, *pair in races(reachable):
        with observer.connect() as connection:
            put(connection, world)
            allowed = {tried(connection, world.held, *order).key for order in (pair[:1], pair[1:], pair, pair[::-1])}

        def prepare(world: World = world, pair: list[Operation] = pair) -> Any:
            with observer.begin() as connection:
                put(connection, world)
            return [partial(by.do, held=world.held) for by in pair]

        for schedule in every_interleaving(sides, observer, prepare):
            what = f"{[(by.by, by.name) for by in pair]} in {world}, as {schedule}"
            assert [side.error for side in sides] == [None, None], what
            held = world.held
            for by, side in zip(pair, sides, strict=True):
                held = by.then_held(held, side.result)
            with observer.connect() as connection:
                found = read(connection, held)
                if reachable.operations is DELIVERIES:
                    goes_on(connection, found)
            found.keeps_promises()
            assert found.key in allowed, what
            runs += 1
    assert runs > 50
