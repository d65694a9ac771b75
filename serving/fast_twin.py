"""The fast twin of a spec's pydantic model: its fields as msgspec has them.

It refuses everything that pydantic refuses, except a NUL in a free text, which wire.py looks for in all texts at once.
"""

import re
from datetime import datetime
from math import inf
from typing import Annotated, Any

import annotated_types
import msgspec
from pydantic import AwareDatetime, BaseModel, EncodedBytes
from pydantic.fields import FieldInfo

from serving.contract import MAX_BIGINT, NO_NUL
from serving.fields import bare_type, constraints, is_nullable

_KEPT = {"extra", "strict", "allow_inf_nan", "title", "json_schema_extra", "protected_namespaces"}


def refuse_unsupported(model: type[BaseModel]) -> None:
    """Raise for features of pydantic that would let the fast twin accept what pydantic refuses, or NaN in a payload."""
    decorators = model.__pydantic_decorators__
    if decorators.validators or decorators.field_validators or decorators.model_validators:
        raise TypeError(f"{model.__name__}: validators have no fast twin; use the constraints of Field")
    if unkept := model.model_config.keys() - _KEPT:
        raise TypeError(f"{model.__name__}: model_config has {sorted(unkept)}, which has no fast twin")
    for name, field in model.model_fields.items():
        aliases = {field.alias, field.validation_alias, field.serialization_alias}
        if len(aliases) > 1 or field.default_factory:
            raise TypeError(f"{model.__name__}.{name}: a partial alias or a default_factory has no fast twin")
        finite = model.model_config.get("allow_inf_nan") is False or any(map(_forbids_nan, constraints(field)))
        if bare_type(field) is float and not finite:
            raise TypeError(f"{model.__name__}.{name}: set allow_inf_nan=False; JSON cannot carry NaN to the worker")


def but_for_nul(field: FieldInfo) -> Any:
    """Return the field's type with its constraints, but for that against a NUL."""
    return constrained(field, nul=False)


def constrained(field: FieldInfo, *, nul: bool = True) -> Any:
    """Return the field's type with its constraints; with `nul`, that against a NUL as well."""
    meta: dict[str, Any] = {}
    for rule in constraints(field):
        if isinstance(rule, annotated_types.Ge):
            meta["ge"] = rule.ge
        elif isinstance(rule, annotated_types.Le):
            meta["le"] = rule.le
        elif isinstance(rule, annotated_types.MinLen):
            meta["min_length"] = rule.min_length
        elif isinstance(rule, annotated_types.MaxLen):
            meta["max_length"] = rule.max_length
        elif pattern := getattr(rule, "pattern", None):
            meta["pattern"] = _as_python(pattern)
        elif not _forbids_nan(rule) and not isinstance(rule, EncodedBytes):  # msgspec's bytes are base64, too
            raise TypeError(f"constraint {rule!r} has no fast twin; use ge, le, min_length, max_length or pattern")
    _refuse_unstorable(field, meta)
    if not nul and meta.get("pattern") == _NO_NUL:
        del meta["pattern"]
    kind = bare_type(field)
    if kind is AwareDatetime:
        kind, meta = datetime, {"tz": True}
    constrained = Annotated[kind, msgspec.Meta(**meta)] if meta else kind
    return constrained | None if is_nullable(field) else constrained


def _as_python(pattern: str) -> str:
    """Return the pattern for Python, whose $ also matches before a last newline, which pydantic's does not."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", pattern)


_NO_NUL = _as_python(NO_NUL)


def _refuse_unstorable(field: FieldInfo, meta: dict[str, Any]) -> None:
    """Raise for a field that would accept values which its column cannot hold."""
    if bare_type(field) is str and "pattern" not in meta:
        raise TypeError(
            f"text must not hold a NUL: give {field.description or 'it'!r} pattern=NO_NUL or one of your own"
        )
    if bare_type(field) == list[str]:
        raise TypeError(
            f"a list of texts could hold a NUL, so it can be an output only: {field.description or field!r}"
        )
    if bare_type(field) is int and not -MAX_BIGINT <= meta.get("ge", -inf) <= meta.get("le", inf) <= MAX_BIGINT:
        raise TypeError(f"an int needs bounds of 64 bits: give {field.description or 'it'!r} both ge and le")


def _forbids_nan(rule: Any) -> bool:
    """Return whether this is pydantic's rule against NaN and infinity. msgspec refuses both in JSON anyway."""
    return getattr(rule, "allow_inf_nan", None) is False
