"""docs/examples: every script runs and gets what it says, every operation is in one, the collection is up to date."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NewClient
from tests.running import ROOT, Platform

EXAMPLES = ROOT / "docs" / "examples"
WORDS = {
    "submit": '"status":"PENDING"',
    "task": '"status":"SUCCESS"',
    "tasks": '"tasks":[',
    "jobs": '"status":"CANCELLED"',
    "cancel": "task_id|task-ended",
    "replay": "task-not-failed",
    "predict": '"score":[0.317635]',
    "prediction": '{"label":"hockey"}',
    "translation": "人生はチョコレートの箱のようなものだ。",
    "inference": '"label":"8"',
    "models": '"text_classifier"',
    "versions": "is live already",
    "outcomes": '"stored":1',
    "workers": '"status":"idle"|"status":"working"',
    "health": '"ready":true',
    "inference-protocol": '"data":["hockey","space"]',
}


@pytest.mark.parametrize("script", sorted(path.stem for path in EXAMPLES.glob("*.sh")))
def test_an_example_gets_what_it_says(platform: Platform, script: str) -> None:
    done = run(script, platform)
    assert done.returncode == 0, done.stderr + done.stdout
    assert any(words in done.stdout for words in WORDS[script].split("|")), done.stdout


@pytest.mark.parametrize("script", ["submit", "task", "tasks", "cancel", "replay", "predict", "workers"])
def test_with_a_key_an_example_works_where_keys_are_required(
    closed: Platform, new_client: NewClient, script: str
) -> None:
    key = new_client().headers["Authorization"].removeprefix("Bearer ")
    done = run(script, closed, MILLRACE_KEY=key)
    assert done.returncode == 0, done.stderr + done.stdout
    assert any(words in done.stdout for words in WORDS[script].split("|")), done.stdout
    assert "401" in run(script, closed).stderr


def test_every_example_asks_with_the_key() -> None:
    line = 'curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }\n'
    assert all(line in path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.sh"))


def run(script: str, platform: Platform, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(EXAMPLES / f"{script}.sh")],
        env={**os.environ, "MILLRACE_URL": platform.url, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_every_operation_is_in_an_example(platform: Platform) -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.sh"))
    called = {re.sub(r"\$task", "{task_id}", path) for path in re.findall(r'"\$at(/[^"?]*)', scripts)}
    known = platform.client.get("/openapi.json").json()["paths"]
    patterns = {
        path: re.sub(r"\{(?!task_id)\w+\}", "[^/]+", path).replace("{task_id}", r"\{task_id\}") for path in known
    }
    missing = [path for path, pattern in patterns.items() if not any(re.fullmatch(pattern, one) for one in called)]
    assert missing == []


def test_the_postman_collection_is_made_of_todays_openapi_document(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, EXAMPLES / "postman.py"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    stored = (EXAMPLES / "millrace.postman_collection.json").read_text(encoding="utf-8")
    assert json.loads(made.stdout) == json.loads(stored), "run: python docs/examples/postman.py > docs/examples/*.json"


def test_rows_that_the_collection_sends_are_taken_and_nothing_refused_is_green(platform: Platform) -> None:
    collection = json.loads((EXAMPLES / "millrace.postman_collection.json").read_text(encoding="utf-8"))
    found = [request for folder in collection["item"] for request in folder["item"]]
    job = platform.client.post("/jobs", json={"model": "report_scorer"}).json()["job_id"]
    for path, status in (("/validate", 200), ("/parts/:part", 202), ("/close", 200)):
        sent = [one for one in found if one["request"]["url"]["raw"].endswith(path)]
        assert sent, path
        for one in sent:
            (tests,) = (event["script"]["exec"] for event in one["event"])
            assert f"answers [{status}]" in tests[0], one["name"]
            place = one["request"]["url"]["raw"].removeprefix("{{at}}").replace(":job_id", job)
            for part in one["request"]["url"]["variable"]:
                place = place.replace(f":{part['key']}", part["value"])
            answer = platform.client.post(place, json=json.loads(one["request"]["body"]["raw"]))
            assert answer.status_code == status, answer.text
            assert answer.json().get("rejected", 0) == 0, answer.text
