"""The models and their versions as this program last saw them in PostgreSQL.

A program looks at the registry's revision each second, and reads the versions again when it has grown. No message tells
it: PostgreSQL's NOTIFY does not pass a pooler, and a broadcast in Redis may be lost.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, MetaData, Row, Table

from serving import catalogue
from serving.contract import Spec, per_spec
from serving.schema import ModelSchema, spec_of, takes
from store import models
from store.model_tables import State
from store.predictions import predictions_table
from store.retention import PersonalColumns

log = structlog.get_logger(__name__)

INTERVAL = 1.0
"""Seconds between two looks at the revision."""


class NoSpec(Exception):
    """The version's schema is code of another release, so this one cannot serve it."""


@dataclass(frozen=True, eq=False)
class ModelVersion:
    """One version of a model, which never changes. (Its state does; the registry has it.)"""

    model: str
    version: str
    runtime: str
    table: str
    schema: ModelSchema | None
    """None: the spec is code, in models/."""
    manifest: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    digest: str
    """SHA-256 of schema, options and files, in hexadecimal."""

    @cached_property
    def spec(self) -> Spec:
        """Raises NoSpec, and TypeError for a field that no column can keep."""
        if self.schema is not None:
            return spec_of(self.model, self.table, self.schema)
        if (spec := catalogue.specs().get(self.model)) is None:
            raise NoSpec(catalogue.refused().get(self.model, f"this release has no models/{self.model}"))
        return spec

    def forget_spec(self) -> None:
        """Free what has been made of the schema; it is made again when somebody asks."""
        self.__dict__.pop("spec", None)

    def takes_inputs_of(self, earlier: "ModelVersion") -> bool:
        """Return whether this version can score what was accepted under an earlier one."""
        if self.schema is None or earlier.schema is None:
            return self.schema is earlier.schema
        return self is earlier or takes(self.schema, earlier.schema)


class Registry:
    """What is served. Any thread may read it while one refreshes it."""

    def __init__(self) -> None:
        self.revision = -1
        self._versions: dict[str, dict[str, ModelVersion]] = {}
        self._states: dict[ModelVersion, State] = {}
        self.live: Mapping[str, ModelVersion] = {}
        """The live version of each model that has one, in the order of the names."""

    def refresh(self, connection: Connection) -> bool:
        """Read the versions if anything has changed, and return whether that was so."""
        revision = models.revision(connection)
        if revision == self.revision:
            return False
        rows = models.all_states(connection)
        unknown = [(row.model, row.version) for row in rows if self.version(row.model, row.version) is None]
        read = models.contents(connection, unknown) if unknown else []
        new = {(row.model, row.version): _version(row) for row in read}
        versions: dict[str, dict[str, ModelVersion]] = {}
        states: dict[ModelVersion, State] = {}
        for row in rows:
            one = self.version(row.model, row.version) or new[row.model, row.version]
            versions.setdefault(row.model, {})[row.version] = one
            states[one] = State(row.state)
        live = {one.model: one for one, state in states.items() if state is State.LIVE}
        replaced = [one for one in self.live.values() if live.get(one.model) is not one]
        for one in replaced:
            one.forget_spec()
        self._versions, self._states, self.live = versions, states, dict(sorted(live.items()))
        self.revision = revision
        if replaced:
            gc.collect()  # a spec is full of cycles, and Python might come upon them only after many more
        return True

    @property
    def models(self) -> list[str]:
        """The models that there are, whatever the states of their versions."""
        return sorted(self._versions)

    def version(self, model: str, version: str | None) -> ModelVersion | None:
        return self._versions.get(model, {}).get(version or "")

    def versions_of(self, model: str) -> list[ModelVersion]:
        """Return the model's versions in the order in which they were added."""
        return list(self._versions.get(model, {}).values())

    def title(self, version: ModelVersion) -> str:
        if version.schema is not None:
            return version.schema.title
        spec = catalogue.specs().get(version.model)
        return spec.title if spec else ""

    def state(self, version: ModelVersion) -> State:
        return self._states[version]

    def latest(self, model: str) -> ModelVersion | None:
        """Return the live version of a model, or else the one that was added last: its results are still read."""
        return self.live.get(model) or next(reversed(self._versions.get(model, {}).values()), None)

    def is_served(self, model: str) -> bool:
        """Return whether the model has a live version that this release knows how to serve."""
        version = self.live.get(model)
        return version is not None and (version.schema is not None or model in catalogue.folders())

    def is_retired(self, model: str) -> bool:
        """Return whether there is such a model, and no version of it is in use."""
        states = {self._states[one] for one in self._versions.get(model, {}).values()}
        return states == {State.RETIRED}

    def bounds(self, model: str) -> tuple[int, int]:
        """Return how many inputs a chunk of the model has at most, and its time limit in seconds."""
        found = self.latest(model)
        return (found.spec.max_chunk, found.spec.time_limit) if found else (Spec.max_chunk, Spec.time_limit)


def read(connection: Connection) -> Registry:
    """Return the registry as it is now."""
    found = Registry()
    found.refresh(connection)
    return found


def personal_columns(registry: Registry) -> PersonalColumns:
    """Return what retention is to empty of each model that says so."""
    found: dict[str, tuple[Table, Sequence[str]]] = {}
    for model in registry.models:
        latest = registry.latest(model)
        assert latest is not None  # noqa: S101 - a model has a version
        try:
            spec = latest.spec
        except NoSpec as error:
            log.warning("retention_leaves_out", model=model, reason=str(error))
            continue
        if spec.personal:
            found[model] = (predictions_of(spec), spec.personal)
    return found


@per_spec
def predictions_of(spec: Spec) -> Table:
    """Return the model's table of predictions, once: SQLAlchemy keeps a compiled statement for each that it meets."""
    return predictions_table(spec.table, spec.stored_columns, MetaData())


def _version(row: Row[Any]) -> ModelVersion:
    schema = None if row.schema is None else msgspec.convert(row.schema, ModelSchema)
    return ModelVersion(
        row.model,
        row.version,
        row.runtime,
        row.table_name,
        schema,
        row.manifest,
        row.evaluation or {},
        bytes(row.digest).hex(),
    )
