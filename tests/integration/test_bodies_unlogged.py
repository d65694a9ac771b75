"""What people send is in no log, whatever becomes of it: scored, refused, failed, or not to be stored."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import structlog
from sqlalchemy import Engine, text

from models.text_classifier.spec import SPEC
from serving import artifact
from store.claims import Claim, ClaimedTask
from telemetry import logs
from tests.conftest import NewClient, Servers
from tests.running import REPORT, Platform, eventually
from worker.scoring import prediction
from worker.scoring.loaded_models import ModelInstance
from worker.scoring.prediction import predict

MARK = "Marmalade-and-mackerel"
MARKED = REPORT | {"report_id": MARK}


def written(platform: Platform, servers: Servers) -> str:
    return "".join(file.read_text() for file in [*platform.logs.iterdir(), *servers.logs])


@contextmanager
def refusing(engine: Engine, table: str, condition: str) -> Iterator[None]:
    """Have PostgreSQL refuse rows, with an error that quotes them."""
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT odd CHECK ({condition}) NOT VALID"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT odd"))


def test_no_text_of_a_client_is_in_any_log(
    closed: Platform, closed_engine: Engine, new_client: NewClient, servers: Servers
) -> None:
    client = new_client()
    as_json = {"Content-Type": "application/json"}
    assert client.post("/predict", json=MARKED).json()["report_id"] == [MARK]
    assert MARK in client.post("/submit", json=[MARKED | {MARK: MARK}]).text
    assert (
        client.post("/submit", content=f'[{{"{MARK}', headers={"Content-Type": "application/json"}).status_code == 422
    )
    assert client.post("/submit", content=MARK, headers={"Content-Type": "text/plain"}).status_code == 415
    body = json.dumps([MARKED])
    with refusing(closed_engine, "task_inputs", f"position('{MARK}'::bytea in payload) = 0"):
        refused = client.post("/submit", content=body, headers=as_json)
        assert refused.status_code == 500
        assert MARK not in refused.text
    with refusing(closed_engine, "report_scores", f"report_id <> '{MARK}'"):
        unstored = client.post("/submit", json=[MARKED]).json()["task_id"]
        eventually(lambda: "delivery_failed" in written(closed, servers))
    client.post(f"/task/{unstored}/cancel")
    for event in ("request_failed", "delivery_failed", "CheckViolation", 'violates check constraint "odd"'):
        eventually(lambda event=event: event in written(closed, servers))
    found = written(closed, servers)
    assert MARK not in found
    assert body.encode().hex()[:16] not in found


class Loose:
    """A model that says what it cannot do with an input, and quotes it."""

    def predict(self, columns: Any) -> Any:
        return {"label": [np.float64(text) for text in columns["text"]]}


@pytest.mark.parametrize("log_format", ["readable", "json"])
def test_a_models_error_is_told_to_its_client_and_not_to_the_log(
    log_format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = ModelInstance(SPEC, artifact.current(SPEC.name), Loose())
    task = ClaimedTask(Claim(uuid4(), 1), 1, json.dumps([{"text": MARK}]).encode())
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(prediction, "log", structlog.get_logger("worker"))  # its own remembers how it was configured
    try:
        logs.configure(logs.LogSettings(log_format=log_format))
        outcome = predict(resident, [task])
        try:
            raise KeyError(f"no {MARK}") from ValueError(f"cannot read '{MARK}'")
        except KeyError:
            structlog.get_logger("handler").exception("request_failed")
    finally:
        root.handlers[:], _ = before
        root.setLevel(before[1])
        structlog.reset_defaults()
    assert MARK in outcome.failed[0].reason
    found = stream.getvalue()
    assert "predict_failed" in found
    assert "ValueError: could not convert string to float:" in found
    assert "in predict" in found
    assert "KeyError" in found
    assert MARK not in found
