"""The files of versions on this machine: fetched once, kept by hash, and verified before each load."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import gettempdir

import structlog
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection

from registry import large_files
from registry.versions import ModelVersion
from serving import artifact, scratch
from serving.artifact import MANIFEST, Artifact, ArtifactMissing, ArtifactTampered
from serving.scratch import Scratch
from store import models

log = structlog.get_logger(__name__)

KEPT = 3
"""Versions of a model that the folder keeps: the live one, the one before, and one that is tried."""


FETCHING = ".fetching"
"""The folder within, on the same disk, in which files are until all of a version are there."""


class ArtifactSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    model_cache: Path = Field(
        default_factory=lambda: Path(gettempdir()) / f"millrace-models-{os.getuid()}",
        description="folder in which a worker keeps the files of models; empty: one in the system's temporary folder",
    )


class ArtifactCache:
    def __init__(self, folder: Path) -> None:
        """Use this folder, which nobody else may write to. Raises PermissionError where somebody else may."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not scratch.is_own(folder):
            raise PermissionError(f"{folder} can be written by others; set MODEL_CACHE to a folder of your own")
        self._folder = folder

    def find(self, version: ModelVersion) -> Artifact | None:
        """Return the version's files if they are here."""
        place = self._place(version)
        return Artifact(place, dict(version.manifest)) if (place / MANIFEST).exists() else None

    def fetch(self, connection: Connection, version: ModelVersion) -> Artifact:
        """Return the version's files; fetch them if they are not here, or are not what they were.

        Those that lie in a folder or a bucket are read after the connection's transaction has ended, as that takes
        longer than one may be idle. Raises ArtifactMissing, ArtifactTampered, UnsafeFormat and FileAway.
        """
        if (found := self.find(version)) is not None:
            try:
                artifact.verify(found)
                os.utime(found.path)
                return found
            except ArtifactTampered as error:
                log.warning(
                    "artifact_fetched_again", model=version.model, model_version=version.version, why=str(error)
                )
                shutil.rmtree(found.path)
        target = self._place(version)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with Scratch(self._folder / FETCHING) as fetching:
            made = fetching.path / "made"
            made.mkdir()
            large = {}
            for name, sha256 in version.manifest["sha256"].items():
                if not _write(made / name, models.read_file(connection, bytes.fromhex(sha256))):
                    large[name] = models.url_of(connection, bytes.fromhex(sha256))
            if large:
                connection.rollback()
            for name, place in large.items():
                if place is None:
                    raise ArtifactMissing(
                        f"{version.model} {version.version}: PostgreSQL does not have the file {name}"
                    )
                _write(made / name, large_files.read(*place))
            (made / MANIFEST).write_text(json.dumps(version.manifest), encoding="utf-8")
            artifact.verify(Artifact(made, dict(version.manifest)))
            try:
                made.rename(target)
            except OSError:  # another worker of this machine was quicker
                if not (target / MANIFEST).exists():
                    raise
        self._drop_old(target.parent)
        return Artifact(target, dict(version.manifest))

    def _place(self, version: ModelVersion) -> Path:
        return self._folder / version.model / f"{version.version}-{version.digest[:16]}"

    def _drop_old(self, of_model: Path) -> None:
        newest_first = sorted(of_model.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
        for place in newest_first[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)


def _write(file: Path, content: Iterable[bytes]) -> bool:
    """Write a file, and return whether there was any content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = False
    with file.open("wb") as written:
        for part in content:
            written.write(part)
            found = True
    return found
