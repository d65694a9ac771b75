"""What EXPORT_URL and ARTIFACTS_URL may be: a place that holds no secret, which the log may show."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

LIKE_THIS = "file:///folder, s3://bucket/folder or gs://bucket/folder"

BUCKETS = ("s3", "gs")

GLOB = set("*?[]")


class UnusableBlobUrl(ValueError):
    """The URL names no folder and no bucket; the message says why and what to write, and quotes no password."""


def usable(url: str) -> str:
    """Return the URL when files can lie there. Raises UnusableBlobUrl."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UnusableBlobUrl(f"it must be like {LIKE_THIS}") from None
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1 and parts.path.startswith("/")
    if "::" in url:  # fsspec would open one URL by another
        raise UnusableBlobUrl(f"it must be one URL, like {LIKE_THIS}")
    if not is_folder and (parts.scheme not in BUCKETS or not parts.netloc):
        raise UnusableBlobUrl(f"it must be like {LIKE_THIS}")
    if set(url) & GLOB:
        raise UnusableBlobUrl(f"it must have none of {' '.join(sorted(GLOB))}, which stand for several files")
    if "@" in parts.netloc or parts.fragment:
        raise UnusableBlobUrl("it must hold no password: use the cloud's own settings, such as AWS_ACCESS_KEY_ID")
    return url


BlobUrl = Annotated[str, AfterValidator(usable)]


def redacted(text: str) -> str:
    """Return a text, such as an error's, without the user and password of any URL in it."""
    return re.sub(r"://[^/\s@]*@", "://…@", text)
