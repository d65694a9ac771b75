"""`millrace sql`: the questions in store/analytics, answered from the running platform's database."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, TypeVar

import click
from psycopg2 import errors  # type: ignore[import-untyped]
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from cli.database import database
from serving.visible import INVISIBLE
from store import analytics
from store.analytics import QueryResult

Rows = Iterable[Sequence[Any]]

NUMBERS = {int, float, Decimal}
NARROWEST_TEXT = 30
GAP = 2  # cells between two columns


C = TypeVar("C", bound=Callable[..., Any])


def in_form(command: C) -> C:
    """Add the options that choose a `form` for programs to read: csv or json; without one it is None."""
    about_csv = (
        "Print CSV: whole values, times in ISO 8601, NULL as nothing, and an apostrophe before what a "
        "spreadsheet would take for a formula."
    )
    csv_option = click.option("--csv", "form", flag_value="csv", default=None, help=about_csv)
    return click.option("--json", "form", flag_value="json", help="Print JSON: one object a line.")(csv_option(command))


@click.command()
@click.argument("name", required=False)
@in_form
def sql(name: str | None, form: str | None) -> None:
    """Print the answer to the question NAME, or without a NAME the questions."""
    questions = analytics.questions()
    if name is None:
        print_rows(["name", "question"], questions.items(), form)
        return
    if name not in questions:
        raise click.UsageError(f"there is no question {name!r}; there are: {', '.join(questions)}")
    answer = _ask(name)
    if form is None:
        click.secho(questions[name], bold=True)
    print_rows(answer.columns, answer.rows, form)
    if form is None:
        click.echo(f"{len(answer.rows)} {'row' if len(answer.rows) == 1 else 'rows'}; times are in UTC")


def _ask(name: str) -> QueryResult:
    with database("sql") as engine:
        try:
            return analytics.ask(engine, name)
        except DBAPIError as error:
            if not isinstance(error.orig, errors.QueryCanceled):
                raise
            remedy = "shorten the interval in a copy of the query and use psql"
            sys.exit(f"millrace sql: stopped after {analytics.TIME_LIMIT} s; {remedy}")


def print_rows(columns: Sequence[str], rows: Rows, form: str | None) -> None:
    if form == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, map(_plain, row), strict=True)), ensure_ascii=False, default=str))
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_exact(value) for value in row] for row in rows)
        return
    print_table(columns, list(rows))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Fold long texts to fit the terminal, numbers, times and ids never; into a pipe or file, fold nothing."""
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    needed = 0
    cells = [[short(value) for value in row] for row in rows]
    for place, column in enumerate(columns):
        kinds = {type(row[place]) for row in rows} - {NoneType}
        is_text = kinds == {str}
        table.add_column(
            column, justify="right" if kinds and kinds <= NUMBERS else "left", no_wrap=not is_text, overflow="fold"
        )
        width = max(cell_len(text) for text in [column, *(row[place] for row in cells)])
        needed += GAP + (min(width, NARROWEST_TEXT) if is_text and console.is_terminal else width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.width = max(console.width, needed)
    console.print(table, crop=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _exact(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return guarded(value) if isinstance(value, str) else value


_SIGN = "[=+\\-@＝＋－＠]"  # noqa: RUF001 - Excel takes the wide ones, too
_FORMULA = re.compile(f"[\t\r\n]|[{INVISIBLE}]*{_SIGN}")
_LATER_CELL = re.compile(f"([;\t\r\n][;{INVISIBLE}]*+)({_SIGN}?)")


def guarded(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would calculate: clients choose some of the texts.

    That is a formula at the start, or behind a character at which a spreadsheet may begin a cell although it is in
    quotes: Excel separates by semicolons in many countries, and quotes count at the start of such a cell only.
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    inside = _LATER_CELL.sub(lambda found: f"{found[1]}'{found[2]}" if found[2] else found[1], text)
    return f"'{inside}" if _FORMULA.match(text) else inside


def short(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if type(value) in NUMBERS:
        return f"{value:,}"
    # Clients choose some of the texts: an escape sequence in one must not reach the terminal.
    return "".join(character if character.isprintable() else "�" for character in str(value))
