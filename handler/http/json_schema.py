"""JSON schemas of pydantic's and msgspec's, for use inside another document."""

from typing import Any


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put the definitions that a schema of pydantic's refers to in their places, for use inside another document."""
    definitions = schema.get("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(item) for item in part]
        if not isinstance(part, dict):
            return part
        if (reference := part.get("$ref")) is not None:
            part = {**definitions[reference.rpartition("/")[2]], **part}
        return {name: resolve(value) for name, value in part.items() if name not in ("$defs", "$ref")}

    resolved: dict[str, Any] = resolve(schema)
    return resolved
