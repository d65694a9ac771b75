"""How long to burn."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serving.contract import MAX_INTEGER, Spec


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    cycles: Annotated[int, Field(ge=0, le=1_000_000_000, description="Rounds of an empty loop.", examples=[10])]
    number: Annotated[int, Field(ge=0, le=MAX_INTEGER, description="Makes one order unlike another.", examples=[7])]


class Ash(BaseModel):
    burnt: Annotated[int, Field(ge=0, le=1_000_000_000, examples=[10])]


SPEC = Spec(name="burn", title="Burns CPU", input=Order, output=Ash, table="burns", time_limit=300)
