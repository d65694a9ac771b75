"""Bytes in JSON: base64 (RFC 4648, section 4), and nothing beside it."""

from base64 import b64decode, b64encode
from typing import Any

from pydantic import EncoderProtocol
from pydantic_core import PydanticCustomError


class Base64Encoder(EncoderProtocol):
    """Strict: pydantic's own skips what is not in the alphabet, and would store a garbled image as another one."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return b64decode(data, validate=True)
        except ValueError as error:
            raise PydanticCustomError("base64", "Not valid base64: {reason}", {"reason": str(error)}) from None

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return b64encode(value)

    @classmethod
    def get_json_format(cls) -> Any:
        return "base64"
