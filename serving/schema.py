"""What a model takes and gives, as data: stored with each of its versions, and turned into a `Spec` by every program.

A field has two names: the one that callers write (`mean radius`), and a plain one (`mean_radius`) that is the column in
SQL and the attribute in Python.
"""

import keyword
import re
import unicodedata
from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from serving.contract import MAX_BIGINT, MAX_INTEGER, NO_NUL, Base64, Kind, Spec
from serving.outcomes import OutcomeRules

MAX_NAME = 63
"""Bytes of a column's name in PostgreSQL, of which this uses ASCII only."""

PLACE_COLUMNS = frozenset({"task_id", "position", "model_version", "scored_at", "cached"})
"""The columns that every model's table has, or may have, of its own."""

# https://www.postgresql.org/docs/18/sql-keywords-appendix.html: those that PostgreSQL reserves
_RESERVED_WORDS = (
    "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation "
    "column concurrently constraint create cross current_catalog current_date current_role current_schema current_time "
    "current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze "
    "from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like "
    "limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary "
    "references returning right select session_user similar some symmetric system_user table tablesample then to "
    "trailing true union unique user using variadic verbose when where window with"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())


class SchemaField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One field of an input or an output. `ge` and `le` bound a number, `max_length` the characters of a text."""

    name: str
    """As callers write it."""
    column: str
    """As SQL has it: small ASCII letters, digits and underscores."""
    kind: Kind
    nullable: bool = False
    """Whether it may be null; in an input it may be left out then."""
    choices: tuple[str | int, ...] | None = None
    """The only values, all texts or all whole numbers."""
    ge: int | float | None = None
    le: int | float | None = None
    max_length: int | None = None
    description: str | None = None
    example: Any = None


class ModelSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a model, and its bounds; see `Spec` for what the bounds mean."""

    title: str
    input: tuple[SchemaField, ...]
    output: tuple[SchemaField, ...]
    key: str | None = None
    """Column of the input field that holds the caller's own key."""
    max_inputs: int = 10_000
    max_chunk: int = 10_000
    max_batch: int = 10_000
    time_limit: int = 60
    personal: tuple[str, ...] = ()
    """Columns that hold what people wrote or showed."""
    outcomes: OutcomeRules | None = None


def plain_name(name: str, taken: Collection[str]) -> str:
    """Return a column's name for a field's, unlike those that are taken, our own columns and reserved words."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub("[^a-z0-9]+", "_", ascii_only).strip("_") or "field"
    if not plain[0].isalpha():
        plain = f"c_{plain}"
    plain = plain[: MAX_NAME - 4]
    if plain in _RESERVED | PLACE_COLUMNS or keyword.iskeyword(plain) or hasattr(BaseModel, plain):
        plain += "_"
    found, number = plain, 2
    while found in taken:
        found, number = f"{plain}_{number}", number + 1
    return found


def spec_of(name: str, table: str, schema: ModelSchema) -> Spec:
    """Return the spec of a model whose schema is data. Raises TypeError for a field that no column can keep."""
    words = "".join(word.capitalize() for word in name.split("_"))
    return Spec(
        name=name,
        title=schema.title,
        input=_made(f"{words}Input", schema.input, optional=True),
        output=_made(f"{words}Output", schema.output, optional=False),
        table=table,
        key=schema.key,
        max_inputs=schema.max_inputs,
        max_chunk=schema.max_chunk,
        max_batch=schema.max_batch,
        time_limit=schema.time_limit,
        personal=schema.personal,
        outcomes=schema.outcomes,
    )


_PYTHON: dict[Kind, Any] = {
    "text": str,
    "integer": int,
    "bigint": int,
    "double": float,
    "boolean": bool,
    "bytes": Base64,
    "timestamp": AwareDatetime,
    "text[]": list[str],
    "double[]": list[float],
}


def _made(name: str, fields: tuple[SchemaField, ...], *, optional: bool) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())
    return create_model(name, __config__=config, **{field.column: _annotation(field, optional) for field in fields})


def _annotation(field: SchemaField, optional: bool) -> Any:
    kind: Any = Literal[field.choices] if field.choices else _PYTHON[field.kind]
    more: dict[str, Any] = {"description": field.description}
    if field.example is not None:
        more["examples"] = [field.example]
    if field.name != field.column:
        more["alias"] = field.name
    if not field.choices:
        more |= _bounds(field)
    if field.nullable:
        kind |= None
    annotated = Annotated[kind, Field(**more)]
    return (annotated, None) if field.nullable and optional else annotated


def _bounds(field: SchemaField) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if field.kind == "text":
        bounds = {"pattern": NO_NUL, "max_length": field.max_length}
    if field.kind in ("integer", "bigint"):
        most = MAX_INTEGER if field.kind == "integer" else MAX_BIGINT
        bounds = {"ge": -most if field.ge is None else field.ge, "le": most if field.le is None else field.le}
    if field.kind == "double":
        bounds = {"ge": field.ge, "le": field.le}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def takes(schema: ModelSchema, earlier: ModelSchema) -> bool:
    """Return whether inputs that were accepted under an earlier schema are valid under this one."""
    new = {field.column: field for field in schema.input}
    old = {field.column: field for field in earlier.input}
    if any(name not in new for name in old) or schema.key != earlier.key:
        return False
    if any(name not in old and not field.nullable for name, field in new.items()):
        return False
    return all(_covers(new[name], field) for name, field in old.items()) and schema.max_inputs >= earlier.max_inputs


def _covers(wide: SchemaField, narrow: SchemaField) -> bool:
    if (wide.name, wide.kind) != (narrow.name, narrow.kind) or (narrow.nullable and not wide.nullable):
        return False
    if wide.choices is not None:
        return narrow.choices is not None and set(narrow.choices) <= set(wide.choices)
    if wide.max_length is not None and (narrow.max_length is None or narrow.max_length > wide.max_length):
        return False
    lower = wide.ge is None or (narrow.ge is not None and narrow.ge >= wide.ge)
    return lower and (wide.le is None or (narrow.le is not None and narrow.le <= wide.le))
