"""Training the text classifier: the same bytes each time, nothing related on both sides, and files that are refused."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from models.text_classifier import train as training
from models.text_classifier.evaluate import agreement
from models.text_classifier.evaluate import main as evaluate
from models.text_classifier.export import export
from models.text_classifier.model import MODEL_FILE, load
from models.text_classifier.pipeline import fit, folds
from serving.artifact import Artifact, sha256, verify
from tests.unit.labelled_texts import LABELS, dataset, text, texts, write


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts with one version in it, and the file that it was trained on."""
    out = tmp_path_factory.mktemp("made")
    file = write(texts(60), out / "texts.jsonl.gz")
    assert training.main(["--data", str(file), "--version", "1", "--out", str(out / "artifact")]) == 0
    return out


def artifact(made: Path) -> Artifact:
    folder = made / "artifact" / "1"
    return Artifact(folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


# The artifact


def test_the_same_data_and_seed_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = ["--data", str(made / "texts.jsonl.gz"), "--version", "1", "--out"]
    assert training.main([*again, str(tmp_path)]) == 0
    assert hashes(tmp_path) == hashes(made / "artifact")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "CURRENT"}
    assert training.main([*again, str(made / "artifact")]) == 0, "the same contents are no conflict"


def test_an_artifact_says_what_it_was_made_of(made: Path) -> None:
    found = artifact(made)
    verify(found)
    assert found.manifest["labels"] == sorted(LABELS)
    assert found.manifest["data"]["sha256"] == sha256(made / "texts.jsonl.gz")
    assert found.manifest["data"]["by_label"] == dict.fromkeys(sorted(LABELS), 60)
    assert found.evaluation["agreement_with_scikit_learn"]["same_label"] == found.evaluation["held_out_texts"] == 36
    assert found.evaluation["model"]["accuracy"] > 0.6
    words = " ".join(row["input"]["text"] for row in found.golden())
    assert not any(row["text"] in words for row in texts(60)), "no text of the data may travel with the artifact"


def test_without_a_version_the_data_give_the_name(tmp_path: Path) -> None:
    file = write(texts(30), tmp_path / "texts.jsonl")
    assert training.main(["--data", str(file), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "CURRENT").read_text() == f"data-{sha256(file)[:8]}\n"


def test_evaluating_reproduces_the_recorded_figures(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.text_classifier.evaluate.current", lambda name: artifact(made))
    asked = {"json": tmp_path / "e.json", "reliability": tmp_path / "r.svg", "confusion": tmp_path / "c.svg"}
    options = [word for name, file in asked.items() for word in (f"--{name}", str(file))]
    assert evaluate(["--data", str(made / "texts.jsonl.gz"), *options]) == 0
    found = json.loads(asked["json"].read_text())
    assert found.items() <= artifact(made).evaluation.items()
    assert all(asked[picture].read_text().startswith("<svg") for picture in ("reliability", "confusion"))
    assert "| accuracy |" in capsys.readouterr().out


# Agreement and speed


@pytest.fixture(scope="module")
def fitted() -> Pipeline:
    data = dataset(texts(200, seed=2))
    return fit(data, 0.1, folds(data, 1))


def test_onnx_says_what_scikit_learn_says(fitted: Pipeline, tmp_path: Path) -> None:
    export(fitted, tmp_path / MODEL_FILE)
    draw = random.Random(9)  # noqa: S311
    fresh = [text(draw.choice([*LABELS]), draw, draw.randrange(1, 90)) for _ in range(500)]
    found = agreement(load(tmp_path), fitted, [*fresh, "?!", "", "ÉTÉ\r\nÎle", "Subject: loaf\r\n\r\nthe"])
    assert found["same_label"] == found["texts"] == 504
    assert found["largest_difference"] <= 1e-6


def test_an_export_that_disagrees_is_never_published(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(pipeline: Pipeline, file: Path) -> None:
        pipeline.steps[1][1].idf_ = pipeline.steps[1][1].idf_[::-1].copy()
        export(pipeline, file)
        pipeline.steps[1][1].idf_ = pipeline.steps[1][1].idf_[::-1].copy()

    monkeypatch.setattr(training, "export", wrong)
    assert training.main(["--data", str(made / "texts.jsonl.gz"), "--out", str(tmp_path / "out")]) == 2
    assert "ONNX and scikit-learn differ" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_two_thousand_texts_take_no_longer_than_in_scikit_learn(fitted: Pipeline, tmp_path: Path) -> None:
    export(fitted, tmp_path / MODEL_FILE)
    classifier = load(tmp_path)
    draw = random.Random(11)  # noqa: S311
    many = [text(draw.choice([*LABELS]), draw, 250) for _ in range(2_000)]
    rows = texts(200, seed=2)
    plain = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), MultinomialNB())
    plain.fit([row["text"] for row in rows], [row["label"] for row in rows])

    def seconds(call: Callable[[], Any]) -> float:
        start = process_time()
        call()
        return process_time() - start

    rounds = [
        (seconds(lambda: classifier.predict({"text": many})), seconds(lambda: plain.predict_proba(many)))
        for _ in range(5)
    ]
    ours, theirs = (min(times) for times in zip(*rounds, strict=True))
    assert ours < 2 * theirs, f"{ours:.3f} s against scikit-learn's {theirs:.3f} s"


# What is refused

ALIKE = " ".join(f"word{number}" for number in range(40))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row for row in texts(30) if row["label"] == "sea"], "all texts have the label 'sea'; at least 2"),
        (texts(30)[11:], "19 texts have the label 'sea'; at least 20 must"),
        (
            [{**row, "text": ALIKE} if row["label"] == "sea" else row for row in texts(30)],
            "the 30 texts of 'sea' are 1 when related ones count as one; at least 10",
        ),
        ([{**row, "text": "? !"} for row in texts(30)], "vocabulary"),
    ],
)
def test_data_that_cannot_be_learned_from_leave_everything_as_it_was(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Any], words: str
) -> None:
    shutil.copytree(made / "artifact", tmp_path / "artifact")
    file = write(rows, tmp_path / "texts.jsonl")
    assert training.main(["--data", str(file), "--out", str(tmp_path / "artifact")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file.name}: ")
    assert words in error
    assert error.count("\n") == 1
    assert hashes(tmp_path / "artifact") == hashes(made / "artifact")


def test_a_bad_line_is_said_in_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write([*texts(30), {"text": "a b c"}], tmp_path / "texts.jsonl")
    assert training.main(["--data", str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"error: {file}, line 91, field label: Required field is missing\n"
    assert not (tmp_path / "out").exists()


def test_a_version_never_changes_its_contents(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made / "artifact", tmp_path / "artifact")
    file = write(texts(40, seed=6), tmp_path / "others.jsonl")
    assert training.main(["--data", str(file), "--version", "1", "--out", str(tmp_path / "artifact")]) == 2
    assert "exists with other contents" in capsys.readouterr().err
    assert hashes(tmp_path / "artifact") == hashes(made / "artifact")


@pytest.mark.parametrize("failing", ["export", "evaluate", "_golden", "write_manifest"])
def test_a_training_that_fails_leaves_nothing_half_written(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    shutil.copytree(made / "artifact", tmp_path / "artifact")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(training, failing, fail)
    with pytest.raises(OSError, match="no space left"):
        training.train(dataset(texts(40)), "2", tmp_path / "artifact")
    assert hashes(tmp_path / "artifact") == hashes(made / "artifact")
    assert {path.name for path in (tmp_path / "artifact").iterdir()} == {"1", "CURRENT"}
