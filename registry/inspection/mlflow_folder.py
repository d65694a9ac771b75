"""Reads an MLflow model directory: which native file it has, and its signature. MLflow's own loader is never called.

https://mlflow.org/docs/latest/ml/model/ has the layout; MLmodel is YAML, which is read without its tags.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from registry.inspection.content import runtime_of
from registry.inspection.folder import inside
from registry.inspection.proposal import ModelRefused
from serving.contract import Kind

MLMODEL = "MLmodel"
MAX_BYTES = 1_000_000

_KINDS: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "bigint",
    "long": "bigint",
    "float": "double",
    "double": "double",
    "string": "text",
    "binary": "bytes",
    "datetime": "timestamp",
}


class SignatureColumn(NamedTuple):
    name: str
    kind: Kind
    nullable: bool


Signature = tuple[SignatureColumn, ...]

_FLAVOURS = ("xgboost", "lightgbm", "catboost", "onnx")


def read(folder: Path) -> tuple[Path, str, Signature | None]:
    """Return the native model file, its runtime, and the inputs of its signature. Raises ModelRefused."""
    file = inside(folder, MLMODEL, MLMODEL)
    if file.stat().st_size > MAX_BYTES:
        raise ModelRefused(f"{MLMODEL}: it has more than {MAX_BYTES:,} bytes")
    about = _yaml(file)
    flavours = about.get("flavors")
    if not isinstance(flavours, dict):
        raise ModelRefused(f"{MLMODEL}: it has no flavors; log the model with MLflow again")
    flavour = next((name for name in _FLAVOURS if name in flavours), None)
    if flavour is None:
        raise ModelRefused(
            f"{MLMODEL}: its flavors ({', '.join(map(str, flavours))[:80]}) run code; log the model as xgboost, "
            "lightgbm, catboost or onnx, for scikit-learn with skl2onnx and mlflow.onnx.log_model"
        )
    if (folder / "code").exists() or ("code" in (flavours[flavour] or {}) and flavours[flavour]["code"]):
        raise ModelRefused(f"{MLMODEL}: it brings code of its own, which is never run; log it without code_paths")
    data = _data(flavours[flavour])
    model = inside(folder, data, MLMODEL)
    runtime = runtime_of(model)
    if runtime != flavour:
        raise ModelRefused(f"{MLMODEL}: {data} is a model of {runtime}, not of {flavour}; log it again")
    return model, runtime, _signature(about.get("signature"))


def _yaml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if any(event.__class__.__name__ == "AliasEvent" for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ModelRefused(f"{MLMODEL}: it has YAML aliases, which MLflow does not write")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"{MLMODEL}: not plain YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise ModelRefused(f"{MLMODEL}: not what MLflow writes")
    return found


def _data(flavour: Any) -> str:
    data = flavour.get("data") if isinstance(flavour, dict) else None
    if not isinstance(data, str):
        raise ModelRefused(f"{MLMODEL}: the flavor names no file as its data; log the model again")
    return data


def _signature(signature: Any) -> Signature | None:
    inputs = signature.get("inputs") if isinstance(signature, dict) else None
    if inputs is None:
        return None
    try:
        columns = json.loads(inputs)
        return tuple(map(_column, columns))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelRefused(f"{MLMODEL}: its signature cannot be read: {error}") from None


def _column(column: dict[str, Any]) -> SignatureColumn:
    kind, name = column.get("type"), column.get("name")
    if kind == "tensor" or name is None:
        raise ModelRefused(f"{MLMODEL}: its signature is a tensor; log the model with an example that is a data frame")
    if kind not in _KINDS:
        raise ModelRefused(f"{MLMODEL}: the column {name!r} is of type {kind!r}, which no column keeps; flatten it")
    return SignatureColumn(str(name), _KINDS[kind], not column.get("required", True))
