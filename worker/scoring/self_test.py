"""Loads a version once in a process of its own, before those that score load it: a broken one stops no other.

The verdicts are files in a folder that the worker's processes share.
"""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from registry.versions import ModelVersion
from serving.artifact import Artifact
from serving.contract import ModelAway
from worker.scoring import loaded_models

log = structlog.get_logger(__name__)

RETRY = 15.0
"""Seconds until a version is tested again whose container, server or environment was not there."""

LOAD_TIMEOUT = 600.0
"""Seconds that a model has to load."""


class SelfTests:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._again: dict[ModelVersion, float] = {}
        """When to test those again that something away kept from being loaded."""

    def is_due(self, version: ModelVersion) -> bool:
        """Return whether the version is to be tested: it was not yet, or may pass by now."""
        again = self._again.get(version)
        return self.verdict(version) is None or (again is not None and monotonic() > again)

    def verdict(self, version: ModelVersion) -> str | None:
        """Return why the version could not be loaded; empty: it could; None: it was not tested yet."""
        try:
            return self._file(version).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def run(self, version: ModelVersion, found: Artifact) -> bool:
        """Load the version once, note the verdict, and return whether it can be loaded."""
        reason, passes = _fault(version, found)
        self._again.pop(version, None)
        if passes:
            self._again[version] = monotonic() + RETRY
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


def _fault(version: ModelVersion, found: Artifact) -> tuple[str, bool]:
    """Return why the version cannot be loaded, empty if it can, and whether that may pass by itself."""
    try:
        loaded_models.loader(version)  # forked processes share the imported runtime; nothing uses it here
    except Exception as error:
        return described(error), False
    forked: Any = multiprocessing.get_context("fork")  # as Celery forks the worker's processes
    ours, theirs = forked.Pipe(duplex=False)
    process = forked.Process(target=_load, args=(version, found, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        late = (f"it did not load within {LOAD_TIMEOUT:.0f} s", False)
        verdict: tuple[str, bool] = ours.recv() if ours.poll(LOAD_TIMEOUT) else late
    except EOFError:
        process.join()
        verdict = (f"the process that loaded it ended with status {process.exitcode}", False)
    process.kill()
    process.join()
    return verdict


def _load(version: ModelVersion, found: Artifact, parent: Connection) -> None:
    try:
        loaded_models.load(version, found)
        parent.send(("", False))
    except Exception as error:
        parent.send((described(error), isinstance(error, ModelAway)))


def described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
