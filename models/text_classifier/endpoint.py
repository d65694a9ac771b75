"""POST /prediction: one text in, its label out, as the ML Challenge's text classification assignment words it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serving.contract import NO_NUL, Columns
from serving.endpoint import Endpoint

MAX_CHARACTERS = 100_000
"""A third more than the longest post that the shipped version was trained on."""

EndpointText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CHARACTERS,
        pattern=NO_NUL,
        description="What to classify; an e-mail or a news post may keep its header.",
        examples=["The goalie stopped thirty shots, and the playoffs begin on Sunday."],
    ),
]


class TextToLabel(BaseModel):
    """Say what a text is about."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: EndpointText


class Labelled(BaseModel):
    label: str = Field(description="The most probable label.", examples=["hockey"])


def _inputs(body: TextToLabel) -> list[dict[str, Any]]:
    return [{"text": body.text}]


def _outputs(body: TextToLabel, columns: Columns, seconds: float) -> Any:
    return {"label": columns["label"][0]}


def _locate(position: int, field: str) -> tuple[str | int, ...]:
    return (field,)


ENDPOINT = Endpoint(
    path="/prediction",
    operation_id="prediction",
    summary="Say what a text is about now",
    description="Successful prediction",
    body=TextToLabel,
    answer=Labelled,
    inputs=_inputs,
    outputs=_outputs,
    locate=_locate,
)
