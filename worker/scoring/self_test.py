"""Loads a version once in a process of its own, before those that score load it: a broken one stops no other.

The verdicts are files in a folder that the worker's processes share. A process that has used a model already starts
the other one afresh (`spawn`): in a fork of it, OpenMP runtimes hang.
"""

import fcntl
import multiprocessing
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import structlog

from registry.versions import ModelVersion
from serving.artifact import Artifact
from serving.contract import ModelAway
from worker.scoring import loaded_models

log = structlog.get_logger(__name__)

RETRY = 15.0
"""Seconds until a version is tested again whose container, server, environment or large file was not there."""

LOAD_TIMEOUT = 600.0
"""Seconds that a model has to load."""


class SelfTests:
    def __init__(self, folder: Path, method: Literal["fork", "spawn"] = "fork") -> None:
        """Use this folder; `method` says how the process starts that loads a version."""
        self._folder = folder
        self._method = method

    def is_due(self, version: ModelVersion) -> bool:
        """Return whether the version is to be tested: it was not yet, or may pass by now."""
        try:
            return time.time() - self._away(version).stat().st_mtime > RETRY
        except FileNotFoundError:
            return self.verdict(version) is None

    def once(self, version: ModelVersion, found: Artifact) -> str:
        """Return why the version cannot be loaded, empty if it can: one process tests it, and others wait for that."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.is_due(version):
                self.run(version, found)
        return self.verdict(version) or ""

    def verdict(self, version: ModelVersion) -> str | None:
        """Return why the version could not be loaded; empty: it could; None: it was not tested yet."""
        try:
            return self._file(version).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def run(self, version: ModelVersion, found: Artifact) -> bool:
        """Load the version once, note the verdict, and return whether it can be loaded."""
        reason, passes = _fault(version, found, self._method)
        self._away(version).unlink(missing_ok=True)
        if reason:
            self.refuse(version, reason, passes=passes)
        else:
            self._note(version, "")
        return not reason

    def refuse(self, version: ModelVersion, reason: str, *, passes: bool = False) -> None:
        """Note why a version cannot even be tried; with `passes`, it is due again after a while."""
        if passes:
            self._away(version).touch()
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

    def _away(self, version: ModelVersion) -> Path:
        """Return the file that is there while something away keeps the version from being loaded."""
        return self._file(version).with_suffix(".away")


def _fault(version: ModelVersion, found: Artifact, method: str) -> tuple[str, bool]:
    """Return why the version cannot be loaded, empty if it can, and whether that may pass by itself."""
    try:
        loaded_models.loader(version)  # forked processes share the imported runtime; nothing uses it here
    except Exception as error:
        return described(error), False
    context: Any = multiprocessing.get_context(method)  # Celery, too, forks the worker's processes
    ours, theirs = context.Pipe(duplex=False)
    as_stored = replace(version)  # without the spec that was made of it: a new process could not read it
    process = context.Process(target=_load, args=(as_stored, found, theirs), daemon=True)
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
