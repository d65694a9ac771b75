"""Makes a proposal of a model that another server runs: what it takes and gives, the server's metadata say."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from registry.inspection import evaluation, fields, toml
from registry.inspection.proposal import ModelProposal, ModelRefused
from registry.inspection.rows import as_sent, columns_of, golden_rows, self_made
from registry.inspection.sample import Sample, check_names
from registry.inspection.source import Source
from runtimes import remote_model
from runtimes.remote_http import RemoteFailed, RemoteServer
from runtimes.remote_model import RemoteModel, RemoteOptions, RemoteTensor, kind_of
from serving.artifact import REMOTE
from serving.schema import ModelSchema, SchemaField, plain_name

T = TypeVar("T")


def propose(
    source: Source, sample: Sample | None, key: str | None, label: str | None, sample_file: Path | None
) -> ModelProposal:
    """Ask the server what the model takes, and try it. Raises ModelRefused."""
    url, key_setting = str(source.toml.url), source.toml.key_setting
    server: RemoteServer = _asked(lambda: remote_model.server(url, key_setting))
    metadata = _asked(server.metadata)
    inputs = _asked(lambda: remote_model.tensors(metadata.get("inputs")))
    outputs = _asked(lambda: remote_model.tensors(metadata.get("outputs")))
    if said := source.toml.input:  # some servers take tensors that may be left out, which no metadata say
        if unknown := sorted(said.keys() - {tensor.name for tensor in inputs}):
            raise ModelRefused(f"model.toml: [input] has {unknown[0]!r}, which {url} does not take")
        inputs = tuple(tensor for tensor in inputs if tensor.name in said)
    if any(tensor.width is not None for tensor in inputs):
        raise ModelRefused(f"{url}: it takes a matrix; serve it with one tensor a feature, [rows] or [rows, 1]")
    check_names(url, [*(one.name for one in inputs), *(one.name for one in outputs)])
    if unfit := fields.ANSWERED & {*(one.name for one in outputs), *([key] if key else [])}:
        raise ModelRefused(f"no output and no key can be called {min(unfit)!r}, which is a word of the API's answers")
    taken: set[str] = set()
    given = tuple(_field(source, tensor, taken, sample, is_input=False) for tensor in outputs)
    taking = [_field(source, tensor, taken, sample, is_input=True) for tensor in inputs]
    features = tuple(taking)
    key_column = None
    if key is not None:
        taking.append(fields.key_field(key, plain_name(key, taken), (sample or {}).get(key)))
        key_column = taking[-1].column
    title = source.toml.title or source.name.replace("_", " ").capitalize()
    schema = ModelSchema(title, tuple(taking), given, key=key_column, outcomes=source.toml.outcomes)
    options = RemoteOptions(
        url,
        key_setting,
        remote_model.version_of(metadata),
        _with_columns(inputs, features),
        _with_columns(outputs, given),
    )
    rows = self_made(schema) if sample is None else as_sent(schema, sample)
    rows = [row for row in rows if len(row.keys() - {key}) == len(features)]
    if not rows:
        raise ModelRefused("no row of the sample has all the model's inputs, none of which may be missing")
    columns = columns_of(source.name, schema, rows)
    predicted = _asked(lambda: RemoteModel(server, options).predict(columns))
    warnings = [f"inputs leave the platform: {url} scores them"]
    if sample is None:
        warnings.append("without a --sample, golden rows are self-made from zeros and ones")
    return ModelProposal(
        source.name,
        schema,
        REMOTE,
        msgspec.to_builtins(options),
        {},
        golden_rows(schema, rows, predicted),
        "self-made",
        None,
        evaluation.reference(schema, columns) if sample is not None else None,
        trust="remote",
        warnings=warnings,
        toml=f"url = {toml.as_toml(url)}\n"
        + toml.write(
            *(source.name, None, schema),
            sample=sample_file.name if sample_file else None,
            key=key,
            label=label,
        ),
    )


def _field(
    source: Source, tensor: RemoteTensor, taken: set[str], sample: Sample | None, *, is_input: bool
) -> SchemaField:
    column = plain_name(tensor.name, taken)
    taken.add(column)
    rules = (source.toml.input if is_input else source.toml.output).get(tensor.name)
    sampled = (sample or {}).get(tensor.name) if is_input else None
    example = next(iter(sampled.present), None) if sampled is not None else None
    kind = kind_of(tensor)
    if example is not None and kind == "double":
        example = float(example)
    return fields.ruled(SchemaField(tensor.name, column, kind, example=example), rules)


def _with_columns(tensors: tuple[RemoteTensor, ...], made: tuple[SchemaField, ...]) -> tuple[RemoteTensor, ...]:
    return tuple(
        msgspec.structs.replace(tensor, column=field.column) for tensor, field in zip(tensors, made, strict=True)
    )


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except RemoteFailed as failed:
        raise ModelRefused(str(failed)) from None
    except (UnicodeError, ValueError) as error:  # a port beyond 65,535, a letter that no URL has
        raise ModelRefused(f"model.toml: the url cannot be used: {error}") from None
