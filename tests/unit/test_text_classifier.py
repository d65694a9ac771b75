"""Texts of every kind through the shipped classifier: what it says of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from models.text_classifier.endpoint import ENDPOINT, MAX_CHARACTERS, TextToLabel
from models.text_classifier.features import SUBJECT_WEIGHT, Vocabulary, parts, terms
from models.text_classifier.golden import TEXTS
from models.text_classifier.model import MODEL_FILE, TextClassifier, load
from models.text_classifier.spec import SPEC, Document, TextLabel
from serving.artifact import Artifact, ModelMismatch, verify
from serving.catalogue import FOLDER

SHIPPED = FOLDER / "text_classifier" / "artifact" / "1.0.0"
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))
LABELS = ["baseball", "cryptography", "electronics", "hockey", "politics", "space"]
HOCKEY = "The goalie stopped thirty shots, and the playoffs begin on Sunday."


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return load(SHIPPED)


def rows(classifier: TextClassifier, *texts: str) -> list[dict[str, Any]]:
    found = classifier.predict({"text": list(texts)})
    return [{name: values[row] for name, values in found.items()} for row in range(len(texts))]


# The artifact


def test_the_shipped_artifact_is_whole_and_small() -> None:
    verify(ARTIFACT)
    assert {*ARTIFACT.manifest["sha256"], "manifest.json"} == {file.name for file in SHIPPED.iterdir()}
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 5_000_000
    assert ARTIFACT.manifest["labels"] == LABELS
    onnx.checker.check_model(onnx.load(SHIPPED / MODEL_FILE), full_check=True)


def test_the_golden_texts_get_what_was_recorded(classifier: TextClassifier) -> None:
    recorded = list(ARTIFACT.golden())
    assert [row["input"]["text"] for row in recorded] == list(TEXTS)
    for row, found in zip(recorded, rows(classifier, *TEXTS), strict=True):
        Document.model_validate(row["input"])
        TextLabel.model_validate(row["output"])
        assert found["label"] == row["output"]["label"]
        assert found["probabilities"] == pytest.approx(row["output"]["probabilities"], abs=2e-6)


def test_the_recorded_evaluation_keeps_its_promises() -> None:
    found = ARTIFACT.evaluation
    model, baseline, agreed = found["model"], found["baseline"], found["agreement_with_scikit_learn"]
    assert model["accuracy"] >= 0.95
    assert model["macro_f1"] >= 0.95
    assert model["accuracy"] > baseline["accuracy"]
    assert model["calibration_error"] < 0.02 < baseline["calibration_error"]
    assert agreed["same_label"] == agreed["texts"] == found["held_out_texts"]
    assert agreed["largest_difference"] <= 1e-6
    counts = np.array(found["confusion"]["counts"])
    assert counts.sum() == found["held_out_texts"]
    assert counts.trace() / counts.sum() == pytest.approx(model["accuracy"], abs=1e-5)
    assert found["held_out_texts"] / ARTIFACT.manifest["data"]["texts"] == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize("missing", ["words", "labels"])
def test_a_model_file_without_its_words_or_labels_is_refused(tmp_path: Path, missing: str) -> None:
    model = onnx.load(SHIPPED / MODEL_FILE)
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != missing}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, tmp_path / MODEL_FILE)
    with pytest.raises(ModelMismatch, match=f"no {missing}"):
        load(tmp_path)


# Texts


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (HOCKEY, "hockey"),
        ("The pitcher threw a no-hitter; the shortstop caught the last fly ball.", "baseball"),
        ("Is a 56 bit key long enough for a block cipher?", "cryptography"),
        ("The astronauts will repair the telescope in orbit next year.", "space"),
        ("Which resistor limits the current through this LED at 12 volts?", "electronics"),
        ("Congress will debate taxes, abortion and the drug laws.", "politics"),
    ],
)
def test_a_text_gets_its_label(classifier: TextClassifier, text: str, label: str) -> None:
    [found] = rows(classifier, text)
    assert found["label"] == label
    assert found["labels"] == LABELS
    assert found["probability"] == max(found["probabilities"])
    assert found["probabilities"][LABELS.index(label)] == found["probability"]
    assert sum(found["probabilities"]) == pytest.approx(1, abs=5e-6)


UNUSUAL = {
    "punctuation": "?!… — .,;",
    "space": " \t\n ",
    "emoji": "🏒🥅 🚀🛰️ 🔐 👩‍🚀",
    "right to left": "\u202eהשוער עצר שלושים זריקות\u202c في المدار",  # noqa: RUF001
    "combining characters": "\u0301\u0308\u0327 \u200d\ufe0f",
    "controls": "\x01\x1b[31m\x7f\ufeff\uffff",
    "one letter": "a",
    "no words known": "qqqqqq zzzzzzz",
    "a header alone": "Subject:",
    "an empty body": "Subject: Re: Re: goalie\n\n",
    "blank lines": "\n\n\n\n",
    "a million letters": "x" * 1_000_000,
    "a megabyte of words": "The goalie stopped the puck. " * 36_000,
    "a megabyte of brackets": "<" * 1_000_000,
    "a megabyte of replies": "Subject: " + "re:" * 300_000,
    "astral letters": "𝓗𝓸𝓬𝓴𝓮𝔂 𐐷𐐨",  # noqa: RUF001
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_text_gets_a_probability_the_same_alone_and_in_company(
    classifier: TextClassifier, kind: str
) -> None:
    [alone] = rows(classifier, UNUSUAL[kind])
    assert rows(classifier, HOCKEY, UNUSUAL[kind], HOCKEY)[1] == alone
    assert 1 / 6 - 1e-6 <= alone["probability"] <= 1
    assert np.isfinite(alone["probabilities"]).all()


def test_a_text_without_known_words_is_no_label_more_than_another(classifier: TextClassifier) -> None:
    for kind in ("punctuation", "space", "emoji", "no words known"):
        [found] = rows(classifier, UNUSUAL[kind])
        assert set(found["probabilities"]) == {0.166667}, kind


def test_case_and_line_ends_change_nothing(classifier: TextClassifier) -> None:
    text = f"Subject: Re: Playoffs\n\n{HOCKEY}"
    plain, *others = rows(classifier, text, text.upper(), text.lower(), text.replace("\n", "\r\n"))
    assert others == [plain] * 3


def test_no_texts_get_no_labels(classifier: TextClassifier) -> None:
    assert classifier.predict({"text": []}) == {"label": [], "probability": [], "labels": [], "probabilities": []}


def test_merged_texts_get_exactly_what_each_gets_alone(classifier: TextClassifier) -> None:
    texts = [*TEXTS, *(" ".join(TEXTS[n:]) for n in range(len(TEXTS)))] * 10
    together = rows(classifier, *texts)
    assert together == [rows(classifier, text)[0] for text in texts]
    assert together[::-1] == rows(classifier, *texts[::-1])
    assert together[7:] == rows(classifier, *texts[7:])


def test_the_header_tells_the_subject_and_nothing_else(classifier: TextClassifier) -> None:
    header = "From: nasa@space.example (Moon Rocket)\nSubject: {}\nOrganization: Orbit Shuttle Society\n\n"
    text = header.format("goalie") + "What do you think?\n"
    assert parts(text) == ("goalie", "what do you think?\n")
    assert terms(text) == ["goalie"] * SUBJECT_WEIGHT + ["what", "do", "you", "think"]
    assert rows(classifier, text)[0]["label"] == "hockey"
    assert parts("He said: Subject: it\n\nThen") == ("", "he said: subject: it\n\nthen")


def test_words_are_counted_by_text() -> None:
    found = Vocabulary(["ball", "puck"]).count(["puck puck net", "", "Ball puck ball PUCK ball"])
    assert found.texts.tolist() == [0, 2, 2]
    assert found.terms.tolist() == [1, 0, 1]
    assert found.counts.tolist() == [2.0, 3.0, 2.0]


# The spec and the endpoint


@pytest.mark.parametrize("text", ["", "nul\0", "x" * (MAX_CHARACTERS + 1), 7, None])
def test_what_is_no_text_is_refused_by_both_schemas(text: Any) -> None:
    for schema in (Document, TextToLabel):
        with pytest.raises(ValidationError) as refusal:
            schema.model_validate({"text": text})
        assert refusal.value.errors()[0]["loc"] == ("text",)


def test_a_text_weighs_its_characters() -> None:
    assert SPEC.input_sizes is not None
    assert SPEC.input_sizes({"text": ["a", "語" * 3, "x" * MAX_CHARACTERS], "document_id": [None] * 3}) == [
        1,
        3,
        100_000,
    ]


def test_the_endpoint_takes_a_text_and_gives_its_label(classifier: TextClassifier) -> None:
    body = ENDPOINT.body.model_validate_json(json.dumps({"text": HOCKEY}))
    [given] = ENDPOINT.inputs(body)
    Document.model_validate(given)
    answer = ENDPOINT.outputs(body, {**classifier.predict({"text": [given["text"]]}), "document_id": [None]}, 0.01)
    assert answer == {"label": "hockey"}
    assert (ENDPOINT.path, ENDPOINT.operation_id) == ("/prediction", "prediction")
    assert ENDPOINT.description == "Successful prediction"
    assert ENDPOINT.locate(0, "text") == ("text",)
