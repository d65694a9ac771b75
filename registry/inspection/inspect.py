"""From a path to a proposal: find the file, let a child describe it, make the schema, and try it on the sample."""

import shutil
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from registry.inspection import child, evaluation, fields, source, toml
from registry.inspection.child import Order
from registry.inspection.fields import EXPECTED
from registry.inspection.proposal import ModelProposal, ModelRefused, RuntimeMissing
from registry.inspection.sample import Sample, read_sample
from registry.inspection.source import Source
from runtimes import RUNTIMES, available
from runtimes.description import Description
from runtimes.tabular import TabularOptions
from serving import drift, wire
from serving.contract import Columns
from serving.schema import ModelSchema, SchemaField, spec_of

GOLDEN = 20
"""Rows of the sample that every worker checks a loaded model on."""

TOLERANCE = 1e-5


def inspect(
    path: Path, *, name: str | None = None, sample: Path | None = None, key: str | None = None, label: str | None = None
) -> ModelProposal:
    """Read a model file, a folder with a model.toml, or an MLflow directory. Raises ModelRefused."""
    found = source.find(path, name)
    key, label = key or found.toml.key, label or found.toml.label
    file = sample or found.sample
    rows = None if file is None else read_sample(file)
    for word, column in (("key", key), ("label", label)):
        if column is not None and rows is not None and column not in rows:
            raise ModelRefused(f"the sample has no column {column!r}, which is to be the {word}")
    described = _describe(found)
    proposed = fields.propose(found, described, rows, key, label)
    schema = proposed.schema
    options = TabularOptions(
        tuple(proposed.features), described.output, tuple(one.column for one in schema.output), proposed.classes
    )
    warnings = list(proposed.warnings)
    if rows is None:
        warnings.append("without a --sample, kinds are guessed, and golden rows are self-made from zeros and ones")
    inputs = _self_made(schema) if rows is None else _inputs(schema, rows)
    columns = _columns(found.name, schema, inputs)
    predicted = _predict(found, schema, options, columns)
    outputs = [dict(zip(predicted, row, strict=True)) for row in zip(*predicted.values(), strict=True)]
    public = {one.column: one.name for one in schema.output}
    golden = [
        {"input": row, "output": {public[column]: value for column, value in given.items()}}
        for row, given in zip(inputs[:GOLDEN], outputs[:GOLDEN], strict=True)
    ]
    is_expected = rows is not None and _check_expected(rows, schema, outputs)
    first = next(iter(predicted.values()))
    judged = None
    if label is not None and rows is not None:
        judged = evaluation.evaluate(described.output, first, rows[label].values)
    if described.output == "binary" and rows is not None and len(first) >= drift.BINS:
        judged = {**(judged or {}), "scores": drift.reference(first)}
    return ModelProposal(
        found.name,
        schema,
        found.runtime,
        msgspec.to_builtins(options),
        {RUNTIMES[found.runtime].file: found.file},
        golden,
        "expected" if is_expected else "self-made",
        judged,
        evaluation.reference(columns) if rows is not None else None,
        warnings=warnings,
        toml=toml.write(found.name, found.file.name, schema, sample=file.name if file else None, key=key, label=label),
    )


def _describe(found: Source) -> Description:
    if not available(found.runtime):
        raise RuntimeMissing(found.runtime, found.file.name)
    described = msgspec.json.decode(child.ask(Order(found.runtime, str(found.file.absolute()))), type=Description)
    if not described.features:
        raise ModelRefused(f"{found.file.name}: the model reads no features")
    return described


def _inputs(schema: ModelSchema, rows: Sample) -> list[dict[str, Any]]:
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


def _self_made(schema: ModelSchema) -> list[dict[str, Any]]:
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


def _columns(name: str, schema: ModelSchema, inputs: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the rows' columns, by the way that a submission takes. Raises ModelRefused for a row that breaks it."""
    try:
        spec = spec_of(name, f"{name}_predictions", schema)
        return wire.columns(spec, wire.decoder(spec).decode(msgspec.json.encode(inputs)))
    except (TypeError, ValueError) as error:
        raise ModelRefused(f"the sample breaks the schema: {error}") from None


def _predict(found: Source, schema: ModelSchema, options: TabularOptions, columns: Columns) -> dict[str, list[Any]]:
    """Return what the model gives, from the file under the name that it has in an artifact."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / RUNTIMES[found.runtime].file
        shutil.copyfile(found.file, file)
        manifest = {
            "version": "0",
            "runtime": found.runtime,
            "schema": msgspec.to_builtins(schema),
            "options": msgspec.to_builtins(options),
        }
        given = child.ask(Order(found.runtime, str(file), manifest, {name: list(v) for name, v in columns.items()}))
        predicted: dict[str, list[Any]] = msgspec.json.decode(given)
        return predicted


def _check_expected(rows: Sample, schema: ModelSchema, outputs: Sequence[Mapping[str, Any]]) -> bool:
    """Compare with what the sample expects, if it does. Raises ModelRefused."""
    first = schema.output[0]
    expected = rows.get(EXPECTED) or rows.get(first.name)
    if expected is None:
        return False
    for number, (given, wanted) in enumerate(zip(outputs, expected.values, strict=True), start=1):
        actual = given[first.column]
        same = wanted is None or str(actual) == str(wanted)
        if not same and isinstance(actual, float) and isinstance(wanted, int | float):
            same = isclose(actual, wanted, abs_tol=TOLERANCE)
        if not same:
            raise ModelRefused(
                f"row {number} of the sample expects {wanted}, and the model gives {actual}: are its columns in "
                "another order than the model's features, or is this another model?"
            )
    return True
