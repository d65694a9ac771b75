"""POST /inference: an image as a form's file or in JSON, answered with its labels and the time that scoring took."""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models.image_classifier.examples import EIGHT
from serving.contract import Columns
from serving.endpoint import Endpoint
from serving.plain import plain_error

_CLOSED = ConfigDict(extra="forbid", strict=True)


class EncodedImage(BaseModel):
    model_config = _CLOSED
    image: Annotated[str, Field(description="A PNG, JPEG or WebP file in base64.", examples=[EIGHT])]
    height: Annotated[int | None, Field(ge=0, description="Not looked at: the file says it.", examples=[8])] = None
    width: Annotated[int | None, Field(ge=0, description="Not looked at: the file says it.", examples=[8])] = None


class InferenceData(BaseModel):
    model_config = _CLOSED
    B64Image: EncodedImage


class ImageClassificationOptions(BaseModel):
    model_config = _CLOSED
    top_n: Annotated[int, Field(ge=1, le=1000, description="How many labels, best first.", examples=[5])] = 5


class InferenceType(BaseModel):
    model_config = _CLOSED
    ImageClassification: ImageClassificationOptions = ImageClassificationOptions()


def _without_text(data: Any) -> Any:
    if isinstance(data, dict) and "Text" in data:
        raise plain_error("No served model takes Text here: send B64Image, and texts to /prediction or /translation")
    return data


def _served(kind: Any) -> Any:
    named = next(iter(kind), None) if isinstance(kind, dict) else kind
    if named in ("ImageToImage", "TextToText"):
        raise plain_error(
            f"No served model does {named}: ask for ImageClassification, and for labels or translations of texts at "
            "/prediction or /translation"
        )
    return kind


class Inference(BaseModel):
    """Say what is in an image. A multipart form is taken as well: `file`, and `top_n` if wanted."""

    model_config = _CLOSED
    data: Annotated[InferenceData, BeforeValidator(_without_text)]
    inference_type: Annotated[InferenceType, BeforeValidator(_served)] = InferenceType()


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


def _outputs(body: BaseModel, columns: Columns, seconds: float) -> Any:
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

    A second image stays at the top, where the body refuses it.
    """
    rest = dict(fields)
    file, top_n = rest.pop("file" if "file" in rest else "image", None), rest.pop("top_n", None)
    image = {} if file is None else {"image": b64encode(file).decode() if isinstance(file, bytes) else file}
    body: dict[str, Any] = {**rest, "data": {"B64Image": image}}
    if top_n is not None:
        number = re.fullmatch(r"([0-9]{1,9})(\.0+)?", top_n) if isinstance(top_n, str) else None
        body["inference_type"] = {"ImageClassification": {"top_n": int(number[1]) if number else top_n}}
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
    parts=("file", "image", "top_n"),
)

IMAGE_INFERENCE = Endpoint(
    path="/image_inference",
    operation_id="image_inference",
    summary="Say what is in an image, as the first clients of /inference ask",
    description="The labels, best first",
    body=EncodedImage,
    answer=Classified,
    inputs=lambda body: [{"image": body.image}],
    outputs=lambda body, columns, seconds: _outputs(body, columns, seconds)[0],
    locate=lambda position, field: (field,),
)
