"""States and transitions stand in one place each: no other file names a status in SQL, or writes one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from store import transitions
from store.states import FINAL, PENDING, Status, Transition
from tests.running import ROOT

ROOMS = (
    "bench",
    "broker",
    "cli",
    "devstack",
    "handler",
    "rescue",
    "serving",
    "store",
    "telemetry",
    "webhooks",
    "worker",
)
WRITES = re.compile(
    r"UPDATE tasks\s+SET (?:(?!\bWHERE\b|\bFROM\b).)*(?:\bstatus\b|\.sets)|INSERT INTO tasks\s*\([^)]*\bstatus\b",
    re.DOTALL,
)
WORDS = "|".join(Status)
TABLE = {name: row for name, row in vars(transitions).items() if isinstance(row, Transition)}


def sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from (ROOT / room).rglob("*.py")


def test_only_the_enumeration_spells_a_status() -> None:
    spelled = {
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sources()
        if file != ROOT / "store/states.py" and "plain" not in file.parts  # bench/plain is another platform
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(f"'({WORDS})'", node.value) or node.value in list(Status)
    }
    assert spelled == set(), "take the status from store.states"


def test_only_a_transition_writes_a_status() -> None:
    writers = {
        file.relative_to(ROOT).as_posix()
        for file in sources()
        if re.search(
            r"UPDATE tasks\s+SET (?:(?!\bWHERE\b|\bFROM\b).)*(?:\bstatus\b|\.sets)", file.read_text(), re.DOTALL
        )
        or re.search(r"INSERT INTO tasks\s*\([^)]*\bstatus\b", file.read_text())
    }
    assert writers == {"store/transitions.py", "bench/filling.py", "bench/outcome_reports.py"}


def test_every_status_is_reached_and_left_as_it_should_be() -> None:
    assert {row.target for row in TABLE.values()} == set(Status)
    left = {status for row in TABLE.values() for status in row.source if status is not row.target}
    assert left == set(Status) - FINAL | {Status.FAILURE}, "what has ended stays so, but for a FAILURE that is replayed"
    assert [name for name, row in TABLE.items() if not row.source] == ["ACCEPT"]
    assert TABLE["ACCEPT"].target is PENDING


def test_what_readers_ask_names_statuses_that_exist() -> None:
    files = [
        *(ROOT / "store/analytics").glob("*.sql"),
        *(ROOT / "deploy").rglob("*.*ml"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    comparison = re.compile(r"\bstatus\s*(?:=|<>|IN\s*\()\s*((?:'\w+'(?:,\s*)?)+)")
    asked = {
        (file.name, word)
        for file in files
        for match in comparison.finditer(file.read_text())
        for word in re.findall(r"'(\w+)'", match[1])
    }
    assert len(asked) > 3
    assert {(file, word) for file, word in asked if word not in list(Status)} == set()
