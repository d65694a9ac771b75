"""Picks the images that travel with an artifact, so that every worker can check the network that it has loaded."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.image_classifier.model import ImageClassifier


def rows(
    classifier: ImageClassifier, n_labels: int, images: Sequence[bytes], count: int, top_n: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield inputs and outputs of those images whose best labels are furthest apart, in the order given.

    A worker must get the same labels in the same order, and another processor rounds the last digits otherwise.
    """
    one_more = min(top_n + 1, n_labels)
    ranked = classifier.predict({"image": images, "top_n": [one_more] * len(images)})["probabilities"]
    gaps = [float(-np.diff(row).max()) for row in ranked]
    clearest = sorted(sorted(range(len(images)), key=gaps.__getitem__, reverse=True)[:count])
    chosen = [images[number] for number in clearest]
    outputs = classifier.predict({"image": chosen, "top_n": [top_n] * len(chosen)})
    for number, image in enumerate(chosen):
        taken = {"image": b64encode(image).decode(), "top_n": top_n}
        yield taken, {name: values[number] for name, values in outputs.items()}
