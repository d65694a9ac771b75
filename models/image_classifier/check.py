"""Looks at images at the door, by what their files say of themselves: nothing is decoded here."""

from collections.abc import Iterator, Sequence

from models.image_classifier.header import USUAL_SCANS, Header, UnreadableImage, read
from serving.contract import Columns, Fault, Manifest

MAX_BYTES = 6_000_000
"""Of the file. As base64 in JSON it is a third more, which the default MAX_BODY_BYTES lets in."""

MAX_PIXELS = 25_000_000
"""Of one image. Decoded, 100 MB, and as much again for transparency. A file of 1 kB can claim any size."""

MAX_PIXELS_TOGETHER = 100_000_000
"""Of one task: two to four seconds of decoding. 1,000 WebP files of 1 kB and 25 megapixels each would be minutes.

Both count the pixels of a progressive JPEG of more than 16 scans again for every 16 more: a scan of 25 megapixels took
10 to 120 ms, and a file of 157 kB can have three hundred.
"""


def check(columns: Columns, manifest: Manifest) -> Iterator[Fault]:
    """Yield what is wrong with images, and with wishes for more labels than the current model has."""
    n_labels = len(manifest["labels"])
    together = 0
    for position, (image, top_n) in enumerate(zip(columns["image"], columns["top_n"], strict=True)):
        try:
            work = opened(image).work
        except UnreadableImage as reason:
            yield Fault(position, "image", str(reason))
            work = 0
        if together <= MAX_PIXELS_TOGETHER < together + work:
            many = f"The images up to this one have more than {MAX_PIXELS_TOGETHER:,} pixels together"
            yield Fault(position, "image", f"{many}; scale them down, or send them in several tasks")
        together += work
        if top_n > n_labels:
            yield Fault(position, "top_n", f"The model knows {n_labels} labels; ask for at most {n_labels}")


def pixels(columns: Columns) -> Sequence[int]:
    """Return the work of decoding each image, in pixels; one that may not be decoded is none."""
    return [_work(image) for image in columns["image"]]


def _work(data: bytes) -> int:
    try:
        return opened(data).work
    except UnreadableImage:
        return 0


def opened(data: bytes) -> Header:
    """Return the header of an image that may be decoded. Raises UnreadableImage."""
    if len(data) > MAX_BYTES:
        raise UnreadableImage(f"The file has {len(data):,} bytes, more than {MAX_BYTES:,}; scale the image down")
    header = read(data)
    if header.work > MAX_PIXELS >= header.pixels:
        size = f"{header.width} x {header.height} pixels in {header.scans} scans"
        raise UnreadableImage(
            f"The progressive JPEG has {size}; save it with at most {USUAL_SCANS}, or as a baseline JPEG"
        )
    if header.pixels > MAX_PIXELS:
        size = f"{header.width} x {header.height}"
        raise UnreadableImage(f"The image has {size} pixels, more than {MAX_PIXELS:,} in all; scale it down")
    return header
