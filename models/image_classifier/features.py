"""Turns image files into what the network sees: for training and serving alike, so that they cannot differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.contract import Manifest
from models.image_classifier.check import UnreadableImage, opened


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
        """Return float32 of shape (images, channels, size, size). Raises UnreadableImage."""
        prepared = np.empty((len(images), self.channels, self.size, self.size), np.float32)
        mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        for number, data in enumerate(images):
            prepared[number] = (self._pixels(data) / np.float32(255) - mean) / std
        return prepared

    def _pixels(self, data: bytes) -> NDArray[Any]:
        """Decode, turn as the camera was held, flatten onto black, and cut the middle to size."""
        image = opened(data)
        try:
            image.load()
        except Exception as error:  # whatever Pillow makes of broken data
            raise UnreadableImage(f"The image's data is broken ({error})") from None
        upright = ImageOps.exif_transpose(image)
        flat = _flattened(upright).convert("L" if self.channels == 1 else "RGB")
        fitted = ImageOps.fit(flat, (self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def _flattened(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits: Pillow would cut them off at 255 instead of scaling
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "black"), coloured)
    return image
