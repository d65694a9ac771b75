"""A stranger finds his way: one public type name stands for one thing in the whole tree, and no file is too long."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.running import ROOT

ROOMS = (
    *(
        "handler",
        "worker",
        "rescue",
        "export",
        "webhooks",
        "blobs",
        "broker",
        "store",
        "serving",
        "models",
        "migrations",
    ),
    *("cli", "console", "demo", "devstack", "telemetry", "pool", "bench", "registry", "runtimes", "evaluation"),
)
LINES = 250
TABLES = {"handler/problems.py"}
"""Each is one table, in which a reader looks one row up."""


def test_a_public_type_name_stands_for_one_thing() -> None:
    places = defaultdict(list)
    for file in _files(ROOMS):
        for name in _types(ast.parse((ROOT / file).read_text())):
            places[name].append(file)
    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_no_file_is_longer_than_a_reader_keeps_in_mind() -> None:
    lengths = {
        file: len((ROOT / file).read_text().splitlines()) for file in _files((*ROOMS, "client")) if file not in TABLES
    }
    assert {file: length for file, length in lengths.items() if length > LINES} == {}


def _files(rooms: tuple[str, ...]) -> list[str]:
    return [file.relative_to(ROOT).as_posix() for room in rooms for file in (ROOT / room).rglob("*.py")]


def _types(module: ast.Module) -> Iterator[str]:
    """Yield the names of a module's public classes and type aliases."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
    for node in module.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and re.fullmatch(r"[A-Z]\w*[a-z]\w*", target.id):
                yield target.id
