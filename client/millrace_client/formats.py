"""The formats of files, told by their names, and how they are opened: here, at a URL of fsspec, or compressed."""

import gzip
import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from millrace_client.errors import MillraceError

CSV, TSV, NDJSON, JSON, PARQUET, ARROW = "csv", "tsv", "ndjson", "json", "parquet", "arrow"

_BY_ENDING = {
    **{name: name for name in (CSV, TSV, NDJSON, JSON, PARQUET, ARROW)},
    "tab": TSV,
    "jsonl": NDJSON,
    "pq": PARQUET,
    "feather": ARROW,
    "ipc": ARROW,
}
_COMPRESSED = {"gz": "gzip", "zst": "zstd", "zstd": "zstd"}

NAMES = (CSV, TSV, NDJSON, JSON, PARQUET, ARROW)

STANDARD = "-"


class UnknownFormat(MillraceError):
    """The name of a file does not tell its format; name it."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format, and the compression around it: gzip, zstd or None."""

    name: str
    compression: str | None = None


def format_of(path: str, given: str | None = None) -> FileFormat:
    """Return the format of a file: the given one, or the one that its name tells. Raises UnknownFormat."""
    endings = path.rpartition("/")[2].lower().split(".")[1:]
    compression = _COMPRESSED.get(endings[-1]) if endings else None
    if compression is not None:
        endings.pop()
    name = given or (_BY_ENDING.get(endings[-1]) if endings else None)
    if name is None:
        what = "standard input or output" if path == STANDARD else repr(path)
        raise UnknownFormat(f"{what} does not tell its format: name it, one of {', '.join(NAMES)}")
    return FileFormat(name, compression)


def is_url(path: str) -> bool:
    return "://" in path


@contextmanager
def opened(path: str, form: FileFormat) -> Iterator[IO[bytes]]:
    """Open a file to read its content, without its compression."""
    if path == STANDARD:
        yield _plain(sys.stdin.buffer, form)
        return
    with _fsspec().open(path, "rb") if is_url(path) else Path(path).open("rb") as file:
        yield _plain(file, form)


@contextmanager
def replaced(path: str, form: FileFormat) -> Iterator[IO[bytes]]:
    """Open a file to write it, which others find whole or not at all. Standard output is written as it comes."""
    if path == STANDARD:
        with _packed(sys.stdout.buffer, form) as file:
            yield file
        sys.stdout.buffer.flush()
        return
    if is_url(path):
        fs, place = _fsspec().core.url_to_fs(path)
        with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
            scratch = Path(folder) / "out"
            with scratch.open("wb") as raw, _packed(raw, form) as file:
                yield file
            fs.put_file(str(scratch), place)
        return
    local = Path(path).resolve()
    if local.exists() and not local.is_file():  # a pipe, a device
        with local.open("wb") as raw, _packed(raw, form) as file:
            yield file
        return
    unfinished = local.with_name(f".{local.name}.unfinished")
    try:
        with unfinished.open("wb") as raw, _packed(raw, form) as file:
            yield file
        unfinished.replace(local)
    finally:
        unfinished.unlink(missing_ok=True)


def _plain(file: Any, form: FileFormat) -> IO[bytes]:
    if form.compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return cast("IO[bytes]", _zstd().open(file) if form.compression == "zstd" else file)


@contextmanager
def _packed(file: Any, form: FileFormat) -> Iterator[Any]:
    if form.compression == "gzip":
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
            yield packed
    elif form.compression == "zstd":
        with _zstd().open(file, "wb") as packed:
            yield packed
    else:
        yield file


def _zstd() -> Any:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return _needed(name, "zstd")


def _fsspec() -> Any:
    return _needed("fsspec", "URLs such as s3://…")


def _needed(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MillraceError(f"{what} needs {module}: pip install 'millrace-client[files]'") from None
