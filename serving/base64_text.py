"""Bytes in JSON: strict base64, and its usual other forms."""

import re
from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import EncoderProtocol

from serving.plain import plain_error

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_FOREIGN = re.compile(rb"[^A-Za-z0-9+/]")
_REMEDY = "encode the file's bytes once more"


class Base64Encoder(EncoderProtocol):
    """Strict: pydantic's own skips characters outside the alphabet, and would store a garbled image as another one.

    Accepts the same bytes in another form: a data: URI, lines, the URL-safe alphabet, no padding.
    """

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return b64decode(data, validate=True)
        except ValueError:
            return b64decode(_normalized(data))

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return b64encode(value)

    @classmethod
    def get_json_format(cls) -> Any:
        return "base64"


def _normalized(data: bytes) -> bytes:
    """Return the base64 of RFC 4648, section 4, for another form of it. Raises an error for the client."""
    text = _data_uri_payload(data) if data[:5].lower() == b"data:" else data
    text = b"".join(map(bytes.strip, text.splitlines())).translate(_URL_SAFE)
    if text[:7].lower() in (b"http://", b"https:/"):
        raise plain_error("Must be the file itself in base64, not its URL")
    bare = text.rstrip(b"=")
    padding = len(text) - len(bare)
    if foreign := _FOREIGN.search(bare):
        raise plain_error(_describe(foreign[0], foreign.start() + 1))
    if len(bare) % 4 == 1 or (padding and (padding > 2 or len(text) % 4)):
        raise plain_error(f"Not base64: base64 never has {len(text)} characters, so it may be cut off; {_REMEDY}")
    return bare + b"=" * (-len(bare) % 4)


def _data_uri_payload(uri: bytes) -> bytes:
    head, comma, text = uri.partition(b",")
    if not comma or not head.lower().replace(b" ", b"").endswith(b";base64"):
        raise plain_error("A data: URI must begin like data:image/png;base64, followed by the base64")
    return unquote_to_bytes(text) if b"%" in text else text


def _describe(character: bytes, place: int) -> str:
    if character == b"=":
        return f"Not base64: character {place} is the padding =, as if two files were joined there; {_REMEDY}"
    if character == b" ":
        return f"Not base64: character {place} is a space, perhaps a + that a form has decoded; {_REMEDY}"
    name = repr(character.decode()) if character.isascii() else "outside ASCII"
    return f"Not base64: character {place} is {name}; {_REMEDY}"
