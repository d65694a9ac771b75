"""Long lists of values as parameters of a statement: one JSON text a list.

asyncpg takes a microsecond for each value of an array, on the event loop. PostgreSQL reads the text in half of that.
"""

from collections.abc import Sequence
from typing import Any

import msgspec


def as_json(values: Sequence[Any]) -> str:
    """Return the parameter. PostgreSQL gets each value as a text, to be cast, and null as null."""
    return msgspec.json.encode(values).decode()


def rows_from(names: Sequence[str], ordinality: str | None = None) -> str:
    """Return what stands behind FROM: the rows of equally long lists, parameters and columns by these names.

    `ordinality` names a further column, the row's number from 1.
    """
    functions = ", ".join(f"json_array_elements_text(CAST(:{name} AS json))" for name in names)
    numbered = "" if ordinality is None else " WITH ORDINALITY"
    columns = ", ".join([*names, *([] if ordinality is None else [ordinality])])
    return f"ROWS FROM ({functions}){numbered} AS listed ({columns})"
