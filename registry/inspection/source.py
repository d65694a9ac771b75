"""Finds the model file of a path, and what a model.toml says beside it."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from registry.inspection import mlflow_folder
from registry.inspection.content import runtime_of
from registry.inspection.folder import inside
from registry.inspection.proposal import ModelRefused
from serving import catalogue
from serving.artifact import CODE, REMOTE
from serving.outcomes import OutcomeRules

TOML = "model.toml"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_TOML = 1_000_000


Bound = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class FieldRules(msgspec.Struct, forbid_unknown_fields=True):
    """What model.toml may say of a field; see `serving.schema.SchemaField`."""

    kind: str | None = None
    nullable: bool | None = None
    choices: list[str | int] | None = None
    ge: float | None = None
    le: float | None = None
    max_length: int | None = None
    description: str | None = None
    example: Any = None


class ModelToml(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    title: str | None = None
    file: str | None = None
    url: str | None = None
    """Of a model that another server runs."""
    key_setting: str | None = None
    """The setting that holds that server's key."""
    sample: str | None = None
    key: str | None = None
    label: str | None = None
    outputs: list[str] | None = None
    classes: list[str] | None = None
    personal: list[str] = []
    max_inputs: Bound | None = None
    max_batch: Bound | None = None
    time_limit: Annotated[int, msgspec.Meta(ge=1, le=3600)] | None = None
    input: dict[str, FieldRules] = {}
    output: dict[str, FieldRules] = {}
    outcomes: OutcomeRules | None = None


@dataclass(frozen=True)
class Source:
    """Where the model's file is, what it is, and what stands beside it."""

    name: str
    file: Path
    runtime: str
    toml: ModelToml = field(default_factory=ModelToml)
    sample: Path | None = None
    signature: mlflow_folder.Signature | None = None


def find(path: Path, name: str | None) -> Source:
    """Return what the path holds. Raises ModelRefused."""
    if path.is_symlink() or not path.exists():
        what = "is a link; name the file itself" if path.is_symlink() else "does not exist"
        raise ModelRefused(f"{path}: it {what}")
    if path.is_file():
        return Source(_name(name or path.stem), path, runtime_of(path))
    if (path / mlflow_folder.MLMODEL).exists():
        toml = _toml(path)
        file, runtime, signature = mlflow_folder.read(path)
        return Source(_name(name or toml.name or path.name), file, runtime, toml, _sample(path, toml), signature)
    if (path / "model.py").exists():
        toml = _toml(path)
        file = inside(path, "model.py", path.name)
        return Source(_name(name or toml.name or path.name), file, CODE, toml, _sample(path, toml))
    if not (path / TOML).exists():
        return _alone(path, name)
    toml = _toml(path)
    if toml.url is not None:
        return Source(_name(name or toml.name or path.name), path / TOML, REMOTE, toml, _sample(path, toml))
    if toml.file is None:
        raise ModelRefused(f'{TOML}: it names no model file; add file = "model.ubj"')
    file = inside(path, toml.file, TOML)
    return Source(_name(name or toml.name or path.name), file, runtime_of(file), toml, _sample(path, toml))


def _alone(path: Path, name: str | None) -> Source:
    """Return the one model file of a folder without a model.toml."""
    found: dict[Path, str] = {}
    refused = "there is no file in it"
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.is_symlink() and not file.name.startswith("."):
            try:
                found[file] = runtime_of(file)
            except ModelRefused as reason:
                refused = str(reason)
    if len(found) != 1:
        why = f"it has {len(found)} model files" if found else refused
        raise ModelRefused(f'{path}: {why}; name the model\'s file in a {TOML}: file = "model.ubj"')
    ((file, runtime),) = found.items()
    names = {one.name.lower(): one for one in sorted(path.iterdir(), reverse=True) if one.is_file()}
    sample = next((names[one] for one in ("sample.csv", "sample.ndjson", "sample.parquet") if one in names), None)
    return Source(_name(name or path.name), file, runtime, sample=sample)


def _sample(folder: Path, toml: ModelToml) -> Path | None:
    return None if toml.sample is None else inside(folder, toml.sample, TOML)


def _toml(folder: Path) -> ModelToml:
    if not (folder / TOML).exists():
        return ModelToml()
    file = inside(folder, TOML, TOML)
    if file.stat().st_size > MAX_TOML:
        raise ModelRefused(f"{TOML}: it has more than {MAX_TOML:,} bytes")
    try:
        toml = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), ModelToml)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise ModelRefused(f"{TOML}: {str(error).replace('Object contains unknown field', 'unknown key')}") from None
    if toml.outcomes is not None and (fault := toml.outcomes.fault()):
        raise ModelRefused(f"{TOML}: [outcomes]: {fault}")
    return toml


def _name(given: str) -> str:
    name = re.sub("[^a-z0-9]+", "_", given.lower()).strip("_")
    if not NAME.fullmatch(name):
        raise ModelRefused(f"{given!r} gives no name for a model; choose one with --name: small letters, digits and _")
    if name in catalogue.folders():
        raise ModelRefused(f"{name} is a model of the platform itself; choose another name with --name")
    return name
