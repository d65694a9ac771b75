"""Loads a version once in a process of its own, before those that score load it: a broken one stops no other.

The verdicts are files in a folder that the worker's processes share.
"""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import structlog

from registry.versions import ModelVersion
from serving.artifact import Artifact
from worker.scoring import loaded_models

log = structlog.get_logger(__name__)

LOAD_TIMEOUT = 600.0
"""Seconds that a model has to load."""


class SelfTests:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def verdict(self, version: ModelVersion) -> str | None:
        """Return why the version could not be loaded; empty: it could; None: it was not tested yet."""
        try:
            return self._file(version).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def run(self, version: ModelVersion, found: Artifact) -> bool:
        """Load the version once, note the verdict, and return whether it can be loaded."""
        reason = _fault(version, found)
        if reason:
            self.refuse(version, reason)
        else:
            self._note(version, "")
        return not reason

    def refuse(self, version: ModelVersion, reason: str) -> None:
        """Note why a version cannot even be tried."""
        log.critical(
            "model_unloaded",
            model=version.model,
            model_version=version.version,
            reason=reason,
            remedy="promote another version, or repair this one's files and restart this worker; tasks wait",
        )
        self._note(version, reason)

    def _note(self, version: ModelVersion, reason: str) -> None:
        new = self._file(version).with_suffix(".new")
        new.write_text(reason, encoding="utf-8")
        new.replace(self._file(version))

    def _file(self, version: ModelVersion) -> Path:
        return self._folder / f"{version.model}-{version.digest}"


def _fault(version: ModelVersion, found: Artifact) -> str:
    try:
        loaded_models.loader(version)  # forked processes share the imported runtime; nothing uses it here
    except Exception as error:
        return described(error)
    forked: Any = multiprocessing.get_context("fork")  # as Celery forks the worker's processes
    ours, theirs = forked.Pipe(duplex=False)
    process = forked.Process(target=_load, args=(version, found, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        reason: str = ours.recv() if ours.poll(LOAD_TIMEOUT) else f"it did not load within {LOAD_TIMEOUT:.0f} s"
    except EOFError:
        process.join()
        reason = f"the process that loaded it ended with status {process.exitcode}"
    process.kill()
    process.join()
    return reason


def _load(version: ModelVersion, found: Artifact, parent: Connection) -> None:
    try:
        loaded_models.load(version, found)
        parent.send("")
    except Exception as error:
        parent.send(described(error))


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
