"""Turns inputs into the payload that is stored, or lists what is wrong with them. (reading.py reads a body of many.)"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from handler.http.body import JSON, BodyReader, parse_json, with_integers
from handler.http.request import ApiRequest
from handler.pointer import pointer
from handler.problems import MAX_FIELD_ERRORS, ProblemKind, RequestRefused
from serving import wire, wording
from serving.contract import Columns, Manifest, Spec

M = TypeVar("M", bound=BaseModel)

Locate = Callable[[int, tuple[str | int, ...]], tuple[str | int, ...]]
"""Returns where the client finds, in the body that it sent, a place in the input at a position."""


class ValidInputs(NamedTuple):
    """The payload that is stored, and how many inputs it has."""

    payload: bytes
    n_inputs: int


async def read_one(request: ApiRequest, bodies: BodyReader, spec: Spec, manifest: Manifest) -> ValidInputs:
    """Read one JSON object as a payload with one input. Raises RequestRefused."""
    body = await bodies.read_as(request, JSON)
    try:
        row = wire.decoder(spec).decode_one(body)
    except ValueError:
        value = parse_json(body)
        if not isinstance(value, dict):
            raise RequestRefused(
                ProblemKind.INVALID_INPUT, "The body must be one JSON object; send several to POST /submit."
            ) from None
        return validate(spec, manifest, [value], locate_single)
    run_check(spec, manifest, [row], locate_single)
    return ValidInputs(b"[" + body + b"]", 1)


def locate_in_array(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Locate a place among several inputs."""
    return position, *place


def locate_single(position: int, place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Locate a place in an input that is the whole body."""
    return place


def validate(spec: Spec, manifest: Manifest, values: Sequence[Any], locate: Locate) -> ValidInputs:
    """Validate decoded inputs with msgspec, or where it refuses them with pydantic. Raises RequestRefused.

    Integers are stored without a point, which is the only form that workers read.
    """
    check_count(spec, len(values))
    rows, payload = _fast(spec, values)
    if not rows:
        values = with_integers(values)
        rows, payload = _fast(spec, values)
    if not rows:
        return validate_with_pydantic(spec, manifest, values, locate)
    run_check(spec, manifest, rows, locate)
    return ValidInputs(wire.pack(spec, rows, payload), len(rows))


def _fast(spec: Spec, values: Sequence[Any]) -> tuple[list[Any], bytes]:
    """Return the rows and the array that they come from; no rows where the fast decoder refuses one."""
    payload = to_json(values, inf_nan_mode="constants")  # which it refuses
    try:
        return wire.decoder(spec).decode(payload), payload
    except ValueError:
        return [], payload


def validate_with_pydantic(spec: Spec, manifest: Manifest, values: Sequence[Any], locate: Locate) -> ValidInputs:
    """Validate inputs with pydantic. Raises RequestRefused.

    Stops soon after MAX_FIELD_ERRORS: a body of a few MB can hold a million, which pydantic lists for seconds.
    """
    if not values:
        raise RequestRefused(ProblemKind.INVALID_INPUT, "The request has no inputs; send at least one.")
    check_count(spec, len(values))  # before every one of them is validated
    rows: list[Any] = []
    errors: list[dict[str, str]] = []
    for position, value in enumerate(values):
        try:
            rows.append(validated_row(spec, value))
        except ValidationError as error:
            errors += field_errors(error, spec.input, partial(locate, position))
            if len(errors) > MAX_FIELD_ERRORS:
                break
    refuse_invalid(errors)
    run_check(spec, manifest, rows, locate)
    return ValidInputs(wire.pack(spec, rows, wire.validator(spec).dump_json(rows, by_alias=True)), len(rows))


def validated_row(spec: Spec, value: Any, unknown: int = MAX_FIELD_ERRORS) -> BaseModel:
    """Return one input as the spec's pydantic model has it. Raises ValidationError, with so many `unknown` fields."""
    return spec.input.model_validate_json(to_json(_trimmed(spec, value, unknown), inf_nan_mode="constants"))


def run_check(spec: Spec, manifest: Manifest, rows: Sequence[Any], locate: Locate) -> None:
    """Let the model's own check look at what its schema accepts. Raises RequestRefused."""
    if spec.check is not None:
        check_columns(spec, manifest, wire.columns(spec, rows), locate)


def check_columns(spec: Spec, manifest: Manifest, columns: Columns, locate: Locate) -> None:
    """Do the same for columns. Raises RequestRefused."""
    if spec.check is not None:
        found = islice(spec.check(columns, manifest), MAX_FIELD_ERRORS + 1)
        places = ((fault, locate(fault.position, (spec.public_names[fault.field],))) for fault in found)
        errors = [{"detail": fault.detail, "pointer": pointer(place)} for fault, place in places]
        refuse_invalid(
            list({error["pointer"]: error for error in errors}.values())
        )  # a language is said once for all records


def model_of(model: type[M], given: Any) -> M:
    """Return a JSON value as this model has it. Raises RequestRefused."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        refuse_invalid(field_errors(error, model, tuple))
        raise


MAX_LISTED = 10_000
"""So many errors pydantic lists in a tenth of a second; a body of a few MB can hold a million."""


def field_errors(
    error: ValidationError, model: type[BaseModel], located: Callable[[tuple[str | int, ...]], tuple[str | int, ...]]
) -> list[dict[str, str]]:
    """Return what pydantic found, by the places of `located`. Raises RequestRefused if it is too much to list."""
    if error.error_count() > MAX_LISTED:
        detail = f"More than {MAX_LISTED} errors in the input; nothing was stored. Compare it with the schema at /docs."
        raise RequestRefused(ProblemKind.INVALID_INPUT, detail) from None
    found = islice(error.errors(include_url=False), MAX_FIELD_ERRORS + 1)
    return [{"detail": wording.words(e, model), "pointer": pointer(located(e["loc"]))} for e in found]


def refuse_invalid(errors: Sequence[dict[str, str]]) -> None:
    """Raise RequestRefused with the first errors, if there are any."""
    if not errors:
        return
    count = f"{len(errors)} error{'s'[: len(errors) > 1]}"
    if len(errors) > MAX_FIELD_ERRORS:
        count = f"More than {MAX_FIELD_ERRORS} errors, of which the first {MAX_FIELD_ERRORS} are listed,"
    detail = f"{count} in the input; nothing was stored."
    raise RequestRefused(ProblemKind.INVALID_INPUT, detail, errors=errors)


def _trimmed(spec: Spec, value: Any, most: int) -> Any:
    """Drop the unknown fields that are too many to be listed."""
    known = dict.fromkeys(spec.public_names[name] for name in spec.input.model_fields)
    if not isinstance(value, dict) or len(value) <= len(known) + most:
        return value
    unknown = islice((name for name in value if name not in known), most + 1)
    return {name: value[name] for name in [*(known.keys() & value.keys()), *unknown]}


def check_count(spec: Spec, n_inputs: int) -> None:
    """Raise RequestRefused for more inputs than one submission may have."""
    if n_inputs > spec.max_inputs:
        detail = f"{n_inputs} inputs exceed the limit of {spec.max_inputs}; split them into several submissions."
        raise RequestRefused(ProblemKind.TOO_MANY_INPUTS, detail)
