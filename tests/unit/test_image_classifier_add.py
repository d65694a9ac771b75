"""`millrace models add`: a network of somebody else's becomes the current version, or is refused with the reason."""

import json
import shutil
from base64 import b64decode
from pathlib import Path

import pytest

from models.image_classifier import add
from models.image_classifier.examples import EIGHT
from models.image_classifier.model import ImageClassifier, load
from models.image_classifier.spec import SPEC
from models.image_classifier.trial import pictures
from serving import artifact
from serving.artifact import Artifact, verify
from serving.catalogue import FOLDER
from serving.contract import Columns
from tests.networks import onnx_network
from worker.scoring.loaded_models import ModelInstance, check_golden_rows

SHIPPED = FOLDER / "image_classifier" / "artifact"
DIGITS = SHIPPED / "1.0.0" / "model.onnx"
GREY = ("--size=8", "--mean=0.5", "--std=0.42")
SMALL = ("--size=16", "--mean=0.5,0.5,0.5", "--std=0.25,0.25,0.25")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("null\neins\nzwei\ndrei\nvier\nfünf\nsechs\nsieben\nacht\nneun\n", encoding="utf-8")
    return file


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Labels for the small networks; two of them are one, as ImageNet's cranes are."""
    file = tmp_path / "four.txt"
    file.write_text("crane\r\ncat\r\ncrane\r\ndog\r\n\r\n", encoding="utf-8-sig")
    return file


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Artifacts as they are shipped, so that something is there to be spoilt."""
    shutil.copytree(SHIPPED, tmp_path / "artifact")
    return tmp_path / "artifact"


def added(out: Path) -> Artifact:
    """Return the current artifact, verified and held against its golden rows, as a worker does it."""
    folder = out / (out / "CURRENT").read_text().strip()
    found = Artifact(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    verify(found)
    check_golden_rows(ModelInstance(SPEC, found, load(folder)))
    for row in found.golden():
        SPEC.input.model_validate_json(json.dumps(row["input"]))
    return found


def files(out: Path) -> dict[str, str]:
    return {str(file.relative_to(out)): artifact.sha256(file) for file in sorted(out.rglob("*")) if file.is_file()}


def refusal(out: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return what is said when these are refused; nothing under `out` may have changed."""
    before = files(out)
    assert add.main([*map(str, arguments), f"--out={out}"]) == 2
    assert files(out) == before
    assert {file.name for file in out.iterdir()} == {file.name for file in SHIPPED.iterdir()}
    return capsys.readouterr().err


def test_a_network_is_tried_and_becomes_the_current_version(out: Path, labels: Path) -> None:
    assert add.main([str(DIGITS), f"--labels={labels}", f"--out={out}", "--version=mine", *GREY]) == 0
    found = added(out)
    assert found.version == "mine"
    assert len(list(found.golden())) == 3
    assert (found.manifest["one_by_one"], found.manifest["gives"]) == (False, "logits")
    assert load(found.path).predict({"image": [b64decode(EIGHT)], "top_n": [2]})["label"] == ["acht"]


def test_the_ending_of_a_networks_name_may_be_in_capitals(tmp_path: Path, out: Path, labels: Path) -> None:
    shutil.copyfile(DIGITS, tmp_path / "DIGITS.ONNX")
    assert add.main([str(tmp_path / "DIGITS.ONNX"), f"--labels={labels}", f"--out={out}", "--version=mine", *GREY]) == 0
    assert added(out).version == "mine"


def test_the_name_of_the_version_changes_with_all_that_answers_depend_on(out: Path, labels: Path) -> None:
    versions = []
    for options in (GREY, (*GREY[:2], "--std=0.5"), GREY):
        assert add.main([str(DIGITS), f"--labels={labels}", f"--out={out}", *options]) == 0
        versions.append(added(out).version)
    labels.write_text("\n".join("abcdefghij"))
    assert add.main([str(DIGITS), f"--labels={labels}", f"--out={out}", *GREY]) == 0
    versions.append(added(out).version)
    assert versions[0] == versions[2]
    assert len(set(versions)) == 3
    assert all(version.startswith("model-") for version in versions)


# Networks of every make


@pytest.mark.parametrize(
    ("options", "one_by_one", "gives"),
    [
        ({}, False, "logits"),
        ({"batch": 1}, True, "logits"),
        ({"gives": "probabilities"}, False, "probabilities"),
        ({"gives": "probabilities", "batch": 1}, True, "probabilities"),
    ],
)
def test_a_residual_network_is_served_by_what_it_takes_and_gives(
    tmp_path: Path, out: Path, four: Path, options: dict[str, object], one_by_one: bool, gives: str
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = onnx_network(tmp_path / "my network (2).onnx", **options)  # type: ignore[arg-type]
    assert add.main([str(network), f"--labels={four}", f"--out={out}", *SMALL]) == 0
    found = added(out)
    assert found.version.startswith("my-network-2-")
    assert (found.manifest["one_by_one"], found.manifest["gives"]) == (one_by_one, gives)
    columns: Columns = {"image": pictures(), "top_n": [4] * len(pictures())}
    given = load(found.path).predict(columns)
    assert all(sorted(row) == ["cat", "crane", "crane", "dog"] for row in given["labels"])
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in given["probabilities"])
    assert len({row[0] for row in given["probabilities"]}) > 5, "it says the same of every picture"


def test_logits_and_probabilities_of_one_network_are_answered_alike(tmp_path: Path, out: Path, four: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    answers = []
    for gives in ("logits", "probabilities"):
        network = onnx_network(tmp_path / f"{gives}.onnx", gives=gives)
        assert add.main([str(network), f"--labels={four}", f"--out={out}", *SMALL]) == 0
        columns: Columns = {"image": pictures(), "top_n": [4] * len(pictures())}
        answers.append(load(added(out).path).predict(columns))
    assert answers[0]["labels"] == answers[1]["labels"]
    for one, other in zip(answers[0]["probabilities"], answers[1]["probabilities"], strict=True):
        assert one == pytest.approx(other, abs=2e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_labels": 5}, "for one image it gives numbers of shape (1, 5), and 4 labels need (1, 4)"),
        ({"size": 8}, "it does not take float32 of shape (1, 3, 16, 16)"),
        ({"channels": 1}, "it does not take float32 of shape (1, 3, 16, 16)"),
        ({"batch": 8}, "it does not take float32 of shape (1, 3, 16, 16)"),
        ({"inputs": 2}, "it takes images: tensor(float), more_0: tensor(float); it has to take one tensor(float)"),
        ({"kind": "FLOAT16"}, "it takes images: tensor(float16); it has to take one tensor(float)"),
        ({"gives": "nothing"}, "it gives numbers that are not finite"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path,
    out: Path,
    four: Path,
    options: dict[str, object],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    network = onnx_network(tmp_path / "mine.onnx", **options)  # type: ignore[arg-type]
    said = refusal(out, capsys, network, f"--labels={four}", *SMALL)
    assert said.startswith(f"error: {network}: ")
    assert words in said


def test_weights_in_a_file_beside_the_network_are_asked_for_inside(
    tmp_path: Path, out: Path, four: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    network = onnx_network(tmp_path / "mine.onnx")
    onnx.save(onnx.load(network), network, save_as_external_data=True, location="mine.data", size_threshold=0)
    said = refusal(out, capsys, network, f"--labels={four}", *SMALL)
    assert "it cannot be loaded" in said
    assert "mine.data" in said


# What is wrong with the call


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size=16", "--mean=0.3", "--std=0.3"], "it does not take float32 of shape (1, 1, 16, 16)"),
        (["--size=8"], "it does not take float32 of shape (1, 3, 8, 8)"),
        ([*GREY[:2], "--std=0"], "each of --std above 0"),
        ([*GREY[:2], "--std=nan"], "finite numbers"),
        ([*GREY[:2], "--std=1,1,1"], "one number each for grey images"),
        (["--size=8", "--mean=123.7", "--std=58.4"], "--mean: of values from 0 to 1; divide yours by 255"),
        (["--size=0", *GREY[1:]], "--size: from 1 to 2048"),
        ([*GREY, "--version=../up"], "use up to 64 letters"),
        ([*GREY, "--version=1.0.0"], "1.0.0 exists with other contents"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_left(
    out: Path, labels: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(out, capsys, DIGITS, f"--labels={labels}", *options)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"this is no network", "model.onnx: it cannot be loaded"),
        ("empty.onnx", b"", "empty.onnx: it cannot be loaded"),
        ("half.onnx", DIGITS.read_bytes()[:100_000], "half.onnx: it cannot be loaded"),
        ("model.pkl", b"", "the name must end in .onnx or .pt"),
        ("missing.onnx", None, "there is no such file"),
    ],
)
def test_files_that_are_no_networks_are_refused(
    tmp_path: Path, out: Path, labels: Path, name: str, content: bytes | None, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert words in refusal(out, capsys, tmp_path / name, f"--labels={labels}", *GREY)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\nb\nc\n", "for one image it gives numbers of shape (1, 10), and 3 labels need (1, 3)"),
        (b"a\nb\n\nd\n", "labels.txt: line 3 is empty; each output needs its label"),
        (b"a\n", "a classifier has two labels or more"),
        (b"", "a classifier has two labels or more"),
        (b"a\nb\0c\n", "holds a NUL"),
        (b"\xff\xfe\xfa", "it cannot be read as UTF-8 text"),
        (None, "it cannot be read as UTF-8 text"),
    ],
)
def test_labels_that_do_not_fit_the_network_are_refused(
    tmp_path: Path, out: Path, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    assert words in refusal(out, capsys, DIGITS, f"--labels={tmp_path / 'labels.txt'}", *GREY)


def test_without_torch_a_torchscript_network_says_what_to_install(
    out: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        said = refusal(out, capsys, SHIPPED / "1.0.0-torchscript" / "model.pt", f"--labels={labels}", *GREY)
        assert "pip install -e '.[torch]'" in said
    else:
        pytest.skip("the extra torch is installed")


def test_a_network_that_gives_probabilities_is_not_squashed_twice() -> None:
    import numpy as np

    preparation = {"size": 8, "mean": [0.5], "std": [0.5]}
    manifest = {"labels": ["a", "b"], "preparation": preparation, "one_by_one": False, "gives": "probabilities"}
    classifier = ImageClassifier(lambda images: np.tile(np.float32([0.25, 0.75]), (len(images), 1)), manifest)
    assert classifier.predict({"image": pictures()[:1], "top_n": [2]})["probabilities"] == [[0.75, 0.25]]
