"""POST /prediction: the public contract of the ML Challenge, one text in, its label out."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract import Columns
from models.endpoint import Endpoint


class Prediction(BaseModel):
    """Label one text. (Where the contract answers 405 to a body that it cannot read, this answers 422.)"""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Annotated[str, Field(description="The text.", examples=["The goalie made 40 saves."])]


class Label(BaseModel):
    label: str = Field(examples=["hockey"])


def _inputs(body: Prediction) -> list[dict[str, Any]]:
    return [{"text": body.text}]


def _outputs(body: Prediction, columns: Columns, seconds: float) -> Any:
    return {"label": columns["label"][0]}


def _locate(position: int, field: str) -> tuple[str | int, ...]:
    return (field,)


ENDPOINT = Endpoint(
    path="/prediction",
    operation_id="prediction",
    summary="Label a text now",
    description="Successful prediction",
    body=Prediction,
    answer=Label,
    inputs=_inputs,
    outputs=_outputs,
    locate=_locate,
)
