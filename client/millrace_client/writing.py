"""Writes the results of a job to a file of any format, in bounded memory."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from millrace_client import formats, tables
from millrace_client.formats import FileFormat

ACCEPTED = {
    formats.CSV: "text/csv",
    formats.TSV: "text/csv",
    formats.NDJSON: "application/x-ndjson",
    formats.JSON: "application/x-ndjson",
    formats.PARQUET: tables.ARROW,
    formats.ARROW: tables.ARROW,
}
"""What the server is asked for, to write each format."""

GROUP = 100_000
"""Rows of a row group of Parquet."""


def write(blocks: Iterator[bytes], path: str, form: FileFormat) -> None:
    """Write a response, whose body comes block by block."""
    with formats.replaced(path, form) as file:
        _WRITERS[form.name](blocks, file)


def _as_it_comes(blocks: Iterator[bytes], file: IO[bytes]) -> None:
    for block in blocks:
        file.write(block)


def _tsv(blocks: Iterator[bytes], file: IO[bytes]) -> None:
    text = io.TextIOWrapper(io.BufferedReader(_Stream(blocks), 2**20), encoding="utf-8", newline="")
    out = io.TextIOWrapper(file, encoding="utf-8", newline="")
    csv.field_size_limit(2**31 - 1)
    csv.writer(out, delimiter="\t", lineterminator="\n").writerows(csv.reader(text))
    out.flush()
    out.detach()


def _json(blocks: Iterator[bytes], file: IO[bytes]) -> None:
    file.write(b"[")
    between = b"\n"
    for line in io.BufferedReader(_Stream(blocks), 2**20):
        file.write(between + line.rstrip(b"\n"))
        between = b",\n"
    file.write(b"\n]\n")


def _parquet(blocks: Iterator[bytes], file: IO[bytes]) -> None:
    pa = tables.pyarrow()
    from pyarrow import parquet

    reader = pa.ipc.open_stream(io.BufferedReader(_Stream(blocks), 2**20))
    with parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        gathered: list[Any] = []
        for batch in reader:
            gathered.append(batch)
            if sum(map(len, gathered)) >= GROUP:
                writer.write_table(pa.Table.from_batches(gathered, reader.schema), row_group_size=GROUP)
                gathered = []
        if gathered:
            writer.write_table(pa.Table.from_batches(gathered, reader.schema), row_group_size=GROUP)


def _arrow(blocks: Iterator[bytes], file: IO[bytes]) -> None:
    pa = tables.pyarrow()
    reader = pa.ipc.open_stream(io.BufferedReader(_Stream(blocks), 2**20))
    with pa.ipc.new_file(file, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


_WRITERS: dict[str, Callable[[Iterator[bytes], IO[bytes]], None]] = {
    formats.CSV: _as_it_comes,
    formats.TSV: _tsv,
    formats.NDJSON: _as_it_comes,
    formats.JSON: _json,
    formats.PARQUET: _parquet,
    formats.ARROW: _arrow,
}


class _Stream(io.RawIOBase):
    """Blocks as a file that is read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def write_rejects(lines: Iterator[bytes], path: str, form: FileFormat) -> int:
    """Write the rejected rows, which come as lines of JSON: row, field and reason of each. Return how many rows."""
    count = 0
    with formats.replaced(path, form) as file:
        if form.name in (formats.CSV, formats.TSV):
            out = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            writer = csv.writer(out, delimiter="\t" if form.name == formats.TSV else ",", lineterminator="\n")
            writer.writerow(["row", "field", "reason"])
            for line in io.BufferedReader(_Stream(lines), 2**20):
                count += 1
                reject = json.loads(line)
                writer.writerows(
                    [reject["row"], e["pointer"].removeprefix("#/"), e["detail"]] for e in reject["errors"]
                )
            out.detach()
        else:
            for line in io.BufferedReader(_Stream(lines), 2**20):
                count += 1
                file.write(line)
    return count
