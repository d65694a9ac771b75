"""Makes the image classifier's artifacts from scikit-learn's digits, one a runtime. Needs torch, onnx, onnxscript.

    python -m models.image_classifier.train [--version 1.0.0] [--seed 7] [--epochs 60] [--out FOLDER]

writes `<out>/<version>-torchscript/` and `<out>/<version>/` (ONNX), and names the latter in `<out>/CURRENT`. On one
machine the same seed and libraries give the same weights; another processor may round them otherwise.
"""

import argparse
import copy
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.contract import Columns
from models.image_classifier.dataset import LABELS, Digits, digits, split
from models.image_classifier.evaluate import evaluate
from models.image_classifier.features import Preparation
from models.image_classifier.model import ONNX_FILE, TORCHSCRIPT_FILE, ImageClassifier, load
from models.image_classifier.network import ResidualNetwork
from models.training import VersionRefused, libraries, new_artifact, write_golden, write_json, write_manifest

ARTIFACTS = Path(__file__).parent / "artifact"
VERSION = "1.0.0"
SEED = 7
EPOCHS = 60
BATCH = 64
RATE = 2e-3
PREPARATION = Preparation(size=8, mean=(0.3051,), std=(0.3758,))
"""Mean and deviation of the training images' values, from 0 to 1."""
SMOOTHING = 0.05
TOP = 5
HEADLINE = ("accuracy", "macro_f1", "calibration_error")


class RuntimesDisagree(Exception):
    """The exported networks do not give the same labels."""


def train(seed: int, epochs: int, training: Digits, choice: Digits) -> nn.Module:
    """Train on one part, and return the network of the epoch that did best on another."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in one order
    network = ResidualNetwork(len(LABELS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * (len(training) // BATCH + 1))
    loss = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    images, digits_ = _tensors(training)
    held, known = _tensors(choice)
    best, chosen = -1.0, copy.deepcopy(network)
    for epoch in range(epochs):
        network.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss(network(_shifted(images[batch])), digits_[batch]).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            accuracy = float((network(held).argmax(1) == known).float().mean())
        if accuracy >= best:
            best, chosen = accuracy, copy.deepcopy(network)
        print(f"epoch {epoch + 1}/{epochs}: {accuracy:.4f} of the images to choose by", flush=True)
    return chosen.eval()


def _tensors(data: Digits) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(PREPARATION.matrix(data.files)), torch.from_numpy(data.digits)


def _shifted(images: Tensor) -> Tensor:
    """Move a batch by up to a pixel each way: nobody writes twice in the same place."""
    down, right = (int(torch.randint(-1, 2, ())) for _ in range(2))
    return torch.roll(images, (down, right), (2, 3))


def export(network: nn.Module, out: Path, version: str, about: dict[str, Any], test: Digits) -> Path:
    """Write an artifact for each runtime. Raises RuntimesDisagree unless both rank the test images alike."""
    example = torch.from_numpy(PREPARATION.matrix(test.files[:2]))
    made = []
    for runtime, name in (("torchscript", f"{version}-torchscript"), ("onnx", version)):
        with new_artifact(out, name) as folder:
            if runtime == "onnx":
                sizes = {"images": {0: torch.export.Dim("batch")}}
                torch.onnx.export(
                    network, (example,), folder / ONNX_FILE, input_names=["images"], output_names=["logits"],
                    dynamic_shapes=sizes, external_data=False, dynamo=True, verbose=False,
                )  # fmt: skip
                _forget_where(folder / ONNX_FILE)
            else:
                torch.jit.trace(network, example).save(str(folder / TORCHSCRIPT_FILE))
                _forget_where(folder / TORCHSCRIPT_FILE)
            manifest = {**about, "runtime": runtime, "labels": LABELS, "preparation": vars(PREPARATION)}
            write_manifest(folder, manifest)  # the model reads it
            classifier = load(folder)
            evaluation = evaluate(classifier, test)
            write_json(folder / "evaluation.json", evaluation)
            write_golden(folder, _golden(classifier, test))
            write_manifest(folder, {**manifest, "metrics": {name: evaluation[name] for name in HEADLINE}})
        made.append(out / name)
    _compare(load(made[0]), load(made[1]), test)
    return made[-1]


def _forget_where(file: Path) -> None:
    """Take out of an export the source lines, and so this machine's paths, that its parts came from."""
    if file.suffix == ".onnx":
        model = onnx.load(str(file))
        graph = model.graph
        for part in (model, graph, *graph.input, *graph.output, *graph.node, *graph.value_info, *graph.initializer):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
        onnx.save(model, str(file))
        return
    whole = zipfile.ZipFile(BytesIO(file.read_bytes()))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as bare:
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                bare.writestr(zipfile.ZipInfo(entry.filename), whole.read(entry))


def _compare(one: ImageClassifier, other: ImageClassifier, test: Digits) -> None:
    columns: Columns = {"image": test.files, "top_n": [TOP] * len(test)}
    ranked = [model.predict(columns) for model in (one, other)]
    if ranked[0]["labels"] != ranked[1]["labels"]:
        raise RuntimesDisagree("TorchScript and ONNX rank the labels of some test image differently")
    np.testing.assert_allclose(ranked[0]["probabilities"], ranked[1]["probabilities"], atol=1e-4)


def _golden(classifier: ImageClassifier, test: Digits) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Take two images of each digit."""
    rows = [row for digit in range(len(LABELS)) for row in np.flatnonzero(test.digits == digit)[:2]]
    files = [test.files[row] for row in rows]
    columns = classifier.predict({"image": files, "top_n": [3] * len(rows)})
    for number, file in enumerate(files):
        output = {name: values[number] for name, values in columns.items()}
        yield {"image": b64encode(file).decode(), "top_n": 3}, output


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.image_classifier.train", description=__doc__.split("\n")[0])
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--seed", type=int, default=SEED, help="of the split and of the weights")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes the artifacts and CURRENT")
    asked = parser.parse_args(arguments)
    data = digits()
    training, choice, test = split(data, asked.seed)
    about = {
        "data": {"source": "scikit-learn's digits", "rows": len(data), "sha256": data.sha256, "seed": asked.seed},
        "parameters": {"epochs": asked.epochs, "batch": BATCH, "rate": RATE, "label_smoothing": SMOOTHING},
        "libraries": libraries("torch", "onnx", "onnxruntime", "numpy", "scikit-learn", "pillow"),
    }
    try:
        folder = export(train(asked.seed, asked.epochs, training, choice), asked.out, asked.version, about, test)
    except (VersionRefused, RuntimesDisagree) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"wrote {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
