"""Parses multipart forms: texts as strings, files as bytes, each part once."""

from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from handler.http.request import ApiRequest
from handler.pointer import pointer
from handler.problems import ProblemKind, RequestRefused

MAX_PARTS = 20
"""Parts that are read of a form with fewer fields, so that one with unknown parts is told of them."""


class _Part:
    def __init__(self) -> None:
        self.head: dict[bytes, bytes] = {}
        self.data = bytearray()


def parse_form(request: ApiRequest, body: bytes, known: Sequence[str]) -> dict[str, str | bytes]:
    """Return a form's parts by their names, which must be `known`. Raises RequestRefused.

    A file is a part with a filename, in either of its forms, or one that is not text.
    """
    parts = _parts(request, body, max(MAX_PARTS, len(known)))
    fields: dict[str, str | bytes] = {}
    for part in parts:
        disposition = part.head.get(b"content-disposition", b"")
        options = parse_options_header(disposition)[1]
        if b"name" not in options:
            raise _refused("a part has no name; name it in its Content-Disposition header")
        name = options[b"name"].decode(errors="replace")
        if name not in known:
            raise _refused(f"unknown part {name[:64]!r}; the form takes {', '.join(known)}", name)
        if name in fields:
            raise _refused(f"the part {name!r} is repeated; send it once, one file per request", name)
        is_file = b"filename" in options or b"filename*=" in disposition.lower()
        fields[name] = _value(bytes(part.data), is_file=is_file)
    return fields


def _value(data: bytes, *, is_file: bool) -> str | bytes:
    if is_file or b"\0" in data:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _parts(request: ApiRequest, body: bytes, most: int) -> list[_Part]:
    boundary = parse_options_header(request.index[b"content-type"])[1].get(b"boundary")
    if not boundary:
        raise _refused("the Content-Type has no boundary; let the HTTP client write this header")
    parts: list[_Part] = []
    name = bytearray()
    value = bytearray()
    ended = False

    def begin() -> None:
        if len(parts) == most:
            raise _refused(f"it has more than {most} parts")
        parts.append(_Part())

    def header() -> None:
        parts[-1].head[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def end() -> None:
        nonlocal ended
        ended = True

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": lambda data, start, stop: name.extend(data[start:stop]),
                "on_header_value": lambda data, start, stop: value.extend(data[start:stop]),
                "on_header_end": header,
                "on_part_data": lambda data, start, stop: parts[-1].data.extend(memoryview(data)[start:stop]),
                "on_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise _refused("it is malformed; let an HTTP client build it") from None
    if not ended:
        raise _refused("its last boundary is missing; send the whole form")
    return parts


def _refused(why: str, part: str | None = None) -> RequestRefused:
    errors = [] if part is None else [{"detail": why, "pointer": pointer((part[:64],))}]
    return RequestRefused(ProblemKind.INVALID_FORM, f"Invalid multipart form: {why}.", errors=errors)
