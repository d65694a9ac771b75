"""Looks at images at the door, by their first and last bytes: nothing is decoded here."""

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from models.contract import Columns, Fault, Manifest

MAX_BYTES = 6_000_000
"""Of the file. As base64 in JSON it is a third more, which the default MAX_BODY_BYTES lets in."""

MAX_PIXELS = 25_000_000
"""Decoded, 100 MB. A file of a few kB can claim any size, and its memory would be taken at once."""

FORMATS = ("PNG", "JPEG", "WEBP")


class UnreadableImage(ValueError):
    """The file is no image that can be classified; the message says why and what to do."""


def check(columns: Columns, manifest: Manifest) -> Iterator[Fault]:
    """Yield what is wrong with images, and with wishes for more labels than the current model has."""
    n_labels = len(manifest["labels"])
    for position, (image, top_n) in enumerate(zip(columns["image"], columns["top_n"], strict=True)):
        try:
            opened(image)
        except UnreadableImage as reason:
            yield Fault(position, "image", str(reason))
        if top_n > n_labels:
            yield Fault(position, "top_n", f"The model knows {n_labels} labels; ask for at most {n_labels}")


def weigh(columns: Columns) -> Sequence[int]:
    """Return each image's number of pixels."""
    return [width * height for width, height in (opened(image).size for image in columns["image"])]


def opened(data: bytes) -> Image.Image:
    """Open an image by its content, whatever its name says, without decoding it. Raises UnreadableImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnreadableImage(f"Not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, by its content") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(_TOO_LARGE) from None
    except Exception as error:  # whatever Pillow makes of a broken header
        raise UnreadableImage(f"The file is cut off, or its header is broken ({error}); send the whole file") from None
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImage(f"{image.width} x {image.height} pixels: {_TOO_LARGE}")
    if not _ends(data, str(image.format)):
        raise UnreadableImage("The file is cut off: its end is missing; send the whole file")
    return image


_TOO_LARGE = f"more than {MAX_PIXELS:,} pixels are not decoded; scale the image down"


def _ends(data: bytes, kind: str) -> bool:
    """Return whether the file has the end that its format prescribes."""
    if kind == "PNG":
        return b"IEND" in data[-4096:]  # some programs write a little after it
    if kind == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    place = 2  # JPEG: segments, each with its length, then the scan, then the end marker
    while place + 4 <= len(data) and data[place] == 0xFF:
        if data[place + 1] == 0xDA:
            return data.rfind(b"\xff\xd9") > place
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False
