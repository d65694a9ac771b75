"""What a served model states about itself (spec) and what its runtime file offers (load, predict).

A spec is light: importing it must not import an ML runtime, because the handler imports every spec.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray  # the handler has no numpy

Values: TypeAlias = "Sequence[Any] | NDArray[Any]"
Columns: TypeAlias = Mapping[str, Values]
"""Field name → one value an input; all of one length, in the order of the inputs."""

Kind = Literal["text", "integer", "bigint", "double", "boolean"]

MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1

NO_NUL = r"^[^\x00]*$"
"""The pattern of free text: PostgreSQL cannot store a NUL."""


class Column(NamedTuple):
    """One field of a model in neutral terms, from which its database column is made."""

    name: str
    kind: Kind
    nullable: bool


class Model(Protocol):
    """A loaded model. It stays in memory and scores many chunks."""

    def predict(self, columns: Columns) -> Columns:
        """Return one column a field of the spec's output, each as long as the input columns."""


Load = Callable[[Path], Model]


@dataclass(frozen=True)
class Spec:
    """What the platform must know of a model to accept, store and answer its tasks.

    `key` names the optional input field that carries the caller's own key; it is stored and returned.
    `time_limit` is in seconds and holds for one message, which may carry several tasks.
    """

    name: str
    title: str
    input: type[BaseModel]
    output: type[BaseModel]
    table: str
    key: str | None = None
    max_inputs: int = 10_000
    time_limit: int = 60

    @property
    def input_columns(self) -> list[Column]:
        return _columns(self.input)

    @property
    def output_columns(self) -> list[Column]:
        return _columns(self.output)


def _columns(model: type[BaseModel]) -> list[Column]:
    return [_column(name, field) for name, field in model.model_fields.items()]


def bare_type(field: FieldInfo) -> Any:
    """Return the field's type without `| None`."""
    options = [option for option in get_args(field.annotation) if option is not type(None)]
    return options[0] if type(None) in get_args(field.annotation) and len(options) == 1 else field.annotation


def _column(name: str, field: FieldInfo) -> Column:
    kind = bare_type(field)
    nullable = kind is not field.annotation
    if get_origin(kind) is Literal:
        kind = type(get_args(kind)[0])
    if kind is int:
        lower = next((rule.ge for rule in field.metadata if isinstance(rule, annotated_types.Ge)), None)
        upper = next((rule.le for rule in field.metadata if isinstance(rule, annotated_types.Le)), None)
        fits = isinstance(lower, int) and isinstance(upper, int) and lower >= -MAX_INTEGER and upper <= MAX_INTEGER
        return Column(name, "integer" if fits else "bigint", nullable)
    kinds: dict[Any, Kind] = {str: "text", float: "double", bool: "boolean"}
    if kind not in kinds:
        raise TypeError(f"field {name!r}: no column type for {kind!r}; use str, int, float or bool")
    return Column(name, kinds[kind], nullable)
