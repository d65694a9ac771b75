"""Which versions a worker is to load: the live ones of the models that it was given, and whose runtime it has."""

from collections.abc import Sequence

import runtimes
from registry.versions import ModelVersion, Registry
from runtimes.code_model import CodeSettings
from serving import catalogue
from serving.artifact import CODE


def wanted(registry: Registry, chosen: Sequence[str]) -> dict[str, ModelVersion]:
    """Return the live versions that this worker is to load, by model; `chosen` is empty for all that it can load."""
    return {
        name: version
        for name, version in registry.live.items()
        if name in chosen or (not chosen and _can_load(version))
    }


def refused(chosen: Sequence[str]) -> dict[str, str]:
    """Return why, by name, the specs of models of this repository cannot be read that a worker is to load."""
    return {name: reason for name, reason in catalogue.refused().items() if not chosen or name in chosen}


def _can_load(version: ModelVersion) -> bool:
    """Return whether its runtime is installed here. An image for one runtime has not the others' packages."""
    if version.schema is None:
        return version.model in catalogue.folders()
    if version.runtime == CODE:
        return CodeSettings().allows(version.model)
    return runtimes.available(version.runtime)
