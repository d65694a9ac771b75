"""schemathesis against the running service: whatever OpenAPI promises holds, whatever a client sends."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import REPORT, ROOT, Platform


@pytest.mark.timeout(400)
def test_every_answer_is_one_that_openapi_describes(platform: Platform) -> None:
    """All its checks, over examples, boundary values, random cases and sequences of linked calls; no 5xx."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/integration/schemathesis.toml"),
            # The platform is everybody's, so its models stay: test_versions_over_http.py retires some.
            *("run", f"{platform.url}/openapi.json", "--exclude-path-regex", "/retire$"),
            *("--checks=all", "--phases=examples,coverage,fuzzing,stateful", "--max-examples=20", "--seed=1"),
            *("--request-timeout=65", "--generation-deterministic", "--suppress-health-check=all", "--no-color"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def undescribed(document: dict[str, Any], schema: dict[str, Any], value: Any, place: str = "") -> Iterator[str]:
    """Yield the members of an answer that its schema does not name; schemathesis lets them pass."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = [one for kind in ("anyOf", "oneOf") for one in schema.get(kind, ())]
    if choices:
        yield from min((list(undescribed(document, one, value, place)) for one in choices), key=len)
    elif isinstance(value, list):
        for one in value:
            yield from undescribed(document, schema.get("items", {}), one, f"{place}[]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, member in value.items():
            if name in properties or isinstance(others, dict):
                yield from undescribed(document, properties.get(name) or others, member, f"{place}.{name}")
            elif others is not True:
                yield f"{place}.{name}"


def test_no_answer_holds_more_than_openapi_describes(platform: Platform) -> None:
    document = platform.client.get("/openapi.json").json()
    task_id = platform.submit(REPORT | {"report_id": "r-1"})
    platform.finished(task_id)
    asked = {
        "GET /task/{task_id}": [f"/task/{task_id}"],
        "GET /tasks": ["/tasks?limit=1000"],
        "GET /models": ["/models"],
        "GET /models/{model}": [f"/models/{name}" for name in ("report_scorer", "translator", "image_classifier")],
        "GET /models/{model}/versions": ["/models/report_scorer/versions"],
        "GET /models/{model}/events": ["/models/report_scorer/events"],
        "GET /workers": ["/workers"],
        "GET /health/ready": ["/health/ready"],
        "GET /v2/models/{model}": ["/v2/models/report_scorer"],
        "POST /submit": ["/submit"],
        "POST /predict": ["/predict"],
    }
    for operation, paths in asked.items():
        verb, _, template = operation.partition(" ")
        responses = document["paths"][template][verb.lower()]["responses"]
        for path in paths:
            body = None if verb == "GET" else [REPORT] if path == "/submit" else REPORT
            answer = platform.client.request(verb, path, json=body)
            assert answer.is_success, answer.text
            schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
            assert list(undescribed(document, schema, answer.json())) == [], operation
    assert list(undescribed(document, {"$ref": "#/components/schemas/Accepted"}, {"task_id": "x", "client": "y"})) == [
        ".client"
    ]
