"""Statements that PostgreSQL parses and plans once for many executions: what every chunk runs."""

import re
from collections.abc import Iterable
from itertools import count
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError

PLAN_SECONDS = 5.0
"""For so long a plan is kept. The best one changes with the tables: the plan of an idle moment reads all that waits."""

_numbers = count(1)


class KeptPlan(NamedTuple):
    name: str
    execute: TextClause
    made: float
    """By time.monotonic."""


class PreparedStatement:
    """A statement whose plan an engine that `keeps_plans` keeps on each connection, unless a pooler is between.

    PREPARE goes with an EXECUTE, in one round trip. Preparing again replaces a plan that has become old.
    """

    def __init__(self, statement: str, /, **types: str) -> None:
        """`types` has PostgreSQL's type of each parameter, which the statement names as SQLAlchemy does: `:name`."""
        self._plain = text(re.sub(r"(?<!:):(\w+)", lambda name: f"CAST(:{name[1]} AS {types[name[1]]})", statement))
        numbers = {name: f"${number}" for number, name in enumerate(types, 1)}
        self._definition = re.sub(r"(?<!:):(\w+)", lambda name: numbers[name[1]], statement)
        self._types = ", ".join(types.values())
        self._values = ", ".join(f":{name}" for name in types)

    def execute(self, connection: Connection, **values: object) -> CursorResult[Any]:
        """Execute it; lists of ids and of numbers are as `array` writes them."""
        plans: dict[PreparedStatement, KeptPlan] | None = getattr(
            connection.connection.driver_connection, "plans", None
        )
        if plans is None:
            return connection.execute(self._plain, values)
        if (plan := plans.get(self)) is not None and plan.made + PLAN_SECONDS > monotonic():
            return connection.execute(plan.execute, values)
        forget = f"DEALLOCATE {plans.pop(self).name}; " if plan else ""
        name = f"statement_{next(_numbers)}"
        prepare = f"PREPARE {name} ({self._types}) AS {self._definition}"
        execute = f"EXECUTE {name} ({self._values})"
        try:
            result = connection.execute(text(f"{forget}{prepare}; {execute}"), values)
        except DBAPIError:
            connection.invalidate()  # it may keep a statement of this name, of which nobody knows
            raise
        plans[self] = KeptPlan(name, text(execute), monotonic())
        return result


def array(values: Iterable[UUID | int]) -> str:
    """Write an array as a constant, which PostgreSQL reads more quickly than an expression of so many constants."""
    return f"{{{','.join(map(str, values))}}}"
