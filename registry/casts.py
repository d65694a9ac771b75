"""Which types of a column become which others without losing a value, and how to find values that would be lost."""

from typing import NamedTuple

EXACT = 2**53
"""Every whole number up to this one is a double."""

_SMALL, _LARGE = 2**31 - 1, 2**63


class Cast(NamedTuple):
    """How a column's values change their type, in SQL."""

    using: str
    lost: str
    """The condition of a value that cannot change, or not without becoming another."""


_WHOLE = "integer", "bigint"
_DIGITS = "^(0|-?[1-9][0-9]{0,17})$"
_DECIMAL = "^-?(0|[1-9][0-9]{0,99})([.][0-9]{1,99})?([eE][-+]?[0-9]{1,2})?$"

_AS_TEXT = {
    "integer": "CAST({0} AS text)",
    "bigint": "CAST({0} AS text)",
    "double precision": "CAST({0} AS text)",
    "boolean": "CAST({0} AS text)",
    "timestamp with time zone": """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "bytea": "translate(encode({0}, 'base64'), E'\\n', '')",
    "text[]": "CAST(to_json({0}) AS text)",
    "double precision[]": "CAST(to_json({0}) AS text)",
}
"""As the API writes the value."""


def cast(column: str, before: str, after: str) -> Cast | None:
    """Return how a column, quoted, goes from one type to another; None: it cannot."""
    if after == "text" and before in _AS_TEXT:
        return Cast(_AS_TEXT[before].format(column), "false")
    if (lost := _lost(column, before, after)) is None:
        return None
    return Cast(f"CAST({column} AS {after})", lost)


def _lost(column: str, before: str, after: str) -> str | None:
    if before == "integer" and after in ("bigint", "double precision"):
        return "false"
    if (before, after) == ("bigint", "double precision"):
        return f"{column} NOT BETWEEN -{EXACT} AND {EXACT}"
    if (before, after) == ("bigint", "integer"):
        return f"{column} NOT BETWEEN -{_SMALL} AND {_SMALL}"
    if before == "double precision" and after in _WHOLE:
        most = _SMALL if after == "integer" else EXACT
        return f"({column} <> trunc({column}) OR {column} NOT BETWEEN -{most} AND {most})"
    if before == "text" and after in _WHOLE:
        most = _SMALL if after == "integer" else _LARGE - 1
        fits = f"CAST({column} AS numeric) BETWEEN -{most} AND {most}"
        return f"NOT CASE WHEN {column} ~ '{_DIGITS}' THEN {fits} ELSE {column} IS NULL END"
    if (before, after) == ("text", "double precision"):
        same = f"CAST({column} AS numeric) = CAST(CAST(CAST({column} AS double precision) AS text) AS numeric)"
        return f"NOT CASE WHEN {column} ~ '{_DECIMAL}' THEN {same} ELSE {column} IS NULL END"
    if (before, after) == ("text", "boolean"):
        return f"{column} NOT IN ('true', 'false')"
    return None
