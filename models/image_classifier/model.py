"""Classifies images with ONNX Runtime, or with TorchScript where the artifact says so."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.image_classifier.features import Preparation
from serving.artifact import MANIFEST
from serving.contract import BadInput, Columns, Fault
from serving.onnx import session

ONNX_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"

TOGETHER = 256
VALUES_TOGETHER = 16 * 3 * 224 * 224
"""Images, and numbers in them, that go through the network at once: 10 MB, and some ten times that inside a ResNet.

A chunk may merge 60,000 images of a pixel each. As input for a network of 224 x 224 they would be 36 GB.
"""

DECIMALS = 6
"""The digits past the sixth are float32 noise, which differs between processors."""

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes images, gives one number a label for each."""

Gives = Literal["logits", "probabilities"]


class TorchMissing(Exception):
    """The artifact needs torch, which is not installed: pip install -e '.[torch]'."""


class NetworkRefused(Exception):
    """The network is none that could classify images here."""


class ImageClassifier:
    """A loaded artifact: `manifest` says how its network wants images, and what its numbers mean."""

    def __init__(self, network: Network, manifest: dict[str, Any]) -> None:
        self._network = network
        self._labels: list[str] = manifest["labels"]
        self._preparation = Preparation.of(manifest)
        self._step = 1 if manifest["one_by_one"] else together(self._preparation)
        self._gives: Gives = manifest["gives"]

    def predict(self, columns: Columns) -> Columns:
        images, top_n = list(columns["image"]), list(columns["top_n"])
        found: dict[str, list[Any]] = {"label": [], "probability": [], "labels": [], "probabilities": []}
        faults: list[Fault] = []
        for begin in range(0, len(images), self._step):
            part = slice(begin, begin + self._step)
            try:
                rows = self._probabilities(images[part])
            except BadInput as bad:
                faults += [fault._replace(position=begin + fault.position) for fault in bad.faults]
                continue
            for row, wanted in zip(rows, top_n[part], strict=True):
                best = np.argsort(-row, kind="stable")[:wanted]
                found["labels"].append([self._labels[number] for number in best])
                found["probabilities"].append(row[best].round(DECIMALS).tolist())
        if faults:
            raise BadInput(*faults)
        found["label"] = [row[0] for row in found["labels"]]
        found["probability"] = [row[0] for row in found["probabilities"]]
        return found

    def _probabilities(self, images: list[bytes]) -> NDArray[np.float64]:
        numbers = self._network(self._preparation.matrix(images)).astype(np.float64)
        return softmax(numbers) if self._gives == "logits" else numbers.clip(0, 1)


def together(preparation: Preparation) -> int:
    """Return how many images may go through the network at once."""
    return max(1, min(TOGETHER, VALUES_TOGETHER // (preparation.channels * preparation.size**2)))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def load(artifact: Path) -> ImageClassifier:
    manifest = json.loads((artifact / MANIFEST).read_text(encoding="utf-8"))
    file, network = RUNTIMES[manifest["runtime"]]
    return ImageClassifier(network(artifact / file), manifest)


def onnx_network(file: Path) -> Network:
    """Load an ONNX file. Raises NetworkRefused unless it takes one float32 tensor; its first output is read."""
    opened = session(file)
    taken = {node.name: node.type for node in opened.get_inputs()}
    if list(taken.values()) != ["tensor(float)"]:
        inputs = ", ".join(f"{name}: {kind}" for name, kind in taken.items())
        raise NetworkRefused(f"it takes {inputs or 'nothing'}; it has to take one tensor(float), the images")
    [name] = taken
    output = opened.get_outputs()[0].name

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        numbers: NDArray[np.float32] = opened.run([output], {name: images})[0]
        return numbers

    return run


def torchscript_network(file: Path) -> Network:
    """Load a TorchScript archive, which is a program: docs/decisions/0006-torchscript.md. Raises TorchMissing."""
    try:
        import torch
    except ImportError:
        raise TorchMissing(str(TorchMissing.__doc__)) from None
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is, in favour of torch.export: decision 6
        program: Any = torch.jit.load(str(file), map_location="cpu").eval()

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = program(torch.from_numpy(images))
        while not isinstance(given, torch.Tensor):  # transformers' give a dictionary or a tuple
            given = given["logits"] if isinstance(given, dict) else given[0]
        numbers: NDArray[np.float32] = given.float().numpy()
        return numbers

    return run


RUNTIMES: dict[str, tuple[str, Callable[[Path], Network]]] = {
    "onnx": (ONNX_FILE, onnx_network),
    "torchscript": (TORCHSCRIPT_FILE, torchscript_network),
}
