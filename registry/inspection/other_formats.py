"""Recognises what is often given as a model file and is not taken, and names the remedy for each."""

import re
from pathlib import Path
from typing import NamedTuple

_ANYTHING = (
    "add it as code (a folder with a model.py), or name a server that runs it in a model.toml (docs/how-to/models.md)"
)
_ONNX = f"export the model to ONNX and add that file, {_ANYTHING}"
TO_ONNX = """convert the model where you trained it, and add the new file:
  from skl2onnx import to_onnx
  onnx = to_onnx(model, X[:1], options={"zipmap": False})
  open("model.onnx", "wb").write(onnx.SerializeToString())"""
TAKEN = (
    "XGBoost (.ubj, .json), LightGBM (.txt), CatBoost (.cbm) and ONNX (.onnx) files are supported; any other model: "
    + _ANYTHING
)


class OtherFormat(NamedTuple):
    what: str
    remedy: str


_SAFETENSORS = OtherFormat("safetensors, weights without the network that uses them", _ONNX)
_NUMPY = OtherFormat("arrays of NumPy, not a model", TAKEN)
_KERAS = OtherFormat("a Keras model or HDF5", _ONNX)
_SKOPS = OtherFormat("a skops file, which names the Python classes to build", TO_ONNX)
_PYTORCH = OtherFormat("a file of PyTorch, whose pickles are programs", _ONNX)
_GGUF = OtherFormat("GGUF, the format of llama.cpp", _ANYTHING)
_PMML = OtherFormat("PMML", f"save the model anew from the library that trained it, {_ANYTHING}")
_CORE_ML = OtherFormat("a Core ML model", _ONNX)
_TFLITE = OtherFormat("a TensorFlow Lite model", _ONNX)
_TENSORFLOW = OtherFormat("a graph of TensorFlow", _ONNX)
_LFS = OtherFormat("a pointer of Git LFS, not the model", "run `git lfs pull`, then add the file again")
_PAGE = OtherFormat("a web page or an XML document, such as a server's error, not a model", "download the model again")

_BEGINNINGS = {
    b"version https://git-lfs.github.com/": _LFS,
    b"\x93NUMPY": _NUMPY,
    b"\x89HDF\r\n\x1a\n": _KERAS,
    b"GGUF": _GGUF,
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19": _PYTORCH,  # torch.save before PyTorch 1.6
}

_NAMES = {
    ".safetensors": _SAFETENSORS,
    **dict.fromkeys((".npy", ".npz"), _NUMPY),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    **dict.fromkeys((".pt", ".pth"), _PYTORCH),
    ".gguf": _GGUF,
    ".skops": _SKOPS,
    ".pmml": _PMML,
    ".mlmodel": _CORE_ML,
    ".tflite": _TFLITE,
}

_MAX_SAFETENSORS_HEADER = 100_000_000
"""Bytes; https://github.com/huggingface/safetensors#format."""

_TAIL = 2**12
"""Bytes: skops writes the list of what is in a model last."""

_DESCRIBED = re.compile(rb"\x08[\x01-\x7f]\x12[\x80-\xff]{0,4}[\x00-\x7f]\x0a")
"""Field 1 a version, field 2 a message: a SavedModel or Core ML. ONNX has a text there, its producer's name."""


def by_content(file: Path, head: bytes) -> OtherFormat | None:
    """Return what the file's first bytes are; None: nothing that is known here."""
    for beginning, found in _BEGINNINGS.items():
        if head.startswith(beginning):
            return found
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return _SAFETENSORS
    if head[4:8] == b"TFL3":
        return _TFLITE
    if head.startswith(b"PK\x03\x04"):
        return _zipped(file, head)
    if _DESCRIBED.match(head):
        return _TENSORFLOW if head[1] == 1 and file.suffix.lower() != ".mlmodel" else _CORE_ML
    return _marked_up(head)


def by_name(file: Path) -> OtherFormat | None:
    """Return what a file that is nothing by its content is called like."""
    return _TENSORFLOW if file.name.lower() == "saved_model.pb" else _NAMES.get(file.suffix.lower())


def _zipped(file: Path, head: bytes) -> OtherFormat | None:
    if _lists(file, b"schema.json"):
        return _SKOPS
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]  # the name of the first file in the archive
    if first.endswith(b".npy"):
        return _NUMPY
    if first.endswith(b"/data.pkl"):
        return _PYTORCH
    return by_name(file)


def _lists(archive: Path, name: bytes) -> bool:
    """Return whether a zip archive's list, at its end, has a file of this name among the last."""
    with archive.open("rb") as content:
        content.seek(max(0, archive.stat().st_size - _TAIL))
        return name in content.read(_TAIL)


def _marked_up(head: bytes) -> OtherFormat | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<pmml")):
        return None
    return _PMML if b"<pmml" in text else _PAGE
