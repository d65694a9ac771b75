"""What the text classifier takes and gives."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.text_classifier.endpoint import ENDPOINT, EndpointText
from serving.contract import NO_NUL, Columns, Fault, Manifest, Spec
from serving.visible import BLANK, is_blank


class Document(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    text: EndpointText
    document_id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never read.",
            examples=["d-1001"],
        ),
    ] = None


class TextLabel(BaseModel):
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


def blank_texts(columns: Columns, manifest: Manifest) -> Iterator[Fault]:
    """Yield a fault for each text that shows nothing, as training does: any label for it would be invented."""
    for position, text in enumerate(columns["text"]):
        if is_blank(text):
            yield Fault(position, "text", BLANK)


def _characters(columns: Columns) -> Sequence[int]:
    """Count characters, to which the time is proportional."""
    return list(map(len, columns["text"]))


SPEC = Spec(
    name="text_classifier",
    title="Says what a text is about",
    input=Document,
    output=TextLabel,
    table="text_labels",
    key="document_id",
    max_chunk=1_000,  # some 100 MB where each body is as large as it may be
    cache=True,
    check=blank_texts,
    max_batch=5_000_000,
    input_sizes=_characters,
    endpoint=ENDPOINT,
    personal=("text",),
)
