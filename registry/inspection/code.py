"""Makes a proposal of a folder with a `model.py`: what it takes and gives, model.toml and the sample must say."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from registry.inspection import evaluation, fields, toml
from registry.inspection.content import MAX_BYTES
from registry.inspection.fields import EXPECTED
from registry.inspection.folder import inside
from registry.inspection.proposal import ModelProposal, ModelRefused
from registry.inspection.rows import as_sent, columns_of, golden_rows, self_made
from registry.inspection.sample import Sample, check_names
from registry.inspection.source import FieldRules, Source
from serving.artifact import CODE, MADE
from serving.contract import Columns, Kind
from serving.schema import ModelSchema, SchemaField, plain_name

MAX_FILES = 1_000

Predict = Callable[[str, ModelSchema, Mapping[str, Path], Columns], dict[str, list[Any]]]
"""Runs the code of the model with this name: returns the outputs of these inputs, by column."""


def propose(
    source: Source,
    sample: Sample | None,
    key: str | None,
    label: str | None,
    sample_file: Path | None,
    run: Predict | None,
) -> ModelProposal:
    """Return the proposal; without `run` nothing of it runs, and there are no golden rows. Raises ModelRefused."""
    files = _files(source.file.parent, sample_file)
    schema = _schema(source, sample, key, label)
    warnings = ["its code runs as the worker's user, or in a container; the operator allows it: ALLOW_MODEL_CODE"]
    golden: Sequence[Mapping[str, Any]] = ()
    judged = None
    columns = None
    if sample is None:
        warnings.append("without a --sample, golden rows are self-made from zeros and ones")
    if run is not None:
        inputs = self_made(schema) if sample is None else as_sent(schema, sample)
        columns = columns_of(source.name, schema, inputs)
        outputs = run(source.name, schema, files, columns)
        golden = golden_rows(schema, inputs, outputs)
        first = schema.output[0]
        if label is not None and sample is not None and first.kind == "double":
            is_share = (first.ge, first.le) == (0, 1)
            judged = evaluation.evaluate("binary" if is_share else "value", outputs[first.column], sample[label].values)
    return ModelProposal(
        source.name,
        schema,
        CODE,
        {"model": source.name},
        files,
        golden,
        "self-made",
        judged,
        evaluation.reference(schema, columns) if columns is not None and sample is not None else None,
        warnings=warnings,
        trust="code",
        toml=toml.write(
            *(source.name, source.file.name, schema),
            sample=sample_file.name if sample_file else None,
            key=key,
            label=label,
        ),
    )


def _files(folder: Path, sample: Path | None) -> dict[str, Path]:
    """Return every file of the folder by its name in it. Raises ModelRefused."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in name.parts) or file == sample:
            continue
        if file.is_symlink():
            raise ModelRefused(f"{name}: it is a link; put the file itself into the folder")
        if file.is_file():
            inside(folder, name.as_posix(), folder.name)
            if file.stat().st_size > MAX_BYTES:
                raise ModelRefused(
                    f"{name}: it has more than {MAX_BYTES >> 20:,} MiB; {MAX_BYTES >> 20:,} are the most"
                )
            found[name.as_posix()] = file
    if taken := found.keys() & {*MADE, "manifest.json"}:
        raise ModelRefused(f"{min(taken)}: the platform makes a file of this name; call yours otherwise")
    if len(found) > MAX_FILES:
        raise ModelRefused(f"{folder.name}: {len(found):,} files; {MAX_FILES:,} are the most: pack them into one")
    return found


def _schema(source: Source, sample: Sample | None, key: str | None, label: str | None) -> ModelSchema:
    said = source.toml
    if not said.output:
        raise ModelRefused('model.toml: say what predict returns, a table each: [output.score] and kind = "double"')
    others = {key, label, EXPECTED, *said.output}
    names = list(said.input) or [name for name in sample or {} if name not in others]
    if not names:
        raise ModelRefused(
            'model.toml: say what predict takes, a table each: [input.text] and kind = "text"; or give a --sample'
        )
    check_names("model.toml", [*names, *said.output])
    if unfit := fields.ANSWERED & {*said.output, *([key] if key else [])}:
        raise ModelRefused(f"no output and no key can be called {min(unfit)!r}, which is a word of the API's answers")
    if odd := [name for name, rules in said.output.items() if rules.kind in ("bytes", "timestamp")]:
        raise ModelRefused(
            f"model.toml: the output {odd[0]!r} cannot be of kind {said.output[odd[0]].kind}; give a text"
        )
    taken: set[str] = set()
    inputs: list[SchemaField] = []
    outputs: list[SchemaField] = []
    for place, declared in ((outputs, said.output), (inputs, {name: said.input.get(name) for name in names})):
        for name, rules in declared.items():
            place.append(_field(name, plain_name(name, taken), rules, sample if place is inputs else None))
            taken.add(place[-1].column)
    key_column = None
    if key is not None:
        if key in names:
            raise ModelRefused(f"the key {key!r} is an input of the model; name a column that it does not read")
        inputs.append(fields.key_field(key, plain_name(key, taken), (sample or {}).get(key)))
        key_column = inputs[-1].column
    columns = {one.name: one.column for one in (*inputs, *outputs)}
    return ModelSchema(
        said.title or source.name.replace("_", " ").capitalize(),
        tuple(inputs),
        tuple(outputs),
        key=key_column,
        personal=tuple(columns[name] for name in said.personal if name in columns),
        outcomes=said.outcomes,
        **{
            bound: value
            for bound in ("max_inputs", "max_batch", "time_limit")
            if (value := getattr(said, bound)) is not None
        },
    )


def _field(name: str, column: str, rules: FieldRules | None, sample: Sample | None) -> SchemaField:
    sampled = (sample or {}).get(name)
    kind: Kind | None = rules.kind if rules and rules.kind else sampled.kind if sampled else None  # type: ignore[assignment]
    if kind is None:
        raise ModelRefused(
            f'model.toml: {name!r} has no kind; add kind = "double", or another of {", ".join(get_args(Kind))}'
        )
    if kind not in get_args(Kind):
        raise ModelRefused(f"model.toml: {name!r} has the kind {kind!r}; there are {', '.join(get_args(Kind))}")
    nullable = sampled.nullable if sampled is not None else False
    example = next(iter(sampled.present), None) if sampled is not None else None
    if example is not None and kind == "double":
        example = float(example)
    return fields.ruled(SchemaField(name, column, kind, nullable, example=example), rules)


def outputs_by_column(schema: ModelSchema, given: Mapping[str, Any], n_rows: int) -> dict[str, list[Any]]:
    """Return what the code gave as lists, one value a row. Raises ModelRefused."""
    made = {}
    for field in schema.output:
        if field.column not in given:
            raise ModelRefused(f"predict returned no {field.name!r}, which model.toml names as an output")
        values = list(given[field.column])
        if len(values) != n_rows:
            raise ModelRefused(f"predict returned {len(values)} values of {field.name!r} for {n_rows} rows")
        made[field.column] = msgspec.to_builtins(values)
    return made
