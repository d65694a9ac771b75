"""Reads the rows of an Arrow IPC stream (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).

pyarrow is imported with the first such body: it takes as long as the rest of a handler's imports.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from handler.problems import ProblemKind, RequestRefused
from handler.submit.table import Table
from serving.contract import Spec

if TYPE_CHECKING:
    import pyarrow as pa

RATIO = 16
"""How many times a body's size its values may take: several columns can share the bytes of one."""


def read_arrow(content: bytes, spec: Spec) -> Table:
    """Return the rows of a stream. Raises RequestRefused."""
    import pyarrow as pa

    try:
        messages = iter(pa.ipc.MessageReader.open_stream(pa.py_buffer(content)))
        schema = pa.ipc.read_schema(next(messages))
        _check_columns(schema, spec)
        batches = list(_batches(messages, schema, len(content), spec.max_inputs))
        columns = {
            name: list(chain.from_iterable(_values(batch.column(place), len(content)) for batch in batches))
            for place, name in enumerate(schema.names)
        }
    except (pa.ArrowException, *_UNREADABLE):
        raise _refused("The body is not a valid Arrow IPC stream; write it with a library of Arrow.") from None
    return Table(columns, sum(batch.num_rows for batch in batches))


_UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError, StopIteration, struct.error)
"""What pyarrow raises for a stream that is none, or has times that nobody can tell."""


def _check_columns(schema: "pa.Schema", spec: Spec) -> None:
    from pyarrow import types

    known = {spec.public_names[column.name]: column for column in spec.input_columns}
    for name in schema.names:
        if name not in known:
            raise _refused(f"Unknown column {name[:64]!r}; the columns are {', '.join(known)}.")
    if len(set(schema.names)) < len(schema.names):
        raise _refused("A column is repeated; send each once.")
    if not schema.names:
        raise _refused("The stream has no columns.")
    for field in schema:
        if types.is_dictionary(field.type):
            raise _refused(f"The column {field.name!r} is dictionary-encoded; cast it to the type of its values.")
        if not _fits(field.type, known[field.name].kind):
            raise _refused(f"The column {field.name!r} has the type {field.type}, which its field does not take.")


def _fits(given: "pa.DataType", kind: str) -> bool:
    """Return whether values of this type may be those of a field; the schema looks at each of them later."""
    from pyarrow import types

    if kind == "double[]":
        listed = types.is_list(given) or types.is_large_list(given)
        return bool(listed and (types.is_floating(given.value_type) or types.is_integer(given.value_type)))
    text = types.is_string(given) or types.is_large_string(given)
    number = types.is_integer(given) or types.is_floating(given)
    own = {
        "text": text or number,
        "integer": number or text,
        "bigint": number or text,
        "double": number or text,
        "boolean": types.is_boolean(given),
        "bytes": text or types.is_binary(given) or types.is_large_binary(given),
        "timestamp": text or types.is_timestamp(given),
    }
    return bool(types.is_null(given) or own.get(kind))


def _batches(
    messages: Iterator["pa.ipc.Message"], schema: "pa.Schema", size: int, limit: int
) -> Iterator["pa.RecordBatch"]:
    """Yield the batches, each checked, as Arrow asks for content that comes from anybody."""
    import pyarrow as pa

    count = 0
    for message in messages:
        if message.type != "record batch" or _is_compressed(message.metadata.to_pybytes()):
            raise _refused("The stream has compressed buffers; write it without, and use Content-Encoding: zstd.")
        batch = pa.ipc.read_record_batch(message, schema)
        count += batch.num_rows
        if count > limit:
            detail = f"More than {limit} inputs, which is the limit; split them into several submissions."
            raise RequestRefused(ProblemKind.TOO_MANY_INPUTS, detail)
        batch.validate(full=True)
        if batch.nbytes > RATIO * size:
            raise _refused("The values take far more than the body; write it with a library of Arrow.")
        yield batch


_RECORD_BATCH, _COMPRESSION = 3, 3


def _is_compressed(metadata: bytes) -> bool:
    """Return whether a message's buffers are compressed: a few kB could become gigabytes, before anybody may look.

    The metadata is a flatbuffer: https://github.com/apache/arrow/blob/main/format/Message.fbs. Raises struct.error.
    """
    root = struct.unpack_from("<I", metadata, 0)[0]
    kind, header = _field(metadata, root, 1), _field(metadata, root, 2)
    if kind is None or header is None or metadata[kind] != _RECORD_BATCH:
        return True
    return _field(metadata, header + struct.unpack_from("<I", metadata, header)[0], _COMPRESSION) is not None


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table is; None where it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    place = 4 + 2 * number
    if vtable < 0 or place + 2 > struct.unpack_from("<H", metadata, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", metadata, vtable + place)[0]
    return table + offset if offset else None


def _values(column: "pa.Array", size: int) -> list[Any]:
    """Return the values as JSON has them: pandas writes a missing number as NaN."""
    from pyarrow import types

    if types.is_list(column.type) or types.is_large_list(column.type):
        if len(column.flatten()) > size:  # each becomes an object
            raise _refused("The lists have more values than the body has bytes; write it with a library of Arrow.")
        return list(column.to_pylist())
    if types.is_timestamp(column.type):
        import pyarrow as pa

        finer = column.type.unit == "ns"
        column = column.cast(pa.timestamp("us", column.type.tz), safe=not finer)
    values: list[Any] = column.to_pylist()
    if types.is_floating(column.type):
        return [None if value != value else value for value in values]
    if types.is_timestamp(column.type):
        return [value.isoformat() if isinstance(value, datetime) else value for value in values]
    if types.is_binary(column.type) or types.is_large_binary(column.type):
        return [None if value is None else b64encode(value).decode() for value in values]
    return values


def _refused(detail: str) -> RequestRefused:
    return RequestRefused(ProblemKind.INVALID_INPUT, detail)
