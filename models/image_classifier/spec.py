"""What the image classifier takes and gives."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.image_classifier.check import check, pixels
from models.image_classifier.endpoint import ENDPOINT, IMAGE_INFERENCE
from models.image_classifier.examples import EIGHT
from serving.contract import NO_NUL, Base64, Spec

MAX_LABELS = 1000


class Image(BaseModel):
    """One image, and how many labels are wanted for it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    image: Annotated[
        Base64,
        Field(description="A PNG, JPEG or WebP file of up to 6 MB and 25 megapixels, in base64.", examples=[EIGHT]),
    ]
    top_n: Annotated[int, Field(ge=1, le=MAX_LABELS, description="How many labels, best first.", examples=[3])] = 5
    image_id: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=NO_NUL,
            description="The caller's own key: stored and returned, never looked at.",
            examples=["img-1"],
        ),
    ] = None


class Labels(BaseModel):
    """What is in the image."""

    label: Annotated[str, Field(pattern=NO_NUL, description="The most probable label.", examples=["8"])]
    probability: Annotated[float, Field(ge=0, le=1, description="Of that label.", examples=[0.98])]
    labels: Annotated[
        list[str], Field(description="The `top_n` most probable labels, best first.", examples=[["8", "9", "3"]])
    ]
    probabilities: Annotated[
        list[float], Field(description="Of these labels, in their order.", examples=[[0.98, 0.01, 0.004]])
    ]


SPEC = Spec(
    name="image_classifier",
    title="Says what is in an image",
    input=Image,
    output=Labels,
    table="image_labels",
    key="image_id",
    max_inputs=1_000,
    time_limit=300,  # 1,000 images through a ResNet-50 on one core are some 100 to 200 s
    max_chunk=16,  # some 3 s, and 350 MB where each is of 6 MB
    cache=True,
    check=check,
    max_batch=25_000_000,
    input_sizes=pixels,
    endpoint=ENDPOINT,
    older_endpoints=(IMAGE_INFERENCE,),
    personal=("image",),
)
