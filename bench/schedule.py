"""A schedule: which request is due when. A file of JSON lines, so that a load can be run again.

The first line describes it (title, seconds, seed, how it was made); every other line is one request:
`[seconds from the start, kind, inputs]`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = "millrace-schedule-1"


class WrongSchedule(Exception):
    """The file is not a schedule."""


class Arrival(NamedTuple):
    at: float
    """Seconds from the start."""
    kind: str
    """A name of `bench.kinds.KINDS`."""
    size: int
    """Inputs in the request."""


@dataclass(frozen=True)
class Schedule:
    title: str
    seconds: float
    arrivals: tuple[Arrival, ...]
    """In the order of time."""
    made: Mapping[str, Any]
    """How it was made: shape, rates, seed."""

    @property
    def inputs(self) -> int:
        return sum(arrival.size for arrival in self.arrivals)


def save(schedule: Schedule, file: Path) -> None:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(line + "\n" for line in _lines(schedule))


def load(file: Path) -> Schedule:
    """Read a schedule. Raises WrongSchedule."""
    with file.open(encoding="utf-8") as lines:
        try:
            head = json.loads(next(lines, "null"))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise WrongSchedule(f"{file}: the first line does not say format {FORMAT}")
            arrivals = tuple(_arrival(json.loads(line)) for line in lines if line.strip())
            schedule = Schedule(str(head["title"]), float(head["seconds"]), arrivals, dict(head["made"]))
        except (ValueError, TypeError, KeyError) as error:
            raise WrongSchedule(f"{file}: {error!r}") from None
    times = [arrival.at for arrival in arrivals]
    if times != sorted(times):
        raise WrongSchedule(f"{file}: the requests are not in the order of time")
    return schedule


def _lines(schedule: Schedule) -> Iterator[str]:
    head = {"format": FORMAT, "title": schedule.title, "seconds": schedule.seconds, "made": dict(schedule.made)}
    yield json.dumps(head)
    for at, kind, size in schedule.arrivals:
        yield json.dumps([round(at, 6), kind, size], separators=(",", ":"))


def _arrival(line: Any) -> Arrival:
    at, kind, size = line
    if not (isinstance(kind, str) and isinstance(size, int) and size > 0 and at >= 0):
        raise ValueError(f"{line} is not [seconds, kind, inputs]")
    return Arrival(float(at), kind, size)
