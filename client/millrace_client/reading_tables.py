"""Reads Parquet and Arrow files as the bodies of requests, a few batches at a time."""

import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from millrace_client import formats, tables
from millrace_client.formats import FileFormat
from millrace_client.parts import CannotRead, Columns, FilePart


def read_tables(file: IO[bytes], form: FileFormat) -> Iterator[Any]:
    """Yield tables of a Parquet or Arrow file. Raises CannotRead."""
    pa = tables.pyarrow()
    try:
        if form.name == formats.PARQUET:
            from pyarrow import parquet

            source = parquet.ParquetFile(_seekable(file, form))
            for batch in source.iter_batches(batch_size=50_000):
                yield pa.Table.from_batches([batch])
            return
        whole = _seekable(file, form)
        magic = whole.read(6)
        whole.seek(0)
        if magic == b"ARROW1":
            reader = pa.ipc.open_file(whole)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            batches = iter(pa.ipc.open_stream(whole))
        for batch in batches:
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise CannotRead(f"not a valid {form.name} file: {str(error).partition(chr(10))[0]}") from None


def _seekable(file: IO[bytes], form: FileFormat) -> IO[bytes]:
    """Return the file, or what it has in a temporary one: these formats are read from their end."""
    if form.compression is None and file.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with the last reference to it
    shutil.copyfileobj(file, copy, 2**20)
    copy.seek(0)
    return copy


def parts_of_tables(found: Iterator[Any], columns: Columns, max_rows: int) -> Iterator[FilePart]:
    """Yield parts of exactly so many rows each, but for the last."""
    pa = tables.pyarrow()
    rest: Any = None
    for table in found:
        table = table.rename_columns(columns.names(table.column_names))
        table = tables.plain(table.select([name for name in table.column_names if columns.keeps(name)]))
        rest = table if rest is None else pa.concat_tables([rest, table])
        whole = len(rest) - len(rest) % max_rows
        yield from _bodies(rest.slice(0, whole), max_rows)
        rest = rest.slice(whole)
    if rest is not None:
        yield from _bodies(rest, max_rows)


def _bodies(table: Any, max_rows: int) -> Iterator[FilePart]:
    for start in range(0, len(table), max_rows):
        group = table.slice(start, max_rows)
        for body, count in tables.arrow_bodies(group, max_rows):
            yield FilePart(body, tables.ARROW, count)
