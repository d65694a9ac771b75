"""Whoever operates a platform promotes, rolls back and retires over HTTP, and each change has its author."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from registry import administration
from store.keys import Role, create
from store.version_scores import add_gate_report
from tests.artifacts import recalibrated
from tests.running import REPORT, ROOT, handler

MODEL = "/models/report_scorer"


def versions(client: httpx.Client) -> dict[str, str]:
    found = client.get(f"{MODEL}/versions")
    assert found.status_code == 200, found.text
    return {one["version"]: one["state"] for one in found.json()}


def refused(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:millrace:problem:{slug}"
    return problem


def _promote(client: httpx.Client, asked: dict[str, Any]) -> httpx.Response:
    return client.post(f"{MODEL}/promote", json=asked)


def test_an_operator_promotes_rolls_back_and_retires(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    with engine.begin() as connection:
        administration.add(connection, recalibrated(tmp_path, "1.1.0", 3.0), "ada")
        keys = {role: create(connection, f"the-{role}", role) for role in (Role.OPERATE, Role.SUBMIT)}
    with handler(database_url, redis_url, tmp_path, AUTH="required") as alone:
        headers = {"Authorization": f"Bearer {keys[Role.OPERATE]}"}
        with httpx.Client(base_url=alone.url, headers=headers, timeout=30) as client:
            post = partial(_promote, client)
            submitter = {"Authorization": f"Bearer {keys[Role.SUBMIT]}"}
            assert versions(client) == {"1.0.0": "live", "1.1.0": "candidate"}
            refused(client.post(f"{MODEL}/promote", headers=submitter), 403, "role-refused")

            excepted = {"excepted": ["abuse_type=PRF", "abuse_type=MSG"]}
            assert "needs a reason" in refused(post(excepted), 409, "change-refused")["detail"]
            asked = refused(post({**excepted, "reason": "x"}), 409, "change-refused")["detail"]
            assert "models gate report_scorer@1.1.0 --except abuse_type=MSG --except abuse_type=PRF`" in asked
            with engine.begin() as connection:
                report = {"reasons": [], "excepted": ["abuse_type=MSG", "abuse_type=PRF"]}
                add_gate_report(connection, ("report_scorer", "1.1.0"), "1.0.0", "pass", report)
            assert post({**excepted, "reason": "both move to a model of their own"}).status_code == 200
            last = client.get(f"{MODEL}/events").json()[-1]
            assert last["gate"] == "pass; excepted: abuse_type=MSG, abuse_type=PRF"
            refused(post({**excepted, "version": "7", "reason": "x"}), 404, "unknown-version")
            assert "nothing to except" in refused(post({**excepted, "reason": "x"}), 409, "change-refused")["detail"]
            assert client.post(f"{MODEL}/rollback").json()["versions"] == ["1.0.0"]

            promoted = client.post(f"{MODEL}/promote", json={"reason": "better on last week's reports"})
            assert promoted.json() == {"model": "report_scorer", "versions": ["1.1.0"], "state": "live"}
            assert client.get(MODEL).json()["version"] == "1.1.0", "the handler that made the change knows it at once"
            assert refused(client.post(f"{MODEL}/promote"), 409, "change-refused")["detail"].endswith(
                "is live already."
            )
            refused(client.post(f"{MODEL}/promote", json={"version": "7"}), 404, "unknown-version")
            refused(client.post("/models/nothing/promote"), 404, "unknown-model")
            refused(client.post("/models/%00/promote"), 404, "unknown-model")
            refused(client.get("/models/nothing/versions"), 404, "unknown-model")

            assert client.post(f"{MODEL}/rollback").json()["versions"] == ["1.0.0"]
            refused(client.post(f"{MODEL}/rollback"), 409, "change-refused")
            assert versions(client) == {"1.0.0": "live", "1.1.0": "candidate"}

            assert client.post(f"{MODEL}/retire", json={"version": "1.1.0"}).json()["state"] == "retired"
            refused(client.post(f"{MODEL}/retire", json={"version": "1.0.0"}), 409, "change-refused")
            assert versions(client) == {"1.0.0": "live", "1.1.0": "retired"}
            assert client.post(f"{MODEL}/retire", json={"version": "all"}).json()["versions"] == ["1.0.0"]
            scoring = client.post("/submit", json=[REPORT], headers=submitter)
            refused(scoring, 409, "no-live-version")

            events = client.get(f"{MODEL}/events").json()[-5:]
            assert [(one["event"], one["version"], one["by"]) for one in events] == [
                ("promoted", "1.1.0", "the-operate"),
                ("replaced", "1.1.0", "the-operate"),
                ("rolled_back", "1.0.0", "the-operate"),
                ("retired", "1.1.0", "the-operate"),
                ("retired", "1.0.0", "the-operate"),
            ]
            assert "better on last week's reports" in [one["reason"] for one in client.get(f"{MODEL}/events").json()]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/version"),
        ({"version": None}, "/version"),
        ({"version": 1}, "/version"),
        ({"version": "1\0"}, "/version"),
        ({"version": "all", "reason": "x" * 1001}, "/reason"),
        ({"version": "all", "why": "x"}, "/why"),
        ([], ""),
    ],
)
def test_what_is_to_be_retired_is_said(
    database_url: str, redis_url: str, tmp_path: Path, body: Any, pointer: str
) -> None:
    with handler(database_url, redis_url, tmp_path) as alone:
        problem = refused(alone.client.post(f"{MODEL}/retire", json=body), 422, "invalid-input")
        assert [error["pointer"] for error in problem["errors"]] == [f"#{pointer}"]
        refused(alone.client.post(f"{MODEL}/retire"), 415, "wrong-content-type")
        assert versions(alone.client) == {"1.0.0": "live"}


@pytest.mark.timeout(200)
def test_every_answer_is_one_that_openapi_describes(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """schemathesis, on a handler of its own, whose models it may retire."""
    with handler(database_url, redis_url, tmp_path) as alone:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/integration/schemathesis.toml"),
                *("run", f"{alone.url}/openapi.json", "--include-path-regex", "/(promote|rollback|retire|events)$"),
                *("--checks=all", "--phases=examples,coverage,fuzzing", "--max-examples=30", "--seed=1"),
                *("--generation-deterministic", "--suppress-health-check=all", "--no-color"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
