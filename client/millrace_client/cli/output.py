"""Prints what was found: as a table for people, or as JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object a line in lists.")

EMPTY = "-"


def print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], as_json: bool) -> int:
    """Print rows, and return how many. As JSON, each is printed as soon as it is there."""
    if as_json:
        count = 0
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False, default=str))
            count += 1
        return count
    cells = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())
    return len(cells) - 1


def print_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print one thing."""
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, default=str))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name.ljust(width)}  {_cell(value)}")


def _cell(value: Any) -> str:
    if value is None:
        return EMPTY
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else str(value)
    # Others choose some of the texts: an escape sequence in one must not reach the terminal.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
