"""Classifies images with ONNX Runtime, or with TorchScript where the artifact says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifact import MANIFEST
from models.contract import Columns
from models.image_classifier.features import Preparation
from models.onnx import session

ONNX_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes images, gives one logit a label for each."""


class RuntimeMissing(Exception):
    """The artifact needs torch, which is not installed: pip install -e '.[torch]'."""


class ImageClassifier:
    def __init__(self, network: Network, labels: list[str], preparation: Preparation) -> None:
        self._network = network
        self._labels = labels
        self._preparation = preparation

    def predict(self, columns: Columns) -> Columns:
        images = list(columns["image"])
        if not images:
            return {"label": [], "probability": [], "labels": [], "probabilities": []}
        probabilities = softmax(self._network(self._preparation.matrix(images)))
        order = np.argsort(-probabilities, axis=1, kind="stable")
        best = [order[row, :top_n] for row, top_n in enumerate(columns["top_n"])]
        labels = [[self._labels[number] for number in row] for row in best]
        chosen = [probabilities[number, row].tolist() for number, row in enumerate(best)]
        return {
            "label": [row[0] for row in labels],
            "probability": [row[0] for row in chosen],
            "labels": labels,
            "probabilities": chosen,
        }


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def load(artifact: Path) -> ImageClassifier:
    manifest = json.loads((artifact / MANIFEST).read_text(encoding="utf-8"))
    torchscript = manifest["runtime"] == "torchscript"
    network = torchscript_network(artifact / TORCHSCRIPT_FILE) if torchscript else onnx_network(artifact / ONNX_FILE)
    return ImageClassifier(network, manifest["labels"], Preparation.of(manifest))


def onnx_network(file: Path) -> Network:
    opened = session(file)
    (taken,) = opened.get_inputs()
    one_by_one = isinstance(taken.shape[0], int)  # exported for a batch of that size, and we have any

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = images[:, None] if one_by_one else [images]
        return np.concatenate([opened.run(None, {taken.name: part})[0] for part in parts])

    return run


def torchscript_network(file: Path) -> Network:
    """Load a TorchScript archive, which is a program: docs/decisions/0006-torchscript.md. Raises RuntimeMissing."""
    try:
        import torch
    except ImportError:
        raise RuntimeMissing(str(RuntimeMissing.__doc__)) from None
    torch.set_num_threads(1)
    program: Any = torch.jit.load(str(file), map_location="cpu").eval()

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = program(torch.from_numpy(images)).numpy()
        return logits

    return run
