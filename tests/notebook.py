"""The cells of a page: its blocks of Python, run in order in one process, and what the page says that they print."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.documented import blocks

RUN = """
import contextlib, io, json, sys
printed, names = [], {"__name__": "__main__"}
for number, cell in enumerate(json.load(sys.stdin)):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(cell, f"cell {number}", "exec"), names)
    printed.append(output.getvalue())
json.dump(printed, sys.stdout)
"""


@dataclass(frozen=True)
class Cell:
    code: str
    shown: str
    """The block of text that follows it; empty where there is none."""


def cells(page: str) -> list[Cell]:
    found = blocks(page)
    following = [*found[1:], ("", "")]
    return [
        Cell(code, shown if kind == "text" else "")
        for (language, code), (kind, shown) in zip(found, following, strict=True)
        if language == "python"
    ]


def run(page: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """Return what each cell printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        input=json.dumps([cell.code for cell in cells(page)]),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    printed: list[str] = json.loads(done.stdout)
    return printed
