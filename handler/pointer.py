"""Where in the body an error is."""

from collections.abc import Sequence
from urllib.parse import quote


def pointer(location: Sequence[int | str]) -> str:
    """Return the JSON pointer (RFC 6901, as a URI fragment) of a place in the body."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join("/" + quote(part, safe="~!$&'()*+,;=:@") for part in parts)
