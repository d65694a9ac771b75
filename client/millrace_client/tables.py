"""Inputs as requests take them, and outputs beside them in the shape in which the inputs came.

Rows are a list of mappings, or any table with the Arrow PyCapsule interface: a DataFrame of pandas or polars, a table
of Arrow, a relation of DuckDB. Tables need the extra `files`.
"""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"

MAX_BYTES = 7 * 2**20
"""Bytes of a request's body, a little less than MAX_BODY_BYTES of a handler."""

Rows: TypeAlias = Sequence[Mapping[str, Any]]


def kept(rows: Any) -> Any:
    """Return rows that can be read twice: a relation would be asked anew, a reader would be empty."""
    if not is_table(rows) or _library(rows) in ("pandas", "polars"):
        return rows
    return pyarrow().table(rows)


def parts(rows: Any, max_rows: int) -> Iterator[tuple[bytes, str]]:
    """Yield the bodies of requests that hold the rows, each with its content type. Raises TypeError, ValueError."""
    if is_table(rows):
        yield from ((body, ARROW) for body, _ in arrow_bodies(arrow(rows), max_rows))
        return
    if isinstance(rows, Mapping) or not isinstance(rows, Sequence):
        raise TypeError("give a list of mappings, or a table: a DataFrame, or what has __arrow_c_stream__")
    if not rows:
        raise ValueError("there are no rows")
    encoded: list[bytes] = []
    size = 0
    for row in rows:
        one = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if encoded and (len(encoded) == max_rows or size + len(one) > MAX_BYTES):
            yield b"[" + b",".join(encoded) + b"]", JSON
            encoded, size = [], 0
        encoded.append(one)
        size += len(one) + 1
    yield b"[" + b",".join(encoded) + b"]", JSON


def is_table(rows: Any) -> bool:
    return hasattr(rows, "__arrow_c_stream__")


def arrow(rows: Any) -> Any:
    """Return a pyarrow.Table of the rows, without the index of a DataFrame and with plain values."""
    pa = pyarrow()
    table = pa.Table.from_pandas(rows, preserve_index=False) if _library(rows) == "pandas" else pa.table(rows)
    return plain(table)


def plain(table: Any) -> Any:
    """Return the table with no column dictionary-encoded, as the handler takes none."""
    pa = pyarrow()
    fields = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string_view(kind):
            kind = pa.large_string()
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields))


def arrow_bodies(table: Any, max_rows: int) -> Iterator[tuple[bytes, int]]:
    """Yield Arrow IPC streams of so many rows at most, and how many. Raises ValueError for a row that is too large."""
    if not len(table):
        raise ValueError("there are no rows")
    start = 0
    while start < len(table):
        count = min(max_rows, len(table) - start)
        while True:
            body = arrow_body(table.slice(start, count))
            if len(body) <= MAX_BYTES:
                break
            if count == 1:
                raise ValueError(f"row {start} takes {len(body)} bytes; a request holds {MAX_BYTES}")
            count = max(1, min(count // 2, count * MAX_BYTES // len(body)))
        yield body, count
        start += count


def arrow_body(table: Any) -> bytes:
    pa = pyarrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    body: bytes = sink.getvalue().to_pybytes()
    return body


def beside(rows: Any, outputs: Mapping[str, Sequence[Any]]) -> Any:
    """Return the rows with the outputs beside them, in their own shape; an output replaces an input of its name."""
    if not is_table(rows):
        columns = zip(*outputs.values(), strict=True)
        return [{**row, **dict(zip(outputs, found, strict=True))} for row, found in zip(rows, columns, strict=True)]
    library = _library(rows)
    if library == "pandas":
        return rows.assign(**outputs)
    if library == "polars":
        polars = importlib.import_module("polars")
        return rows.with_columns(*(polars.Series(name, list(values)) for name, values in outputs.items()))
    pa = pyarrow()
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    for name, values in outputs.items():
        column = pa.array(list(values))
        place = table.schema.get_field_index(name)
        table = table.append_column(name, column) if place < 0 else table.set_column(place, name, column)
    return table


def pyarrow() -> Any:
    """Import pyarrow. Raises ImportError that says what to install."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise ImportError("tables and Parquet need pyarrow: pip install 'millrace-client[files]'") from None


def _library(rows: Any) -> str:
    return type(rows).__module__.partition(".")[0]
