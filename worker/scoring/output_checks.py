"""What a spec requires of each output, made once a spec, for numpy to compare and for pydantic to decide."""

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

COMPARED: dict[type[Any], Callable[[Any, Any, Any], Any]] = {
    annotated_types.Ge: lambda least, most, bound: least >= bound,
    annotated_types.Gt: lambda least, most, bound: least > bound,
    annotated_types.Le: lambda least, most, bound: most <= bound,
    annotated_types.Lt: lambda least, most, bound: most < bound,
}


@dataclass(frozen=True)
class OutputCheck:
    """What the spec and the column's type require of one output."""

    column: Column
    adapter: TypeAdapter[list[Any]]
    bounds: Mapping[type[Any], Any] | None
    """Ge, Gt, Le, Lt → the bound. None: numpy alone cannot tell."""


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
    sides = [one for one in rules if type(one) in COMPARED]
    others = [one for one in rules if one not in sides and getattr(one, "allow_inf_nan", None) is not False]
    numbers_only = not others and bare_type(field) in (float, int, bool)
    return OutputCheck(column, adapter, _narrowest(sides) if numbers_only else None)


def _narrowest(sides: Sequence[Any]) -> dict[type[Any], Any]:
    """Return the narrowest bound of each side."""
    narrow = {annotated_types.Ge: max, annotated_types.Gt: max, annotated_types.Le: min, annotated_types.Lt: min}
    found: dict[type[Any], Any] = {}
    for side in sides:
        bound = getattr(side, type(side).__name__.lower())
        found[type(side)] = narrow[type(side)](found.get(type(side), bound), bound)
    return found
