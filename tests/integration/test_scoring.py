"""One chunk through claim → predict → finish, with models that misbehave."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from models import artifact
from models.contract import Columns
from models.report_scorer.spec import SPEC
from store.tables import task_inputs, tasks
from tests.running import REPORT
from worker import scoring
from worker.residency import GoldenRowsDiffer, Resident, check_golden_rows
from worker.watched import WatchedEngine

LEASE = timedelta(seconds=20)
POISON = 666


class FromPredict:
    """A model of which a test gives the predict."""

    def __init__(self, predict: Callable[[Columns], Columns]) -> None:
        self.predict = predict


def resident(predict: Callable[[Columns], Columns]) -> Resident:
    return Resident(SPEC, artifact.current("report_scorer"), FromPredict(predict))


def halves(columns: Columns) -> Columns:
    return {"score": np.full(len(columns["popularity"]), 0.5)}


def add_task(engine: Engine, *reports: dict[str, object]) -> UUID:
    task_id = uuid7()
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(id=task_id, model=SPEC.name, n_inputs=len(reports)))
        connection.execute(task_inputs.insert().values(task_id=task_id, payload=json.dumps(reports).encode()))
    return task_id


def score(engine: Engine, model: Resident, *task_ids: UUID) -> list[UUID]:
    watched = WatchedEngine(engine, seconds=60)
    ended = scoring.score(watched, model, task_ids, LEASE, lambda _: contextlib.nullcontext())
    return [task.claim.task_id for task in ended]


def outcome(engine: Engine, task_id: UUID) -> tuple[str, str | None, int]:
    """Return status, error and the number of stored predictions."""
    with engine.connect() as connection:
        row = connection.execute(
            text("""SELECT status, error, (SELECT count(*) FROM report_scores WHERE task_id = id)
                    FROM tasks WHERE id = :id"""),
            {"id": task_id},
        ).one()
    return tuple(row)


def test_the_tasks_of_a_chunk_get_their_own_predictions(engine: Engine) -> None:
    first, second = add_task(engine, *[REPORT] * 3), add_task(engine, REPORT | {"report_id": "b"})

    def numbered(columns: Columns) -> Columns:
        return {"score": np.arange(len(columns["popularity"])) / 10}

    assert set(score(engine, resident(numbered), first, second)) == {first, second}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT score, report_id FROM report_scores ORDER BY task_id, position")).all()
    assert [tuple(row) for row in rows] == [(0.0, None), (0.1, None), (0.2, None), (0.3, "b")]


def test_one_bad_task_fails_alone(engine: Engine) -> None:
    good = [add_task(engine, REPORT) for _ in range(6)]
    bad = add_task(engine, REPORT, REPORT | {"report_text_len": POISON})

    def choking(columns: Columns) -> Columns:
        if POISON in columns["report_text_len"]:
            raise ValueError("cannot score 666")
        return halves(columns)

    score(engine, resident(choking), *good[:3], bad, *good[3:])
    assert {outcome(engine, task_id) for task_id in good} == {("SUCCESS", None, 1)}
    assert outcome(engine, bad) == ("FAILURE", "ValueError: cannot score 666", 0)


@pytest.mark.parametrize(
    ("predict", "error"),
    [
        (lambda columns: {"score": np.zeros(1)}, "WrongOutputs: the model gave 1 values of 'score' for 2 inputs"),
        (lambda columns: {"label": ["x", "y"]}, "WrongOutputs: the model gave no 'score'"),
        (
            lambda columns: {"score": np.array([0.5, np.nan])},
            "WrongOutputs: the model gave a 'score' that is not a finite number",
        ),
    ],
)
def test_an_answer_that_does_not_fit_the_spec_is_a_failure(
    engine: Engine, predict: Callable[[Columns], Columns], error: str
) -> None:
    task_id = add_task(engine, REPORT, REPORT)
    score(engine, resident(predict), task_id)
    assert outcome(engine, task_id) == ("FAILURE", error, 0)


def test_the_result_of_a_task_that_was_cancelled_meanwhile_is_discarded(engine: Engine) -> None:
    kept, cancelled = add_task(engine, REPORT), add_task(engine, REPORT)

    def slow(columns: Columns) -> Columns:
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET status = 'REVOKED' WHERE id = :id"), {"id": cancelled})
        return halves(columns)

    assert score(engine, resident(slow), kept, cancelled) == [kept]
    assert outcome(engine, kept) == ("SUCCESS", None, 1)
    assert outcome(engine, cancelled) == ("REVOKED", None, 0)


def test_a_task_that_takes_too_long_alone_fails_and_says_so(engine: Engine) -> None:
    task_id = add_task(engine, REPORT)
    score(engine, short_lived(), task_id)
    assert outcome(engine, task_id) == ("FAILURE", "scoring took longer than 0 s", 0)


def test_a_chunk_that_takes_too_long_is_left_to_rescue(engine: Engine) -> None:
    chunk = [add_task(engine, REPORT) for _ in range(2)]
    score(engine, short_lived(), *chunk)
    with engine.connect() as connection:
        overdue = connection.execute(
            text("SELECT count(*) FROM tasks WHERE status = 'STARTED' AND lease_until <= now()")
        )
        assert overdue.scalar_one() == 2


def test_a_model_that_does_not_reproduce_its_golden_rows_is_refused() -> None:
    with pytest.raises(GoldenRowsDiffer, match=r"golden row 1: score is 0\.5, recorded was"):
        check_golden_rows(resident(halves))


def test_a_model_file_with_another_sha256_is_refused() -> None:
    found = artifact.current("report_scorer")
    forged = dataclasses.replace(
        found, manifest={**found.manifest, "sha256": found.manifest["sha256"] | {"model.ubj": "0" * 64}}
    )
    with pytest.raises(artifact.ArtifactTampered, match="the manifest says 0000"):
        artifact.verify(forged)


def test_a_stopping_worker_gives_its_chunk_back_and_the_attempt_does_not_count(engine: Engine) -> None:
    chunk = [add_task(engine, REPORT) for _ in range(2)]
    assert score(engine, resident(_interrupted), *chunk) == []
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT status, attempt - attempt_base, lease_until FROM tasks")).all()
    assert [tuple(row) for row in rows] == [("PENDING", 0, None)] * 2


def test_a_worker_that_stops_late_in_a_long_task_gives_it_back_too(engine: Engine) -> None:
    def long(columns: Columns) -> Columns:
        time.sleep(2.2)  # past the half of its limit
        raise SoftTimeLimitExceeded

    task_id = add_task(engine, REPORT)
    model = dataclasses.replace(resident(long), spec=dataclasses.replace(SPEC, time_limit=4))
    assert score(engine, model, task_id) == []
    assert outcome(engine, task_id) == ("PENDING", None, 0)


@pytest.mark.parametrize(("said", "stored"), [("no \0 byte", "no \ufffd byte"), ("no \udcff", "no ?")])
def test_an_error_may_say_what_postgres_cannot_store(engine: Engine, said: str, stored: str) -> None:
    def picky(columns: Columns) -> Columns:
        if POISON in columns["report_text_len"]:
            raise OSError(said)
        return halves(columns)

    good, bad = add_task(engine, REPORT), add_task(engine, REPORT | {"report_text_len": POISON})
    score(engine, resident(picky), good, bad)
    assert outcome(engine, good) == ("SUCCESS", None, 1)
    assert outcome(engine, bad) == ("FAILURE", f"OSError: {stored}", 0)


def _interrupted(columns: Columns) -> Columns:
    raise SoftTimeLimitExceeded


def short_lived() -> Resident:
    """A model whose time limit is over when it is interrupted."""
    return dataclasses.replace(resident(_interrupted), spec=dataclasses.replace(SPEC, time_limit=0))
