"""What the text classifier takes and gives."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.contract import NO_NUL, Columns, Spec
from models.text_classifier.endpoint import ENDPOINT

MAX_LENGTH = 100_000


class Document(BaseModel):
    """One text."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_LENGTH,
            pattern=NO_NUL,
            description="The text, in any script; up to 100,000 characters.",
            examples=["The goalie made 40 saves and the Penguins won in overtime."],
        ),
    ]
    document_id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never looked at.",
            examples=["doc-1"],
        ),
    ] = None


class Topic(BaseModel):
    """What the text is about."""

    label: Annotated[str, Field(pattern=NO_NUL, description="The most probable label.", examples=["hockey"])]
    probability: Annotated[float, Field(ge=0, le=1, description="Of that label.", examples=[0.97])]
    labels: Annotated[
        list[str], Field(description="Every label that the model knows.", examples=[["baseball", "hockey"]])
    ]
    probabilities: Annotated[
        list[float], Field(description="Of these labels, in their order.", examples=[[0.03, 0.97]])
    ]


def weigh(columns: Columns) -> Sequence[int]:
    """Return each text's length in characters."""
    return [len(text) for text in columns["text"]]


SPEC = Spec(
    name="text_classifier",
    title="Labels texts by their topic",
    input=Document,
    output=Topic,
    table="text_labels",
    key="document_id",
    max_inputs=2_000,
    cache=True,
    weigh=weigh,
    max_weight=20_000_000,
    endpoint=ENDPOINT,
)
