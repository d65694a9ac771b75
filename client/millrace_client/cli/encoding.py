"""Lets every command print in the encoding of any terminal, file or pipe."""

import codecs
import sys
from io import TextIOWrapper

HANDLER = "millrace"
"""The name of the error handler, which Python keeps in a registry of its own."""

_PLAINER = {"\N{EN DASH}": "-", "…": "...", "●": "*", "✗": "x", "─": "-", "→": "->", "\N{REPLACEMENT CHARACTER}": "?"}
"""What the commands themselves draw beside ASCII."""


def print_anything() -> None:
    """Print what the encoding of the output lacks as something plainer, or as an escape such as \\u4eba."""
    codecs.register_error(HANDLER, _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def for_programs() -> dict[str, str]:
    """Return the environment by which a program of Python that we start prints anything too."""
    return {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}


def _plainer(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (_PLAINER.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(escaped), error.end
