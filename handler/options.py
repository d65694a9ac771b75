"""What a client may ask for beside the inputs: priority, deadline, callback, and an idempotency key."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from handler.problems import invalid_parameters, parameter_detail
from store.states import Priority

MAX_DEADLINE = 30 * 24 * 3600
"""Seconds; whoever can wait for longer can do without."""


def _representable(time: datetime) -> datetime:
    """Refuse times that PostgreSQL's drivers cannot convert to UTC, year 1 and year 9999."""
    if not 1900 < time.year < 9000:
        raise PydanticCustomError("time_out_of_range", "Give a year from 1901 to 8999")
    return time


def _ahead(time: datetime) -> datetime:
    if time <= datetime.now(UTC):
        raise PydanticCustomError("deadline_passed", "The deadline has passed already; give a later time")
    return time


def _written_out(value: Any) -> Any:
    """Refuse what pydantic would take for seconds since 1970."""
    if not re.match(r"\d{4}-", str(value)):
        raise PydanticCustomError("datetime_parsing", "Give an RFC 3339 time")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_representable)]


class _Given(BaseModel):
    """The query parameters and the header, as OpenAPI describes them."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[
        str, Field(pattern="^(high|normal|low)$", description="high overtakes normal, normal overtakes low")
    ] = "normal"
    deadline: Annotated[
        Annotated[
            Annotated[float, Field(gt=0, le=MAX_DEADLINE, allow_inf_nan=False), Tag("seconds")]
            | Annotated[Time, AfterValidator(_ahead), Tag("time")],
            Discriminator(lambda value: "time" if re.match(r"\d{4}-", str(value)) else "seconds"),
        ]
        | None,
        Field(description="Seconds from now, or an RFC 3339 time: a task that is not scored by then expires"),
    ] = None
    callback_url: Annotated[
        str | None, Field(description="Called when the task has ended", examples=["https://example.com/hooks/scores"])
    ] = None
    idempotency_key: Annotated[
        str | None,
        Field(
            pattern=r'^("[ -~]{1,255}"|[!#-~][ -~]{0,254})$',
            description="Submit again with the same key and body, and you get the first task again, not a second",
            examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Options:
    priority: Priority = Priority.NORMAL
    deadline: datetime | None = None
    deadline_seconds: float | None = None
    callback_url: str | None = None
    idempotency_key: str | None = None


_NONE = Options()


def read(request: Request) -> Options:
    """Read the options of a submission. Raises Refused."""
    key = request.headers.get("idempotency-key")
    if key is None and not request.scope["query_string"]:
        return _NONE  # as most do; validating nothing would cost as much as parsing the body
    given = dict(request.query_params)
    if doubled := [name for name in given if len(request.query_params.getlist(name)) > 1]:
        raise invalid_parameters([{"detail": "Given more than once", "parameter": name} for name in doubled])
    try:
        valid = _Given.model_validate(given | ({} if key is None else {"idempotency_key": key}))
    except ValidationError as error:
        found = reversed(error.errors(include_url=False, include_input=False))
        faults = {str(e["loc"][0]): parameter_detail(e["type"], e["msg"]) for e in found}
        named = {"idempotency_key": "Idempotency-Key"}
        raise invalid_parameters(
            [{"detail": words, "parameter": named.get(name, name)} for name, words in sorted(faults.items())]
        ) from None
    seconds = valid.deadline if isinstance(valid.deadline, float) else None
    return Options(
        priority=Priority[valid.priority.upper()],
        deadline=None if isinstance(valid.deadline, float) else valid.deadline,
        deadline_seconds=seconds,
        callback_url=valid.callback_url,
        idempotency_key=_unquoted(valid.idempotency_key),
    )


def _unquoted(key: str | None) -> str | None:
    """The draft asks for a structured string in quotes; many clients send the bare word."""
    quoted = re.fullmatch('"(.*)"', key or "")
    return quoted[1] if quoted else key


def fingerprint(model: str, callback_url: str | None, payload: bytes) -> bytes:
    """Tell two submissions with one idempotency key apart. A URL holds no NUL, nor does a name."""
    return hashlib.sha256(b"\0".join([model.encode(), (callback_url or "").encode(), payload])).digest()


def parameters() -> list[dict[str, Any]]:
    """Describe the options for OpenAPI."""
    schema = _Given.model_json_schema()["properties"]
    described = []
    for name, about in schema.items():
        header = name == "idempotency_key"
        shape = {key: value for key, value in about.items() if key not in ("description", "title")}
        described.append(
            {
                "name": "Idempotency-Key" if header else name,
                "in": "header" if header else "query",
                "description": about["description"],
                "required": False,
                "schema": shape,
            }
        )
    return described
