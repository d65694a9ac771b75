"""Registers the models of this repository through the same door as every other."""

from pathlib import Path

import structlog
from sqlalchemy import Connection

from registry import administration, versions
from registry.administration import Added, NewVersion, RegistryRefused
from serving import artifact, catalogue
from serving.artifact import Artifact
from store import models
from store.model_tables import State

log = structlog.get_logger(__name__)

CODE = "models."
"""How the runtime of a version begins that a package of this repository loads."""

BY = "millrace"
"""Who adds them, in the events."""


def untried(connection: Connection) -> list[tuple[str, str]]:
    """Return (model, version) of the artifacts of the repository that are newer than what is live, and never were."""
    known = versions.read(connection)
    found = []
    for name in known.live:
        newest = known.versions_of(name)[-1]
        promoted = {event.version for event in models.events(connection, name) if event.event == "promoted"}
        if newest.runtime.startswith(CODE) and newest.version not in promoted:
            found.append((name, newest.version))
    return found


def register(connection: Connection) -> list[tuple[str, str]]:
    """Add the artifacts that `models/<name>/artifact/CURRENT` names. Return (model, version) of the new candidates.

    One goes live where no version of its model ever was. A model whose artifact is missing or refused is left out.
    """
    candidates = []
    for name in catalogue.specs():
        try:
            added = _add(connection, name, artifact.current(name))
        except (artifact.ArtifactMissing, artifact.ArtifactTampered, artifact.UnsafeFormat, RegistryRefused) as error:
            log.critical("model_not_registered", model=name, reason=str(error))
            continue
        if not added.is_new:
            continue
        if all(event.new_state != State.LIVE for event in models.events(connection, name)):
            administration.promote(connection, name, added.version, BY)
        else:
            candidates.append((name, added.version))
    return candidates


def register_from(connection: Connection, name: str, folder: Path) -> list[tuple[str, str]]:
    """Add the artifact that `CURRENT` in another folder names, and return (model, version) if it is new.

    It stays a candidate: the registry keeps the files, so the folder is not needed afterwards. Raises
    ArtifactMissing, ArtifactTampered, UnsafeFormat and RegistryRefused.
    """
    added = _add(connection, name, artifact.current(name, folder))
    return [(name, added.version)] if added.is_new else []


def _add(connection: Connection, name: str, found: Artifact) -> Added:
    artifact.verify(found)
    manifest = {key: value for key, value in found.manifest.items() if key not in ("sha256", "version")}
    new = NewVersion(
        name,
        catalogue.specs()[name].table,
        runtime=f"{CODE}{name}",
        schema=None,
        files={file: found.path / file for file in found.manifest["sha256"]},
        manifest=manifest,
        evaluation=found.evaluation if (found.path / "evaluation.json").exists() else None,
        version=found.version,
    )
    return administration.add(connection, new, BY)
