"""The reference of the tables: every column of the schema with its comment, and who may read it."""

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from docs.generate import row, table
from migrations.schema import schema
from store.tables import ANALYST

INTRODUCTION = """# Tables

PostgreSQL has one row in `tasks` for each submission. A model's table has one row for each input, beside its output.
A generated migration makes a model's table from its spec. In PostgreSQL, `\\d+ report_scores` shows the same comments.

The role `analyst` reads the tables that say so, and writes nothing. It does not read `webhooks`, because a URL may hold
a secret. Of `api_keys` it reads neither ids nor hashes.

Beside the tables are views: `<model>_rows` (predictions with the client and the times of their tasks),
`<model>_outcomes` (predictions that have an outcome, and the one that stands), `outcomes_resolved` (those of all
models), and `shown` (the draws that a reviewer has seen).

A foreign key from each model's table to `tasks` is declared for tools that read the schema (DBeaver, Metabase,
SQLAlchemy's reflection). It is NOT ENFORCED, because checking it would double the cost of storing a row. PostgreSQL has
this from version 18 on; before, join by `task_id = tasks.id`.
"""


def page() -> str:
    """Return the page, one section a table."""
    return "\n".join([INTRODUCTION, *map(_section, schema().sorted_tables)])


def _section(described: Table) -> str:
    head = f"## {described.name}\n\n{described.comment or ''}\n\n{_readers(described)}\n\n"
    return head + table("column", "type", "null", "") + "".join(map(_column, described.columns))


def _readers(described: Table) -> str:
    match described.info.get(ANALYST):
        case None:
            return "The role `analyst` does not read it."
        case ["SELECT"]:
            return "The role `analyst` reads it."
        case [of_columns]:
            columns = of_columns.removeprefix("SELECT (").removesuffix(")").split(", ")
            return f"The role `analyst` reads these columns: {', '.join(f'`{column}`' for column in columns)}."
    raise ValueError(described.info)


def _column(column: Column[object]) -> str:
    kind = str(column.type.compile(postgresql.dialect())).lower()  # type: ignore[no-untyped-call]
    return row(f"`{column.name}`", kind, "yes" if column.nullable else "", column.comment or "")
