"""Ends a program whose settings are invalid with a sentence for each of them instead of a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from pydantic_settings import BaseSettings


@contextmanager
def exit_on_invalid_settings() -> Iterator[None]:
    """Decorate a program's main function with this."""
    try:
        yield
    except ValidationError as error:
        if error.title not in _classes():
            raise
        sys.exit("\n".join(sentences(error)))


def sentences(error: ValidationError) -> list[str]:
    """Say of each invalid setting what is wrong and what it takes. Values are not shown: some are secrets."""
    settings = _classes().get(error.title)
    found = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        message = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            found.append(message)
            continue
        name = str(fault["loc"][0])
        field = settings.model_fields.get(name) if settings else None
        takes = f" ({field.description})" if field and field.description else ""
        if fault["type"] == "missing":
            found.append(f"{name.upper()} is not set{takes}")
        elif fault["type"] in ("string_pattern_mismatch", "url_scheme", "url_parsing") and takes:
            found.append(f"{name.upper()} is not valid{takes}")
        else:
            found.append(f"{name.upper()} is not valid: {message}{takes}")
    return found


def _classes() -> dict[str, type[BaseSettings]]:
    return {settings.__name__: settings for settings in BaseSettings.__subclasses__()}
