"""Somebody else's public contract that a model answers as well, in that contract's own words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from models.contract import Columns


@dataclass(frozen=True)
class Endpoint:
    """An address that takes a body of its own, waits for the scores, and answers in a shape of its own.

    `description` is of the 200, and `answer` the type of its body. `inputs` makes inputs of a validated body, in JSON's
    terms (bytes as base64); `outputs` makes the answer of the body, the output columns (with the key's) and the
    seconds that scoring took. `locate` says where in the body a field of the input at a position comes from. `form`
    makes of a multipart form's fields what `body` validates; without it, the endpoint takes JSON only.
    """

    path: str
    operation_id: str
    summary: str
    description: str
    body: type[BaseModel]
    answer: Any
    inputs: Callable[[Any], list[dict[str, Any]]]
    outputs: Callable[[Any, "Columns", float], Any]
    locate: Callable[[int, str], tuple[str | int, ...]]
    form: Callable[[Mapping[str, str | bytes]], Any] | None = None
