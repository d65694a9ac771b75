"""The states of a task, in Celery's words as Flower shows them, and what a transition between them is, in SQL."""

from enum import IntEnum, StrEnum


class Status(StrEnum):
    PENDING = "PENDING"
    """Accepted and durable; waits for a worker."""
    STARTED = "STARTED"
    """A worker owns it until its lease ends."""
    SUCCESS = "SUCCESS"
    """Its predictions are stored."""
    FAILURE = "FAILURE"
    """It cannot be scored; `error` says why. Its inputs are kept for a replay."""
    REVOKED = "REVOKED"
    """Cancelled by its client or an operator."""
    EXPIRED = "EXPIRED"
    """Its deadline passed before it was scored."""


PENDING, STARTED, SUCCESS, FAILURE, REVOKED, EXPIRED = Status

FINAL = frozenset({SUCCESS, FAILURE, REVOKED, EXPIRED})


def status_in(*statuses: Status) -> str:
    """Return the condition in SQL, with constants: PostgreSQL matches no parameter with a partial index."""
    names = ", ".join(f"'{status}'" for status in Status if status in statuses)
    return f"status IN ({names})" if "," in names else f"status = {names}"


class Transition:
    """Who takes a task from one of which states to which, and the columns that change with it, in SQL.

    A task that ends gets `finished_at`, and one that leaves STARTED loses its lease: those need not be named.
    """

    def __init__(self, by: str, source: tuple[Status, ...], target: Status, /, **columns: str) -> None:
        self.by, self.source, self.target = by, source, target
        self._columns = {"status": f"'{target}'"} | columns
        if target in FINAL:
            self._columns["finished_at"] = "now()"
        if STARTED in source and target is not STARTED:
            self._columns["lease_until"] = "NULL"

    @property
    def allowed(self) -> str:
        """The condition on `status`."""
        return status_in(*self.source)

    def allowed_among(self, columns: str, values: str, rows: str = "(SELECT) AS one") -> str:
        """The same where the columns, too, have the values of one of the rows: a condition that no index serves.

        For a prepared statement: its plan is kept while the number of tasks in a state changes by the thousand.
        """
        (state,) = self.source
        return f"(({columns}, status) IN (SELECT {values}, '{state}' FROM {rows})) IS TRUE"

    @property
    def sets(self) -> str:
        """The SET list."""
        return ", ".join(f"{name} = {value}" for name, value in self._columns.items())

    def sets_where(self, condition: str, otherwise: "Transition") -> str:
        """Return the SET list of this transition where the condition holds, and of the other one where it does not."""
        columns = self._columns | otherwise._columns
        choices = {name: (self._columns.get(name, name), otherwise._columns.get(name, name)) for name in columns}
        return ", ".join(
            f"{name} = {one}" if one == other else f"{name} = CASE WHEN {condition} THEN {one} ELSE {other} END"
            for name, (one, other) in choices.items()
        )


class Priority(IntEnum):
    """Which waiting tasks are scored first: the smaller, the sooner."""

    HIGH = 0
    NORMAL = 1
    LOW = 2
