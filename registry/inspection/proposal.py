"""What reading a model's files comes to: a proposal, or a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from serving.schema import ModelSchema


class ModelRefused(ValueError):
    """The files cannot be served; the message names what is wrong in which of them, and the remedy."""


class FormatRefused(ModelRefused):
    """The file is of a known format that is not taken."""


class RuntimeMissing(ModelRefused):
    """The library that reads the file is not installed here."""

    def __init__(self, runtime: str, file: str) -> None:
        super().__init__(f"{file}: reading it needs {runtime}; install requirements/worker-{runtime}.txt")
        self.runtime = runtime


@dataclass(frozen=True)
class ModelProposal:
    name: str
    schema: ModelSchema
    runtime: str
    options: Mapping[str, Any]
    """How the runtime feeds the model; see runtimes/."""
    files: Mapping[str, Path]
    """By their names in the artifact."""
    golden: Sequence[Mapping[str, Any]]
    """Rows of `input` and `output`, by the names that callers write."""
    golden_source: Literal["expected", "self-made"]
    evaluation: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None
    """By column, the distribution of the sample's numbers."""
    trust: Literal["data", "code", "remote"] = "data"
    warnings: Sequence[str] = field(default=())
    external_data: tuple[str, ...] = ()
    """Those of the files that hold tensors of an ONNX model."""
    toml: str = ""
    """A complete model.toml."""

    def __post_init__(self) -> None:
        """Raise ModelRefused for a slice that is no field."""
        if self.schema.outcomes is None:
            return
        fields = [field.name for field in (*self.schema.input, *self.schema.output)]
        if unknown := [name for name in self.schema.outcomes.slices if name not in fields]:
            raise ModelRefused(f"model.toml: [outcomes]: the slice {unknown[0]!r} is none of {', '.join(fields)}")
