"""The rows that a model is tried on: those of the sample, or self-made ones, as callers would send them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from registry.inspection.proposal import ModelRefused
from registry.inspection.sample import Sample
from serving import wire
from serving.contract import Columns
from serving.schema import ModelSchema, SchemaField, spec_of

GOLDEN = 20
"""Rows of the sample that every worker checks a loaded model on."""


def golden_rows(
    schema: ModelSchema, inputs: Sequence[Mapping[str, Any]], outputs: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """Return the first rows with the model's outputs by the names that callers read."""
    public = {one.column: one.name for one in schema.output}
    given = [
        dict(zip(map(public.__getitem__, outputs), row, strict=True)) for row in zip(*outputs.values(), strict=True)
    ]
    return [{"input": row, "output": output} for row, output in zip(inputs[:GOLDEN], given[:GOLDEN], strict=True)]


def as_sent(schema: ModelSchema, rows: Sample) -> list[dict[str, Any]]:
    """Return the sample's rows as callers would send them."""
    n_rows = len(next(iter(rows.values())).values)
    columns = {
        field.name: [_sent(field, value) for value in rows[field.name].values]
        if field.name in rows
        else [None] * n_rows
        for field in schema.input
    }
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def _sent(field: SchemaField, value: Any) -> Any:
    if value is None:
        return None
    if field.kind == "double":
        return float(value)
    return str(value) if field.kind == "text" else int(value) if field.kind == "bigint" else value


def self_made(schema: ModelSchema) -> list[dict[str, Any]]:
    """Return rows of zeros, of ones and, where everything may be missing, of nothing."""
    features = [field for field in schema.input if field.column != schema.key]
    made: list[dict[str, Any]] = [{field.name: _invented(field, number) for field in features} for number in (0, 1, 2)]
    return [*made, {}] if all(field.nullable for field in features) else made


def _invented(field: SchemaField, number: int) -> Any:
    if field.choices:
        return field.choices[number % len(field.choices)]
    value = max(number, field.ge or number) if field.ge is not None else number
    value = min(value, field.le) if field.le is not None else value
    if field.kind == "boolean":
        return bool(number % 2)
    return (
        float(value) if field.kind == "double" else int(value) if field.kind in ("integer", "bigint") else str(number)
    )


def columns_of(name: str, schema: ModelSchema, inputs: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the rows' columns, by the way that a submission takes. Raises ModelRefused for a row that breaks it."""
    try:
        spec = spec_of(name, f"{name}_predictions", schema)
        return wire.columns(spec, wire.decoder(spec).decode(msgspec.json.encode(inputs)))
    except (TypeError, ValueError) as error:
        raise ModelRefused(f"the sample breaks the schema: {error}") from None
