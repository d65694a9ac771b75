"""When the supervisor of `millrace up` starts again what has ended."""

from pathlib import Path

import pytest

from devstack import supervisor
from devstack.errors import StartFailed
from devstack.log_file import LogFile
from devstack.supervisor import FAILING, PAUSES, WELL, Supervisor


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Fragile:
    """A part that ends when it is told to."""

    name = "fragile"

    def __init__(self, folder: Path) -> None:
        self.log = LogFile(folder / "log")
        self.log.open().close()
        self.starts = 0
        self.runs = True
        self.can_start = True

    def status(self) -> int | None:
        return None if self.runs else -9

    def start(self) -> None:
        if not self.can_start:
            raise StartFailed("no space is left\nmore")
        self.starts += 1
        self.runs = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "time", clock)
    return clock


def test_pauses_grow_and_end_when_the_part_has_been_well(tmp_path: Path, clock: Clock) -> None:
    said: list[str] = []
    noted: list[list[str]] = []
    watching, part = Supervisor(said.append, noted.append), Fragile(tmp_path)
    watching.watch([part])
    for ends, pause in enumerate([*PAUSES, PAUSES[-1]], start=1):
        part.runs = False
        watching.turn()
        if pause:
            assert part.starts == ends - 1
            clock.now += pause + 0.1
            watching.turn()
        assert part.starts == ends
        assert noted == ([[part.name]] if ends >= FAILING else [])
    clock.now += WELL + 1
    watching.turn()
    assert "well again" in said[-1]
    assert noted[-1] == []
    part.runs = False
    watching.turn()
    assert part.starts == len(PAUSES) + 2  # at once, as the first time


def test_a_part_that_cannot_be_started_hinders_no_other(tmp_path: Path, clock: Clock) -> None:
    said: list[str] = []
    watching = Supervisor(said.append, lambda _: None)
    parts = [Fragile(tmp_path), Fragile(tmp_path)]
    watching.watch(parts)
    for part in parts:
        part.runs = False
    parts[0].can_start = False
    watching.turn()
    assert [part.starts for part in parts] == [0, 1]
    assert "could not be started: no space is left. Starting it again in 1 s" in said[1]
    parts[0].can_start = True
    clock.now += 1.1
    watching.turn()
    assert parts[0].starts == 1
