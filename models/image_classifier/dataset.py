"""The handwritten digits that scikit-learn ships, as PNG files with labels, and their split by writers.

1,797 images of 8 x 8 pixels in 17 shades, light on dark: the test half of "Optical Recognition of Handwritten Digits"
(E. Alpaydin, C. Kaynak 1998, UCI Machine Learning Repository, CC BY 4.0).
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

LABELS = [str(digit) for digit in range(10)]
SHADES = 16

HELD_OUT = 1_415
"""The row where the test begins, and with it other people: dealt out at random, each hand would be in both parts.

The rows come person by person, in fourteen groups by scikit-learn's course (inria.github.io/scikit-learn-mooc, "Sample
grouping"), which counts 13 people. The last three groups are held out, 382 images.
"""

ENLARGED = 64


@dataclass(frozen=True)
class Digits:
    """PNG files and the digit on each."""

    files: list[bytes]
    digits: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(b"".join(self.files) + self.digits.tobytes()).hexdigest()

    def inverted(self) -> "Digits":
        """Return them dark on light, as ink on paper is."""
        return Digits([saved(ImageOps.invert(_image(file))) for file in self.files], self.digits)

    def enlarged(self) -> "Digits":
        """Return them as small JPEG photos, smoothed and lossy."""
        size = (ENLARGED, ENLARGED)
        return Digits(
            [saved(_image(file).resize(size, Image.Resampling.BICUBIC), "JPEG") for file in self.files], self.digits
        )


def digits() -> Digits:
    found = load_digits()
    shaded = (found.images * 255 / SHADES).round().astype(np.uint8)
    return Digits([saved(Image.fromarray(image)) for image in shaded], found.target.astype(np.int64))


def split(data: Digits) -> tuple[Digits, Digits]:
    """Return what to train on and what to test on, of different people."""
    return Digits(data.files[:HELD_OUT], data.digits[:HELD_OUT]), Digits(data.files[HELD_OUT:], data.digits[HELD_OUT:])


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _image(file: bytes) -> Image.Image:
    return Image.open(BytesIO(file))
