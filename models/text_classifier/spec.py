"""What the text classifier takes and gives."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.contract import NO_NUL, Columns, Spec
from models.text_classifier.endpoint import ENDPOINT, Text


class Document(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Text
    document_id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never read.",
            examples=["d-1001"],
        ),
    ] = None


class Label(BaseModel):
    """What the text is about."""

    label: Annotated[str, Field(pattern=NO_NUL, description="The most probable label.", examples=["hockey"])]
    probability: Annotated[float, Field(ge=0, le=1, description="Of that label.", examples=[0.97])]
    labels: Annotated[
        list[str],
        Field(
            description="All labels, in alphabetical order.",
            examples=[["baseball", "cryptography", "electronics", "hockey", "politics", "space"]],
        ),
    ]
    probabilities: Annotated[
        list[float],
        Field(description="Of these labels, in their order.", examples=[[0.02, 0.0, 0.0, 0.97, 0.0, 0.01]]),
    ]


def _weigh(columns: Columns) -> Sequence[int]:
    """Count characters, to which the time is proportional."""
    return list(map(len, columns["text"]))


SPEC = Spec(
    name="text_classifier",
    title="Says what a text is about",
    input=Document,
    output=Label,
    table="text_labels",
    key="document_id",
    max_chunk=1_000,  # some 100 MB where each body is as large as it may be
    cache=True,
    weigh=_weigh,
    max_weight=5_000_000,
    endpoint=ENDPOINT,
    personal=("text",),
)
