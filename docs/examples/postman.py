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


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """Return a folder a tag and a request an operation, each with the example of its body."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            folders.setdefault(operation["tags"][0], []).append(_request(path, method, operation))
    return {
        "info": {"name": document["info"]["title"], "description": document["info"]["summary"], "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{key}}", "type": "string"}]},
        "variable": [{"key": "at", "value": "http://127.0.0.1:8081"}, {"key": "key", "value": ""}],
        "item": [{"name": tag, "item": requests} for tag, requests in folders.items()],
    }


def _request(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    parameters = operation.get("parameters", [])
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": operation.get("description", operation["summary"]),
        "url": {
            "raw": "/".join(["{{at}}", *parts]),
            "host": ["{{at}}"],
            "path": parts,
            "variable": [_parameter(p) for p in parameters if p["in"] == "path"],
            "query": [_parameter(p) | {"disabled": True} for p in parameters if p["in"] == "query"],
        },
        "header": [_parameter(p) | {"disabled": True} for p in parameters if p["in"] == "header"],
    }
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if schema is not None:
        body = json.dumps(_example(schema), indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}
    return {"name": operation["summary"], "request": request}


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    example = next(iter(schema.get("examples", [schema.get("default", "")])))
    example = {"model": "text_classifier", "version": "1.0.0"}.get(parameter["name"], example)
    return {"key": parameter["name"], "value": str(example), "description": parameter.get("description", "")}


def _example(schema: dict[str, Any]) -> Any:
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [_example(schema["items"])]
    return {name: _example(part) for name, part in schema.get("properties", {}).items() if "default" not in part}


def main() -> None:
    os.environ.update(NOWHERE)
    from handler.app import create_app

    json.dump(collection(create_app().openapi()), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
