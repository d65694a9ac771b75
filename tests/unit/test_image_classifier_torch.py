"""TorchScript beside ONNX Runtime, and training: what needs the extra `torch`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

import torch
from torch import nn

from models.image_classifier import add, train
from models.image_classifier.dataset import digits, split
from models.image_classifier.model import load
from models.image_classifier.trial import pictures
from serving.artifact import sha256
from serving.catalogue import FOLDER
from serving.contract import Columns

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")

SHIPPED = FOLDER / "image_classifier" / "artifact"
SMALL = ("--size=16", "--mean=0.5,0.5,0.5", "--std=0.25,0.25,0.25")


def test_both_shipped_runtimes_give_the_same_best_five_labels_of_every_held_out_digit() -> None:
    files = split(digits())[1].files
    columns: Columns = {"image": files, "top_n": [5] * len(files)}
    ours, theirs = (load(SHIPPED / version).predict(columns) for version in ("1.0.0", "1.0.0-torchscript"))
    assert ours["labels"] == theirs["labels"]
    for one, other in zip(ours["probabilities"], theirs["probabilities"], strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_training_twice_gives_the_same_bytes_and_both_runtimes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        assert train.main(["--epochs=1", "--version=try", f"--out={tmp_path / folder}"]) == 0
    assert "epoch 1/1: loss" in capsys.readouterr().out
    assert (tmp_path / "one" / "CURRENT").read_text() == "try\n"
    # Not so TorchScript's in one process, which numbers the classes that it has traced.
    one, two = (
        {file.name: sha256(file) for file in (tmp_path / folder / "try").iterdir()} for folder in ("one", "two")
    )
    assert one == two
    manifest = json.loads((tmp_path / "one" / "try" / "manifest.json").read_text())
    assert manifest["runtimes_agree"]["largest_difference"] < 1e-4
    assert manifest["runtimes_agree"]["images"] == len(split(digits())[1])


class Residual(nn.Module):
    """A ResNet in small: a stem, a residual block, pooling, a linear layer."""

    def __init__(self, dropout: float = 0.0, wrapped: str = "") -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.last = nn.Linear(8, 4)
        self.dropout = dropout
        self.wrapped = wrapped

    def forward(self, images: Any) -> Any:
        seen = self.stem(images)
        seen = torch.relu(seen + self.block(seen)).mean((2, 3))
        if self.dropout:
            seen = nn.functional.dropout(seen, self.dropout, training=True)
        logits = self.last(seen)
        return {"": logits, "tuple": (logits, seen), "dict": {"logits": logits, "seen": seen}}[self.wrapped]


class OneByOne(Residual):
    """Its shape was written down for one image when it was exported."""

    def forward(self, images: Any) -> Any:
        seen = self.stem(images)
        return self.last(torch.relu(seen + self.block(seen)).mean((2, 3)).view(1, 8))


def exported(network: nn.Module, file: Path, training: bool = False) -> Path:
    torch.manual_seed(3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    torch.jit.trace(network.train(training), torch.randn(1, 3, 16, 16), strict=False, check_trace=False).save(str(file))
    return file


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    return tmp_path / "labels.txt"


@pytest.mark.parametrize(
    ("network", "one_by_one"),
    [(Residual(), False), (Residual(wrapped="tuple"), False), (Residual(wrapped="dict"), False), (OneByOne(), True)],
    ids=["tensor", "tuple", "dict", "one by one"],
)
def test_a_torchscript_network_is_served_and_agrees_with_torch(
    tmp_path: Path, labels: Path, network: Residual, one_by_one: bool
) -> None:
    file = exported(network, tmp_path / "mine.pt")
    out = tmp_path / "artifact"
    assert add.main([str(file), f"--labels={labels}", f"--out={out}", *SMALL]) == 0
    folder = out / (out / "CURRENT").read_text().strip()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["runtime"], manifest["one_by_one"], manifest["gives"]) == ("torchscript", one_by_one, "logits")
    found = load(folder).predict({"image": pictures(), "top_n": [4] * len(pictures())})
    preparation = add.Preparation(16, (0.5,) * 3, (0.25,) * 3)
    for number, image in enumerate(pictures()):
        with torch.inference_mode():
            given = network(torch.from_numpy(preparation.matrix([image])))
        logits = given["logits"] if isinstance(given, dict) else given[0] if isinstance(given, tuple) else given
        expected = sorted(logits.softmax(1)[0].tolist(), reverse=True)
        assert found["probabilities"][number] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("network", "training", "words"),
    [
        (Residual(dropout=0.5), False, "other numbers each time, as dropout does: call .eval()"),
        (Residual(), True, "other numbers in company than alone, as batch normalisation does in training"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5)), False, "numbers of shape (1, 5), and 4 labels need"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), False, "numbers of shape (1, 4, 14, 14), and 4 labels need (1, 4)"),
    ],
    ids=["dropout", "training", "too wide", "no classifier"],
)
def test_a_torchscript_network_that_does_not_fit_is_refused(
    tmp_path: Path, labels: Path, network: nn.Module, training: bool, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = exported(network, tmp_path / "mine.pt", training)
    assert add.main([str(file), f"--labels={labels}", f"--out={tmp_path / 'artifact'}", *SMALL]) == 2
    assert words in capsys.readouterr().err
    assert not any((tmp_path / "artifact").iterdir())


def test_weights_without_their_program_are_refused(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What torch.save writes is a pickle: the commonest file of the name .pt, and none that is opened here."""
    for name, content in (("weights", Residual().state_dict()), ("module", nn.Linear(1, 1))):
        torch.save(content, tmp_path / f"{name}.pt")
        arguments = [str(tmp_path / f"{name}.pt"), f"--labels={labels}", f"--out={tmp_path / 'artifact'}", *SMALL]
        assert add.main(arguments) == 2
        assert f"{name}.pt: it cannot be loaded" in capsys.readouterr().err


def test_a_network_for_another_size_says_what_torch_says(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = exported(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), tmp_path / "mine.pt")
    arguments = [str(file), f"--labels={labels}", f"--out={tmp_path / 'artifact'}", "--size=32", *SMALL[1:]]
    assert add.main(arguments) == 2
    said = capsys.readouterr().err
    assert "it does not take float32 of shape (1, 3, 32, 32)" in said
    assert "mat1 and mat2 shapes cannot be multiplied" in said
    assert len(said.splitlines()) == 1


LOAD_IN_A_FORK = """
import os, sys
from base64 import b64decode
from pathlib import Path
from models.image_classifier.examples import EIGHT
from models.image_classifier.model import load
child = os.fork()
if child == 0:
    found = load(Path(sys.argv[1])).predict({"image": [b64decode(EIGHT)] * 20, "top_n": [1] * 20})
    os._exit(int(found["label"][0]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_can_load_torchscript_when_its_parent_has_not() -> None:
    command = [sys.executable, "-c", LOAD_IN_A_FORK, str(SHIPPED / "1.0.0-torchscript")]
    assert subprocess.run(command, cwd=FOLDER.parent, timeout=60, check=False).returncode == 8
