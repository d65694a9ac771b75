"""Which predictions fit the filters under which reviewers drew."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from cli.evaluate import log
from cli.evaluate.coded import CodedColumn
from evaluation.linear import Flags
from serving.contract import Spec


class FilterFits(Mapping[str, Flags]):
    """For each filter, which predictions fit it.

    A reviewer who looks reports up leaves a filter for each: one key. These share one column of keys, since PostgreSQL
    returns 1,664 columns at most. All other filters have a column each.
    """

    def __init__(self, spec: Spec, filters: list[str]) -> None:
        asked = {filtered: _key_of(spec, filtered) for filtered in filters}
        self._keys = {filtered: key for filtered, key in asked.items() if key is not None}
        others = [filtered for filtered, key in asked.items() if key is None]
        self._others = {filtered: f"fits_{number}" for number, filtered in enumerate(others)}
        self.columns: dict[str, tuple[str, str]] = {}
        """What to read, as SqlColumns."""
        self.parameters: dict[str, Any] = {}
        for filtered, column in self._others.items():
            condition, given = log.condition(spec, filtered, column)
            self.columns[column] = (condition, "boolean")
            self.parameters |= given
        if self._keys:
            key = f'CAST(p."{spec.key}" AS text)'
            self.columns["looked_up"] = (f"CASE WHEN {key} = ANY(%(looked_up)s) THEN {key} END", "text")
            self.parameters["looked_up"] = list(set(self._keys.values()))

    def take(self, arrays: Mapping[str, NDArray[Any] | CodedColumn]) -> None:
        """Keep what was read for the columns."""
        self._arrays = arrays

    def __getitem__(self, filtered: str) -> Flags:
        found = self._arrays["looked_up" if filtered in self._keys else self._others[filtered]]
        return found.is_text(self._keys[filtered]) if isinstance(found, CodedColumn) else found.astype(bool)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._others, *self._keys))

    def __len__(self) -> int:
        return len(self._others) + len(self._keys)


def _key_of(spec: Spec, filtered: str) -> str | None:
    """Return the key that the filter asks for, where it asks for one and nothing else."""
    asked = json.loads(filtered)
    if spec.key is None or list(asked) != [spec.public_names[spec.key]]:
        return None
    (value,) = asked.values()
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
