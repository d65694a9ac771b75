"""What a spec requires of each output, made once a spec, for numpy to compare and for pydantic to decide."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import annotated_types
from pydantic import ConfigDict, EncodedBytes, FailFast, TypeAdapter

from serving.contract import MAX_BIGINT, Column, Kind, Spec, per_spec
from serving.fields import bare_type, constraints

COLUMN_RANGE: dict[Kind, tuple[int, int]] = {
    "integer": (-(2**31), 2**31 - 1),
    "bigint": (-MAX_BIGINT - 1, MAX_BIGINT),
}

_LOWER = {annotated_types.Ge: operator.ge, annotated_types.Gt: operator.gt}
_UPPER = {annotated_types.Le: operator.le, annotated_types.Lt: operator.lt}

Comparisons = Sequence[tuple[Callable[[Any, Any], bool], Any]]
"""Comparisons, each with what a value is compared with."""


@dataclass(frozen=True)
class OutputCheck:
    """What the spec and the column's type require of one output."""

    column: Column
    adapter: TypeAdapter[list[Any]]
    bounds: tuple[Comparisons, Comparisons] | None
    """Of the least value and of the greatest. None: numpy alone cannot tell."""


@per_spec
def checks_of(spec: Spec) -> dict[str, OutputCheck]:
    """Return the check of each output by its column. Raises TypeError for validators, which are not run."""
    decorators = spec.output.__pydantic_decorators__
    if decorators.validators or decorators.field_validators or decorators.model_validators:
        raise TypeError(f"{spec.output.__name__}: validators of outputs are not run; use the constraints of Field")
    return {column.name: _check(spec, column) for column in spec.output_columns}


def _check(spec: Spec, column: Column) -> OutputCheck:
    field = spec.output.model_fields[column.name]
    rules = [one for one in constraints(field) if not isinstance(one, EncodedBytes)]  # base64 is for JSON only
    if column.kind in COLUMN_RANGE:
        least, most = COLUMN_RANGE[column.kind]
        rules += [annotated_types.Ge(least), annotated_types.Le(most)]
    bare: Any = Annotated[bare_type(field), *rules] if rules else bare_type(field)
    value = bare | None if column.nullable else bare
    first_fault = Annotated[list[value], FailFast()]  # type: ignore[valid-type]
    adapter = TypeAdapter(first_fault, config=ConfigDict(strict=True, allow_inf_nan=False))
    bounds = _bounds(rules, _LOWER), _bounds(rules, _UPPER)
    others = [
        one for one in rules if type(one) not in _LOWER | _UPPER and getattr(one, "allow_inf_nan", None) is not False
    ]
    numbers_only = not others and bare_type(field) in (float, int, bool)
    return OutputCheck(column, adapter, bounds if numbers_only else None)


def _bounds(rules: Sequence[Any], of_side: Mapping[type[Any], Callable[[Any, Any], bool]]) -> Comparisons:
    return [(of_side[type(one)], getattr(one, type(one).__name__.lower())) for one in rules if type(one) in of_side]
