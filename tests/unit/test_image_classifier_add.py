"""`millrace models add`: a network of somebody else's becomes the current version, or is refused with the reason."""

import json
from base64 import b64decode
from pathlib import Path

import pytest

from models import artifact
from models.artifact import Artifact, verify
from models.image_classifier import add
from models.image_classifier.examples import EIGHT
from models.image_classifier.model import load

DIGITS = artifact.current("image_classifier").path / "model.onnx"
TORCHSCRIPT = DIGITS.parent.parent / "1.0.0-torchscript" / "model.pt"
GREY = ("--size=8", "--mean=0.3051", "--std=0.3758")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("null\neins\nzwei\ndrei\nvier\nfünf\nsechs\nsieben\nacht\nneun\n", encoding="utf-8")
    return file


def test_a_network_is_tried_and_becomes_the_current_version(tmp_path: Path, labels: Path) -> None:
    out = tmp_path / "artifact"
    assert add.main([str(DIGITS), f"--labels={labels}", f"--out={out}", "--version=mine", *GREY]) == 0
    assert (out / "CURRENT").read_text() == "mine\n"
    added = Artifact(out / "mine", json.loads((out / "mine" / "manifest.json").read_text()))
    verify(added)
    assert len(list(added.golden())) == 3
    found = load(added.path).predict({"image": [b64decode(EIGHT)], "top_n": [2]})
    assert found["label"] == ["acht"]


def test_a_torchscript_network_is_served_where_torch_is_installed(tmp_path: Path, labels: Path) -> None:
    pytest.importorskip("torch", reason="the extra torch is not installed")
    out = tmp_path / "artifact"
    assert add.main([str(TORCHSCRIPT), f"--labels={labels}", f"--out={out}", "--version=mine", *GREY]) == 0
    verify(Artifact(out / "mine", json.loads((out / "mine" / "manifest.json").read_text())))


def test_without_torch_a_torchscript_network_says_what_to_install(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        assert add.main([str(TORCHSCRIPT), f"--labels={labels}", f"--out={tmp_path / 'artifact'}", *GREY]) == 2
        assert "pip install -e '.[torch]'" in capsys.readouterr().err
    else:
        pytest.skip("the extra torch is installed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size=16", "--mean=0.3", "--std=0.3"], "does not take float32 of shape (1, 1, 16, 16)"),
        (["--size=8"], "does not take float32 of shape (1, 3, 8, 8)"),
        ([*GREY[:2], "--std=0"], "--std: each number must be above 0"),
        ([*GREY[:2], "--std=1,1,1"], "one number each for grey images"),
        (["--size=0", *GREY[1:]], "--size: from 1 to 2048"),
        ([*GREY, "--version=../up"], "use up to 64 letters"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_left(
    tmp_path: Path, labels: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    status = add.main([str(DIGITS), f"--labels={labels}", f"--out={out}", *options])
    assert status == 2
    assert words in capsys.readouterr().err
    assert not out.exists() or not any(out.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"this is no network", "it cannot be loaded"),
        ("model.pkl", b"", "the name must end in .onnx or .pt"),
        ("missing.onnx", None, "there is no such file"),
    ],
)
def test_files_that_are_no_networks_are_refused(
    tmp_path: Path, labels: Path, name: str, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert add.main([str(tmp_path / name), f"--labels={labels}", f"--out={tmp_path / 'artifact'}"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a\nb\nc\n", "for 1 images it gives (1, 10), and the labels need (1, 3)"),
        ("a\na\n", "1 labels in 2 lines"),
        ("", "0 labels in 0 lines"),
    ],
)
def test_labels_that_do_not_fit_the_network_are_refused(
    tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text(content)
    arguments = [str(DIGITS), f"--labels={tmp_path / 'labels.txt'}", f"--out={tmp_path / 'artifact'}", *GREY]
    assert add.main(arguments) == 2
    assert words in capsys.readouterr().err
