"""The statements of the registry: read what there is, add to it, and move a version from one state to another.

A change of a model or a version calls `lock` first, so that changes come one after another and every program sees a new
revision. The caller commits.
"""

from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import Column, Connection, Row, Select, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from store.model_tables import (
    State,
    model_artifact_urls,
    model_artifacts,
    model_events,
    model_versions,
    models,
    registry,
)

PART = 2**20
"""Bytes of a file in one row."""


class ModelEvent(NamedTuple):
    """What happens to a version, who does it, and why."""

    event: str
    by: str
    reason: str | None = None
    gate: str | None = None
    """What the gate said of a promotion."""


REVISION = text("SELECT revision FROM registry")


def revision(connection: Connection) -> int:
    """Return a number that grows with every change."""
    return int(connection.scalar(REVISION) or 0)


def lock(connection: Connection) -> None:
    """Let this transaction alone change models and versions."""
    connection.execute(update(registry).values(revision=registry.c.revision + 1))


def all_states(connection: Connection) -> list[Row[Any]]:
    """Return (model, version, state) of every version, in the order in which they were added."""
    query: Select[Any] = select(model_versions.c.model, model_versions.c.version, model_versions.c.state)
    return list(connection.execute(query.order_by(model_versions.c.created_at)).all())


def contents(connection: Connection, which: Collection[tuple[str, str]]) -> list[Row[Any]]:
    """Return these versions, given as (model, version), with their models' tables."""
    key = tuple_(model_versions.c.model, model_versions.c.version)
    query = select(model_versions, models.c.table_name).join(models).where(key.in_(which))
    return list(connection.execute(query).all())


def versions_of(connection: Connection, model: str, latest: int | None = None) -> list[Row[Any]]:
    """Return (version, state, runtime, created_at, created_by) of the model's versions, in the order of time.

    With `latest`, only of so many that were added last.
    """
    shown = [model_versions.c[name] for name in ("version", "state", "runtime", "created_at", "created_by")]
    query = select(*shown).where(model_versions.c.model == model)
    return _in_time(connection, query, model_versions.c.created_at, latest)


def _in_time(connection: Connection, query: Select[Any], order: Column[Any], latest: int | None) -> list[Row[Any]]:
    if latest is None:
        return list(connection.execute(query.order_by(order)).all())
    return list(reversed(connection.execute(query.order_by(order.desc()).limit(latest)).all()))


LIVE_MODELS = (
    select(model_versions.c.model).where(model_versions.c.state == State.LIVE).order_by(model_versions.c.model)
)
"""The models that have a live version."""


def table_of(connection: Connection, model: str) -> str | None:
    """Return the name of the model's table; None where there is no such model."""
    name: str | None = connection.scalar(select(models.c.table_name).where(models.c.name == model))
    return name


def owner_of(connection: Connection, table: str) -> str | None:
    """Return the model that has a table of this name."""
    name: str | None = connection.scalar(select(models.c.name).where(models.c.table_name == table))
    return name


def tables(connection: Connection) -> dict[str, str]:
    """Return the table of each model that there ever was."""
    return {row.name: row.table_name for row in connection.execute(select(models.c.name, models.c.table_name))}


def add_model(connection: Connection, name: str, table: str) -> None:
    connection.execute(insert(models).values(name=name, table_name=table))


def version_with(connection: Connection, model: str, digest: bytes) -> str | None:
    """Return the version of the model that has the same schema, manifest and files."""
    same = (model_versions.c.model == model) & (model_versions.c.digest == digest)
    version: str | None = connection.scalar(select(model_versions.c.version).where(same))
    return version


def states(connection: Connection, model: str) -> dict[str, State]:
    """Return the state of each of the model's versions, in the order in which they were added."""
    query = select(model_versions.c.version, model_versions.c.state).where(model_versions.c.model == model)
    rows = connection.execute(query.order_by(model_versions.c.created_at)).all()
    return {row.version: State(row.state) for row in rows}


def add_version(connection: Connection, model: str, version: str, event: ModelEvent, **values: Any) -> None:
    """Add a candidate; `values` are the other columns."""
    connection.execute(insert(model_versions).values(model=model, version=version, created_by=event.by, **values))
    _note(connection, model, version, event, None, State.CANDIDATE)


def move(connection: Connection, model: str, version: str, state: State, event: ModelEvent) -> None:
    """Move a version to another state, and note why."""
    which = (model_versions.c.model == model) & (model_versions.c.version == version)
    old = connection.scalar(select(model_versions.c.state).where(which))
    connection.execute(update(model_versions).where(which).values(state=state))
    _note(connection, model, version, event, old, state)


def _note(connection: Connection, model: str, version: str, event: ModelEvent, old: str | None, new: State) -> None:
    values = {"model": model, "version": version, "old_state": old, "new_state": new, **event._asdict()}
    connection.execute(insert(model_events).values(values))


def events(connection: Connection, model: str, latest: int | None = None) -> list[Row[Any]]:
    """Return (at, version, event, old_state, new_state, by, reason, gate) of what became of the model's versions.

    They are in the order of time; with `latest`, only so many of the last.
    """
    names = ("at", "version", "event", "old_state", "new_state", "by", "reason", "gate")
    shown = [model_events.c[name] for name in names]
    query = select(*shown).where(model_events.c.model == model)
    return _in_time(connection, query, model_events.c.id, latest)


def store_file(connection: Connection, sha256: bytes, content: BinaryIO) -> None:
    """Store a file under its hash, unless it is there."""
    if connection.scalar(select(model_artifacts.c.part).where(model_artifacts.c.sha256 == sha256).limit(1)) is not None:
        return
    part = 0
    while True:
        block = content.read(PART)
        if not block and part:
            return
        stored = insert(model_artifacts).values(sha256=sha256, part=part, content=block)
        connection.execute(stored.on_conflict_do_nothing())  # somebody may be storing the same file
        part += 1


def read_file(connection: Connection, sha256: bytes) -> Iterator[bytes]:
    """Yield a file's parts; none where it is not stored."""
    part = 0
    while True:
        one = (model_artifacts.c.sha256 == sha256) & (model_artifacts.c.part == part)
        block = connection.scalar(select(model_artifacts.c.content).where(one))
        if block is None:
            return
        yield bytes(block)
        part += 1


def store_url(connection: Connection, sha256: bytes, url: str, size: int) -> None:
    """Note where a file of so many bytes lies, by its hash. An earlier place is forgotten."""
    values = {"url": url, "bytes": size}
    stored = insert(model_artifact_urls).values(sha256=sha256, **values)
    connection.execute(stored.on_conflict_do_update(index_elements=["sha256"], set_=values))


def url_of(connection: Connection, sha256: bytes) -> tuple[str, int] | None:
    """Return the URL and the size of a file that lies in a folder or a bucket."""
    query = select(model_artifact_urls.c.url, model_artifact_urls.c.bytes)
    found = connection.execute(query.where(model_artifact_urls.c.sha256 == sha256)).one_or_none()
    return None if found is None else (found.url, found.bytes)
