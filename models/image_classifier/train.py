"""Makes the image classifier's artifacts from scikit-learn's digits, one for each runtime. Needs torch, onnxscript.

    python -m models.image_classifier.train [--version 1.0.0] [--seed 7] [--epochs 60] [--out FOLDER]

writes `<out>/<version>-torchscript/` and `<out>/<version>/` (ONNX), and names the latter in `<out>/CURRENT`. On one
machine the same seed and libraries give the same bytes; another processor may round the weights otherwise.
"""

import argparse
import shutil
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn

from models.image_classifier import golden
from models.image_classifier.dataset import HELD_OUT, LABELS, Digits, digits, split
from models.image_classifier.evaluate import evaluate
from models.image_classifier.features import Preparation
from models.image_classifier.model import RUNTIMES, ImageClassifier, load
from models.image_classifier.network import ResidualNetwork
from serving.artifact import MANIFEST
from serving.contract import Columns
from serving.training import (
    RuntimesDisagree,
    VersionRefused,
    libraries,
    new_artifact,
    write_golden,
    write_json,
    write_manifest,
)

ARTIFACTS = Path(__file__).parent / "artifact"
VERSION = "1.0.0"
SEED = 7
EPOCHS = 60
BATCH = 64
RATE = 4e-3
PREPARATION = Preparation(size=8, mean=(0.5,), std=(0.42,))
"""A middle of 0.5, so that an inverted image is the negative."""
BACKGROUND = -PREPARATION.mean[0] / PREPARATION.std[0]
TURN, SCALE, SHIFT = 0.25, 0.15, 0.3
"""How far an image is turned (radians), scaled, and moved (in half widths) at most: hands differ by that much."""
TOP = 5
LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn", "pillow")


def train(seed: int, epochs: int, training: Digits) -> nn.Module:
    """Train for a fixed number of epochs: nothing is chosen by the images that the network is tested on."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in one order
    network = ResidualNetwork(len(LABELS))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    images, known = torch.from_numpy(PREPARATION.matrix(training.files)), torch.from_numpy(training.digits)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * -(-len(images) // BATCH))
    loss = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            error = loss(network(varied(images[batch])), known[batch])
            error.backward()
            optimizer.step()
            schedule.step()
            total += error.item() * len(batch)
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(images):.4f}", flush=True)
    return network.eval()


def varied(images: Tensor) -> Tensor:
    """Turn, scale and move each image a little, and make half of them dark on light."""
    n = len(images)
    angle, scale = TURN * _between(n), 1 + SCALE * _between(n)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    moves = torch.stack([cos, -sin, SHIFT * _between(n), sin, cos, SHIFT * _between(n)], dim=1).reshape(n, 2, 3)
    places = F.affine_grid(moves, list(images.shape), align_corners=False)
    moved = F.grid_sample(images - BACKGROUND, places, align_corners=False) + BACKGROUND
    signs = torch.where(torch.rand(n, 1, 1, 1) < 0.5, -1.0, 1.0)
    return moved * signs


def _between(n: int) -> Tensor:
    return 2 * torch.rand(n) - 1


def export(network: nn.Module, runtime: str, file: Path) -> None:
    example = torch.from_numpy(PREPARATION.matrix([digits().files[0]] * 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations inside torch
        if runtime == "torchscript":
            torch.jit.freeze(torch.jit.trace(network, example)).save(str(file))
            _without_traces(file)
            return
        program = torch.onnx.export(
            network, (example,), input_names=["images"], output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}}, dynamo=True, verbose=False,
        )  # fmt: skip
    exported = program.model_proto
    for node in exported.graph.node:
        del node.metadata_props[:]  # where on this machine each line of code lies
    onnx.save(exported, file)


def _without_traces(file: Path) -> None:
    """Leave out of a TorchScript archive where on this machine each line of code lies, and a hash of that."""
    with ZipFile(file) as archive:
        parts = {info: archive.read(info) for info in archive.infolist()}
    with ZipFile(file, "w") as archive:
        for info, content in parts.items():
            if not info.filename.endswith((".debug_pkl", "/serialization_id")):
                archive.writestr(ZipInfo(info.filename), content)  # at the beginning of 1980, so always the same bytes


def make(network: nn.Module, out: Path, version: str, about: dict[str, Any], training: Digits, test: Digits) -> None:
    """Write an artifact for each runtime. Raises RuntimesDisagree unless both rank the test images alike."""
    served = {"labels": LABELS, "preparation": vars(PREPARATION), "one_by_one": False, "gives": "logits"}
    with TemporaryDirectory() as folder:
        tried = {runtime: tried_out(network, runtime, Path(folder) / runtime, served) for runtime in RUNTIMES}
        agree = compare(tried["onnx"], tried["torchscript"], test)
        for runtime, name in (("torchscript", f"{version}-torchscript"), ("onnx", version)):
            with new_artifact(out, name) as made:
                shutil.copy(Path(folder) / runtime / RUNTIMES[runtime][0], made)
                evaluation = evaluate(tried[runtime], training, test)
                write_json(made / "evaluation.json", evaluation)
                write_golden(made, golden.rows(tried[runtime], len(LABELS), test.files, 20, top_n=3))
                metrics = {kind: evaluation[kind]["accuracy"] for kind in ("light_on_dark", "dark_on_light")}
                found = {"runtimes_agree": agree, "metrics": {"accuracy": metrics}}
                write_manifest(made, {**about, "runtime": runtime, **served, **found})


def tried_out(network: nn.Module, runtime: str, folder: Path, served: dict[str, Any]) -> ImageClassifier:
    """Export the network and load it as a worker would."""
    folder.mkdir()
    export(network, runtime, folder / RUNTIMES[runtime][0])
    write_json(folder / MANIFEST, {"runtime": runtime, **served})
    return load(folder)


def compare(one: ImageClassifier, other: ImageClassifier, test: Digits) -> dict[str, float]:
    """Return by how much their probabilities differ at most. Raises RuntimesDisagree where their best labels do."""
    columns: Columns = {"image": test.files, "top_n": [TOP] * len(test)}
    ours, theirs = one.predict(columns), other.predict(columns)
    if ours["labels"] != theirs["labels"]:
        raise RuntimesDisagree(f"TorchScript and ONNX rank the {TOP} best labels of some test image differently")
    gaps = np.abs(np.subtract(ours["probabilities"], theirs["probabilities"]))
    return {"images": len(test), "best_labels": TOP, "largest_difference": float(gaps.max())}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.image_classifier.train", description=__doc__.split("\n")[0])
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--seed", type=int, default=SEED, help="of the weights and of the order of the images")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes the artifacts and CURRENT")
    asked = parser.parse_args(arguments)
    data = digits()
    training, test = split(data)
    about = {
        "data": {"source": "scikit-learn's digits", "rows": len(data), "trained_on": HELD_OUT, "sha256": data.sha256},
        "parameters": {"seed": asked.seed, "epochs": asked.epochs, "batch": BATCH, "rate": RATE},
        "libraries": libraries(*LIBRARIES),
    }
    try:
        make(train(asked.seed, asked.epochs, training), asked.out, asked.version, about, training, test)
    except (VersionRefused, RuntimesDisagree) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"wrote {asked.out / asked.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
