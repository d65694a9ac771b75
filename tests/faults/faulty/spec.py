"""What the faulty model takes: what it shall do with each input."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.contract import NO_NUL, Spec


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    act: Annotated[Literal["score", "sleep", "raise", "exit", "hang", "hang deaf"], Field(examples=["score"])]
    number: Annotated[int, Field(ge=0, le=1000, examples=[7])]
    key: Annotated[str | None, Field(max_length=64, pattern=NO_NUL)] = None


class Answer(BaseModel):
    double: Annotated[int, Field(ge=0, le=2000)]


SPEC = Spec(
    name="faulty",
    title="Doubles a number, if it does not misbehave",
    input=Order,
    output=Answer,
    table="faulty_answers",
    key="key",
    time_limit=2,
)
