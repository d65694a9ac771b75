"""Writes a stream of COPY as Parquet, a block of rows at a time, so that memory does not grow with the day."""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa
from pyarrow import parquet

from export.binary import HEADER, SIGNATURE, TRAILER, CopyBroken, decode
from export.columns import ExportedColumn
from export.hashed import HashedFile

ROWS = 65_536
BYTES = 2**24
"""Of one row group, at most, as PostgreSQL sends them; a group has at least one row, however large."""

COMPRESSION = "zstd"

Progress = Callable[[int], None]
"""Is told after each block how many rows there are so far. What it raises ends the export of the day."""


class RowGroups:
    """What psycopg2 gives the stream to. PostgreSQL sends the rows as one message each, which `decode` checks."""

    def __init__(
        self, file: BinaryIO, columns: Sequence[ExportedColumn], about: Mapping[str, str], progress: Progress
    ) -> None:
        """`about` stands in the file's metadata."""
        self.rows = 0
        self.hashed = HashedFile(file)
        self._types = [column.type for column in columns]
        self._schema = pa.schema([column.field for column in columns], metadata=dict(about))
        self._writer = parquet.ParquetWriter(self.hashed, self._schema, compression=COMPRESSION)
        self._progress = progress
        self._begun = self._ended = False
        self._block: list[bytes] = []
        self._size = 0

    def write(self, message: bytes) -> None:
        if not self._begun:
            if not message.startswith(SIGNATURE):
                raise CopyBroken("it has no signature")
            self._begun = True
            message = message[HEADER:]
        if message == TRAILER:
            self._ended = True
        elif message:
            self._block.append(message)
            self._size += len(message)
            if len(self._block) == ROWS or self._size >= BYTES:
                self._flush()

    def end(self) -> None:
        """Write the last rows and the footer. Raises CopyBroken where the stream has not come to its end."""
        if not self._ended:
            raise CopyBroken("it has no end")
        if self._block:
            self._flush()
        self._writer.close()

    def give_up(self) -> None:
        """Write nothing more, not even the footer, which the writer would write whenever Python removes it."""
        self.hashed.closed = True
        self._writer.close()

    def _flush(self) -> None:
        arrays = decode(self._block, self._types)
        self.rows += len(self._block)
        self._block, self._size = [], 0
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._progress(self.rows)
