"""Finds a person's inputs in tasks, which hold them while they wait and for a replay; erases them from ended tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine

from registry.prediction_tables import changing
from registry.versions import ModelVersion
from serving import wire
from store import erasing, erasures
from store.erasing import KeyColumn, OtherInputs
from store.states import PENDING, STARTED

PAYLOADS = 10
"""Payloads that are looked at at once."""


class UnusableKey(Exception):
    """Nothing can be stored under this key; the message says why."""


@dataclass(frozen=True)
class Person:
    """Whose data is erased: a key of the callers, in each column and field that it has in a version of the model."""

    model: str
    table: str
    key: str
    columns: Sequence[KeyColumn]
    fields: frozenset[str]

    def is_in(self, one: Mapping[str, Any]) -> bool:
        """Return whether an input, as it was submitted, is this person's."""
        values = {column.value for column in self.columns}
        return any(one.get(field) in values for field in self.fields)

    @property
    def spelled(self) -> bytes | None:
        """The key as a payload has it, if not with a backslash; None: it is a number, which has many spellings."""
        texts = all(isinstance(column.value, str) for column in self.columns)
        return self.key.encode() if texts else None


def person(versions: Sequence[ModelVersion], key: str) -> Person:
    """Raises UnusableKey, and NoSpec where this release does not know a version's schema."""
    kinds: dict[str, str] = {}
    fields = set()
    for spec in (version.spec for version in versions):
        if spec.key is not None:
            kinds[spec.key] = next(column.kind for column in spec.input_columns if column.name == spec.key)
            fields.add(spec.public_names[spec.key])
    if not kinds:
        raise UnusableKey("the model has no key, so nothing tells whose an input is")
    columns = [KeyColumn(name, key) for name, kind in kinds.items() if kind == "text"]
    if key.removeprefix("-").isdecimal():
        columns += [KeyColumn(name, int(key)) for name, kind in kinds.items() if kind != "text"]
    if not columns:
        raise UnusableKey("the model's key is a whole number")
    return Person(versions[0].model, versions[0].table, key, columns, frozenset(fields))


class HeldTask(NamedTuple):
    """A task whose stored inputs have the key among them."""

    task_id: UUID
    waits: bool
    """Whether it has not ended."""


def held(engine: Engine, person: Person) -> Iterator[HeldTask]:
    """Yield the tasks whose stored inputs have the key among them. Raises UnknownFormat."""
    after = UUID(int=0)
    while True:
        with engine.begin() as connection:
            rows = erasing.held_inputs(connection, person.model, after, PAYLOADS, person.spelled)
        for row in rows:
            if _has_key(person, bytes(row.payload)):
                yield HeldTask(row.task_id, row.status in (PENDING, STARTED))
        if len(rows) < PAYLOADS:
            return
        after = rows[-1].task_id


def erase_held(engine: Engine, person: Person, erasure: int) -> int:
    """Erase the key's inputs from ended tasks that keep theirs for a replay; return how many tasks there were."""
    found = [task.task_id for task in held(engine, person) if not task.waits]
    for task_id in found:

        def erase(connection: Connection, task_id: UUID = task_id) -> None:
            if erasing.erase_inputs(connection, task_id, person.key, lambda payload: _others(person, payload)):
                erasures.note(connection, erasure, tasks=1)

        changing(engine, erase)
    return len(found)


def _inputs(payload: bytes) -> list[dict[str, Any]] | None:
    """Return a payload's inputs; None where it is none of ours, so that nobody can tell whose it is."""
    try:
        inputs = wire.inputs(payload)
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
        return None
    return inputs if all(isinstance(one, dict) for one in inputs) else None


def _has_key(person: Person, payload: bytes) -> bool:
    inputs = _inputs(payload)
    if inputs is None:
        return person.key.encode() in payload
    return any(map(person.is_in, inputs))


def _others(person: Person, payload: bytes) -> OtherInputs | None:
    others = [one for one in _inputs(payload) or () if not person.is_in(one)]
    return OtherInputs(msgspec.json.encode(others), len(others)) if others else None
