"""One chunk through claim → predict → finish, with models that misbehave."""

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from models.report_scorer.spec import SPEC
from serving import artifact
from serving.contract import BadInput, Columns, Fault
from store.engine import WatchedEngine
from store.tables import task_inputs, tasks
from tests.running import REPORT
from worker.scoring import chunk
from worker.scoring.loaded_models import GoldenRowsDiffer, ModelInstance, check_golden_rows

LEASE = timedelta(seconds=20)
POISON = 666


class FromPredict:
    """A model of which a test gives the predict."""

    def __init__(self, predict: Callable[[Columns], Columns]) -> None:
        self.predict = predict


def loaded(predict: Callable[[Columns], Columns]) -> ModelInstance:
    return ModelInstance(SPEC, artifact.current("report_scorer"), FromPredict(predict))


def halves(columns: Columns) -> Columns:
    return {"score": np.full(len(columns["popularity"]), 0.5)}


def add_task(engine: Engine, *reports: dict[str, object]) -> UUID:
    task_id = uuid7()
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(id=task_id, model=SPEC.name, n_inputs=len(reports)))
        connection.execute(task_inputs.insert().values(task_id=task_id, payload=json.dumps(reports).encode()))
    return task_id


@pytest.fixture
def watched(database_url: str) -> Iterator[WatchedEngine]:
    watched = WatchedEngine(database_url, seconds=60)
    yield watched
    watched.dispose()


def score(watched: WatchedEngine, model: ModelInstance, *task_ids: UUID) -> list[UUID]:
    return chunk.score(watched, model, task_ids, LEASE, lambda _: contextlib.nullcontext()).task_ids


def outcome(engine: Engine, task_id: UUID) -> tuple[str, str | None, int]:
    """Return status, error and the number of stored predictions."""
    with engine.connect() as connection:
        row = connection.execute(
            text("""SELECT status, error, (SELECT count(*) FROM report_scores WHERE task_id = id)
                    FROM tasks WHERE id = :id"""),
            {"id": task_id},
        ).one()
    return tuple(row)


def test_the_tasks_of_a_chunk_get_their_own_predictions(engine: Engine, watched: WatchedEngine) -> None:
    first, second = add_task(engine, *[REPORT] * 3), add_task(engine, REPORT | {"report_id": "b"})

    def numbered(columns: Columns) -> Columns:
        return {"score": np.arange(len(columns["popularity"])) / 10}

    assert set(score(watched, loaded(numbered), first, second)) == {first, second}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT score, report_id FROM report_scores ORDER BY task_id, position")).all()
    assert [tuple(row) for row in rows] == [(0.0, None), (0.1, None), (0.2, None), (0.3, "b")]


def test_one_bad_task_fails_alone(engine: Engine, watched: WatchedEngine) -> None:
    good = [add_task(engine, REPORT) for _ in range(6)]
    bad = add_task(engine, REPORT, REPORT | {"report_text_len": POISON})

    def choking(columns: Columns) -> Columns:
        if POISON in columns["report_text_len"]:
            raise ValueError("cannot score 666")
        return halves(columns)

    score(watched, loaded(choking), *good[:3], bad, *good[3:])
    assert {outcome(engine, task_id) for task_id in good} == {("SUCCESS", None, 1)}
    assert outcome(engine, bad) == ("FAILURE", "ValueError: cannot score 666", 0)


def test_inputs_at_fault_fail_their_own_tasks_by_place_and_the_others_are_scored(
    engine: Engine, watched: WatchedEngine
) -> None:
    good = [add_task(engine, REPORT) for _ in range(3)]
    bad = add_task(engine, REPORT, *[REPORT | {"report_text_len": POISON}] * 2, REPORT)
    worse = add_task(engine, REPORT | {"report_text_len": POISON})
    asked: list[int] = []

    def particular(columns: Columns) -> Columns:
        lengths = list(columns["report_text_len"])
        asked.append(len(lengths))
        places = [place for place, length in enumerate(lengths) if length == POISON]
        if places:
            raise BadInput(*(Fault(place, "report_text_len", "No \0 such length") for place in places))
        return halves(columns)

    score(watched, loaded(particular), *good[:2], bad, good[2], worse)
    assert {outcome(engine, task_id) for task_id in good} == {("SUCCESS", None, 1)}
    words = "No \ufffd such length"
    both = f"#/1/report_text_len: {words}; #/2/report_text_len: {words}"
    assert outcome(engine, bad) == ("FAILURE", both, 0)
    assert outcome(engine, worse) == ("FAILURE", f"#/0/report_text_len: {words}", 0)
    assert asked == [8, 3], "the good ones are predicted once more, together"
    with engine.connect() as connection:
        faults = connection.execute(text("SELECT faults FROM tasks WHERE id = :id"), {"id": bad}).scalar_one()
    assert faults == [{"position": p, "field": "report_text_len", "detail": words} for p in (1, 2)]


def test_the_faults_of_all_batches_are_told_at_once(engine: Engine, watched: WatchedEngine) -> None:
    reports = [REPORT | {"report_text_len": POISON if number % 3 == 0 else 1} for number in range(10)]

    def first_only(columns: Columns) -> Columns:
        for place, length in enumerate(columns["report_text_len"]):
            if length == POISON:
                raise BadInput(Fault(place, "report_text_len", "No"))
        return halves(columns)

    task_id = add_task(engine, *reports)
    model = dataclasses.replace(loaded(first_only), spec=dataclasses.replace(SPEC, max_batch=2))
    score(watched, model, task_id)
    assert outcome(engine, task_id)[1] == "; ".join(f"#/{place}/report_text_len: No" for place in (0, 3, 6, 9))


@pytest.mark.parametrize("fault", [Fault(9, "popularity", "x"), Fault(-1, "popularity", "x"), Fault(0, "colour", "x")])
def test_a_fault_at_no_place_of_the_inputs_is_the_models_own(
    engine: Engine, watched: WatchedEngine, fault: Fault
) -> None:
    def confused(columns: Columns) -> Columns:
        raise BadInput(fault)

    task_id = add_task(engine, REPORT)
    score(watched, loaded(confused), task_id)
    status, error, _ = outcome(engine, task_id)
    assert status == "FAILURE"
    assert error is not None
    assert not error.startswith("#")


def test_no_address_of_an_object_reaches_a_person(engine: Engine, watched: WatchedEngine) -> None:
    def clumsy(columns: Columns) -> Columns:
        raise OSError(f"cannot read {object()!r}\nand more lines for the log")

    task_id = add_task(engine, REPORT)
    score(watched, loaded(clumsy), task_id)
    assert outcome(engine, task_id)[1] == "OSError: cannot read <object object>"


@pytest.mark.parametrize(
    ("predict", "error"),
    [
        (lambda columns: {"score": np.zeros(1)}, "WrongOutputs: the model gave 1 values of 'score' for 2 inputs"),
        (lambda columns: {"label": ["x", "y"]}, "WrongOutputs: the model gave no 'score'"),
        (
            lambda columns: {"score": np.array([0.5, np.nan])},
            "WrongOutputs: score at position 1 is nan: it should be a finite number",
        ),
    ],
)
def test_an_answer_that_does_not_fit_the_spec_is_a_failure(
    engine: Engine, watched: WatchedEngine, predict: Callable[[Columns], Columns], error: str
) -> None:
    task_id = add_task(engine, REPORT, REPORT)
    score(watched, loaded(predict), task_id)
    assert outcome(engine, task_id) == ("FAILURE", error, 0)


def test_the_result_of_a_task_that_was_cancelled_meanwhile_is_discarded(engine: Engine, watched: WatchedEngine) -> None:
    kept, cancelled = add_task(engine, REPORT), add_task(engine, REPORT)

    def slow(columns: Columns) -> Columns:
        with engine.begin() as connection:
            connection.execute(text("UPDATE tasks SET status = 'REVOKED' WHERE id = :id"), {"id": cancelled})
        return halves(columns)

    assert score(watched, loaded(slow), kept, cancelled) == [kept]
    assert outcome(engine, kept) == ("SUCCESS", None, 1)
    assert outcome(engine, cancelled) == ("REVOKED", None, 0)


def test_a_task_that_takes_too_long_alone_fails_and_says_so(engine: Engine, watched: WatchedEngine) -> None:
    task_id = add_task(engine, REPORT)
    score(watched, endless(), task_id)
    assert outcome(engine, task_id) == ("FAILURE", "scoring took longer than 1 s", 0)


def test_a_chunk_that_takes_too_long_is_left_to_rescue(engine: Engine, watched: WatchedEngine) -> None:
    chunk = [add_task(engine, REPORT) for _ in range(2)]
    score(watched, endless(), *chunk)
    with engine.connect() as connection:
        overdue = connection.execute(
            text("SELECT count(*) FROM tasks WHERE status = 'STARTED' AND lease_until <= now()")
        )
        assert overdue.scalar_one() == 2


def test_a_model_that_does_not_reproduce_its_golden_rows_is_refused() -> None:
    with pytest.raises(GoldenRowsDiffer, match=r"golden row 1: score is 0\.5, the artifact recorded"):
        check_golden_rows(loaded(halves))


def test_a_model_file_with_another_sha256_is_refused() -> None:
    found = artifact.current("report_scorer")
    forged = dataclasses.replace(
        found, manifest={**found.manifest, "sha256": found.manifest["sha256"] | {"model.ubj": "0" * 64}}
    )
    with pytest.raises(artifact.ArtifactTampered, match="the manifest says 0000"):
        artifact.verify(forged)


def test_a_stopping_worker_gives_its_chunk_back_and_the_attempt_does_not_count(
    engine: Engine, watched: WatchedEngine
) -> None:
    chunk = [add_task(engine, REPORT) for _ in range(2)]
    assert score(watched, loaded(_interrupted), *chunk) == []
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT status, attempt - attempt_base, lease_until FROM tasks")).all()
    assert [tuple(row) for row in rows] == [("PENDING", 0, None)] * 2


@pytest.mark.parametrize(("said", "stored"), [("no \0 byte", "no \ufffd byte"), ("no \udcff", "no ?")])
def test_an_error_may_say_what_postgres_cannot_store(
    engine: Engine, watched: WatchedEngine, said: str, stored: str
) -> None:
    def picky(columns: Columns) -> Columns:
        if POISON in columns["report_text_len"]:
            raise OSError(said)
        return halves(columns)

    good, bad = add_task(engine, REPORT), add_task(engine, REPORT | {"report_text_len": POISON})
    score(watched, loaded(picky), good, bad)
    assert outcome(engine, good) == ("SUCCESS", None, 1)
    assert outcome(engine, bad) == ("FAILURE", f"OSError: {stored}", 0)


def test_a_model_that_takes_every_exception_for_its_own_is_interrupted_too(
    engine: Engine, watched: WatchedEngine
) -> None:
    def stubborn(columns: Columns) -> Columns:
        try:
            time.sleep(60)
        except Exception as error:
            raise ValueError("the input is damaged") from error
        return halves(columns)

    task_id = add_task(engine, REPORT)
    score(watched, short(stubborn), task_id)
    assert outcome(engine, task_id) == ("FAILURE", "scoring took longer than 1 s", 0)


def test_what_the_signal_of_a_limit_interrupts_is_over_when_the_block_is(
    engine: Engine, watched: WatchedEngine
) -> None:
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGUSR1)
    score(watched, loaded(halves), add_task(engine, REPORT))
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGUSR1)) == before


def _interrupted(columns: Columns) -> Columns:
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(60)
    raise AssertionError("not interrupted")


def short(predict: Callable[[Columns], Columns]) -> ModelInstance:
    return dataclasses.replace(loaded(predict), spec=dataclasses.replace(SPEC, time_limit=1))


def endless() -> ModelInstance:
    def predict(columns: Columns) -> Columns:
        time.sleep(60)
        raise AssertionError("not interrupted")

    return short(predict)


def newer(engine: Engine, *, submitted_ago: str = "0") -> UUID:
    """Add a task whose inputs a newer release has stored in a format of its own."""
    task_id = add_task(engine, REPORT)
    with engine.begin() as connection:
        connection.execute(text("UPDATE task_inputs SET payload = '2:<inputs>' WHERE task_id = :id"), {"id": task_id})
        age = "UPDATE tasks SET submitted_at = now() - CAST(:ago AS interval) WHERE id = :id"
        connection.execute(text(age), {"id": task_id, "ago": submitted_ago})
    return task_id


def test_inputs_in_the_format_of_a_newer_release_wait_for_a_worker_of_it(
    engine: Engine, watched: WatchedEngine
) -> None:
    sound, unread = add_task(engine, REPORT), newer(engine)
    for _ in range(5):  # more often than a task may be lost
        score(watched, loaded(halves), sound, unread)
    assert outcome(engine, sound) == ("SUCCESS", None, 1)
    assert outcome(engine, unread) == ("PENDING", None, 0)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT attempt - attempt_base FROM tasks WHERE id = :id"), {"id": unread}) == 0


def test_after_an_hour_they_fail_with_the_reason_and_keep_their_inputs(engine: Engine, watched: WatchedEngine) -> None:
    unread = newer(engine, submitted_ago="2 hours")
    assert score(watched, loaded(halves), unread) == [unread]
    status, error, _ = outcome(engine, unread)
    assert status == "FAILURE"
    assert error is not None
    assert "payload format 2" in error
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM task_inputs WHERE task_id = :id"), {"id": unread}) == 1


def test_a_payload_may_carry_the_number_of_the_format_that_is_known(engine: Engine, watched: WatchedEngine) -> None:
    numbered = add_task(engine, REPORT)
    with engine.begin() as connection:
        connection.execute(text("UPDATE task_inputs SET payload = CAST('1:' AS bytea) || payload"))
    score(watched, loaded(halves), numbered)
    assert outcome(engine, numbered) == ("SUCCESS", None, 1)


def test_what_only_begins_like_a_number_fails_as_unreadable(engine: Engine, watched: WatchedEngine) -> None:
    for payload in (b"5", b"12345678901234567890:[]", b"7x:[]"):
        broken = add_task(engine, REPORT)
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE task_inputs SET payload = :payload WHERE task_id = :id"),
                {"payload": payload, "id": broken},
            )
        score(watched, loaded(halves), broken)
        assert outcome(engine, broken)[0] == "FAILURE"
