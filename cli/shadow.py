"""`millrace shadow`: runs the shadows, each in a process of its own. In containers: `python -m cli.shadow`."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import click
import structlog
from millrace_client.cli.encoding import print_anything
from sqlalchemy.exc import DBAPIError

from cli.database import database
from registry.versions import ModelVersion, Registry
from store.model_tables import State
from telemetry import logs

log = structlog.get_logger("shadow")

INTERVAL = 1.0
"""Seconds between two looks at the registry and at the processes."""

SILENCE = 300.0
"""Seconds without a sign of life after which a process is ended: loading a model may take some of them."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds until one that ended is started again; twice as long each time, until it has scored something."""

GIB = 2**30


@dataclass
class ShadowProcess:
    """One shadow: its process while it has one, and when it may have another."""

    version: ModelVersion
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    heard: float = 0.0
    pause: float = FIRST_PAUSE
    next_start: float = 0.0

    def look(self) -> None:
        """Start it, take what it says, and end it if it says nothing."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self._start(now)
            return
        assert self.process.stdout is not None  # noqa: S101 - it was started with a pipe
        if told := self.process.stdout.read():
            self.heard = now
            if any(line.split(b" ")[0] not in (b"", b"0") for line in told.splitlines()):
                self.pause = FIRST_PAUSE
        if self.process.poll() is not None:
            self._ended(now, f"it ended with status {self.process.returncode}")
        elif now - self.heard > SILENCE:
            self.end()
            self._ended(now, f"it said nothing for {SILENCE:.0f} s")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _start(self, now: float) -> None:
        command = [sys.executable, "-m", "cli.rescoring.shadow", self.version.model, self.version.version]
        self.process = subprocess.Popen([*command, *self.arguments], stdout=subprocess.PIPE)
        assert self.process.stdout is not None  # noqa: S101
        os.set_blocking(self.process.stdout.fileno(), False)
        self.heard = now

    def _ended(self, now: float, reason: str) -> None:
        log.warning(
            "shadow_ended",
            model=self.version.model,
            model_version=self.version.version,
            reason=reason,
            again_in_seconds=self.pause,
        )
        self.process, self.next_start = None, now + self.pause
        self.pause = min(self.pause * 2, LONGEST_PAUSE)


@click.command()
@click.option("--share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of the inputs.")
@click.option(
    "--rest",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="How long to rest after a batch, as a multiple of what it took: 1 takes half of a core at most.",
)
@click.option("--memory", type=click.FloatRange(0.5), default=8.0, show_default=True, help="GiB of address space each.")
def shadow(share: float, rest: float, memory: float) -> None:
    """Run the versions that `millrace models shadow` has named, until somebody stops the command.

    Each scores a share of what comes in, after the live version and beside its predictions. One that crashes, hangs or
    needs too much memory is started again, later each time; nothing else notices.
    """
    logs.configure(logs.LogSettings())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = [str(share), str(rest), str(round(memory * GIB))]
    running: dict[ModelVersion, ShadowProcess] = {}
    registry = Registry()
    with database("shadow") as engine:
        try:
            while True:
                try:
                    with engine.connect() as connection:
                        registry.refresh(connection)
                except DBAPIError as error:
                    log.warning("registry_unread", error=str(error.orig))
                follow(registry, running, arguments)
                time.sleep(INTERVAL)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
        finally:
            for one in running.values():
                one.end()


def follow(registry: Registry, running: dict[ModelVersion, ShadowProcess], arguments: list[str]) -> None:
    """Let exactly those run that are shadows."""
    wanted = {
        one for model in registry.models for one in registry.versions_of(model) if registry.state(one) is State.SHADOW
    }
    for version in running.keys() - wanted:
        running.pop(version).end()
    for version in wanted - running.keys():
        running[version] = ShadowProcess(version, arguments)
    for one in running.values():
        one.look()


if __name__ == "__main__":
    print_anything()
    shadow()
