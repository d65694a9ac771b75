"""Turns image files into what the network sees: for training and serving alike, so that they cannot differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import ExifTags, Image

from models.image_classifier.check import opened
from models.image_classifier.header import Header, UnreadableImage, pixels_only
from serving.contract import BadInput, Fault, Manifest

log = structlog.get_logger(__name__)

BACKGROUND = "white"
"""Under what is transparent: most pictures with transparency are drawn for paper."""


@dataclass(frozen=True)
class Preparation:
    """How a network wants its images: `size` x `size` pixels, grey or coloured, (value / 255 - mean) / std."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        about = manifest["preparation"]
        return cls(about["size"], tuple(about["mean"]), tuple(about["std"]))

    @property
    def channels(self) -> int:
        return len(self.mean)

    def matrix(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Return float32 of shape (images, channels, size, size). Raises BadInput for those that cannot be decoded.

        One image after the other is decoded, so one at a time is in memory in full.
        """
        prepared = np.empty((len(images), self.channels, self.size, self.size), np.float32)
        mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        faults: list[Fault] = []
        for number, data in enumerate(images):
            try:
                prepared[number] = (self._pixels(data) / np.float32(255) - mean) / std
            except UnreadableImage as reason:
                faults.append(Fault(number, "image", str(reason)))
        if faults:
            raise BadInput(*faults)
        return prepared

    def _pixels(self, data: bytes) -> NDArray[Any]:
        header = opened(data)
        try:
            image = self._fitted(data, header)
        except UnreadableImage:
            raise
        except Exception as error:  # whatever Pillow makes of broken data: OSError, SyntaxError, struct.error, …
            log.info("image_not_decoded", kind=header.kind, error=type(error).__name__)
            size = f"{header.width} x {header.height}"
            damaged = f"The data of the {header.kind} of {size} pixels is damaged; save the image anew and send that"
            raise UnreadableImage(damaged) from error
        pixels = np.asarray(image)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def _fitted(self, data: bytes, header: Header) -> Image.Image:
        """Decode, scale the middle square, lay it on the background, turn it as the camera was held: small early."""
        image: Image.Image = Image.open(
            BytesIO(pixels_only(data) if header.kind == "PNG" else data), formats=[header.kind]
        )
        if image.size != (header.width, header.height):
            sizes = f"{header.width} x {header.height} pixels and {image.width} x {image.height}"
            raise UnreadableImage(f"The file says two sizes, {sizes}; save the image anew and send that")
        image.draft(None, (2 * self.size, 2 * self.size))  # a large JPEG is decoded at a fraction of its size
        image.load()  # before anything that would swallow what is wrong with the data
        turn = _turn(image)
        image = _scalable(image)
        side = min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        square = (left, top, left + side, top + side)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, square, reducing_gap=3.0)
        if image.has_transparency_data:
            coloured = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", coloured.size, BACKGROUND), coloured)
        image = image.convert("L" if self.channels == 1 else "RGB")
        return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return how to turn the image upright (EXIF 2.32, tag 0x0112)."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken notes on the image are no reason to refuse it
        return None


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _scalable(image: Image.Image) -> Image.Image:
    """Return the image in a mode whose values can be averaged."""
    if image.mode.startswith("I"):  # 16 bits: Pillow would cut them off at 255 instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode == "P" else image.convert("L") if image.mode == "1" else image
