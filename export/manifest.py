"""The manifest of an exported day: how many rows its file has, and its sha256.

A manifest is there only while it describes the file beside it: it is deleted before a new file takes its place, and
written after. So a day without one is exported again.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

import msgspec
from pyarrow import parquet

from blobs.files import PART
from export.storage import MANIFEST, PREDICTIONS, Storage

FORMAT = "millrace/1"
"""Of what is in a manifest, and of the layout."""


@dataclass(frozen=True)
class DayManifest:
    model: str
    day: date
    """In UTC, of `scored_at`."""
    rows: int
    sha256: str
    """Of the file, in hexadecimal."""
    bytes: int
    columns: Mapping[str, str]
    """The type in PostgreSQL of each column, in the order of the file."""
    complete: bool
    """Whether the day had ended and no transaction could add to it any more."""
    exported_at: datetime
    """By the database's clock, before the first row was read."""
    format: str = FORMAT


def read(url: str, model: str, day: date) -> DayManifest | None:
    """Return the day's manifest; None: it is not exported, or is being replaced."""
    return read_all(Storage.at(url), model, [day]).get(day)


def verified(url: str, model: str, day: date) -> DayManifest | None:
    """Return the day's manifest if the file, read from its beginning to its end, is the one that it describes."""
    if (manifest := read(url, model, day)) is None:
        return None
    storage = Storage.at(url)
    sha256, size = hashlib.sha256(), 0
    try:
        with storage.open(storage.path(model, day, PREDICTIONS)) as file:
            rows = parquet.ParquetFile(file).metadata.num_rows
            file.seek(0)
            while block := file.read(PART):
                sha256.update(block)
                size += len(block)
    except (FileNotFoundError, ValueError):  # pyarrow's error for what is no Parquet
        return None
    agrees = (rows, sha256.hexdigest(), size) == (manifest.rows, manifest.sha256, manifest.bytes)
    return manifest if agrees else None


def days(url: str, model: str) -> list[date]:
    """Return the exported days of the model, in their order."""
    return sorted(day for day, files in Storage.at(url).sizes(model).items() if files.keys() >= {MANIFEST, PREDICTIONS})


def read_all(storage: Storage, model: str, chosen: Collection[date]) -> dict[date, DayManifest]:
    """Return the manifests of these days, leaving out what is not there or cannot be read."""
    paths = {storage.path(model, day, MANIFEST): day for day in chosen}
    found = {}
    for path, content in storage.contents(list(paths)).items():
        try:
            manifest = msgspec.json.decode(content, type=DayManifest)
        except msgspec.MsgspecError:
            continue
        if (manifest.format, manifest.model, manifest.day) == (FORMAT, model, paths[path]):
            found[paths[path]] = manifest
    return found


def write(storage: Storage, manifest: DayManifest) -> None:
    """Add the manifest to the file that it describes, which must be in its place."""
    with storage.write(storage.path(manifest.model, manifest.day, MANIFEST)) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


@contextmanager
def replacing(storage: Storage, model: str, day: date) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of the day's when the block ends; the old manifest goes just before."""
    path = storage.path(model, day, PREDICTIONS)
    storage.clear(path)
    with storage.write(path) as file:
        yield file
        storage.delete(storage.path(model, day, MANIFEST))
