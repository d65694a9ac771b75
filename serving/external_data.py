"""The tensors of an ONNX model that lie in other files, found before a library opens it, only in its folder.

https://onnx.ai/onnx/repo-docs/ExternalData.html: a tensor names a file (`location`), an `offset` and a `length`. ONNX
Runtime reads whatever they name, so that a model could name any file of the machine, or more memory than there is.
"""

import mmap
import re
import unicodedata
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import NamedTuple

from serving.protobuf import Field, Malformed, MessageReader

MAX_FILES = 1_000
"""Files that a model may name; torch once wrote one a tensor."""

MAX_RANK = 1_000
"""Dimensions of a tensor, that their product stays a number which can be told."""

SAVE_AGAIN = (
    'save the model again: onnx.save(model, "model.onnx", save_as_external_data=True, location="model.onnx.data")'
)

TENSORS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
"""The fields that lead to tensors, by message, as onnx.proto numbers them."""

_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14

_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    21: 4,
    22: 4,
    23: 4,
    25: 2,
    26: 2,
}
"""Of one element, by TensorProto.DataType. Texts (8) cannot lie in another file."""

_NUMBER = re.compile("[0-9]{1,19}")
_ODD = re.compile(r"[\x00-\x1f\x7f\\*?:\"<>|]")
"""Not in a file's name: ONNX Runtime itself gives a meaning to names with an asterisk, Windows to the others."""


class ExternalDataRefused(ValueError):
    """A tensor lies where it must not; the message names it, and the remedy."""


class ExternalTensor(NamedTuple):
    name: str
    location: str
    offset: int
    size: int
    """Bytes, by its shape and type."""


def files(model: Path) -> dict[str, Path]:
    """Return the files that hold tensors of the model, by the names that it gives them. Raises ExternalDataRefused.

    Each is a plain file in the model's folder, with one spelling, and holds all that the model reads of it.
    """
    found: dict[str, Path] = {}
    spelled: dict[str, str] = {}
    left: dict[str, int] = {}
    for tensor in tensors(model):
        if tensor.location not in found:
            same = spelled.setdefault(tensor.location.casefold(), tensor.location)
            if same != tensor.location:
                raise _refused(tensor, f"which is also called {same!r}; {SAVE_AGAIN}")
            found[tensor.location] = _plain_file(model.parent, tensor)
            left[tensor.location] = found[tensor.location].stat().st_size
            if len(found) > MAX_FILES:
                raise ExternalDataRefused(f"its tensors lie in more than {MAX_FILES:,} files; {SAVE_AGAIN}")
        size = found[tensor.location].stat().st_size
        if tensor.offset + tensor.size > size:
            end = f"{tensor.offset + tensor.size:,}"
            raise _refused(tensor, f"which ends at byte {size:,}, before the tensor does ({end}); {SAVE_AGAIN}")
        left[tensor.location] -= tensor.size
        if left[tensor.location] < 0:
            raise _refused(tensor, f"whose {size:,} bytes are fewer than its tensors together have; {SAVE_AGAIN}")
    return found


def tensors(model: Path) -> Iterator[ExternalTensor]:
    """Yield the tensors of a model that lie in other files. Raises ExternalDataRefused."""
    if model.stat().st_size == 0:
        return
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"location") < 0:  # without this key no tensor names a file
            return
        reader = MessageReader(content)
        try:
            for start, end in reader.found("ModelProto", "TensorProto", TENSORS):
                if (tensor := _tensor(reader, start, end)) is not None:
                    yield tensor
        except Malformed as error:
            raise ExternalDataRefused(f"the file is damaged ({error}); save the model again") from None


def _tensor(reader: MessageReader, start: int, end: int) -> ExternalTensor | None:
    """Return a tensor if it lies in another file."""
    fields: dict[int, list[Field]] = {one: [] for one in (_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION)}
    for field in reader.fields(start, end):
        if field.number in fields:
            fields[field.number].append(field)
    if not fields[_EXTERNAL_DATA] and all(field.value != 1 for field in fields[_DATA_LOCATION]):
        return None
    entries = [_entry(reader, field) for field in fields[_EXTERNAL_DATA]]
    given = dict(entries)
    location = given.pop("location", "")
    unsized = ExternalTensor("".join(map(reader.text, fields[_NAME][-1:])), location, 0, 0)
    if len(given) + 1 != len(entries) or given.keys() - {"offset", "length", "checksum"} or not location:
        keys = ", ".join(key for key, _ in entries)[:80]
        raise _refused(
            unsized, f"by the keys {keys!r}: a location, and an offset and a length, once each; {SAVE_AGAIN}"
        )
    for key in sorted(given.keys() & {"offset", "length"}):
        if not _NUMBER.fullmatch(given[key]):
            raise _refused(unsized, f"with the {key} {given[key][:20]!r}, which is no number of bytes; {SAVE_AGAIN}")
    kind = fields[_DATA_TYPE][-1].value if fields[_DATA_TYPE] else 0
    if kind not in _BITS:
        raise _refused(unsized, f"with the data type {kind}, which no other file can hold; {SAVE_AGAIN}")
    shape = [size for field in fields[_DIMS] for size in reader.numbers(field)]
    if len(shape) > MAX_RANK or any(size >= 2**63 for size in shape):
        raise _refused(unsized, f"with a shape that no tensor has; {SAVE_AGAIN}")
    size = (prod(shape) * _BITS[kind] + 7) // 8
    if int(given.get("length", size)) != size:
        raise _refused(unsized, f"with the length {given['length']}, and its shape takes {size:,}; {SAVE_AGAIN}")
    return ExternalTensor(unsized.name, location, int(given.get("offset", 0)), size)


def _entry(reader: MessageReader, field: Field) -> tuple[str, str]:
    """Return a key and its value."""
    parts = {one.number: reader.text(one) for one in reader.fields(field.start, field.end)}
    return parts.get(1, ""), parts.get(2, "")


def _plain_file(folder: Path, tensor: ExternalTensor) -> Path:
    parts = tensor.location.split("/")
    if not parts[0] or ".." in parts:
        raise _refused(tensor, f"outside the model's folder; put the file beside the model, and {SAVE_AGAIN}")
    is_plain = not _ODD.search(tensor.location) and unicodedata.is_normalized("NFC", tensor.location)
    if not is_plain or any(part in ("", ".") for part in parts) or "\ufffd" in tensor.location:
        raise _refused(tensor, f"which is not the plain name of a file; {SAVE_AGAIN}")
    file = folder
    try:
        for part in parts:
            file = file / part
            if S_ISLNK(file.lstat().st_mode):
                raise _refused(tensor, "which is a link; put the file itself into the folder")
        is_file = S_ISREG(file.lstat().st_mode)
    except OSError:
        is_file = False
    if not is_file:
        raise _refused(tensor, "and the model's folder has no such file; put it there")
    return file


def _refused(tensor: ExternalTensor, why: str) -> ExternalDataRefused:
    return ExternalDataRefused(f"the tensor {tensor.name[:80]!r} lies in {tensor.location[:120]!r}, {why}")
