"""What is read of a form: as many fields as a model has, and not more."""

from urllib.parse import urlencode

import httpx
import pytest

from console.page import FORM_FIELDS, _fields
from handler.http.multipart import MAX_PARTS
from handler.http.request import ApiRequest
from handler.problems import RequestRefused

WIDE = [f"field {n}" for n in range(1_500)]


async def _receive() -> dict[str, object]:
    raise AssertionError("the body is read already")


def request_with(content_type: str) -> ApiRequest:
    headers = [(b"content-type", content_type.encode())]
    return ApiRequest({"type": "http", "method": "POST", "path": "/", "headers": headers}, _receive)  # type: ignore[arg-type]


def parts(names: list[str]) -> tuple[ApiRequest, bytes]:
    """A form as a browser sends it with files."""
    sent = httpx.Request("POST", "http://localhost/", files=dict.fromkeys(names, (None, "1")))
    return request_with(sent.headers["content-type"]), sent.read()


def test_a_form_of_a_wide_model_has_all_its_fields() -> None:
    expected = dict.fromkeys(WIDE, "1")
    request = request_with("application/x-www-form-urlencoded")
    assert _fields(request, urlencode(expected).encode(), WIDE) == expected
    assert _fields(*parts(WIDE), WIDE) == expected


def test_a_form_of_more_fields_than_the_model_has_is_refused() -> None:
    request = request_with("application/x-www-form-urlencoded")
    with pytest.raises(RequestRefused, match=f"more than {FORM_FIELDS} fields"):
        _fields(request, urlencode(dict.fromkeys(WIDE, "1")).encode(), ["one"])
    with pytest.raises(RequestRefused, match=f"more than {MAX_PARTS} parts"):
        _fields(*parts(WIDE), ["one"])
