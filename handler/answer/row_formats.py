"""Writes pages of rows in the format that a client accepts: NDJSON, CSV, or an Arrow IPC stream."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Double, Integer, LargeBinary
from sqlalchemy.types import TypeEngine

from handler.http.request import ApiRequest
from handler.submit.reading import ARROW, CSV, NDJSON
from store.result_rows import Shape, TextFormat

if TYPE_CHECKING:
    import pyarrow as pa


class Writer(Protocol):
    """Turns pages into one body; its methods may take as long as a page is large."""

    form: TextFormat
    """What the pages are written in."""

    def start(self) -> bytes: ...
    def page(self, page: bytes) -> bytes: ...
    def end(self) -> bytes: ...


class _Plain:
    def __init__(self, form: TextFormat, head: bytes = b"") -> None:
        self.form = form
        self._head = head

    def start(self) -> bytes:
        return self._head

    def page(self, page: bytes) -> bytes:
        return page

    def end(self) -> bytes:
        return b""


class _Arrow:
    """Reads pages of CSV with pyarrow, which is imported with the first such stream."""

    form: TextFormat = "csv"

    def __init__(self, shape: Shape) -> None:
        import pyarrow as pa

        types = {name: shape.table.c[column].type for name, column in shape.columns.items()}
        if shape.numbered:
            types = {"row": BigInteger(), **types}
        decoders = {name: _decoder(kind) for name, kind in types.items()}
        self._coded = {name: decode for name, decode in decoders.items() if decode is not None}
        self._schema = pa.schema([pa.field(name, _arrow_type(kind)) for name, kind in types.items()])
        self._sink = BytesIO()
        self._stream = pa.ipc.new_stream(self._sink, self._schema)

    def start(self) -> bytes:
        return self._drained()

    def page(self, page: bytes) -> bytes:
        import pyarrow as pa
        from pyarrow import csv

        read = {field.name: pa.string() if field.name in self._coded else field.type for field in self._schema}
        table = csv.read_csv(
            BytesIO(page),
            csv.ReadOptions(column_names=self._schema.names, block_size=len(page) + 1, use_threads=False),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types=read, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        for name, decode in self._coded.items():
            values = [None if cell is None else decode(cell) for cell in table[name].to_pylist()]
            place = self._schema.get_field_index(name)
            table = table.set_column(place, name, pa.array(values, self._schema.field(place).type))
        self._stream.write_table(table.cast(self._schema))
        return self._drained()

    def end(self) -> bytes:
        self._stream.close()
        return self._drained()

    def _drained(self) -> bytes:
        part = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return part


def _decoder(kind: TypeEngine[Any]) -> Callable[[str], Any] | None:
    if isinstance(kind, LargeBinary):
        return b64decode
    return msgspec.json.decode if isinstance(kind, ARRAY) else None


def _arrow_type(kind: TypeEngine[Any]) -> "pa.DataType":
    import pyarrow as pa

    if isinstance(kind, ARRAY):
        return pa.list_(_arrow_type(kind.item_type))
    of: Mapping[type[TypeEngine[Any]], pa.DataType] = {
        BigInteger: pa.int64(),
        Integer: pa.int32(),
        Double: pa.float64(),
        Boolean: pa.bool_(),
        LargeBinary: pa.binary(),
        DateTime: pa.timestamp("us", tz="UTC"),
    }
    return of.get(type(kind), pa.string())


def writer(media_type: str, shape: Shape) -> Writer:
    """Return what writes rows of this shape as the media type, one of those that `preferred` returns."""
    if media_type == ARROW:
        return _Arrow(shape)
    if media_type == CSV:
        return _Plain("csv", (",".join(map(_cell, shape.names)) + "\n").encode())
    return _Plain("json")


def _cell(name: str) -> str:
    """Return a column's name as a cell of CSV."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"' if any(character in name for character in ',"\n\r') else name


STREAMED = (NDJSON, CSV, ARROW)


def preferred(request: ApiRequest) -> str | None:
    """Return which of STREAMED the client asks for by name; None where it asks for none of them."""
    accepted = (one.partition(";")[0].strip().lower() for one in (request.header(b"accept") or "").split(","))
    aliases = {"application/ndjson": NDJSON, "application/jsonl": NDJSON}
    return next((kind for one in accepted if (kind := aliases.get(one, one)) in STREAMED), None)
