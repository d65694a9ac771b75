"""An endpoint of a model's own, which answers an existing public API's contract."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from serving.contract import Columns


@dataclass(frozen=True)
class Endpoint:
    """A path with a request body and a response of its own, which waits for the predictions.

    `description` is that of the 200 response, and `answer` the type of its body. `inputs` turns a validated body into
    inputs, as JSON has them (bytes as base64). `outputs` makes the response of the body, the output columns (with the
    key's) and the seconds that scoring took. `locate` returns where in the body a field of the input at a position
    comes from. `form` turns a multipart form's `parts` into what `body` validates; without it, only JSON is accepted.
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
    parts: tuple[str, ...] = ()
