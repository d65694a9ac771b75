"""An embedded server as a part of `millrace up` that can be started again."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from devstack.log_file import LogFile
from devstack.tether import ServerProcess


class StartServer(Protocol):
    def __call__(self, folder: Path, *, port: int | None, give_up: Callable[[], bool]) -> ServerProcess: ...


class ServerPart:
    """A server; one that is started again answers at the address that it had."""

    def __init__(self, name: str, folder: Path, start: StartServer, give_up: Callable[[], bool]) -> None:
        self.name = name
        self._folder = folder
        self._start = start
        self._give_up = give_up
        self._port: int | None = None
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._server.url

    @property
    def log(self) -> LogFile:
        return self._server.log if self._server else LogFile(self._folder / "log")

    def status(self) -> int | None:
        return self._server.process.poll() if self._server else None

    def start(self) -> None:
        self.stop()
        self._server = self._start(self._folder, port=self._port, give_up=self._give_up)
        self._port = self._server.port

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
