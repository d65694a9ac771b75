"""Rows as columns, as CSV and Arrow bodies have them, before the schema has looked at their values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """One list a column, by the names that callers write, with the types of JSON."""

    columns: Mapping[str, list[Any]]
    n_rows: int
    faults: Mapping[int, str] = field(default_factory=dict)
    """By position: what is wrong with a row that could not be cut into cells."""

    def rows(self, positions: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows, or those at these positions, as mappings."""
        columns: Any = self.columns.values()
        if positions is not None:
            columns = ([column[position] for position in positions] for column in columns)
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True))
