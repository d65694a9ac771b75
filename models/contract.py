"""What a served model states about itself (spec) and what its runtime file offers (load, predict).

A spec is light: importing it must not import an ML runtime, because the handler imports every spec.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args, get_origin

import annotated_types
from pydantic import BaseModel, EncodedBytes
from pydantic.fields import FieldInfo

from models.base64_text import Base64Encoder
from models.endpoint import Endpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray  # the handler has no numpy

Values: TypeAlias = "Sequence[Any] | NDArray[Any]"
Columns: TypeAlias = Mapping[str, Values]
"""Field name → one value an input; all of one length, in the order of the inputs."""

Manifest: TypeAlias = Mapping[str, Any]
"""What an artifact's manifest.json says."""

Kind = Literal["text", "integer", "bigint", "double", "boolean", "bytes", "text[]", "double[]"]

MAX_INTEGER = 2**31 - 1
MAX_BIGINT = 2**63 - 1

NO_NUL = r"^[^\x00]*$"
"""The pattern of free text: PostgreSQL cannot store a NUL."""

Base64 = Annotated[bytes, EncodedBytes(encoder=Base64Encoder)]
"""The type of a field that carries bytes: base64 in JSON, `bytes` in the columns, bytea in the table."""


class Column(NamedTuple):
    """One field of a model in neutral terms, from which its database column is made."""

    name: str
    kind: Kind
    nullable: bool


CACHED = Column("cached", "boolean", nullable=False)
"""The column of models that ask for the cache: whether the output is an earlier one of the same input and version."""


class Fault(NamedTuple):
    """What is wrong with one field of one input, and what to do about it."""

    position: int
    field: str
    detail: str


class Model(Protocol):
    """A loaded model. It stays in memory and scores many chunks."""

    def predict(self, columns: Columns) -> Columns:
        """Return one column a field of the spec's output, each as long as the input columns."""


Load = Callable[[Path], Model]


@dataclass(frozen=True)
class Spec:
    """What the platform must know of a model to accept, store and answer its tasks.

    `key` names the optional input field that carries the caller's own key; it is stored and returned, and does
    not count for the cache. `time_limit` is in seconds and holds for one message, which may carry several tasks of up
    to `max_chunk` inputs together; a task that has more by itself goes alone.
    `cache`: the same input and version get the stored output again.
    `check` finds what the schema cannot say, before anything is stored, by what the current artifact's manifest says.
    `weigh` gives each input's share of `max_weight`, up to which inputs, of several tasks too, are predicted together;
    without it each counts 1.
    `personal` names the stored columns that hold what people wrote or showed: retention empties them.
    """

    name: str
    title: str
    input: type[BaseModel]
    output: type[BaseModel]
    table: str
    key: str | None = None
    max_inputs: int = 10_000
    time_limit: int = 60
    max_chunk: int = 10_000
    cache: bool = False
    check: Callable[[Columns, Manifest], Iterator[Fault]] | None = None
    weigh: Callable[[Columns], Sequence[int]] | None = None
    max_weight: int = 10_000
    endpoint: Endpoint | None = None
    personal: tuple[str, ...] = ()

    @property
    def input_columns(self) -> list[Column]:
        return _columns(self.input)

    @property
    def output_columns(self) -> list[Column]:
        return _columns(self.output)

    @property
    def score(self) -> str | None:
        """The output between 0 and 1 whose distribution is watched, where there is one."""
        fields = self.output.model_fields
        return next((c.name for c in self.output_columns if c.kind == "double" and _is_share(fields[c.name])), None)

    @property
    def stored_columns(self) -> list[Column]:
        """What a row of the model's table holds, beside its place and its time."""
        return [*self.input_columns, *self.output_columns, *([CACHED] if self.cache else [])]


def _columns(model: type[BaseModel]) -> list[Column]:
    return [_column(name, field) for name, field in model.model_fields.items()]


def _is_share(field: FieldInfo) -> bool:
    lower, upper = annotated_types.Ge(0), annotated_types.Le(1)
    return lower in field.metadata and upper in field.metadata


def bare_type(field: FieldInfo) -> Any:
    """Return the field's type without `| None`."""
    options = [option for option in get_args(field.annotation) if option is not type(None)]
    return options[0] if type(None) in get_args(field.annotation) and len(options) == 1 else field.annotation


_KINDS: dict[Any, Kind] = {
    str: "text",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    list[str]: "text[]",
    list[float]: "double[]",
}


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
    if kind not in _KINDS:
        raise TypeError(
            f"field {name!r}: no column type for {kind!r}; use str, int, float or bool, Base64, list[str], list[float]"
        )
    return Column(name, _KINDS[kind], nullable)
