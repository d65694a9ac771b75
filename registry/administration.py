"""Adds versions and moves them between states; each call is one change, within the caller's transaction."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from registry import table_types
from registry.large_files import LargeFile
from serving.artifact import MADE, sha256
from serving.schema import ModelSchema
from store import models
from store.model_tables import State
from store.models import ModelEvent


class RegistryRefused(ValueError):
    """The change is not possible; the message says why, and what to do."""


class UnknownVersion(RegistryRefused):
    """The model has no such version."""


@dataclass(frozen=True)
class NewVersion:
    """What is added.

    `schema` is None for a model whose spec is code. `files` are by their names in the artifact. `manifest` is what the
    runtime has to know beside these.
    """

    model: str
    table: str
    runtime: str
    schema: ModelSchema | None
    files: Mapping[str, Path]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] | None = None
    version: str | None = None
    """Its name; None: the next number."""
    large: Mapping[str, LargeFile] = field(default_factory=dict)
    """Those of the files that lie in a folder or a bucket already."""


@dataclass(frozen=True)
class Added:
    version: str
    is_new: bool
    """False: this version was there already, and nothing was added."""


def add(connection: Connection, new: NewVersion, by: str, reason: str | None = None) -> Added:
    """Store a version as a candidate, with its files; the model too if it is the first. Raises RegistryRefused."""
    hashes = {name: _store(connection, new, name) for name in sorted(new.files)}
    models.lock(connection)  # only now: a large file takes minutes, and nobody else could promote meanwhile
    table = models.table_of(connection, new.model)
    if table is None:
        if owner := models.owner_of(connection, new.table):
            raise RegistryRefused(f"the table {new.table} belongs to the model {owner}; choose another name")
        models.add_model(connection, new.model, new.table)
    elif table != new.table:
        raise RegistryRefused(f"the model {new.model} has the table {table}; it cannot have {new.table} as well")
    schema = msgspec.to_builtins(new.schema)
    digest = _digest(new, hashes, schema)
    if same := models.version_with(connection, new.model, digest):
        return Added(same, is_new=False)
    existing = models.states(connection, new.model)
    version = new.version or str(1 + max((int(name) for name in existing if name.isdecimal()), default=0))
    if version in existing:
        raise RegistryRefused(f"{new.model} has a version {version} with other contents; choose another name for it")
    models.add_version(
        connection,
        new.model,
        version,
        ModelEvent("added", by, reason),
        runtime=new.runtime,
        schema=schema,
        manifest={**new.manifest, "version": version, "sha256": hashes},
        evaluation=new.evaluation,
        digest=digest,
    )
    return Added(version, is_new=True)


def _store(connection: Connection, new: NewVersion, name: str) -> str:
    """Store a file of the version, or where it lies, and return its hash."""
    if (large := new.large.get(name)) is not None:
        models.store_url(connection, bytes.fromhex(large.sha256), large.url, large.bytes)
        return large.sha256
    digest = sha256(new.files[name])
    with new.files[name].open("rb") as content:
        models.store_file(connection, bytes.fromhex(digest), content)
    return digest


def _digest(new: NewVersion, hashes: Mapping[str, str], schema: Any) -> bytes:
    loaded = {name: digest for name, digest in hashes.items() if name not in MADE}  # which make no version new
    return hashlib.sha256(msgspec.json.encode((new.runtime, schema, new.manifest, loaded), order="sorted")).digest()


def promote(
    connection: Connection,
    model: str,
    version: str | None,
    by: str,
    reason: str | None = None,
    verdict: str | None = None,
) -> str:
    """Make a version live, by default the one that was added last, and return it. Raises RegistryRefused.

    `verdict` is what the gate said of it, for the event: `registry.gate` finds it.
    """
    models.lock(connection)
    states = _states(connection, model)
    chosen = version or next(reversed(states))
    _check(model, chosen, states)
    if states[chosen] is State.LIVE:
        raise RegistryRefused(f"{model} {chosen} is live already")
    _replace(connection, model, states, chosen, ModelEvent("promoted", by, reason, verdict))
    return chosen


def shadow(
    connection: Connection, model: str, version: str | None, by: str, reason: str | None = None, *, stop: bool = False
) -> str:
    """Let a candidate score live inputs without an effect, or no longer; return it. Raises RegistryRefused."""
    models.lock(connection)
    states = _states(connection, model)
    chosen = version or next(reversed(states))
    _check(model, chosen, states)
    before, after = (State.SHADOW, State.CANDIDATE) if stop else (State.CANDIDATE, State.SHADOW)
    if states[chosen] is not before:
        raise RegistryRefused(f"{model} {chosen} is {states[chosen]}, not a {before}")
    if not stop:
        _require_fit(connection, model, chosen)
    models.move(connection, model, chosen, after, ModelEvent("unshadowed" if stop else "shadowed", by, reason))
    return chosen


def roll_back(connection: Connection, model: str, by: str, reason: str | None = None) -> str:
    """Make the version live that was before the live one, and return it. Raises RegistryRefused."""
    models.lock(connection)
    states = _states(connection, model)
    live = _live(states)
    if live is None:
        raise RegistryRefused(f"{model} has no live version; promote one instead")
    earlier = [version for version in _promoted(connection, model)[:-1] if states[version] is not State.RETIRED]
    if not earlier:
        raise RegistryRefused(f"no version of {model} was live before {live}; promote another, or retire the model")
    _replace(connection, model, states, earlier[-1], ModelEvent("rolled_back", by, reason))
    return earlier[-1]


def _promoted(connection: Connection, model: str) -> list[str]:
    """Return the versions whose promotion stands: a roll back takes back the latest, so that two go two steps back."""
    standing: list[str] = []
    for event in models.events(connection, model):
        if event.event == "promoted":
            standing.append(event.version)
        elif event.event == "rolled_back":
            while standing and standing[-1] != event.version:
                standing.pop()
    return standing


def retire(connection: Connection, model: str, version: str | None, by: str, reason: str | None = None) -> list[str]:
    """Retire a version, unless it is live, or the whole model. Return the versions. Raises RegistryRefused."""
    models.lock(connection)
    states = _states(connection, model)
    if version is not None:
        _check(model, version, states)
        if states[version] is State.LIVE:
            raise RegistryRefused(
                f"{model} {version} is live; promote another version first, or retire the whole model: {model}"
            )
    chosen = [version] if version else [name for name, state in states.items() if state is not State.RETIRED]
    for name in chosen:
        models.move(connection, model, name, State.RETIRED, ModelEvent("retired", by, reason))
    return chosen


def _replace(connection: Connection, model: str, states: Mapping[str, State], version: str, event: ModelEvent) -> None:
    """Let the version take the place of the live one, which is a candidate again."""
    _require_fit(connection, model, version)
    if live := _live(states):
        models.move(connection, model, live, State.CANDIDATE, event._replace(event="replaced"))
    models.move(connection, model, version, State.LIVE, event)


def _require_fit(connection: Connection, model: str, version: str) -> None:
    if why := table_types.misfit(connection, model, version):
        raise RegistryRefused(f"{why}; use another version, or `millrace models add` this one again with --rewrite")


def _states(connection: Connection, model: str) -> dict[str, State]:
    states = models.states(connection, model)
    if not states:
        raise RegistryRefused(f"there is no model {model}; add it first, and see `millrace models list`")
    return states


def _live(states: Mapping[str, State]) -> str | None:
    return next((version for version, state in states.items() if state is State.LIVE), None)


def _check(model: str, version: str, states: Mapping[str, State]) -> None:
    if version not in states:
        raise UnknownVersion(f"{model} has no version {version}; it has {', '.join(states)}")
