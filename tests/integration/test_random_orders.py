"""Any order of deliveries, losses, cancellations and replays keeps the promises: a state machine on the real store."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from models.report_scorer.spec import SPEC
from serving import artifact
from serving.contract import Columns
from store import transitions
from store.engine import WatchedEngine
from store.states import Status
from store.submissions import Submission, accept
from tests.running import REPORT
from worker.scoring.chunk import score
from worker.scoring.loaded_models import ModelInstance

LEASE = timedelta(seconds=60)
LAPSED = timedelta(seconds=-1)
BAD = 666
EVENTS = ["nothing", "cancelled", "taken back", "scored elsewhere", "claimed elsewhere"]


class Hooked:
    """A model during whose predict something else may happen; it cannot score BAD."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    def predict(self, columns: Columns) -> Columns:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        if BAD in columns["report_text_len"]:
            raise ValueError("cannot score it")
        return {"score": np.asarray(columns["popularity"]) / 10}


class Tasks(RuleBasedStateMachine):
    """What the store must say is kept in `expected`, by task id."""

    engine: Engine
    watched: WatchedEngine
    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.expected: dict[UUID, str] = {}
        self.claims: Counter[UUID] = Counter()
        self.bad: set[UUID] = set()
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE tasks, task_inputs, webhooks, report_scores CASCADE"))

    @rule(target=ids, popularity=st.integers(0, 5), bad=st.booleans())
    def accept(self, popularity: int, bad: bool) -> UUID:
        task_id = uuid7()
        report = REPORT | {"popularity": popularity, "report_text_len": BAD if bad else 1}
        payload = json.dumps([report, report]).encode()
        self._do(accept, [Submission(task_id, SPEC.name, payload, 2)])
        self.expected[task_id] = "PENDING"
        if bad:
            self.bad.add(task_id)
        return task_id

    @rule(chunk=st.lists(ids, min_size=1, max_size=4, unique=True), event=st.sampled_from(EVENTS))
    def deliver(self, chunk: list[UUID], event: str) -> None:
        """Deliver a message; meanwhile a task of it may be cancelled, lost to rescue, or delivered to somebody else."""
        waiting = [task_id for task_id in chunk if self.expected[task_id] == "PENDING"]

        def meanwhile() -> None:
            if event == "cancelled":
                self.cancel(waiting[0])
            elif event != "nothing":
                self._lapse(waiting)
                self._take_back()
            if event == "scored elsewhere":
                self._score(waiting, lambda: None)
            elif event == "claimed elsewhere":
                self._claim(waiting, LEASE)

        self._score(chunk, meanwhile)

    @rule(task_id=ids)
    def cancel(self, task_id: UUID) -> None:
        done = self._do(transitions.cancel, task_id, None)
        assert done == (self.expected[task_id] in ("PENDING", "STARTED"))
        if done:
            self.expected[task_id] = "REVOKED"

    @rule(task_id=ids)
    def replay(self, task_id: UUID) -> None:
        waiting = self._do(transitions.replay, task_id, None)
        assert (waiting is not None) == (self.expected[task_id] == "FAILURE")
        if waiting:
            self.expected[task_id] = "PENDING"

    @rule(chunk=st.lists(ids, min_size=1, max_size=3, unique=True))
    def lose_the_worker(self, chunk: list[UUID]) -> None:
        """A worker claims and is never heard of again."""
        self._claim(chunk, LAPSED)
        self._take_back()

    @rule()
    def lose_every_worker(self) -> None:
        self._lapse(list(self.expected))
        self._take_back()

    @rule(task_id=ids)
    def pass_the_deadline(self, task_id: UUID) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text("UPDATE tasks SET deadline = now() - interval '1 s' WHERE id = :id"), {"id": task_id}
            )
            transitions.expire(connection, limit=100)
            connection.execute(text("UPDATE tasks SET deadline = NULL WHERE id = :id"), {"id": task_id})
        if self.expected[task_id] in ("PENDING", "STARTED"):
            self.expected[task_id] = "EXPIRED"

    @invariant()
    def the_store_says_what_is_expected(self) -> None:
        if not hasattr(self, "expected"):
            return
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("""SELECT id, status, lease_until IS NOT NULL AS leased, finished_at IS NOT NULL AS finished,
                               (SELECT count(*) FROM task_inputs WHERE task_id = id) AS inputs,
                               (SELECT count(*) FROM report_scores WHERE task_id = id) AS predictions
                        FROM tasks""")
            ).all()
        assert {row.id: row.status for row in rows} == self.expected
        for row in rows:
            assert row.predictions == (2 if row.status == "SUCCESS" else 0), row
            assert row.inputs == (1 if row.status in ("PENDING", "STARTED", "FAILURE") else 0), row
            assert row.leased == (row.status == "STARTED"), row
            assert row.finished == (row.status not in ("PENDING", "STARTED")), row

    def _score(self, chunk: list[UUID], meanwhile: Callable[[], None]) -> None:
        ours = {task_id: self.claims[task_id] + 1 for task_id in chunk if self.expected[task_id] == "PENDING"}
        for task_id, attempt in ours.items():
            self.expected[task_id], self.claims[task_id] = "STARTED", attempt
        resident = ModelInstance(SPEC, artifact.current(SPEC.name), Hooked(meanwhile))
        ended = score(self.watched, resident, chunk, LEASE, lambda _: contextlib.nullcontext())
        still_ours = {t for t, attempt in ours.items() if (self.expected[t], self.claims[t]) == ("STARTED", attempt)}
        assert set(ended.task_ids) == still_ours
        for task_id in still_ours:
            self.expected[task_id] = "FAILURE" if task_id in self.bad else "SUCCESS"

    def _claim(self, chunk: list[UUID], lease: timedelta) -> None:
        with self.engine.begin() as connection:
            claimed = transitions.claim(connection, SPEC.name, chunk, lease, max_inputs=10_000)
        assert {task.claim.task_id for task in claimed} == {t for t in chunk if self.expected[t] == "PENDING"}
        for task in claimed:
            self.expected[task.claim.task_id] = "STARTED"
            self.claims[task.claim.task_id] += 1

    def _lapse(self, chunk: list[UUID]) -> None:
        with self.engine.begin() as connection:
            lapse = text(
                "UPDATE tasks SET lease_until = now() - interval '1 s' WHERE id = ANY(:ids) AND status = 'STARTED'"
            )
            connection.execute(lapse, {"ids": chunk})

    def _take_back(self) -> None:
        with self.engine.begin() as connection:
            taken_back = transitions.take_back(connection, attempts=3, limit=100)
        self.expected |= {task.task_id: str(status) for task, status in taken_back.items()}

    def _do(self, transition: Callable[..., Any], *arguments: Any) -> Any:
        with self.engine.begin() as connection:
            return transition(connection, *arguments)


@pytest.mark.timeout(300)
def test_any_order_of_events_keeps_the_promises(engine: Engine, database_url: str) -> None:
    machine = type("TasksHere", (Tasks,), {"engine": engine, "watched": WatchedEngine(database_url, 60)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_postgres_knows_every_status_and_no_other(engine: Engine) -> None:
    query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'tasks_tasks_status_known'"
    with engine.connect() as connection:
        constraint = str(connection.scalar(text(query)))
    assert set(re.findall(r"'([A-Z]+)'", constraint)) == set(Status), "a migration is missing"
