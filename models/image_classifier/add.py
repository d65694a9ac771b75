"""Serves an image classifier of your own: a network as ONNX or TorchScript, with the labels that it knows.

    millrace models add resnet18.pt --labels labels.txt --size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

makes it the current version of the image classifier; with --name my_classifier, a model of its own beside it. The
network takes float32 of shape (images, channels, size, size), any number of images or one at a time, and gives one
number a label: logits or probabilities. TorchScript needs torch (pip install -e '.[torch]'), and is a program: add
only files that you would run.
"""

import argparse
import hashlib
import math
import re
import shutil
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from models.image_classifier import golden
from models.image_classifier.features import Preparation
from models.image_classifier.model import RUNTIMES, ImageClassifier, NetworkRefused, TorchMissing
from models.image_classifier.sibling import NameRefused, artifacts
from models.image_classifier.trial import examine, pictures
from serving.catalogue import FOLDER
from serving.training import VersionRefused, libraries, new_artifact, write_golden, write_json, write_manifest

ARTIFACTS = Path(__file__).parent / "artifact"
SUFFIXES = {".onnx": "onnx", ".pt": "torchscript"}
MAX_SIZE = 2048
GOLDEN = 3


class AddRefused(ValueError):
    """What was asked for cannot be served; the message says why and what to do."""


def add(file: Path, labels: list[str], preparation: Preparation, version: str | None, out: Path) -> str:
    """Try the network, make it the current version under `out`, and return that version.

    Nothing under `out` changes unless all of it succeeds. Raises AddRefused, TorchMissing and VersionRefused.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise AddRefused(f"{file}: the name must end in {' or '.join(SUFFIXES)}")
    if not file.is_file():
        raise AddRefused(f"{file}: there is no such file")
    runtime = SUFFIXES[suffix]
    name, load = RUNTIMES[runtime]
    about: dict[str, Any] = {"runtime": runtime, "labels": labels, "preparation": vars(preparation)}
    with new_artifact(out, version or _version(file, about)) as made:
        shutil.copyfile(file, made / name)
        try:
            network = load(made / name)  # the copy: weights in a file beside the original are not served
            found = examine(network, len(labels), preparation)
        except TorchMissing:
            raise
        except NetworkRefused as refusal:
            raise AddRefused(f"{file}: {refusal}") from None
        except Exception as error:  # each runtime has its own for a file that it cannot read
            raise AddRefused(f"{file}: it cannot be loaded: {_shortened(error, made)}") from None
        about |= found._asdict()
        classifier = ImageClassifier(network, about)
        write_golden(made, golden.rows(classifier, len(labels), pictures(), GOLDEN, top_n=1))
        write_json(made / "evaluation.json", {"note": f"added from {file.name}; not evaluated here"})
        write_manifest(made, {**about, "libraries": libraries(*_libraries(runtime))})
    return made.name


def _version(file: Path, about: dict[str, Any]) -> str:
    """Name the version by all that its answers depend on, so that other labels are another version."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")[:40] or "network"
    return f"{stem}-{hashlib.sha256(file.read_bytes() + repr(sorted(about.items())).encode()).hexdigest()[:8]}"


def _libraries(runtime: str) -> tuple[str, ...]:
    return ("torch" if runtime == "torchscript" else "onnxruntime", "numpy", "pillow")


def _shortened(error: Exception, made: Path) -> str:
    """Return the error in one line, without the folder of the copy."""
    text = " ".join((str(error) or type(error).__name__).replace(f"{made}/", "").split())
    return text if len(text) <= 300 else f"{text[:300]} …"


def read_labels(file: Path) -> list[str]:
    """Read a label a line. Two outputs may have one label, as in ImageNet; a missing one would shift those after it."""
    try:
        labels = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise AddRefused(f"{file}: it cannot be read as UTF-8 text: {error}") from None
    if "" in labels and len(labels) > 1:
        raise AddRefused(f"{file}: line {labels.index('') + 1} is empty; each output needs its label")
    if any("\0" in label for label in labels):
        raise AddRefused(f"{file}: it holds a NUL, which PostgreSQL cannot store")
    if len(labels) < 2:
        raise AddRefused(f"{file}: a classifier has two labels or more, a line each")
    return labels


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _preparation(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Preparation:
    if len(mean) not in (1, 3) or len(mean) != len(std):
        raise AddRefused("--mean and --std: give one number each for grey images, three for coloured ones")
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise AddRefused("--mean and --std: finite numbers, and each of --std above 0")
    if max(map(abs, mean)) > 1:
        raise AddRefused("--mean: of values from 0 to 1; divide yours by 255, and --std as well")
    if not 1 <= size <= MAX_SIZE:
        raise AddRefused(f"--size: from 1 to {MAX_SIZE}")
    return Preparation(size, mean, std)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="millrace models add", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path, help="an .onnx file, or TorchScript as .pt")
    parser.add_argument("--labels", type=Path, required=True, help="text file: a label a line, in the outputs' order")
    parser.add_argument("--size", type=int, default=224, help="of the square image that it takes, in pixels")
    parser.add_argument("--mean", type=_numbers, default=(0.485, 0.456, 0.406), help="by channel; default: ImageNet's")
    parser.add_argument("--std", type=_numbers, default=(0.229, 0.224, 0.225), help="by channel; default: ImageNet's")
    parser.add_argument("--version", help="default: the file's name and 8 digits of a sha256 of all of the above")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--name", help="make a served model of this name, or a new version of it")
    place.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        preparation = _preparation(asked.size, asked.mean, asked.std)
        labels = read_labels(asked.labels)
        with artifacts(asked.name, FOLDER) if asked.name else nullcontext(asked.out) as out:
            version = add(asked.network, labels, preparation, asked.version, out)
    except (AddRefused, TorchMissing, VersionRefused, NameRefused, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    for label, count in Counter(labels).items():
        if count > 1:
            print(f"note: {count} outputs have the label {label!r}")
    if asked.name:
        print(f"{version} is now the current version of models/{asked.name}. If it is new, make its table:")
        print(f'    alembic revision --autogenerate --rev-id {asked.name} -m "{asked.name}" && alembic upgrade head')
    else:
        print(f"{version} is now the current version in {asked.out}")
    print("Restart handler and workers to serve it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
