"""The OpenAPI document says what generators of typed clients need, and each of its examples is valid."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from serving.catalogue import specs
from tests.running import ROOT

PROBE = """
import json
from handler.app import openapi_document
print(json.dumps(openapi_document()))
"""


@pytest.fixture(scope="module", params=["off", "required"])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    places = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"}
    environment = {**os.environ, **places, "AUTH": request.param}
    said = subprocess.check_output([sys.executable, "-W", "error", "-c", PROBE], cwd=ROOT, env=environment, text=True)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, verbs in {**document["paths"], **document["components"]["pathItems"]}.items():
        for verb, operation in verbs.items():
            yield f"{verb} {path}", operation


def parts(value: Any, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in the document with its place, but nothing of what is inside an example."""
    if isinstance(value, dict):
        yield place, value
        for name, part in value.items():
            if name not in ("example", "examples", "default") or place.endswith("/properties"):
                yield from parts(part, f"{place}/{name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from parts(part, f"{place}/{number}")


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    keys = {"type", "anyOf", "oneOf", "$ref", "const", "enum"}
    return ((place, part) for place, part in parts(document) if keys & part.keys() and "/securitySchemes/" not in place)


def test_every_example_and_default_is_valid_for_its_own_schema(document: dict[str, Any]) -> None:
    wrong, looked_at = [], 0
    for place, part in parts(document):
        schema = part.get("schema", part)  # a media type's and a parameter's, or a schema's own
        named = part.get("examples", {})
        examples = [one["value"] for one in named.values()] if isinstance(named, dict) else [*named]
        examples += [part[key] for key in ("example", "default") if key in part]
        if isinstance(schema, dict) and not place.endswith("/properties"):
            validator = Draft202012Validator({**schema, "components": document["components"]})
            looked_at += len(examples)
            wrong += [f"{place}: {one!r}: {e.message}" for one in examples for e in validator.iter_errors(one)]
    assert wrong == []
    assert looked_at > 200


def test_what_generators_stumble_over_is_not_there(document: dict[str, Any]) -> None:
    for place, part in schemas(document):
        assert part.get("type") != "array" or {"items", "prefixItems"} & part.keys(), place
    for name, operation in operations(document):
        assert "__" not in operation["operationId"], name
        for parameter in operation.get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"]), (name, parameter)
            assert "description" in parameter or parameter["in"] == "path", (name, parameter)
            assert parameter["in"] != "path" or parameter["schema"]["examples"], (name, parameter)
            if parameter["name"] in ("priority", "status") or (parameter["name"], parameter["in"]) == ("model", "path"):
                assert parameter["schema"].get("enum") or "$ref" in parameter["schema"], (name, parameter)
        for body in operation.get("requestBody", {}).get("content", {}).values():
            schema = body["schema"].get("items", body["schema"])
            assert "$ref" in schema or "binary" in str(schema) or schema.get("additionalProperties") is True, name
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} == tags
    assert document["servers"]
    assert document["webhooks"] == {
        name: {"$ref": f"#/components/pathItems/{name}"} for name in ("task-ended", "job-ended", "model-event")
    }


def test_rows_of_any_model_have_an_example_that_the_model_takes(document: dict[str, Any]) -> None:
    def body(path: str) -> dict[str, Any]:
        found: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        return found

    submitted = {name: body(f"/models/{name}/submit")["example"] for name in specs()}
    validated = body("/models/{model}/validate")["examples"]
    assert {name: example["value"] for name, example in validated.items()} == submitted
    assert list(validated) == document["paths"]["/models/{model}/validate"]["post"]["parameters"][0]["schema"]["enum"]
    of_jobs = document["components"]["schemas"]["NewJob"]["properties"]["model"]["examples"]
    assert [submitted[name] for name in of_jobs] == [body("/jobs/{job_id}/parts/{part}")["example"]]


def test_a_task_is_told_apart_by_its_model(document: dict[str, Any]) -> None:
    found = document["components"]["schemas"]
    task = found["Task"]
    assert task["discriminator"]["propertyName"] == "model"
    assert list(task["discriminator"]["mapping"]) == list(specs())
    assert len(task["oneOf"]) == len(specs())
    for model, place in task["discriminator"]["mapping"].items():
        one = found[place.rpartition("/")[2]]
        assert one["properties"]["model"]["const"] == model
        assert "model" in one["required"]
    answered = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answered == {"$ref": "#/components/schemas/ReportScorerTask"}
    inputs = [
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path in ("/submit", "/models/report_scorer/submit", "/predict")
    ]
    assert [one.get("items", one) for one in inputs] == [{"$ref": "#/components/schemas/Report"}] * 3


def test_who_needs_a_key_is_said_for_all_and_who_does_not_for_each(document: dict[str, Any]) -> None:
    keyed = "securitySchemes" in document["components"]
    assert document["security"] == ([{"key": []}] if keyed else [])
    unkeyed = {name for name, operation in operations(document) if operation.get("security") == []}
    probes = {
        f"get {path}" for path in ("/heartbeat", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
    }
    assert unkeyed == {"post task-ended", "post job-ended", "post model-event", *(probes if keyed else ())}
