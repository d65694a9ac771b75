"""Reads and writes files in a folder or a bucket, given by its URL. A file appears whole or not at all.

Names that begin with a dot are files that a killed program has left unfinished.
"""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from fsspec.core import url_to_fs

from blobs.address import usable

PATIENCE = {"s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 1}}}}
"""By protocol, what its library is told, so that a bucket that is away is known soon: s3fs tries five times."""

PART = 2**24
"""Bytes of one part of an upload; a bucket takes 10,000 parts, so a file has at most 160 GiB."""


@dataclass(frozen=True)
class BlobStore:
    """The files below one URL."""

    _fs: Any
    _root: str

    @classmethod
    def at(cls, url: str) -> Self:
        """Raises UnusableBlobUrl."""
        patience: Mapping[str, Any] = PATIENCE.get(url.partition(":")[0], {})
        # No cache of listings: another program may have written since.
        fs, root = url_to_fs(usable(url), use_listings_cache=False, **patience)
        return cls(fs, root.rstrip("/"))

    def place(self, name: str) -> str:
        """Return the path of a file directly below the URL."""
        return f"{self._root}/{name}"

    def size(self, path: str) -> int | None:
        """Return how many bytes a file has; None where it is not there."""
        try:
            found: int = self._fs.info(path)["size"]
        except FileNotFoundError:
            return None
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
