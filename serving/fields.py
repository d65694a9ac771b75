"""What pydantic knows of a field: its type, its rules, and the name that callers write."""

from itertools import chain
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo


def bare_type(field: FieldInfo) -> Any:
    """Return the field's type without `| None` and without its constraints."""
    return _inner(field)[0]


def constraints(field: FieldInfo) -> list[Any]:
    """Return the rules for the field's values, whether they stand around `| None` or inside it."""
    return [*field.metadata, *_inner(field)[1]]


def is_nullable(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _inner(field: FieldInfo) -> tuple[Any, list[Any]]:
    options = [option for option in get_args(field.annotation) if option is not type(None)]
    kind: Any = options[0] if is_nullable(field) and len(options) == 1 else field.annotation
    if get_origin(kind) is not Annotated:
        return kind, []
    rules = [rule.metadata if isinstance(rule, FieldInfo) else [rule] for rule in kind.__metadata__]
    return kind.__origin__, list(chain.from_iterable(rules))


def public_name(name: str, field: FieldInfo) -> str:
    """Return the name that callers write: the field's alias, where its own is only the column's."""
    return field.alias or name
