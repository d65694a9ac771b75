"""The handwritten digits that scikit-learn ships, as PNG files with labels, and their split.

1,797 images of 8 x 8 pixels in 17 shades, light on dark: the test half of "Optical Recognition of Handwritten Digits"
(E. Alpaydin, C. Kaynak 1998, UCI Machine Learning Repository, CC BY 4.0).
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

LABELS = [str(digit) for digit in range(10)]
SHADES = 16


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


def digits() -> Digits:
    found = load_digits()
    shaded = (found.images * 255 / SHADES).round().astype(np.uint8)
    return Digits([png(image) for image in shaded], found.target.astype(np.int64))


def split(data: Digits, seed: int) -> tuple[Digits, Digits, Digits]:
    """Deal out 60 % to train, 20 % to choose the epoch, 20 % to test, each with the same share of every digit."""
    rest, test = train_test_split(np.arange(len(data)), test_size=0.2, stratify=data.digits, random_state=seed)
    training, choice = train_test_split(rest, test_size=0.25, stratify=data.digits[rest], random_state=seed)
    return tuple(Digits([data.files[i] for i in part], data.digits[part]) for part in (training, choice, test))  # type: ignore[return-value]


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
