"""Whoever runs the models is told what became of them: a version live, a refusal of the gate, drift."""

from typing import Any

from sqlalchemy import Engine, text

from store import drift, model_notices, models, version_scores
from store.model_tables import State
from store.models import ModelEvent
from tests.callbacks import StartDeliverer
from tests.receiving import receiving
from tests.running import eventually

MODEL, VERSION = "report_scorer", "1.0.0"


def happen(engine: Engine) -> None:
    """Have each kind of event happen once, and some of which nobody is told."""
    moved = {
        "model": MODEL,
        "version": VERSION,
        "column_name": "popularity",
        "rows": 900,
        "reference_rows": 900,
        "psi": 0.4,
        "band": 0.1,
        "jensen_shannon": 0.2,
        "missing": 0.0,
        "unseen": 0.0,
    }
    with engine.begin() as connection:
        day = connection.scalar(text("SELECT current_date - 1"))
        of_day = moved | {"day": day, "found": True, "findings": ["distribution"]}
        rows = [of_day | {"against": "training"}, of_day | {"against": "week"}]
        quiet = {"column_name": "profile_rating", "against": "week", "found": False, "findings": []}
        drift.keep(connection, [*rows, of_day | quiet])
        version_scores.add_gate_report(connection, (MODEL, VERSION), "0.9.0", "fail", {"reasons": ["worse by 0.02"]})
        version_scores.add_gate_report(connection, (MODEL, VERSION), "0.9.0", "pass", {"reasons": []})
        models.lock(connection)
        models.move(connection, MODEL, VERSION, State.CANDIDATE, ModelEvent("replaced", "ada"))
        event = ModelEvent("promoted", "ada", "it is better", "pass")
        models.move(connection, MODEL, VERSION, State.LIVE, event)


def test_each_event_is_told_once_whoever_looks(engine: Engine, start_deliverer: StartDeliverer) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM model_events"))  # the models that are there from the first
    happen(engine)
    with receiving() as receiver:
        for _ in range(2):
            start_deliverer(MODEL_WEBHOOK_URL=f"{receiver.url}?token=token-of-the-receiver")
        eventually(lambda: len(receiver.received) >= 3)
        with engine.begin() as connection:
            assert model_notices.note(connection, receiver.url) == 0
        told: dict[str, Any] = {event["type"]: event["data"] for event in (one.verified() for one in receiver.received)}
        eventually(lambda: _delivered(engine) == 3)
        assert len(receiver.received) == 3
    assert told["model.promoted"] == {
        "model": MODEL,
        "version": VERSION,
        "by": "ada",
        "reason": "it is better",
        "gate": "pass",
    }
    assert told["model.gate_failed"] == {
        "model": MODEL,
        "version": VERSION,
        "against": "0.9.0",
        "reasons": ["worse by 0.02"],
    }
    moved = [{"column": "popularity", "against": one, "found": ["distribution"]} for one in ("training", "week")]
    assert told["drift.found"]["columns"] == moved


def test_a_url_that_cannot_be_called_ends_the_program_by_name(start_deliverer: StartDeliverer) -> None:
    for settings, words in (
        ({"MODEL_WEBHOOK_URL": "ftp://example.com/"}, "MODEL_WEBHOOK_URL: A callback URL must start with https://"),
        ({"MODEL_WEBHOOK_URL": "https://example.com/", "WEBHOOK_SECRET": ""}, "set WEBHOOK_SECRET, too"),
    ):
        program = start_deliverer(**settings)
        assert program.process.wait(30) == 1
        assert words in program.log.read_text()


def _delivered(engine: Engine) -> int:
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM event_webhooks WHERE delivered_at IS NOT NULL")
        return int(connection.scalar(query) or 0)
