"""What a served model declares (its spec) and what its runtime file offers (load, predict).

A spec is light: importing it must not import an ML runtime, because the handler imports every spec.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
)

import annotated_types
from pydantic import AwareDatetime, BaseModel, EncodedBytes
from pydantic.fields import FieldInfo

from serving.base64_text import Base64Encoder
from serving.endpoint import Endpoint
from serving.fields import bare_type, constraints, is_nullable, public_name
from serving.outcomes import OutcomeRules

if TYPE_CHECKING:
    from numpy.typing import NDArray  # the handler has no numpy

Values: TypeAlias = "Sequence[Any] | NDArray[Any]"
Columns: TypeAlias = Mapping[str, Values]
"""Field name → one value an input; all of one length, in the order of the inputs."""

Manifest: TypeAlias = Mapping[str, Any]
"""What an artifact's manifest.json says."""

Kind = Literal["text", "integer", "bigint", "double", "boolean", "bytes", "timestamp", "text[]", "double[]"]

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

    @property
    def pointer(self) -> str:
        """The field's place in an array of inputs, as a JSON pointer (RFC 6901)."""
        return f"#/{self.position}/{self.field}"


class ModelAway(Exception):
    """What predicts for the model cannot be reached now, such as a container or a server. Its tasks wait."""


class BadInput(ValueError):
    """Inputs at fault that only the model could find, for reasons that their clients can act on.

    Their tasks fail with these faults. The other tasks of the chunk are scored.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class Predictor(Protocol):
    """What a model's `load` returns. It stays in memory and predicts many batches."""

    def predict(self, columns: Columns) -> Columns:
        """Return one column a field of the spec's output, each as long as the input columns. Raises BadInput."""


Loader = Callable[[Path], Predictor]


@dataclass(frozen=True, eq=False)
class Spec:
    """What the platform must know of a model to accept, store and answer its tasks.

    `key` names the optional input field that carries the caller's own key; it is stored and returned, and does
    not count for the cache. `max_inputs` bounds one task.
    A chunk is what one message names: one or several tasks of up to `max_chunk` inputs; a task with more goes alone.
    `time_limit` bounds the prediction of a chunk, in seconds.
    A batch is what one call predicts: inputs of the chunk's tasks whose sizes add up to `max_batch` at most. The sizes
    are what `input_sizes` gives (tokens, pixels); without it, each is 1.
    `cache`: the same input and version get the stored output again.
    `check` finds what the schema cannot express, before anything is stored, with the help of the artifact's manifest.
    `older_endpoints` serve clients that know no other, and are not in the OpenAPI document.
    `personal` names the stored columns that hold what people wrote or showed: retention empties them.
    `outcomes` says how the truth is reported later; without it, no outcomes are accepted.
    `explains`: its predictor can say what its scores are made of, as an `Explainer`.
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
    max_batch: int = 10_000
    input_sizes: Callable[[Columns], Sequence[int]] | None = None
    endpoint: Endpoint | None = None
    older_endpoints: tuple[Endpoint, ...] = ()
    personal: tuple[str, ...] = ()
    outcomes: OutcomeRules | None = None
    explains: bool = False

    @property
    def example(self) -> dict[str, Any]:
        """An input of the first example of each field that has one."""
        fields = self.input.model_fields.items()
        return {public_name(name, field): field.examples[0] for name, field in fields if field.examples}

    @cached_property
    def input_columns(self) -> list[Column]:
        return _columns(self.input)

    @cached_property
    def output_columns(self) -> list[Column]:
        return _columns(self.output)

    @cached_property
    def public_names(self) -> dict[str, str]:
        """Column → the field's name as callers write it."""
        fields = {**self.input.model_fields, **self.output.model_fields}
        return {name: public_name(name, field) for name, field in fields.items()}

    @cached_property
    def score(self) -> str | None:
        """The output between 0 and 1 whose distribution is watched, where there is one."""
        fields = self.output.model_fields
        return next((c.name for c in self.output_columns if c.kind == "double" and _is_share(fields[c.name])), None)

    @property
    def label(self) -> str | None:
        """The output with the guessed label: the first text, where there is one."""
        return next((column.name for column in self.output_columns if column.kind == "text"), None)

    @cached_property
    def stored_columns(self) -> list[Column]:
        """What a row of the model's table holds, beside its place and its time."""
        return [*self.input_columns, *self.output_columns, *([CACHED] if self.cache else [])]

    @property
    def comments(self) -> dict[str, str]:
        """Comments for the columns of the model's table."""
        fields = {**self.input.model_fields, **self.output.model_fields}
        comments = {name: field.description or f"see models/{self.name}" for name, field in fields.items()}
        return comments | ({CACHED.name: _CACHED} if self.cache else {})


T = TypeVar("T")


def per_spec(make: Callable[[Spec], T]) -> Callable[[Spec], T]:
    """Have a function make its result once a spec, and forget it with the spec: specs come and go with versions."""
    key = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def made(spec: Spec) -> T:
        kept = spec.__dict__
        if key not in kept:
            kept[key] = make(spec)
        found: T = kept[key]
        return found

    return made


_CACHED = "whether the outputs are those of an earlier prediction for the same input and version"


def _columns(model: type[BaseModel]) -> list[Column]:
    return [_column(name, field) for name, field in model.model_fields.items()]


def _is_share(field: FieldInfo) -> bool:
    found = constraints(field)
    return annotated_types.Ge(0) in found and annotated_types.Le(1) in found


_KINDS: dict[Any, Kind] = {
    str: "text",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    AwareDatetime: "timestamp",
    list[str]: "text[]",
    list[float]: "double[]",
}


def _column(name: str, field: FieldInfo) -> Column:
    kind, nullable = bare_type(field), is_nullable(field)
    if get_origin(kind) is Literal:
        kind = type(get_args(kind)[0])
    if kind is int:
        lower = next((rule.ge for rule in constraints(field) if isinstance(rule, annotated_types.Ge)), None)
        upper = next((rule.le for rule in constraints(field) if isinstance(rule, annotated_types.Le)), None)
        fits = isinstance(lower, int) and isinstance(upper, int) and lower >= -MAX_INTEGER and upper <= MAX_INTEGER
        return Column(name, "integer" if fits else "bigint", nullable)
    if kind not in _KINDS:
        raise TypeError(
            f"field {name!r}: no column type for {kind!r}; use str, int, float or bool, Base64, AwareDatetime, "
            "list[str], list[float]"
        )
    return Column(name, _KINDS[kind], nullable)
