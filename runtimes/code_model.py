"""Models that are code: `model.py` runs in a process of its own, or in a container, and never in the platform's.

An operator allows each by its name. Beside the worker, it runs as the worker's user and can read what that can read; in
a container it has another user, no secret, and no network (docs/how-to/models.md).
"""

import base64
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

import numpy as np
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtimes import code_host, environment
from serving.artifact import MADE, Artifact
from serving.contract import Columns, ModelAway
from serving.scratch import Scratch

MAX_FRAME = 2**30
"""Bytes of one answer."""


class CodeSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    allow_model_code: str = Field(
        default="", description="models whose own code may run, separated by commas; empty: none"
    )
    code_model_sockets: Path | None = Field(
        default=None, description="folder of the sockets `<model>.sock` on which containers run models that are code"
    )

    def allows(self, model: str) -> bool:
        return model in [name.strip() for name in self.allow_model_code.split(",")]


class CodeNotAllowed(Exception):
    """The operator has not allowed this model's code to run."""


class CodeFailed(Exception):
    """The model's code raised an error, or its process ended. The message is the code's own."""


class HostAway(CodeFailed, ModelAway):
    """The model's container does not answer, or has another version's files."""


class HostEnded(CodeFailed):
    """The process ended, or wrote what is no answer."""


def scratch_folder() -> Path:
    """Return where this machine's models that are code have their folders to work in."""
    return Path(gettempdir()) / f"millrace-code-{os.getuid()}"


class _Channel:
    """One conversation with a host."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Raises CodeFailed for an error of the code, and HostEnded."""
        frame = json.dumps(asked, default=_plain).encode()
        try:
            self._writer.write(len(frame).to_bytes(4, "big") + frame)
            self._writer.flush()
            size = int.from_bytes(self._exactly(4), "big")
            if size > MAX_FRAME:
                raise HostEnded(f"it answered with {size:,} bytes; {MAX_FRAME:,} are the most")
            answer: dict[str, Any] = json.loads(self._exactly(size))
        except (OSError, ValueError) as error:
            raise HostEnded(f"its process ended, or wrote what is no answer: {error}") from None
        if "error" in answer:
            raise CodeFailed(answer["error"])
        return answer

    def _exactly(self, size: int) -> bytes:
        given = self._reader.read(size)
        if len(given) < size:
            raise HostEnded("its process ended; the worker's log has what it printed")
        return given

    def close(self) -> None:
        for stream in (self._writer, self._reader):
            with suppress(OSError):
                stream.close()


class _Child:
    """A host that is a child of this process, with a folder of its own to work in."""

    def __init__(self, folder: Path, python: Path) -> None:
        self._scratch = Scratch(scratch_folder())
        self._process = subprocess.Popen(
            [str(python), "-I", str(Path(code_host.__file__).resolve()), str(folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self._scratch.path,
            env=_environment(str(self._scratch.path)),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self.channel = _Channel(self._process.stdout, self._process.stdin)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.channel.close()
        self._scratch.close()


class _Container:
    """A host that runs elsewhere and is reached by a socket."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(place))
        except OSError as error:
            self._socket.close()
            raise HostAway(f"its container does not answer at {place}: {error}") from None
        self.channel = _Channel(self._socket.makefile("rb"), self._socket.makefile("wb"))

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # or closing would wait until what is half written is sent
        self.channel.close()
        self._socket.close()


class CodeModel:
    """A loaded model. A host that was interrupted is given up, and the next prediction starts another."""

    def __init__(self, found: Artifact, socket_place: Path | None, python: Path) -> None:
        """Raises CodeFailed."""
        schema = found.manifest["schema"]
        self._inputs = {
            field["column"]: field["name"] for field in schema["input"] if field["column"] != schema.get("key")
        }
        self._outputs = {field["name"]: field["column"] for field in schema["output"]}
        self._binary = [field["column"] for field in schema["output"] if field["kind"] == "bytes"]
        self._kinds = {field["name"]: field["kind"] for field in schema["input"]}
        self._found, self._place, self._python = found, socket_place, python
        self._host: _Child | _Container | None = None
        self._start()

    def _start(self) -> _Channel:
        host = _Container(self._place) if self._place else _Child(self._found.path, self._python)
        kinds = {name: self._kinds[name] for name in self._inputs.values()}
        try:
            has = host.channel.ask({"kinds": kinds})["sha256"]
            expected = _own_files(self._found.manifest["sha256"])
            if wrong := sorted(name for name, digest in expected.items() if has.get(name) != digest):
                raise HostAway(f"its container has another {wrong[0]} than this version; build its image again")
        except BaseException:
            host.close()
            raise
        self._host = host
        return host.channel

    def ready(self) -> None:
        """Start a host, if there is none: it may load for longer than a prediction may take. Raises CodeFailed."""
        if self._host is None:
            self._start()

    def predict(self, columns: Columns) -> dict[str, Any]:
        """Raises CodeFailed."""
        channel = self._host.channel if self._host else self._start()
        asked = {name: _listed(columns[column]) for column, name in self._inputs.items()}
        try:
            try:
                given = channel.ask({"columns": asked})["outputs"]
            except HostEnded:  # by this input, or by a restart of its container: the next host tells
                self.close()
                given = self._start().ask({"columns": asked})["outputs"]
        except BaseException as error:  # the time limit, too, after which the answer would come too late
            if not isinstance(error, CodeFailed) or isinstance(error, HostEnded):
                self.close()
            raise
        made = {self._outputs.get(name, name): values for name, values in given.items()}
        for column in self._binary:
            made[column] = [None if value is None else base64.b64decode(value) for value in made.get(column, [])]
        return made

    def close(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def load(found: Artifact) -> CodeModel:
    """Start the model's code. Raises CodeNotAllowed, CodeFailed and EnvironmentMissing."""
    settings, name = CodeSettings(), found.manifest["options"]["model"]
    if not settings.allows(name):
        raise CodeNotAllowed(f"its code may not run here; to allow it, set ALLOW_MODEL_CODE={name}")
    if settings.code_model_sockets is not None:
        return CodeModel(found, settings.code_model_sockets / f"{name}.sock", Path())
    return CodeModel(found, None, environment.python_for(found.path, environment.beside(found.path.parent)))


def _own_files(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the files that are the model's own, without those that were made when it was added."""
    return {name: digest for name, digest in hashes.items() if name not in MADE}


def _environment(folder: str) -> dict[str, str]:
    """Return what a program needs to start: no address and no password of the platform."""
    kept = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES")
    given = {name: os.environ[name] for name in kept if name in os.environ}
    return {**given, "HOME": folder, "TMPDIR": folder, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def _listed(values: Any) -> list[Any]:
    listed: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return listed


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of a column")
