"""Makes the Postman collection of the OpenAPI document, and writes it to standard output (see README.md)."""

import json
import os
import sys
from typing import Any

NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing",
    "REDIS_URL": "redis://127.0.0.1",
    "AUTH": "required",
}
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


MODEL = "text_classifier"
CHAINED = {
    "submit": ("task_id", "pm.response.json().task_id"),
    "create_job": ("job_id", "pm.response.json().job_id"),
    "v2_model": ("version", "pm.response.json().versions[0]"),
}
"""What later requests take from the answer of an operation: the name of the variable, and where it stands."""

ALLOWED = {
    "cancel_task": [200, 409],
    "replay_task": [202, 409],
    "cancel_job": [200, 409],
    **{named: [200, 404] for named in ("read_evaluation", "note_shown", "release_leases")},
    **{change: [200, 404, 409] for change in ("promote", "rollback", "retire")},
}
"""By the time that the collection comes to them, the task has ended well; and no lease was given to anybody."""


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """Return a folder a tag and a request an example of each operation, with what its answer must be."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = {model: example["value"] for model, example in content.get("examples", {}).items()}
            if "{version}" in path and examples:  # there is one variable for it
                examples = {MODEL: examples[MODEL]}
            for model, body in (examples or {MODEL: _example(document, content)}).items():
                name = f"{operation['summary']}: {model}" if examples else operation["summary"]
                folders.setdefault(operation["tags"][0], []).append(
                    {
                        "name": name,
                        "event": _tests(operation),
                        "request": _request(path, method, operation, model, body),
                    }
                )
    values = {"at": "http://127.0.0.1:8081", "key": "", "task_id": "", "job_id": "", "version": ""}
    return {
        "info": {"name": document["info"]["title"], "description": document["info"]["summary"], "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{key}}", "type": "string"}]},
        "variable": [{"key": key, "value": value} for key, value in values.items()],
        "item": [{"name": tag, "item": requests} for tag, requests in folders.items()],
    }


def _tests(operation: dict[str, Any]) -> list[dict[str, Any]]:
    allowed = [int(status) for status in operation["responses"] if status.startswith("2")]
    allowed = ALLOWED.get(operation["operationId"], allowed)
    lines = [f'pm.test("answers {allowed}", () => pm.expect(pm.response.code).to.be.oneOf({allowed}));']
    if operation["operationId"] == "read_task":
        lines.append('pm.test("has its outputs", () => pm.expect(pm.response.json().status).to.eql("SUCCESS"));')
    if operation["operationId"] == "validate_rows":
        lines.append('pm.test("refuses no row", () => pm.expect(pm.response.json().rejected).to.eql(0));')
    if operation["operationId"] in CHAINED:
        name, place = CHAINED[operation["operationId"]]
        lines.append(f'pm.collectionVariables.set("{name}", {place});')
    return [{"listen": "test", "script": {"type": "text/javascript", "exec": lines}}]


def _request(path: str, method: str, operation: dict[str, Any], model: str, body: Any) -> dict[str, Any]:
    parameters = operation.get("parameters", [])
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    values = {"model": model, "version": "{{version}}", "task_id": "{{task_id}}", "job_id": "{{job_id}}", "part": "0"}
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": operation.get("description", operation["summary"]),
        "url": {
            "raw": "/".join(["{{at}}", *parts]),
            "host": ["{{at}}"],
            "path": parts,
            "variable": [{**_parameter(p), "value": values[p["name"]]} for p in parameters if p["in"] == "path"],
            "query": [_parameter(p) | {"disabled": not p.get("required")} for p in parameters if p["in"] == "query"],
        },
        "header": [_parameter(p) | {"disabled": p["name"] != "Prefer"} for p in parameters if p["in"] == "header"],
    }
    if body is not None:
        raw = json.dumps(body, indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
    return request


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter["schema"]
    example = next(iter(schema.get("examples", [schema.get("default", "")])))
    return {"key": parameter["name"], "value": str(example), "description": parameter.get("description", "")}


def _example(document: dict[str, Any], content: dict[str, Any]) -> Any:
    return content["example"] if "example" in content else _made(document, content["schema"]) if content else None


def _made(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Make an example of the examples of a schema's parts."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [_made(document, schema["items"])]
    required = schema.get("required", ())
    return {name: _made(document, part) for name, part in schema.get("properties", {}).items() if name in required}


def main() -> None:
    os.environ.update(NOWHERE)
    from handler.app import openapi_document

    json.dump(collection(openapi_document()), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
