"""POST /inference: an image as a form's file or in JSON, answered with its labels and the time that scoring took."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from models.contract import Columns
from models.endpoint import Endpoint
from models.image_classifier.examples import EIGHT

_CLOSED = ConfigDict(extra="forbid", strict=True)


class EncodedImage(BaseModel):
    model_config = _CLOSED
    image: Annotated[str, Field(description="A PNG, JPEG or WebP file in base64.", examples=[EIGHT])]


class Data(BaseModel):
    model_config = _CLOSED
    B64Image: EncodedImage


class Wish(BaseModel):
    model_config = _CLOSED
    top_n: Annotated[int, Field(ge=1, le=1000, description="How many labels, best first.", examples=[5])] = 5


class InferenceType(BaseModel):
    model_config = _CLOSED
    ImageClassification: Wish = Wish()


class Inference(BaseModel):
    """Say what is in an image. A multipart form is taken as well: `file`, and `top_n` if wanted."""

    model_config = _CLOSED
    data: Data
    inference_type: InferenceType = InferenceType()


class Label(BaseModel):
    label: str = Field(examples=["8"])
    probability: float = Field(examples=[0.98])


class Classified(BaseModel):
    Classification: list[Label]


class Took(BaseModel):
    """How long scoring took."""

    secs: int = Field(examples=[0])
    nanos: int = Field(examples=[3_120_000])


def _inputs(body: Inference) -> list[dict[str, Any]]:
    return [{"image": body.data.B64Image.image, "top_n": body.inference_type.ImageClassification.top_n}]


def _outputs(body: Inference, columns: Columns, seconds: float) -> Any:
    labels = zip(columns["labels"][0], columns["probabilities"][0], strict=True)
    secs, nanos = divmod(round(seconds * 1e9), 10**9)
    return [
        {"Classification": [{"label": label, "probability": probability} for label, probability in labels]},
        {"secs": secs, "nanos": nanos},
    ]


def _locate(position: int, field: str) -> tuple[str | int, ...]:
    places = {
        "image": ("data", "B64Image", "image"),
        "top_n": ("inference_type", "ImageClassification", "top_n"),
    }
    return places[field]


def _form(fields: Mapping[str, str | bytes]) -> Any:
    """Make of a form what the same request would be in JSON; `image` in a text field is base64, as it is there.

    What is not known stays at the top, where the body refuses it.
    """
    rest = dict(fields)
    file, top_n = rest.pop("file" if "file" in rest else "image", None), rest.pop("top_n", None)
    image = {} if file is None else {"image": b64encode(file).decode() if isinstance(file, bytes) else file}
    body: dict[str, Any] = {**rest, "data": {"B64Image": image}}
    if top_n is not None:
        number = isinstance(top_n, str) and re.fullmatch("[0-9]{1,9}", top_n)
        body["inference_type"] = {"ImageClassification": {"top_n": int(top_n) if number else top_n}}
    return body


ENDPOINT = Endpoint(
    path="/inference",
    operation_id="inference",
    summary="Say what is in an image now",
    description="The labels, best first, and how long scoring took",
    body=Inference,
    answer=list[Classified | Took],
    inputs=_inputs,
    outputs=_outputs,
    locate=_locate,
    form=_form,
)
