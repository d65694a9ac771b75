"""`millrace models add --name`: a network of somebody else's becomes a model of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.artifact import sha256
from serving.catalogue import FOLDER

DIGITS = FOLDER / "image_classifier" / "artifact" / "1.0.0" / "model.onnx"
GREY = ("--size=8", "--mean=0.5", "--std=0.42")

SERVED = """
from base64 import b64decode
from serving.catalogue import FOLDER, specs
from models.image_classifier.examples import EIGHT
from tests.artifacts import on_disk
from worker.scoring import loaded_models
model = loaded_models.load(*on_disk("my_digits"))
[label] = model.predictor.predict({"image": [b64decode(EIGHT)], "top_n": [1]})["label"]
print(FOLDER.parent, label, model.spec.table, model.spec.endpoint, sorted(specs()))
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("null\neins\nzwei\ndrei\nvier\nfünf\nsechs\nsieben\nacht\nneun\n", encoding="utf-8")
    return file


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the models' folder, in which one may be added."""
    shutil.copytree(FOLDER, tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def run(checkout: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{FOLDER.parent}", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def add_to(checkout: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return run(checkout, "-m", "models.image_classifier.add", DIGITS, *GREY, *options)


def test_a_name_makes_a_model_of_its_own_and_leaves_the_image_classifier_alone(checkout: Path, labels: Path) -> None:
    before = files(checkout / "models" / "image_classifier" / "artifact")
    for text in (None, "\n".join("abcdefghij")):  # the second time it is another version of the same model
        if text:
            labels.write_text(text)
        done = add_to(checkout, f"--labels={labels}", "--name=my_digits")
        assert done.returncode == 0, done.stderr
        assert "millrace migration my_digits" in done.stdout
        found = run(checkout, "-c", SERVED)
        assert found.returncode == 0, found.stderr
        label = "i" if text else "acht"
        assert f"{checkout} {label} my_digits_images None" in found.stdout
        assert "'my_digits'" in found.stdout
    assert len(list((checkout / "models" / "my_digits" / "artifact").iterdir())) == 3
    assert files(checkout / "models" / "image_classifier" / "artifact") == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report_scorer", "models/report_scorer is something else; choose another name"),
        ("My-Digits", "use up to 40 small letters"),
        ("../up", "use up to 40 small letters"),
        ("class", "use up to 40 small letters"),
    ],
)
def test_a_name_that_cannot_be_is_refused(checkout: Path, labels: Path, name: str, words: str) -> None:
    done = add_to(checkout, f"--labels={labels}", f"--name={name}")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_a_model_of_its_own_that_is_refused_leaves_no_folder(checkout: Path, labels: Path) -> None:
    labels.write_text("a\nb\n")
    before = {path.name for path in (checkout / "models").iterdir()}
    done = add_to(checkout, f"--labels={labels}", "--name=my_digits")
    assert done.returncode == 2
    assert "2 labels need (1, 2)" in done.stderr
    assert {path.name for path in (checkout / "models").iterdir()} - {"__pycache__"} == before
