"""Loads a version into this process, as a worker does: verified, and checked on its golden rows."""

from sqlalchemy import Connection

import runtimes
from registry.artifacts import ArtifactCache, ArtifactSettings
from registry.versions import ModelVersion, NoSpec
from serving.artifact import CODE, ArtifactMissing, ArtifactTampered, UnsafeFormat
from serving.contract import ModelAway
from worker.scoring import loaded_models
from worker.scoring.loaded_models import GoldenRowsDiffer, ModelInstance


class NotLoadable(Exception):
    """This version cannot score here; the message says why, and what to do."""


def load(connection: Connection, version: ModelVersion) -> ModelInstance:
    """Return the version ready to predict. Raises NotLoadable."""
    named = f"{version.model}@{version.version}"
    if version.runtime == CODE:
        raise NotLoadable(f"{named} is code, which only a worker that allows it runs")
    if version.schema is not None and not runtimes.available(version.runtime):
        raise NotLoadable(f"{named} needs {version.runtime}; install requirements/worker-{version.runtime}.txt")
    try:
        found = ArtifactCache(ArtifactSettings().model_cache).fetch(connection, version)
        return loaded_models.load(version, found)
    except (ArtifactMissing, ArtifactTampered, UnsafeFormat, GoldenRowsDiffer, ModelAway, NoSpec) as error:
        raise NotLoadable(f"{named}: {error}") from error
    except Exception as error:  # each library has its own for a file that it cannot load
        said = str(error).partition("\n")[0]
        raise NotLoadable(f"{named} cannot be loaded here: {type(error).__name__}: {said}") from error
