"""One task in PostgreSQL, whole: what is stored of it, what must be true of it, and what programs do to it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, MetaData, insert, text

from models.report_scorer.spec import SPEC
from store import transitions, waiting, webhooks
from store.claims import Claim
from store.predictions import predictions_table
from store.states import FAILURE, FINAL, PENDING, STARTED, SUCCESS, Status, Transition
from store.submissions import Submission, accept
from store.webhooks import AttemptEnded, DueWebhook
from tests.running import REPORT

TASK = UUID(int=1)
TABLES = ("tasks", "task_inputs", "webhooks", SPEC.table)
HOUR, AT_ONCE = timedelta(hours=1), timedelta(seconds=-1)
"""A patience that lasts, and one that ends before anything has begun."""

ATTEMPTS = 2
SCORES = predictions_table(SPEC.table, SPEC.stored_columns, MetaData())
PAST = "2000-01-01T00:00:00+00:00"


class Hold(NamedTuple):
    """A claim that somebody believes to be in force, and whether nobody has claimed after it."""

    claim: Any
    latest: bool = True


Held = Mapping[str, Hold]
"""By whom: the workers A and B, with their attempts, and the deliverer D."""


@dataclass(frozen=True)
class World:
    rows: Mapping[str, list[dict[str, Any]]]
    held: Held

    @property
    def task(self) -> dict[str, Any]:
        return self.rows["tasks"][0]

    @property
    def status(self) -> Status:
        return Status(self.task["status"])

    @property
    def key(self) -> tuple[object, ...]:
        """All that decides what can follow: of an attempt, whether a worker holds it; of a time, whether it is over.

        A sweep that meets a replay can leave a callback due before the end. Nobody claims it, so it does not count.
        """
        task, [hook] = self.task, self.rows["webhooks"]
        return (
            self.status,
            task["lost_attempts"],
            task["lease_until"] and task["lease_until"] != PAST,
            task["deadline"] != PAST,
            *(len(rows) for rows in self.rows.values()),
            self.status in FINAL and hook["due_at"] is not None,
            hook["delivered_at"] is not None,
            self.owns("D") if "D" in self.held else None,
            *sorted(self.owns(worker) for worker in "AB" if worker in self.held),  # A and B are alike
        )

    def owns(self, who: str) -> bool:
        """Return whether a claim has the number or the time by which the statements know it."""
        claim = self.held[who].claim
        if who == "D":
            due = self.rows["webhooks"][0]["due_at"]
            return due is not None and datetime.fromisoformat(due) == claim.until
        attempt: int = claim.attempt
        return attempt == self.task["attempt"]

    def keeps_promises(self) -> None:
        task, status, scores = self.task, self.status, self.rows[SPEC.table]
        assert [score["position"] for score in scores] == ([0, 1] if status is SUCCESS else [])
        assert {score["model_version"] for score in scores} <= {task["model_version"]}
        assert status is not SUCCESS or task["model_version"] == str(task["attempt"]), "a lost attempt has finished"
        assert len(self.rows["task_inputs"]) == (status in (PENDING, STARTED, FAILURE))
        assert (task["lease_until"] is not None) == (status is STARTED), "what is STARTED has a lease, which ends"
        assert (task["finished_at"] is not None) == (status in FINAL)
        assert (task["error"] is not None) == (status in FINAL - {SUCCESS})
        assert self.rows["webhooks"][0]["delivered_at"] is None or status in FINAL
        assert all(self.owns(who) == self.held[who].latest for who in "AB" if who in self.held), "two claims look alike"


def new(connection: Connection) -> World:
    """Accept a task of two inputs, with a deadline and a callback."""
    connection.execute(_EMPTY)
    deadline = datetime.now(UTC) + HOUR
    accept(connection, [Submission(TASK, SPEC.name, b"[]", 2, deadline=deadline, callback_url="http://x")])
    return read(connection, {})


_READ = text("SELECT " + ", ".join(f"(SELECT coalesce(jsonb_agg(t), '[]') FROM {table} AS t)" for table in TABLES))


def read(connection: Connection, held: Held) -> World:
    return World(dict(zip(TABLES, connection.execute(_READ).one(), strict=True)), held)


_EMPTY = text("; ".join(f"DELETE FROM {table}" for table in reversed(TABLES)))
_PUT = "; ".join(
    [_EMPTY.text]
    + [f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %({table})s)" for table in TABLES]
)


def put(connection: Connection, world: World) -> None:
    connection.exec_driver_sql(_PUT, {table: json.dumps(rows) for table, rows in world.rows.items()})


def republish(connection: Connection) -> bool:
    found = waiting.republish(connection, SPEC.name, 1, emptied=AT_ONCE, following=(), patience=AT_ONCE, limit=9)
    return bool(found)


def goes_on(connection: Connection, world: World) -> None:
    """Look whether what waits can be published, and whether of what has ended the callback is sent, once."""
    [hook] = world.rows["webhooks"]
    with connection.begin_nested() as undone:
        passes("webhooks", "due_at")(connection)
        webhooks.sweep(connection)
        sent = [len(webhooks.claim(connection, lease=HOUR, limit=9)) for _ in range(2)]
        assert sent == [int(world.status in FINAL and hook["delivered_at"] is None), 0], (
            "not told, told early, or twice"
        )
        assert republish(connection) == (world.status is PENDING), "what is PENDING can be published"
        undone.rollback()


class Operation(NamedTuple):
    """One transaction, by whom, and the transitions that it may make.

    What A, B and D do is given the claim that they hold, and returns the one that they hold then. They do one thing at
    a time: they claim without a claim, and do everything else with one.
    """

    by: str
    name: str
    run: Callable[..., Any]
    makes: tuple[Transition, ...] = ()

    @property
    def holds(self) -> bool:
        return self.by in ("A", "B", "D")

    @property
    def on_claim(self) -> bool:
        return self.holds and not self.name.endswith("claim")

    def possible(self, held: Held) -> bool:
        return not self.holds or self.on_claim == (self.by in held)

    def do(self, connection: Connection, held: Held) -> Any:
        return self.run(connection, *([held[self.by].claim] if self.on_claim else []))

    def then_held(self, held: Held, done: Any) -> Held:
        """Return the claims once it is done, from what `do` has returned."""
        others = {who: hold for who, hold in held.items() if who != self.by}
        if not (self.holds and done):
            return others
        if transitions.CLAIM in self.makes:
            others = {who: hold._replace(latest=False) for who, hold in others.items()}
        return others | {self.by: held.get(self.by, Hold(done))}


def claim(connection: Connection) -> Claim | None:
    claimed = transitions.claim(connection, SPEC.name, [TASK], HOUR, max_inputs=9)
    return claimed[0].claim if claimed else None


def renew(connection: Connection, held: Claim) -> Claim:
    transitions.renew(connection, [held], HOUR)
    return held


def finish(connection: Connection, held: Claim) -> None:
    """Store predictions whose version says which attempt has made them."""
    version = str(held.attempt)
    for task_id in transitions.finish(connection, [held], version):
        row = REPORT | {"score": 0.5, "task_id": task_id, "model_version": version}
        connection.execute(insert(SCORES).values([row | {"position": position} for position in range(2)]))


def over(transition: Callable[..., object], *arguments: Any) -> Callable[[Connection, Claim], None]:
    """Return what ends a claim, whatever the database says of it."""

    def run(connection: Connection, held: Claim) -> None:
        transition(connection, [held], *arguments)

    return run


def take_back(connection: Connection) -> None:
    transitions.take_back(connection, attempts=ATTEMPTS, limit=9)


def take_back_after_outage(connection: Connection) -> None:
    connection.execute(text("INSERT INTO rescue_rounds VALUES (true, now(), now() - interval '1 minute')"))
    take_back(connection)
    connection.execute(text("DELETE FROM rescue_rounds"))


def claim_delivery(connection: Connection) -> DueWebhook | None:
    due = webhooks.claim(connection, lease=HOUR, limit=9)
    return due[0] if due else None


def sweep_and_claim(connection: Connection) -> DueWebhook | None:
    """Do as a deliverer's round does, in one transaction."""
    webhooks.sweep(connection)
    return claim_delivery(connection)


def deliver(connection: Connection, held: DueWebhook) -> None:
    ended = AttemptEnded(held.kind, held.id, held.until, delivered=True, retry=None, status=200, error=None)
    webhooks.settle(connection, [ended])
    ends = text("SELECT finished_at FROM webhooks JOIN tasks ON id = task_id WHERE delivered_at IS NOT NULL")
    assert set(connection.execute(ends).scalars()) <= {held.happened_at}, "told of another end"


def is_killed(connection: Connection, held: object) -> None: ...


def passes(table: str, column: str) -> Callable[[Connection], object]:
    passed = text(f"UPDATE {table} SET {column} = '{PAST}' WHERE {column} IS NOT NULL")
    return lambda connection: connection.execute(passed)
