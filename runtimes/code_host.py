"""`python code_host.py FOLDER [SOCKET]`: runs a model that is code, apart from the platform.

It runs in the model's own environment, so it needs nothing but Python's standard library. It serves its standard input
and output or, with SOCKET, whoever connects to that Unix socket, each in a process of its own.

A frame is its length, four bytes, and JSON. The first is `{"kinds": {column: kind}}`, answered by `{"sha256": {file:
…}}` once the model is loaded; each further one is `{"columns": {column: values}}`, answered by `{"outputs": {…}}`. What
goes wrong is answered by `{"error": words}`. Bytes are base64.
"""

import base64
import ctypes
import hashlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def _load(folder: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Import `model.py` and load the model. Return its `predict`."""
    sys.path.insert(0, str(folder))
    found = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert found is not None  # noqa: S101
    assert found.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(found)
    sys.modules["model"] = module
    found.loader.exec_module(module)
    loaded = module.load(folder)
    predict: Callable[[dict[str, Any]], dict[str, Any]] = getattr(loaded, "predict", None) or module.predict
    return predict


def _hashes(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _read(stream: BinaryIO) -> Any:
    size = stream.read(4)
    return json.loads(stream.read(int.from_bytes(size, "big"))) if len(size) == 4 else None


def _write(stream: BinaryIO, answer: dict[str, Any]) -> None:
    written = json.dumps(answer, default=_plain).encode()
    stream.write(len(written).to_bytes(4, "big") + written)
    stream.flush()


def _plain(value: Any) -> Any:
    """Return what is no JSON in a form that is: arrays, tensors and series as lists, bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_list"):
        return value.to_list()
    raise TypeError(f"the model gave a {type(value).__name__}, which is no list, array or series")


def _serve(folder: Path, reader: BinaryIO, writer: BinaryIO) -> None:
    first = _read(reader)
    if first is None:
        return
    try:
        predict = _load(folder)
        _write(writer, {"sha256": _hashes(folder)})
    except BaseException as error:
        _write(writer, {"error": _words(error)})
        return
    binary = [column for column, kind in first["kinds"].items() if kind == "bytes"]
    while (asked := _read(reader)) is not None:
        columns = asked["columns"]
        for name in binary:
            columns[name] = [None if value is None else base64.b64decode(value) for value in columns[name]]
        try:
            given = predict(columns)
            answer = {"outputs": {name: given[name] for name in given}}  # a data frame will do
            _write(writer, answer)
        except Exception as error:
            traceback.print_exc()
            _write(writer, {"error": _words(error)})


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


def _serve_parent(folder: Path) -> None:
    """Serve the process that has started this one, and end with it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    answers = os.dup(1)
    os.dup2(2, 1)  # what the model prints is no answer
    with os.fdopen(answers, "wb") as writer:
        _serve(folder, sys.stdin.buffer, writer)


def _serve_socket(folder: Path, place: Path) -> None:
    place.unlink(missing_ok=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that end
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        place.chmod(0o666)  # the worker is another user; who can reach the folder may ask
        listening.listen()
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or the model could not tell how its own children end
                listening.close()
                threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
                with connection.makefile("rb") as reader, connection.makefile("wb") as writer:
                    _serve(folder, reader, writer)
                os._exit(0)
            connection.close()


def _end_with(connection: socket.socket) -> None:
    """End this process as soon as the worker has given it up: nobody waits for its prediction any more."""
    closed = select.poll()
    closed.register(connection, select.POLLHUP | select.POLLRDHUP)
    closed.poll()
    os._exit(1)


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # the folder is compared with the registry's hashes
    if len(sys.argv) > 2:
        _serve_socket(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
    else:
        _serve_parent(Path(sys.argv[1]).resolve())
