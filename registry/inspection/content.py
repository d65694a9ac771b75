"""Decides what a model file is by its content, whatever it is called."""

from pathlib import Path

from registry.inspection import other_formats
from registry.inspection.other_formats import TAKEN, TO_ONNX, OtherFormat
from registry.inspection.proposal import FormatRefused, ModelRefused
from serving import programs

MAX_BYTES = 8 * 2**30
"""Of one file. PostgreSQL stores it in parts, if ARTIFACTS_URL does not."""

_MODEL_FIELDS = (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a", b"\x42", b"\x72", b"\xa2\x01", b"\xca\x01")
"""How the fields of ONNX's ModelProto begin that may follow its first."""

CONVERT = f"""it is a pickle, which is a program; {TO_ONNX}
XGBoost, LightGBM and CatBoost models have a save_model of their own: """


def runtime_of(file: Path) -> str:
    """Return the runtime of a model file. Raises ModelRefused for what is no model that is data."""
    size = file.stat().st_size
    if size == 0:
        raise ModelRefused(f"{file.name}: the file is empty; save the model again")
    with file.open("rb") as content:
        head = content.read(programs.HEAD)
    _refuse_format(file, other_formats.by_content(file, head))
    if size > MAX_BYTES:
        raise ModelRefused(f"{file.name}: it has {size:,} bytes, more than {MAX_BYTES:,}; make the model smaller")
    if (kind := programs.kind_of(file)) is not None:
        _refuse(file, kind)
    if head.startswith(b"CBM1"):
        return "catboost"
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    if _is_xgboost(head):
        return "xgboost"
    if head.startswith(b"binf"):
        raise ModelRefused(f'{file.name}: an old binary format of XGBoost; load it and save_model("model.ubj")')
    _refuse_format(file, other_formats.by_name(file))
    if _is_onnx(head):
        return "onnx"
    raise ModelRefused(f"{file.name}: not a model that is known here; {TAKEN}")


def _refuse_format(file: Path, found: OtherFormat | None) -> None:
    if found is not None:
        raise FormatRefused(f"{file.name}: it is {found.what}; {found.remedy}")


def _is_onnx(head: bytes) -> bool:
    """Look for field 1 of ONNX's ModelProto, the version of the format, which has had one byte so far, and another."""
    return head[:1] == b"\x08" and head[1:2] < b"\x80" and head[2:].startswith(_MODEL_FIELDS)


def _is_xgboost(head: bytes) -> bool:
    if head.startswith((b"{L", b"{i", b"{U", b"{I", b"{l")):  # UBJSON: a key and its length's type
        return b"learner" in head[:64]
    return (head.lstrip()[:1] == b"{" and b'"learner"' in head) or head.lstrip().startswith(b'{"version"')


def _refuse(file: Path, kind: str) -> None:
    example = 'model.save_model("model.ubj")'
    if kind in ("pickle", "zlib", "gzip", "bzip2", "xz", "lz4"):
        compressed = "" if kind == "pickle" else f"(compressed by {kind}, as joblib does) "
        raise ModelRefused(f"{file.name}: {compressed}{CONVERT}save {example}")
    if kind == "zip":
        raise ModelRefused(
            f"{file.name}: it is a zip archive, as PyTorch writes; export the model to ONNX and add that file"
        )
    raise ModelRefused(f"{file.name}: it is a program, not a model; add the model's own file")
