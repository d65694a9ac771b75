"""The options of a submission: priority, deadline, callback URL and idempotency key."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from handler.http.parameters import Time, described_parameters, text_like, validated
from handler.http.request import ApiRequest
from serving import wire
from serving.contract import Spec
from serving.plain import plain_error
from store import timestamps
from store.states import Priority

MAX_DEADLINE = 30 * 24 * 3600
"""Seconds."""


def _ahead(time: datetime) -> datetime:
    ahead = time - datetime.now(UTC)
    if ahead <= timedelta():
        raise plain_error("The deadline is in the past; send a later time")
    if ahead > timedelta(seconds=MAX_DEADLINE):
        raise plain_error("The deadline is more than 30 days ahead; send an earlier time, or none")
    return time


def _kind(value: Any) -> str:
    """Return whether a deadline is in seconds, which are a number, or a time."""
    try:
        float(value)
    except ValueError:
        return "time"
    return "seconds"


def _either(value: Any) -> Any:
    if _kind(value) == "time" and not re.match("[0-9]{4}-", value):
        raise plain_error(f"Must be seconds from now, such as 3600, or a time, such as {timestamps.EXAMPLE}")
    return value


_KEY = r'"[ -~]{1,255}"|[!#-~][ -~]{0,254}'


class _Given(BaseModel):
    """The query parameters and the header, as the OpenAPI document describes them."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[
        Literal["high", "normal", "low"],
        Field(description="high overtakes normal, normal overtakes low", examples=["high"]),
    ] = "normal"
    deadline: Annotated[
        Annotated[
            Annotated[float, Field(gt=0, le=MAX_DEADLINE, allow_inf_nan=False), Tag("seconds")]
            | Annotated[Time, AfterValidator(_ahead), Tag("time")],
            Discriminator(_kind),
        ]
        | None,
        BeforeValidator(_either),
        WithJsonSchema({"type": "string"}),  # a union would be a class of its own in a generated client
        Field(
            description="Seconds from now, or an RFC 3339 time, 30 days ahead at most: a task that is not scored by "
            "then expires",
            examples=["60"],
        ),
    ] = None
    callback_url: Annotated[
        str | None, Field(description="Called when the task has ended", examples=["https://example.com/hooks/scores"])
    ] = None
    idempotency_key: Annotated[
        str | None,
        text_like(_KEY, "Must be 1 to 255 printable ASCII characters, for example a new UUID"),
        Field(
            json_schema_extra={"pattern": f"^({_KEY})$"},
            description="Makes retries safe: the same key with the same inputs returns the first task, not a second",
            examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
        ),
    ] = None


_HEADERS = {"idempotency_key": "Idempotency-Key"}


@dataclass(frozen=True, slots=True)
class Options:
    priority: Priority = Priority.NORMAL
    deadline: datetime | None = None
    deadline_seconds: float | None = None
    callback_url: str | None = None
    idempotency_key: str | None = None


NO_OPTIONS = Options()


def parse_options(query: Mapping[str, str], idempotency_key: str | None, others: Collection[str]) -> Options:
    """Return the options in the query, which may have `others` beside them. Raises RequestRefused."""
    given = {name: value for name, value in query.items() if name not in others}
    if idempotency_key is not None:
        given["idempotency_key"] = idempotency_key
    valid = validated(_Given, given, _HEADERS)
    seconds = valid.deadline if isinstance(valid.deadline, float) else None
    return Options(
        priority=Priority[valid.priority.upper()],
        deadline=None if isinstance(valid.deadline, float) else valid.deadline,
        deadline_seconds=seconds,
        callback_url=valid.callback_url,
        idempotency_key=_unquoted(valid.idempotency_key),
    )


def key_of(request: ApiRequest) -> str | None:
    """Return the idempotency key of a request that has no other option. Raises RequestRefused."""
    return parse_options({}, request.header(b"idempotency-key"), ()).idempotency_key


def _unquoted(key: str | None) -> str | None:
    """Return the key without the quotes that the draft asks for, and that many clients leave out."""
    quoted = re.fullmatch('"(.*)"', key or "")
    return quoted[1] if quoted else key


_FORMAT = b"\1"
"""The first byte of a fingerprint; change it whenever the rest changes."""


def fingerprint(spec: Spec, callback_url: str | None, payload: bytes) -> bytes:
    """Return a digest of what a submission means: model, inputs and callback URL. A retry has the same.

    Priority and deadline are left out: they say when to score, and those of the original stand.
    """
    meant = [
        spec.name.encode(),
        (callback_url or "").encode(),
        wire.canonical(spec, payload),
    ]  # only the last may hold a NUL
    return _FORMAT + hashlib.sha256(b"\0".join(meant)).digest()


def option_parameters() -> list[dict[str, Any]]:
    """Describe the options for OpenAPI."""
    return described_parameters(_Given, _HEADERS)


_INTEGER, _NUMBER = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")


def input_in_query(query: Mapping[str, str], spec: Spec) -> dict[str, Any]:
    """Return the fields of an input that the query has, as JSON would, for the first clients of `POST /predict`.

    What should be a number and is none stays a text.
    """
    kinds = {spec.public_names[column.name]: column.kind for column in spec.input_columns}
    return {name: _value(kinds[name], text) for name, text in query.items() if name in kinds}


def _value(kind: str, text: str) -> Any:
    if kind in ("integer", "bigint") and _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if kind in ("integer", "bigint", "double") and _NUMBER.fullmatch(text) else text
