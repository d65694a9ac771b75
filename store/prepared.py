"""Statements that a session plans once. Planning takes the hottest ones as long as running them."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, CursorResult, text

PREPARED = "prepared"
"""Where a connection's `info` has the names of what its session has prepared; a session that may not has none."""


class PreparedStatement:
    def __init__(self, parameters: str, statement: str) -> None:
        """Take the parameters as names and types of PostgreSQL, `"ids uuid[], version text"`; they stand as `:ids`."""
        types = dict(one.split(" ", 1) for one in parameters.split(", "))
        self._text = text(statement)
        self._name = f"p{sha256(statement.encode()).hexdigest()[:16]}"
        numbers = {name: f"${number}" for number, name in enumerate(types, 1)}
        numbered = re.sub(r"(?<!:):(\w+)", lambda found: numbers[found[1]], statement)
        self._prepare = f"PREPARE {self._name} ({', '.join(types.values())}) AS {numbered}"
        self._execute = f"EXECUTE {self._name} ({', '.join(f'%({name})s' for name in types)})"

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        prepared: set[str] | None = connection.info.get(PREPARED)
        if prepared is None:
            return connection.execute(self._text, values)
        if self._name not in prepared:
            connection.exec_driver_sql(self._prepare)
            prepared.add(self._name)
        return connection.exec_driver_sql(self._execute, dict(values))
