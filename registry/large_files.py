"""Large files of versions: they lie in a folder or a bucket under their sha256, and PostgreSQL knows the URL of each.

A file is there before the transaction that names it. Nobody reads a file that no row names, and no program deletes one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from blobs.address import LIKE_THIS, BlobUrl, redacted
from serving.artifact import ArtifactTampered, sha256
from serving.contract import ModelAway

if TYPE_CHECKING:
    from blobs.files import BlobStore

LARGE = 64 * 2**20
"""Bytes from which a file is large (docs/decisions/0026-large-files.md)."""

PACKAGES = "requirements/buckets.txt"


class LargeFileSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)  # there may be a key in it

    artifacts_url: BlobUrl | None = Field(
        default=None,
        description=f"where `millrace models add` stores files of {LARGE >> 20} MiB and more: {LIKE_THIS}; empty: in "
        "PostgreSQL, as all others",
    )


@dataclass(frozen=True)
class LargeFile:
    """A file that lies at its URL."""

    sha256: str
    url: str
    bytes: int


class FileAway(ModelAway):
    """A folder or bucket cannot be reached, or does not have the file now."""


def upload(files: Mapping[str, Path], url: str, tell: Callable[[str, int], None]) -> dict[str, LargeFile]:
    """Store the large ones among these files below the URL, and return them by name. Raises FileAway.

    `tell` hears the URL and the size of each before it is sent. One that is there already, whole, is not sent again.
    """
    large = {name: file for name, file in files.items() if file.stat().st_size >= LARGE}
    return {name: _upload(file, url.rstrip("/"), tell) for name, file in large.items()}


def _upload(file: Path, url: str, tell: Callable[[str, int], None]) -> LargeFile:
    digest = sha256(file)
    made = LargeFile(digest, f"{url}/{digest}", file.stat().st_size)
    try:
        from blobs.files import PART, BlobStore  # fsspec, which the handler's image has not

        store = BlobStore.at(url)
        place = store.place(digest)
        if store.size(place) == made.bytes and _sha256(store, place) == digest:
            return made
        tell(made.url, made.bytes)
        sent = hashlib.sha256()
        with file.open("rb") as content, store.write(place) as target:
            while block := content.read(PART):
                sent.update(block)
                target.write(block)
            if sent.hexdigest() != digest:
                raise ArtifactTampered(f"{file} changed while it was read; add it again")
    except ArtifactTampered:
        raise
    except Exception as error:  # each library has its own for a bucket that is away
        raise FileAway(f"{file.name} cannot be stored at {url}: {_reason(error, url)}") from error
    return made


def _sha256(store: "BlobStore", place: str) -> str:
    from blobs.files import PART

    found = hashlib.sha256()
    with store.open(place) as content:
        while block := content.read(PART):
            found.update(block)
    return found.hexdigest()


def read(url: str, size: int) -> Iterator[bytes]:
    """Yield the content of a file that is to have so many bytes, and no more of it. Raises FileAway."""
    try:
        from blobs.files import PART, BlobStore

        folder, _, name = url.rpartition("/")
        store = BlobStore.at(folder)
        with store.open(store.place(name)) as content:
            left = size + 1  # one that is longer than it should be has another hash
            while left and (block := content.read(min(PART, left))):
                left -= len(block)
                yield block
            if left > 1:
                raise EOFError(f"it has {size + 1 - left} bytes of {size}, as while somebody copies it")
    except FileNotFoundError as error:
        raise FileAway(f"{url} cannot be read: it is not there; put it back, or add the model again") from error
    except Exception as error:
        raise FileAway(f"{url} cannot be read: {_reason(error, url)}") from error


def _reason(error: Exception, url: str) -> str:
    if isinstance(error, ImportError):
        scheme = url.partition(":")[0]
        return f"this program has no package for {scheme}://; install {PACKAGES}, or build its image with BUCKETS=on"
    return redacted(f"{type(error).__name__}: {error}".partition("\n")[0])
