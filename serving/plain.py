"""The error of a validator whose message is for the client as it is."""

from pydantic_core import PydanticCustomError

KIND = "plain"


def plain_error(message: str) -> PydanticCustomError:
    """Return an error for pydantic with this message."""
    return PydanticCustomError(KIND, "{message}", {"message": message})
