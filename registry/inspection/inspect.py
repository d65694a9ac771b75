"""From a path to a proposal: find the file, let a child describe it, make the schema, and try it on the sample."""

import shutil
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from evaluation import drift
from evaluation.reference import of_numbers
from registry.inspection import child, code, data_files, evaluation, fields, remote, source, toml
from registry.inspection.child import ChildOrder
from registry.inspection.fields import EXPECTED
from registry.inspection.proposal import ModelProposal, ModelRefused, RuntimeMissing
from registry.inspection.rows import as_sent, columns_of, golden_rows, self_made
from registry.inspection.sample import Sample, read_sample
from registry.inspection.source import Source
from runtimes import RUNTIMES, available
from runtimes.description import Description
from runtimes.tabular import TabularOptions
from serving.artifact import CODE, REMOTE
from serving.contract import Columns
from serving.schema import ModelSchema

TOLERANCE = 1e-5


def inspect(
    path: Path,
    *,
    name: str | None = None,
    sample: Path | None = None,
    key: str | None = None,
    label: str | None = None,
    run: code.Predict | None = None,
) -> ModelProposal:
    """Read a model file, a folder with a model.toml, or an MLflow directory.

    Nothing in it runs but, with `run`, the model.py of a model that is code. Raises ModelRefused.
    """
    found = source.find(path, name)
    key, label = key or found.toml.key, label or found.toml.label
    file = sample or found.sample
    rows = None if file is None else read_sample(file)
    for word, column in (("key", key), ("label", label)):
        if column is not None and rows is not None and column not in rows:
            raise ModelRefused(f"the sample has no column {column!r}, which is to be the {word}")
    if found.runtime == CODE:
        return code.propose(found, rows, key, label, file, run)
    if found.runtime == REMOTE:
        return remote.propose(found, rows, key, label, file)
    beside = data_files.beside(found)
    described = _describe(found, data_files.total(beside))
    proposed = fields.propose(found, described, rows, key, label)
    schema = msgspec.structs.replace(proposed.schema, outcomes=found.toml.outcomes)
    options = TabularOptions(
        tuple(proposed.features), described.output, tuple(one.column for one in schema.output), proposed.classes
    )
    warnings = list(proposed.warnings)
    if rows is None:
        warnings.append("without a --sample, kinds are guessed, and golden rows are self-made from zeros and ones")
    inputs = self_made(schema) if rows is None else as_sent(schema, rows)
    columns = columns_of(found.name, schema, inputs)
    predicted = _predict(found, beside, schema, options, columns)
    outputs = [dict(zip(predicted, row, strict=True)) for row in zip(*predicted.values(), strict=True)]
    golden = golden_rows(schema, inputs, predicted)
    is_expected = rows is not None and _check_expected(rows, schema, outputs)
    first = next(iter(predicted.values()))
    judged = None
    if label is not None and rows is not None:
        judged = evaluation.evaluate(described.output, first, rows[label].values)
    if described.output == "binary" and rows is not None and len(first) >= drift.BINS:
        judged = {**(judged or {}), "scores": of_numbers(first)}
    return ModelProposal(
        found.name,
        schema,
        found.runtime,
        msgspec.to_builtins(options),
        {RUNTIMES[found.runtime].file: found.file, **beside},
        golden,
        "expected" if is_expected else "self-made",
        judged,
        evaluation.reference(schema, columns) if rows is not None else None,
        warnings=warnings,
        external_data=tuple(beside),
        toml=toml.write(found.name, found.file.name, schema, sample=file.name if file else None, key=key, label=label),
    )


def _describe(found: Source, beside: int) -> Description:
    if not available(found.runtime):
        raise RuntimeMissing(found.runtime, found.file.name)
    order = ChildOrder(found.runtime, str(found.file.absolute()), beside=beside)
    described = msgspec.json.decode(child.ask(order), type=Description)
    if not described.features:
        raise ModelRefused(f"{found.file.name}: the model reads no features")
    return described


def _predict(
    found: Source, beside: dict[str, Path], schema: ModelSchema, options: TabularOptions, columns: Columns
) -> dict[str, list[Any]]:
    """Return what the model gives, from the files under the names that they have in an artifact."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / RUNTIMES[found.runtime].file
        for inside, original in {file.name: found.file, **beside}.items():
            (place := Path(folder) / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, place)
        manifest = {
            "version": "0",
            "runtime": found.runtime,
            "schema": msgspec.to_builtins(schema),
            "options": msgspec.to_builtins(options),
        }
        listed = {name: list(values) for name, values in columns.items()}
        given = child.ask(ChildOrder(found.runtime, str(file), manifest, listed, data_files.total(beside)))
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
