"""The HTTP API, to be read without a running handler: every operation and schema of the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from docs.generate import row, table
from docs.generate.document import document

INTRODUCTION = """# HTTP API

A running handler shows this interactively at `/docs`, and as an OpenAPI document at `/openapi.json`.
With `AUTH=required`, every request but those for health needs the header `Authorization: Bearer mr_…`.
Where an operation names no role, its key needs the role submit or admin ([roles](../how-to/keys.md#roles)).
Every error is a [problem](errors.md). `HEAD` works where `GET` does.

Where a schema says integer, 3.0 is one. Base64 may come as a data: URI, in lines, URL-safe or without padding. Times
may come as RFC 3339 or as PostgreSQL writes them. A parameter, or a part of a form, that comes twice is refused.
"""
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"} | {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def page() -> str:
    """Return the page: the operations by tag, then the schemas."""
    return "\n".join([INTRODUCTION, *_operations(), "## Schemas\n", *_schemas()])


def _operations() -> Iterator[str]:
    operations = [
        (path, method, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]
    for tag in document()["tags"]:
        tagged = [_operation(*found) for found in operations if found[2]["tags"] == [tag["name"]]]
        if tagged:
            yield f"## {tag['name'].capitalize()}\n\n{tag['description']}\n"
        yield from tagged


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"### {method.upper()} {path}\n", operation.get("description", operation["summary"]) + "\n"]
    if parameters := operation.get("parameters"):
        parts.append(table("parameter", "in", "type", "default", "") + "".join(map(_parameter, parameters)))
    if body := operation.get("requestBody"):
        kinds = (f"`{media}`: {_type(content['schema'])}" for media, content in body["content"].items())
        parts.append(f"Body: {'; '.join(kinds)}.\n")
    answers = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    parts.append(table("status", "body", "") + "".join(_answer(*found) for found in answers.items()))
    if errors := sorted(operation["responses"].keys() - answers):
        parts.append(f"[Errors](errors.md): {', '.join(errors)}.\n")
    return "\n".join(parts)


def _parameter(parameter: dict[str, Any]) -> str:
    about, form = parameter.get("description", ""), parameter["schema"]
    default = f"`{form['default']}`" if "default" in form else "required" if parameter.get("required") else ""
    return row(f"`{parameter['name']}`", parameter["in"], _type(form), default, about)


def _answer(status: str, answer: dict[str, Any]) -> str:
    bodies = {_type(content["schema"]) for content in answer.get("content", {}).values() if "schema" in content}
    return row(status, ", ".join(sorted(bodies)), answer["description"])


def _schemas() -> Iterator[str]:
    for name, schema in sorted(document()["components"]["schemas"].items()):
        required = schema.get("required", ())
        fields = (
            row(f"`{field}`", _type(part), "yes" if field in required else "", part.get("description", ""))
            for field, part in schema.get("properties", {}).items()
        )
        about = f"{schema['description']}\n\n" if "description" in schema else ""
        body = table("field", "type", "required", "") + "".join(fields) if "properties" in schema else _type(schema)
        yield f"### {name}\n\n{about}{body.rstrip()}\n"


def _type(schema: dict[str, Any]) -> str:
    """Return a schema's type in words, with its bounds."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_type(part) for part in schema[several])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    named = " or ".join(kind) if isinstance(kind, list) else kind
    if "items" in schema:
        named = f"array of {_type(schema['items'])}"
    if form := schema.get("format"):
        named += f" ({form})"
    bounds = [words.format(schema[name]) for name, words in BOUNDS.items() if name in schema]
    return ", ".join([named, *bounds])
