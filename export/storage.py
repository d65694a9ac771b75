"""Where exported days lie: a folder or a bucket, given by its URL.

`<url>/model=<model>/day=<YYYY-MM-DD>/` holds `predictions.parquet` and, while it describes that file, `_manifest.json`.
A file appears whole or not at all. Names that begin with a dot are files that a killed run has left unfinished.
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, Self

from fsspec.core import url_to_fs

from export.address import usable

PREDICTIONS, MANIFEST = "predictions.parquet", "_manifest.json"
"""Readers of folders (pandas, Spark, Athena) leave out names that begin with an underscore."""

PART = 2**24
"""Bytes of one part of an upload; a bucket takes 10,000 parts, so a file has at most 160 GiB."""

_DAY = re.compile(rf"/day=(\d{{4}}-\d\d-\d\d)/({re.escape(PREDICTIONS)}|{re.escape(MANIFEST)})$")


@dataclass(frozen=True)
class Storage:
    """The files of one export."""

    _fs: Any
    _root: str

    @classmethod
    def at(cls, url: str) -> Self:
        """Raises UnusableExportUrl."""
        fs, root = url_to_fs(usable(url), use_listings_cache=False)  # another program may have written since
        return cls(fs, root.rstrip("/"))

    def path(self, model: str, day: date, name: str) -> str:
        return f"{self._root}/model={model}/day={day.isoformat()}/{name}"

    def sizes(self, model: str) -> dict[date, dict[str, int]]:
        """Return by day the bytes of each file that is there."""
        found: dict[date, dict[str, int]] = {}
        try:
            files = self._fs.find(f"{self._root}/model={model}", detail=True)
        except FileNotFoundError:
            return found
        for path, info in files.items():
            if match := _DAY.search(path):
                found.setdefault(date.fromisoformat(match[1]), {})[match[2]] = info["size"]
        return found

    def open(self, path: str) -> BinaryIO:
        """Open a file to read it from its beginning. Raises FileNotFoundError."""
        file: BinaryIO = self._fs.open(path, "rb", block_size=PART, cache_type="readahead")
        return file

    def contents(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is in these files, leaving out those that are not there."""
        found = self._fs.cat(list(paths), on_error="return") if paths else {}
        for content in found.values():
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise content
        return {path: content for path, content in found.items() if isinstance(content, bytes)}

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        """Yield a file that replaces the one at `path` when the block ends, and does not when it fails."""
        writing = _renamed(Path(path)) if "file" in self._protocols else self._uploaded(path)
        with writing as file:
            yield file

    def clear(self, path: str) -> None:
        """Delete what killed runs have left of a file. Nobody else may be writing it."""
        if "file" in self._protocols:
            for left in Path(path).parent.glob(f".{Path(path).name}.*"):
                left.unlink(missing_ok=True)

    @property
    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    @contextmanager
    def _uploaded(self, path: str) -> Iterator[BinaryIO]:
        """Upload in parts. The bucket shows the file when the last part is there."""
        file = self._fs.open(path, "wb", block_size=PART)
        try:
            yield file
            file.close()
        except BaseException:
            file.closed = True  # or its finalizer would complete the upload
            with suppress(Exception):  # the error that brought us here says more
                file.discard()
            raise


@contextmanager
def _renamed(path: Path) -> Iterator[BinaryIO]:
    """Write beside the place and rename, with both on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    for folder in list(path.parents)[:3]:  # of the day, of the model, and the export's: each may be new
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
