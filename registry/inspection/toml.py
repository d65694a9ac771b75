"""Writes the complete model.toml of a proposal."""

import json
from typing import Any

import msgspec

from serving.outcomes import OutcomeRules
from serving.schema import ModelSchema, SchemaField

_SAID = ("nullable", "choices", "ge", "le", "max_length", "description", "example")


def write(
    name: str, file: str | None, schema: ModelSchema, *, sample: str | None, key: str | None, label: str | None
) -> str:
    """Return it with every field, so that a rule can be changed where it stands."""
    head: dict[str, Any] = {
        "name": name,
        "title": schema.title,
        "file": file,
        "sample": sample,
        "key": key,
        "label": label,
    }
    head |= {"outputs": [field.name for field in schema.output]}
    lines = [f"{word} = {as_toml(value)}" for word, value in head.items() if value is not None]
    for part, fields in (("input", schema.input), ("output", schema.output)):
        for field in fields:
            if field.column != schema.key:
                lines += ["", f"[{part}.{as_toml(field.name)}]", f"kind = {as_toml(field.kind)}", *_rules(field)]
    return "\n".join([*lines, *_outcomes(schema.outcomes)]) + "\n"


def _outcomes(rules: OutcomeRules | None) -> list[str]:
    if rules is None:
        return []
    said = msgspec.to_builtins(rules)  # without what is as it is by default
    return ["", "[outcomes]", *(f"{word} = {as_toml(value)}" for word, value in said.items())]


def _rules(field: SchemaField) -> list[str]:
    values = ((word, getattr(field, word)) for word in _SAID)
    return [
        f"{word} = {as_toml(value)}"
        for word, value in values
        if value is not None and (word, value) != ("nullable", False)
    ]


def as_toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)  # a string of JSON is one of TOML
