"""How jobs and results pass between processes: as pickles through a socket, when large through memory that has no name.

Memory without a name is gone when the last process lets go of it, however that process ends.
"""

import os
import pickle
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, NamedTuple

LARGE = 128 * 1024
"""Bytes from which a parcel goes through memory: from 256 kB on that is faster (`bench/pool.py arrays`), and what is
smaller fits into the socket's buffer (208 kB), so that who writes a message does not wait for its reader."""

_ALIGNED = 64  # bytes; what numpy and its friends like an array to begin at


class Parcel(NamedTuple):
    """A pickled value; its large buffers are not copied, but lie beside it."""

    data: Any
    buffers: Sequence[Any] = ()

    @property
    def size(self) -> int:
        return len(self.data) + sum(len(buffer) for buffer in self.buffers)


def pack(value: Any) -> Parcel:
    """Pickle a value. Arrays from LARGE bytes on are referred to: they must not change until they are sent."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < LARGE:
            return True
        buffers.append(view)
        return False

    return Parcel(pickle.dumps(value, 5, buffer_callback=keep), buffers)


def unpack(parcel: Parcel) -> Any:
    return pickle.loads(parcel.data, buffers=parcel.buffers)  # noqa: S301 (from our own process)


def send(connection: Connection, kind: str, parcels: Sequence[Parcel] = ()) -> None:
    """Send one message. A parcel that is large travels alone."""
    if len(parcels) == 1 and parcels[0].size >= LARGE:
        _send_large(connection, kind, parcels[0])
    else:
        connection.send_bytes(pickle.dumps((kind, [parcel.data for parcel in parcels], (), None)))


def _send_large(connection: Connection, kind: str, parcel: Parcel) -> None:
    try:
        memory = _memory()
    except OSError:  # no file descriptor is left: slower, but it arrives
        buffers = [bytes(buffer) for buffer in parcel.buffers]
        connection.send_bytes(pickle.dumps((kind, [parcel.data], buffers, None)))
        return
    try:
        places = []
        for chunk in (parcel.data, *parcel.buffers):
            places.append((os.lseek(memory, 0, os.SEEK_CUR), len(chunk)))
            _write(memory, chunk)
            os.lseek(memory, -len(chunk) % _ALIGNED, os.SEEK_CUR)
        connection.send_bytes(pickle.dumps((kind, [], (), places)))
        send_handle(connection, memory, 0)
    finally:
        os.close(memory)


def receive(connection: Connection) -> tuple[str, list[Parcel]]:
    """Receive one message; raises EOFError or OSError when the other side is gone."""
    kind, data, buffers, places = pickle.loads(connection.recv_bytes())  # noqa: S301 (from our own process)
    if places is None:
        return kind, [Parcel(item, buffers) for item in data]
    memory = recv_handle(connection)
    try:
        chunks = [_read(memory, start, length) for start, length in places]
    finally:
        os.close(memory)
    return kind, [Parcel(chunks[0], chunks[1:])]


def _memory() -> int:
    """Open memory that only its file descriptor leads to."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pool")
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())


def _write(memory: int, chunk: Any) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(memory, rest) :]


def _read(memory: int, start: int, length: int) -> bytearray:
    # A mapping would save a tenth of the time, and hold a file descriptor for as long as the array lives.
    chunk = bytearray(length)
    rest = memoryview(chunk)
    os.lseek(memory, start, os.SEEK_SET)
    while rest:
        rest = rest[os.readv(memory, [rest]) :]
    return chunk
