"""Reads path parameters, query parameters and headers, and says what is wrong with them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from handler.http.request import ApiRequest
from handler.problems import MAX_FIELD_ERRORS, ProblemKind, RequestRefused
from serving import wording
from serving.plain import plain_error
from store import timestamps

_Model = TypeVar("_Model", bound=BaseModel)
_ID = TypeAdapter(UUID)


def refuse_repeated(request: ApiRequest) -> None:
    """Raise RequestRefused for a query parameter that is repeated: one of its values would be ignored."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise invalid_parameters([{"detail": "Repeated; send it once", "parameter": name} for name in repeated])


def id_in(request: ApiRequest, name: str) -> UUID:
    """Return the id that the path has under this name. Raises RequestRefused."""
    try:
        return _ID.validate_python(request.path_params[name])
    except ValidationError as error:
        (wrong,) = error.errors(include_url=False)
        raise invalid_parameters([{"detail": parameter_error(wrong), "parameter": name}]) from None


def validated(model: type[_Model], given: Mapping[str, str], headers: Mapping[str, str] | None = None) -> _Model:
    """Return the parameters as the model has them; `headers` has the names of those that are headers.

    Raises RequestRefused, with one error for each parameter that is wrong.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = {str(e["loc"][0]): parameter_error(e) for e in reversed(error.errors(include_url=False))}
        names = headers or {}
        raise invalid_parameters(
            [{"detail": words, "parameter": names.get(name, name)} for name, words in sorted(found.items())]
        ) from None


def invalid_parameters(errors: Sequence[Mapping[str, str]]) -> RequestRefused:
    errors = errors[:MAX_FIELD_ERRORS]
    detail = "; ".join(f"{error['parameter']}: {error['detail']}" for error in errors)
    return RequestRefused(ProblemKind.INVALID_PARAMETER, f"{detail}.", errors=errors)


def parameter_error(error: ErrorDetails) -> str:
    """Return what is wrong with a parameter, all of which come as text."""
    if error["type"] == "extra_forbidden":
        return "Unknown parameter; /docs lists the parameters"
    return wording.words(error, as_text=True)


def text_like(pattern: str, words: str) -> AfterValidator:
    """Require a text to match a regular expression, which `words` explain."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise plain_error(words)
        return text

    return AfterValidator(check)


def _moment(text: Any) -> datetime:
    try:
        return timestamps.parse(text)
    except timestamps.InvalidTime as wrong:
        raise plain_error(str(wrong)) from None


Time = Annotated[datetime, BeforeValidator(_moment)]


def described_parameters(model: type[BaseModel], headers: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the OpenAPI description of a model's parameters; `headers` has the names of those that are headers."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    names = headers or {}
    return [
        {
            "name": names.get(name, name),
            "in": "header" if name in names else "query",
            "description": about["description"],
            "required": False,
            "schema": {key: value for key, value in about.items() if key not in ("description", "title")},
        }
        for name, about in schema["properties"].items()
    ]
