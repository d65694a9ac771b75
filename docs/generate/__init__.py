"""Writes the reference pages that follow from the code: `python -m docs.generate`."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
NOTICE = "<!-- Written by `make docs` from the code: change that, not this file. -->\n\n"


def row(*cells: str) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"


def table(*names: str) -> str:
    """Return the head of a Markdown table."""
    return row(*names) + "|" + "---|" * len(names) + "\n"
