"""Serves an image classifier of your own: a network as ONNX or TorchScript, with the labels that it knows.

    millrace models add resnet18.pt --labels labels.txt --size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

makes it the current version of the image classifier. The network takes float32 of shape (images, channels, size, size)
and gives one logit a label. TorchScript needs torch (pip install -e '.[torch]'), and is a program: add only files that
you would run.
"""

import argparse
import shutil
import sys
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.artifact import sha256
from models.image_classifier.features import Preparation
from models.image_classifier.model import (
    ONNX_FILE,
    TORCHSCRIPT_FILE,
    ImageClassifier,
    Network,
    RuntimeMissing,
    onnx_network,
    torchscript_network,
)
from models.training import VersionRefused, libraries, new_artifact, write_golden, write_json, write_manifest

ARTIFACTS = Path(__file__).parent / "artifact"
RUNTIMES = {".onnx": ("onnx", ONNX_FILE, onnx_network), ".pt": ("torchscript", TORCHSCRIPT_FILE, torchscript_network)}
GOLDEN = 3
MAX_SIZE = 2048


class Refused(ValueError):
    """The network cannot be served; the message says why and what to do."""


def add(file: Path, labels: list[str], preparation: Preparation, version: str | None, out: Path) -> Path:
    """Try the network, and make it the current version. Raises Refused, RuntimeMissing and VersionRefused."""
    if file.suffix not in RUNTIMES:
        raise Refused(f"{file}: the name must end in {' or '.join(RUNTIMES)}")
    if not file.is_file():
        raise Refused(f"{file}: there is no such file")
    runtime, name, network = RUNTIMES[file.suffix]
    _try(file, network, labels, preparation)
    with new_artifact(out, version or f"{file.stem}-{sha256(file)[:8]}") as made:
        shutil.copyfile(file, made / name)
        classifier = ImageClassifier(network(made / name), labels, preparation)
        write_golden(made, _golden(classifier, preparation))
        write_json(made / "evaluation.json", {"note": f"added from {file.name}; not evaluated here"})
        about = {"runtime": runtime, "labels": labels, "preparation": vars(preparation)}
        write_manifest(made, {**about, "libraries": libraries("onnxruntime", "numpy", "pillow")})
    return out / made.name


def _try(file: Path, load: Any, labels: list[str], preparation: Preparation) -> None:
    """Run the network on one image and on two, which a batch of any size needs."""
    try:
        network: Network = load(file)
    except RuntimeMissing:
        raise
    except Exception as error:
        raise Refused(f"{file}: it cannot be loaded: {_first_line(error)}") from None
    for n_images in (1, 2):
        shape = (n_images, preparation.channels, preparation.size, preparation.size)
        try:
            logits = network(np.zeros(shape, np.float32))
        except Exception as error:
            raise Refused(f"{file}: it does not take float32 of shape {shape}: {_first_line(error)}") from None
        if logits.shape != (n_images, len(labels)):
            raise Refused(
                f"{file}: for {n_images} images it gives {logits.shape}, and the labels need {(n_images, len(labels))}"
            )
        if not np.isfinite(logits).all():
            raise Refused(f"{file}: it gives numbers that are not finite")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _golden(classifier: ImageClassifier, preparation: Preparation) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Record what it says to a few images of noise, which a worker repeats when it has loaded it."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(GOLDEN):
        file = BytesIO()
        shape = (preparation.size, preparation.size, 3)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(file, "PNG")
        files.append(file.getvalue())
    columns = classifier.predict({"image": files, "top_n": [1] * GOLDEN})
    for number, content in enumerate(files):
        output = {name: values[number] for name, values in columns.items()}
        yield {"image": b64encode(content).decode(), "top_n": 1}, output


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _read_labels(file: Path) -> list[str]:
    try:
        labels = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file}: {error}") from None
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise Refused(f"{file}: {len(set(labels))} labels in {len(labels)} lines; it takes two or more, each once")
    return labels


def _preparation(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preparation:
    if len(mean) not in (1, 3) or len(mean) != len(std):
        raise Refused("--mean and --std: give one number each for grey images, three for coloured ones")
    if min(std) <= 0:
        raise Refused("--std: each number must be above 0")
    if not 1 <= size <= MAX_SIZE:
        raise Refused(f"--size: from 1 to {MAX_SIZE}")
    return Preparation(size, mean, std)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="millrace models add", description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path, help="an .onnx file, or TorchScript as .pt")
    parser.add_argument(
        "--labels", type=Path, required=True, help="text file with a label a line, in the logits' order"
    )
    parser.add_argument("--size", type=int, default=224, help="of the square image that it takes, in pixels")
    parser.add_argument("--mean", type=_numbers, default=(0.485, 0.456, 0.406), help="by channel; default: ImageNet's")
    parser.add_argument("--std", type=_numbers, default=(0.229, 0.224, 0.225), help="by channel; default: ImageNet's")
    parser.add_argument("--version", help="default: the file's name and 8 digits of its sha256")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        preparation = _preparation(asked.size, asked.mean, asked.std)
        folder = add(asked.network, _read_labels(asked.labels), preparation, asked.version, asked.out)
    except (Refused, RuntimeMissing, VersionRefused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"wrote {folder}, now the current version: restart handler and workers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
