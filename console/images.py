"""Images among the inputs of a task: a thumbnail in a page, and the stored file, which a browser only draws."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from serving.contract import Spec
from store.first_rows import HEAD, Beginning

DRAWN = 10
"""Rows of a task whose images a page draws."""


@dataclass(frozen=True)
class Thumbnail:
    """An image that a page draws, from this path of the console."""

    path: str
    size: int
    """Bytes of the file."""


def kind_of(first: bytes) -> str | None:
    """Return the media type of a file that begins so; None for what is no PNG, JPEG or WebP."""
    if first.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if first.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if first[:4] == b"RIFF" and first[8:12] == b"WEBP" else None


def fields_with_bytes(spec: Spec) -> dict[str, int]:
    """Return by name the place among the inputs of each field that may hold an image."""
    return {
        spec.public_names[column.name]: place
        for place, column in enumerate(spec.input_columns)
        if column.kind == "bytes"
    }


def drawn(spec: Spec, task_id: UUID, position: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of inputs with a Thumbnail in the place of each image; bytes are there whole or as a Beginning."""
    found = dict(row)
    for name, place in fields_with_bytes(spec).items():
        given = found.get(name)
        first, size = (given.shown, given.size) if isinstance(given, Beginning) else (given, len(given or b""))
        if isinstance(first, bytes) and kind_of(first):
            found[name] = Thumbnail(f"/console/task/{task_id}/image/{position}/{place}", size)
    return found


def decoded(spec: Spec, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input of a stored payload, of whose bytes in base64 is left how they begin."""
    found = dict(row)
    for name in fields_with_bytes(spec):
        if isinstance(given := found.get(name), str):
            content = b64decode(given)
            found[name] = Beginning(content[:HEAD], len(content), "bytes")
    return found
