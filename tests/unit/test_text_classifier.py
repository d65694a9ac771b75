"""Texts of every kind through the classifier, and training on texts of one's own."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from models import artifact
from models.artifact import Artifact, verify
from models.text_classifier import train as training
from models.text_classifier.documents import groups
from models.text_classifier.features import weights, words
from models.text_classifier.model import TextClassifier, load
from tests.running import ROOT

ARTIFACT = artifact.current("text_classifier")
STRANGE = ["?!", "☃ 🎿", "שלום עולם", "e\u0301" * 50, "İSTANBUL ısırgan", "日本語の文章です", "a", "puck " * 20_000]  # noqa: RUF001


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return load(ARTIFACT.path)


def test_the_artifact_is_small_and_as_good_as_its_card_says() -> None:
    assert sum(file.stat().st_size for file in ARTIFACT.path.iterdir()) < 5_000_000
    evaluation = ARTIFACT.evaluation
    assert evaluation["accuracy"] > 0.95
    assert evaluation["macro_f1"] > 0.95
    assert evaluation["largest_difference_to_scikit_learn"] < 1e-4
    card = (ROOT / "models" / "text_classifier" / "README.md").read_text(encoding="utf-8")
    for shown in (f"{evaluation['accuracy']:.1%}".replace("%", " %"), f"{evaluation['calibration_error']:.3f}"):
        assert shown in card


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The goalie made 40 saves and the Penguins won in overtime.", "hockey"),
        ("The pitcher threw a curveball and the batter struck out in the ninth inning.", "baseball"),
        ("The shuttle reached orbit and released the satellite, says NASA.", "space"),
        ("With a key of 56 bits, DES can be broken; use PGP with RSA for your email.", "cryptography"),
        ("Put a 10k resistor between the base of the transistor and 5 volts.", "electronics"),
    ],
)
def test_sentences_that_it_has_not_seen_get_their_topic(classifier: TextClassifier, text: str, label: str) -> None:
    assert classifier.predict({"text": [text]})["label"] == [label]


def test_strange_texts_get_the_same_answer_alone_and_together(classifier: TextClassifier) -> None:
    together = np.asarray(classifier.predict({"text": STRANGE * 20})["probabilities"])
    alone = np.concatenate([classifier.predict({"text": [text]})["probabilities"] for text in STRANGE])
    assert np.allclose(together, np.tile(alone, (20, 1)), atol=1e-6)
    assert np.allclose(together.sum(axis=1), 1, atol=1e-5)


def test_a_text_without_a_known_word_gets_an_answer_and_no_certainty(classifier: TextClassifier) -> None:
    assert classifier.predict({"text": ["?!"]})["probability"][0] < 0.7


def test_words_are_split_as_scikit_learn_splits_them() -> None:
    theirs = CountVectorizer().build_analyzer()
    for text in [*STRANGE, *(row["input"]["text"] for row in ARTIFACT.golden())]:
        assert words(text) == theirs(text)


def test_weights_are_scikit_learns_sublinear_ones() -> None:
    texts = [row["input"]["text"] for row in ARTIFACT.golden()]
    vectorizer = TfidfVectorizer(sublinear_tf=True, use_idf=False, norm=None).fit(texts)
    ours = weights(texts, {str(word): int(number) for word, number in vectorizer.vocabulary_.items()})
    assert np.allclose(ours, vectorizer.transform(texts).toarray(), atol=1e-6)


PREDICT = """
import json, sys
from models import artifact
from models.text_classifier.model import load
found = load(artifact.current("text_classifier").path).predict({"text": json.loads(sys.argv[1])})
print(json.dumps([list(found["label"]), [round(p, 5) for p in found["probability"]]]))
"""


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "tr_TR.UTF-8"])
def test_the_answer_is_the_same_in_any_locale(classifier: TextClassifier, locale: str) -> None:
    environment = {**os.environ, "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    texts = STRANGE[:-1]
    command = [sys.executable, "-c", PREDICT, json.dumps(texts)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    here = classifier.predict({"text": texts})
    assert json.loads(done.stdout) == [list(here["label"]), [round(float(p), 5) for p in here["probability"]]]


def topical(number: int, seed: int = 1) -> list[dict[str, str]]:
    """Texts of two labels, each with words of its own."""
    pick = random.Random(seed)  # noqa: S311 - test data
    own = {label: [f"{label}word{n}" for n in range(40)] for label in ("sea", "land")}
    shared = [f"shared{n}" for n in range(200)]
    return [
        {"text": " ".join(pick.choices(own[label], k=8) + pick.choices(shared, k=12)), "label": label}
        for _ in range(number // 2)
        for label in own
    ]


def write(file: Path, rows: list[Any]) -> Path:
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    file.write_bytes(gzip.compress(lines.encode()) if file.suffix == ".gz" else lines.encode())
    return file


def test_training_on_ones_own_texts_gives_the_same_bytes_twice_and_a_model_that_works(tmp_path: Path) -> None:
    made = []
    for name, out in (("a.jsonl", "one"), ("a.jsonl.gz", "two")):
        file = write(tmp_path / name, topical(120))
        assert training.main([f"--data={file}", "--version=mine", f"--out={tmp_path / out}"]) == 0
        made.append(tmp_path / out / "mine")
    assert (made[0] / "model.onnx").read_bytes() == (made[1] / "model.onnx").read_bytes()
    trained = Artifact(made[0], json.loads((made[0] / "manifest.json").read_text()))
    verify(trained)
    assert load(made[0]).predict({"text": ["seaword1 seaword2 seaword3"]})["label"] == ["sea"]


@pytest.mark.parametrize(
    ("rows", "words_"),
    [
        ([*topical(40), "no json"], "line 41: not JSON"),
        ([*topical(40), {"text": "a"}], "line 41: label must be text that is not empty"),
        ([*topical(40), {"text": " ", "label": "sea"}], "line 41: text must be text that is not empty"),
        ([*topical(40), ["a", "b"]], "line 41: text must be"),
        ([row for row in topical(40) if row["label"] == "sea"], "1 labels; it takes two or more"),
        ([*topical(40), {"text": "a", "label": "sky"}], "1 texts have the label 'sky'; at least 10 must"),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_refused_and_nothing_is_left(
    tmp_path: Path, rows: list[Any], words_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "texts.jsonl", rows)
    assert training.main([f"--data={file}", f"--out={tmp_path / 'out'}"]) == 2
    assert words_ in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_near_copies_are_known_as_such() -> None:
    one, other = (" ".join(f"w{seed}x{n}" for n in range(60)) for seed in (1, 2))
    found = groups([one, other, f"quoted: {one}", other[: len(other) * 2 // 3], "short"])
    assert found.tolist() == [0, 1, 0, 1, 4]


def test_two_thousand_texts_take_no_longer_than_scikit_learn_itself(classifier: TextClassifier) -> None:
    """The obvious export, which splits words and makes a dense matrix in ONNX, takes 18 times as long."""
    rows = topical(200)
    theirs = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression())
    theirs.fit([row["text"] for row in rows], [row["label"] for row in rows])
    texts = [" ".join(row["text"] for row in topical(30, seed=seed)) for seed in range(50)] * 40

    def seconds(predict: Any) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            predict(texts)
            times.append(time.process_time() - start)
        return min(times)

    ratio = seconds(lambda given: classifier.predict({"text": given})) / seconds(theirs.predict_proba)
    assert ratio < 2, f"{ratio:.1f} times as long"
