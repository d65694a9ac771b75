"""The checker finds what is planted, and nothing else."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import Engine, MetaData, func, insert, text
from uuid_utils.compat import uuid7

from models.report_scorer.model import load
from models.report_scorer.spec import SPEC
from serving import artifact
from store.predictions import predictions_table
from store.tables import task_inputs, tasks
from tests.faults.checker import Verdict, check
from tests.faults.stream import Ledger, Submission

TABLE = predictions_table(SPEC.table, SPEC.stored_columns, MetaData())
FEATURES = [name for name in SPEC.input.model_fields if name != SPEC.key]
SUBMISSIONS = (Submission("a", 0, 1), Submission("a", 1, 3), Submission("b", 0, 2, key="b-0"))


def store(engine: Engine, submission: Submission) -> UUID:
    """Store a submission with its predictions, as the platform would."""
    task_id = uuid7()
    reports = submission.inputs
    model = load(artifact.current(SPEC.name).path)
    scores = model.predict({name: [report[name] for report in reports] for name in FEATURES})["score"]
    rows = [
        {**report, "score": score, "task_id": task_id, "position": position, "model_version": "1.0.0"}
        for position, (report, score) in enumerate(zip(reports, scores.tolist(), strict=True))
    ]
    with engine.begin() as connection:
        now = func.now()
        task = {"id": task_id, "model": SPEC.name, "n_inputs": len(rows), "status": "SUCCESS", "attempt": 1}
        connection.execute(tasks.insert().values(**task, model_version="1.0.0", started_at=now, finished_at=now))
        connection.execute(insert(TABLE), rows)
    return task_id


def submit_all(engine: Engine, submissions: Sequence[Submission] = SUBMISSIONS) -> Ledger:
    ledger = Ledger()
    for submission in submissions:
        ledger.tried(submission)
        ledger.was_accepted(store(engine, submission), submission)
    return ledger


def checked(engine: Engine, ledger: Ledger, *changes: str) -> Verdict:
    """Change what is stored and check it; `:task` is the task of three inputs."""
    task_id = next(task_id for task_id, submission in ledger.accepted.items() if submission.size == 3)
    with engine.begin() as connection:
        for change in changes:
            connection.execute(text(change), {"task": task_id} if ":task" in change else {})
    return check(engine, ledger)


def test_what_is_right_is_called_right(engine: Engine) -> None:
    verdict = checked(engine, submit_all(engine))
    assert verdict.errors == {}
    assert (verdict.accepted, verdict.unacknowledged, verdict.inputs) == (3, 0, 6)


COPY_OF_A_ROW = """
    INSERT INTO report_scores SELECT {task}, {position}, abuse_type, report_text_len, profile_rating, popularity,
        lifetime_matches_created, report_id, score, model_version, scored_at
    FROM report_scores WHERE task_id = :task AND position = 1
"""


UNSCORED = "DELETE FROM report_scores WHERE task_id = :task"
EXPIRED = "UPDATE tasks SET status = 'EXPIRED', deadline = finished_at"


@pytest.mark.parametrize(
    ("planted", "kind", "culprit"),
    [
        ("DELETE FROM report_scores WHERE task_id = :task AND position = 1", "lost", "a-2"),
        (COPY_OF_A_ROW.format(task="task_id", position=3), "duplicated", "a-2"),
        (COPY_OF_A_ROW.format(task="gen_random_uuid()", position=0), "unaccepted", "prediction of"),
        ("UPDATE report_scores SET score = score + 0.00001 WHERE task_id = :task AND position = 1", "wrong", "a-2"),
        ("UPDATE report_scores SET model_version = '2' WHERE report_id = 'a-2'", "wrong", "by 2, the task by 1.0.0"),
        ("UPDATE report_scores SET popularity = 0 WHERE report_id = 'a-2'", "wrong", "a-2"),
        ("UPDATE tasks SET status = 'STARTED' WHERE id = :task", "unfinished", "STARTED"),
        (f"{UNSCORED}; UPDATE tasks SET status = 'FAILURE', error = 'boom' WHERE id = :task", "failed", "boom"),
        (f"{UNSCORED}; UPDATE tasks SET status = 'REVOKED' WHERE id = :task", "failed", "REVOKED"),
        (f"{UNSCORED}; UPDATE tasks SET status = 'EXPIRED' WHERE id = :task", "failed", "EXPIRED"),
        (f"{EXPIRED} + interval '1 h' WHERE id = :task; {UNSCORED}", "failed", "EXPIRED"),
        (f"{EXPIRED} WHERE id = :task", "left_over", "3 predictions of"),
        ("UPDATE tasks SET deadline = started_at - interval '1 s' WHERE id = :task", "broken", "after its deadline"),
        ("UPDATE tasks SET priority = 0 WHERE id = :task", "wrong", "has priority 0"),
        ("INSERT INTO task_inputs VALUES (:task, '[]')", "left_over", "inputs of"),
        ("UPDATE tasks SET lease_until = now() WHERE id = :task", "left_over", "lease of"),
    ],
)
def test_a_planted_error_is_reported(engine: Engine, planted: str, kind: str, culprit: str) -> None:
    errors = checked(engine, submit_all(engine), planted).errors
    assert list(errors) == [kind]
    assert culprit in errors[kind][0]
    assert len(errors[kind]) == 1


def test_a_lost_task_is_reported(engine: Engine) -> None:
    errors = checked(
        engine,
        submit_all(engine),
        "DELETE FROM report_scores WHERE task_id = :task",
        "DELETE FROM tasks WHERE id = :task",
    ).errors
    assert list(errors) == ["lost"]


def test_two_inputs_in_each_others_place_are_reported(engine: Engine) -> None:
    swap = "UPDATE report_scores SET position = {} WHERE task_id = :task AND position = {}"
    errors = checked(engine, submit_all(engine), swap.format(9, 0), swap.format(0, 1), swap.format(1, 9)).errors
    assert list(errors) == ["wrong"]


def test_a_second_task_of_a_submission_with_a_key_is_reported(engine: Engine) -> None:
    ledger = submit_all(engine)
    keyed = SUBMISSIONS[2]
    ledger.tried(keyed)
    store(engine, keyed)
    assert list(checked(engine, ledger).errors) == ["duplicated"]


def test_a_second_task_of_a_submission_without_a_key_needs_a_second_try(engine: Engine) -> None:
    ledger = submit_all(engine)
    store(engine, SUBMISSIONS[1])
    assert list(checked(engine, ledger).errors) == ["duplicated"]
    ledger.tried(SUBMISSIONS[1])
    verdict = check(engine, ledger)
    assert (verdict.errors, verdict.unacknowledged) == ({}, 1)


def test_a_task_that_nobody_submitted_is_reported(engine: Engine) -> None:
    ledger = submit_all(engine)
    store(engine, Submission("stranger", 0, 1))
    assert list(checked(engine, ledger).errors) == ["unaccepted"]


def test_an_unfinished_task_may_keep_its_inputs(engine: Engine) -> None:
    ledger = submit_all(engine)
    with engine.begin() as connection:
        failed = uuid7()
        connection.execute(
            tasks.insert().values(id=failed, model=SPEC.name, n_inputs=1, status="FAILURE", error="x", attempt=1)
        )
        connection.execute(task_inputs.insert().values(task_id=failed, payload=b"[]"))
    assert list(checked(engine, ledger).errors) == ["failed"]


def test_scores_that_a_client_was_given_must_be_those_that_are_stored(engine: Engine) -> None:
    ledger = submit_all(engine)
    ledger.read[next(iter(ledger.accepted))] = {"score": [0.123]}
    assert list(checked(engine, ledger).errors) == ["broken"]


def test_a_task_that_was_cancelled_must_not_be_scored(engine: Engine) -> None:
    ledger = submit_all(engine)
    task_id = next(iter(ledger.accepted))
    ledger.cancelled[task_id] = False  # nobody said that it is
    assert checked(engine, ledger).errors == {}
    ledger.cancelled[task_id] = True
    assert list(check(engine, ledger).errors) == ["broken"]


def test_a_callback_is_told_once_at_least_and_the_truth(engine: Engine) -> None:
    called = Submission("c", 0, 1, callback="http://127.0.0.1/hook")
    ledger = submit_all(engine, (*SUBMISSIONS, called))
    assert list(checked(engine, ledger).errors) == ["lost"]
    task_id = next(task_id for task_id, submission in ledger.accepted.items() if submission is called)
    ledger.called_back[str(task_id)] = {"SUCCESS"}
    assert check(engine, ledger).errors == {}
    ledger.called_back[str(task_id)].add("REVOKED")
    assert list(check(engine, ledger).errors) == ["broken"]


def test_a_damaged_image_fails_and_each_replay_is_an_attempt(engine: Engine) -> None:
    damaged = Submission("i", 0, 1, model="image_classifier", damaged=True)
    ledger, task_id = submit_all(engine), uuid7()
    ledger.tried(damaged)
    ledger.was_accepted(task_id, damaged)
    task = {"id": task_id, "model": damaged.model, "n_inputs": 1, "status": "FAILURE", "attempt": 1}
    with engine.begin() as connection:
        connection.execute(tasks.insert().values(**task))
    assert checked(engine, ledger).errors == {}
    ledger.replayed[task_id] = 1
    assert list(check(engine, ledger).errors) == ["lost"]
