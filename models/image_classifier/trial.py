"""Tries a network that somebody brings on a few images: what it takes, and what its numbers mean."""

from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.image_classifier.features import Preparation
from models.image_classifier.model import Gives, Network, NetworkRefused

SIDE = 32
CLOSE = 1e-3
"""Of the largest number that the network gives: float32 sums in another order differ by far less."""


class Findings(NamedTuple):
    """What the artifact's manifest has to say of the network."""

    one_by_one: bool
    gives: Gives


def examine(network: Network, n_labels: int, preparation: Preparation) -> Findings:
    """Run the network on images, each alone and all together. Raises NetworkRefused."""
    images = preparation.matrix(pictures())
    alone = _each(network, images, n_labels)
    if not np.isfinite(alone).all():
        raise NetworkRefused("it gives numbers that are not finite")
    if not _close(alone, _each(network, images, n_labels)):
        raise NetworkRefused("it gives other numbers each time, as dropout does: call .eval() before you export it")
    sums_to_one = np.allclose(alone.sum(axis=1), 1, atol=CLOSE) and alone.min() >= 0
    gives: Gives = "probabilities" if sums_to_one else "logits"
    try:
        together = network(images)
    except Exception:  # exported for a batch of one, as every runtime says in other words
        return Findings(True, gives)
    if together.shape != alone.shape:
        return Findings(True, gives)
    if not _close(together, alone):
        raise NetworkRefused(
            "it gives an image other numbers in company than alone, as batch normalisation does in training: "
            "call .eval() before you export it"
        )
    return Findings(False, gives)


def pictures() -> list[bytes]:
    """Return PNG files with one, two and many colours, at which networks are tried and remembered."""
    rng = np.random.default_rng(0)
    shades = np.linspace(0, 255, SIDE).astype(np.uint8)
    slope = np.stack([np.tile(shades, (SIDE, 1)), np.tile(shades[::-1, None], (1, SIDE)), np.full((SIDE, SIDE), 128)])
    drawn = [np.full((SIDE, SIDE, 3), colour) for colour in ((0, 0, 0), (255, 255, 255), (200, 60, 20), (30, 90, 220))]
    drawn += [slope.transpose(1, 2, 0), slope[::-1].transpose(2, 1, 0)]
    for cells in (2, 4, 8, 16, SIDE, SIDE):
        drawn.append(np.kron(rng.integers(0, 256, (cells, cells, 3)), np.ones((SIDE // cells, SIDE // cells, 1))))
    files = []
    for pixels in drawn:
        file = BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        files.append(file.getvalue())
    return files


def _each(network: Network, images: NDArray[np.float32], n_labels: int) -> NDArray[np.float32]:
    """Return the numbers for each image by itself. Raises NetworkRefused where they are not one a label."""
    rows = []
    for number in range(len(images)):
        one = images[number : number + 1]
        try:
            row = network(one)
        except Exception as error:
            raise NetworkRefused(f"it does not take float32 of shape {one.shape}: {_first_line(error)}") from None
        if row.shape != (1, n_labels):
            raise NetworkRefused(
                f"for one image it gives numbers of shape {row.shape}, and {n_labels} labels need {(1, n_labels)}"
            )
        rows.append(row)
    return np.concatenate(rows)


def _close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=CLOSE * max(1e-3, float(np.abs(one).max()))))


def _first_line(error: Exception) -> str:
    """Return the last line that says something: torch puts the program's own lines before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else type(error).__name__)
