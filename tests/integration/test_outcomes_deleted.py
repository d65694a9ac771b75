"""Outcomes and draws go with their predictions: when a person is erased, and when retention deletes old days."""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from cli.cached_outputs import CachedOutputs
from cli.erasing import Author, erase
from cli.held_inputs import person
from cli.retain import retention
from cli.retention_settings import parse
from registry import versions

TASK = """
INSERT INTO tasks (id, model, status, n_inputs, submitted_at, finished_at)
VALUES (:id, 'report_scorer', 'SUCCESS', 2, now() - :days * interval '1 day', now() - :days * interval '1 day')
"""
PREDICTION = """
INSERT INTO report_scores
VALUES (:id, :position, 'MSG', 120, 4.2, 3, 57, :key, 0.5, '1', now() - :days * interval '1 day')
"""
OUTCOME = """
INSERT INTO outcomes (model, key, task_id, position, outcome, decided_at, received_at, everyones)
VALUES ('report_scorer', :key, :id, :position, 'abuse', now(), now() - :days * interval '1 day', true)
"""
DRAW = """
INSERT INTO draws (model, task_id, position, reviewer, policy, filter, lease_until, ended_at, ending, second_of)
VALUES ('report_scorer', :id, :position, 'ada', 'ranked', '{}', now(), now(), 'decided', :second_of) RETURNING id
"""


def new_task(number: int, days: float = 0) -> dict[str, Any]:
    return {"id": UUID(int=7 << 76 | 2 << 62 | number), "days": days}


def predict(engine: Engine, task: dict[str, Any], *keys: str | None) -> None:
    with engine.begin() as connection:
        connection.execute(text(TASK), task)
        for position, key in enumerate(keys):
            connection.execute(text(PREDICTION), {**task, "position": position, "key": key})
            draw = {**task, "position": position, "second_of": None}
            first = connection.execute(text(DRAW), draw).scalar_one()
            connection.execute(text(DRAW), {**draw, "second_of": first})


def report(engine: Engine, days: float = 0, **place: Any) -> None:
    with engine.begin() as connection:
        given = {"key": None, "id": None, "position": None, **place, "days": days}
        connection.execute(text(OUTCOME), given)


def outcomes(engine: Engine) -> list[tuple[str | None, int | None]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT key, position FROM outcomes ORDER BY key, task_id, position"))
        return [tuple(row) for row in rows]


def draws(engine: Engine) -> set[tuple[UUID, int]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text("SELECT task_id, position FROM draws"))}


def test_erasing_a_person_erases_his_outcomes_and_draws_and_nobody_elses(engine: Engine) -> None:
    task = new_task(1)
    predict(engine, task, "hers", "his")
    report(engine, key="hers")
    report(engine, key="hers-as-well")
    report(engine, key="his")
    report(engine, id=task["id"], position=0)
    report(engine, id=task["id"], position=1)
    with engine.connect() as connection:
        known = versions.read(connection).versions_of("report_scorer")
    cached = CachedOutputs(None, known[-1].spec, known)
    erased = erase(engine, person(known, "hers"), None, cached, Author("ada", None))
    assert (erased.predictions, erased.outcomes) == (1, 1)
    assert outcomes(engine) == [("hers-as-well", None), ("his", None), (None, 1)]
    assert draws(engine) == {(task["id"], 1)}


def test_retention_deletes_what_no_prediction_needs_any_more(engine: Engine) -> None:
    old, young = new_task(1, days=50), new_task(2, days=5)
    predict(engine, old, "old", "both")
    predict(engine, young, "young", "both")
    for key in ("old", "young", "both", "never"):
        report(engine, days=40, key=key)
    report(engine, days=10, key="waits")
    for task in (old, young):
        report(engine, days=1, id=task["id"], position=0)
    assert list(retention(engine, parse("30"), None, dry_run=True))
    assert len(outcomes(engine)) == 7
    list(retention(engine, parse("30"), None, dry_run=False))
    assert outcomes(engine) == [("both", None), ("waits", None), ("young", None), (None, 0)]
    assert draws(engine) == {(young["id"], 0), (young["id"], 1)}
