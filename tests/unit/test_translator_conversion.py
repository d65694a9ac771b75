"""Conversion of weights in transformers' own format: here tiny ones, which learn English to Japanese on the spot."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from models.translator import model as runtime
from models.translator.chrf import chrf
from models.translator.convert import NotConverted, converted, golden, main
from models.translator.evaluate import columns
from models.translator.model import PIECES_FILE, load
from models.translator.phrasebook import pairs
from serving.artifact import Artifact, sha256, verify

WHY = "needs torch and transformers, which the default set-up leaves out: requirements/convert.txt"
LEARNED = pairs("book", [("en", "ja")])[:6]
REFERENCES = [pair.translation for pair in LEARNED]


@pytest.fixture(scope="module")
def training() -> Any:
    """The module that trains, where it can be imported."""
    pytest.importorskip("torch", reason=WHY)
    return pytest.importorskip("models.translator.train", reason=WHY)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, training: Any) -> Path:
    """A folder as the Hub has it: config.json, model.safetensors, vocab.json, sentencepiece.bpe.model, …"""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 120)
        patch.setattr(training, "LEARNING_RATE", 4e-3)
        training.learn(training.tokenizer(folder), LEARNED, seed=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    out = tmp_path_factory.mktemp("artifact")
    asked = ["--weights", str(weights), "--languages", "ja,en", "--version", "tiny-1", "--out", str(out)]
    assert main(asked) == 0
    return out


def test_converted_weights_become_an_artifact_that_loads_and_translates(artifacts: Path, weights: Path) -> None:
    assert (artifacts / "CURRENT").read_text() == "tiny-1\n"
    manifest = json.loads((artifacts / "tiny-1" / "manifest.json").read_text())
    artifact = Artifact(artifacts / "tiny-1", manifest)
    verify(artifact)
    assert manifest["languages"] == ["en", "ja"]
    assert manifest["stand_in"] is False
    assert manifest["data"]["sha256 of model.safetensors"] == sha256(weights / "model.safetensors")
    assert artifact.evaluation["directions"].keys() == {"en-ja", "ja-en"}
    translator = load(artifact.path)
    assert translator.predict(columns(LEARNED))["translation"] == REFERENCES
    rows = list(artifact.golden())
    inputs = {name: [row["input"][name] for row in rows] for name in ("text", "source", "target")}
    assert translator.predict(inputs)["translation"] == [row["output"]["translation"] for row in rows]


def test_the_folder_that_the_hub_has_converts_alike(artifacts: Path, weights: Path, tmp_path: Path) -> None:
    """m2m100_418M on the Hub has a pickled state, and names its languages in special_tokens_map.json."""
    import torch
    from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

    hub = tmp_path / "hub"
    shutil.copytree(weights, hub)
    for file in ("model.safetensors", "added_tokens.json", "tokenizer_config.json"):
        (hub / file).unlink()
    state = M2M100ForConditionalGeneration.from_pretrained(weights).state_dict()
    torch.save({name: values.clone() for name, values in state.items()}, hub / "pytorch_model.bin")
    languages = [f"__{code}__" for code in M2M100Tokenizer.from_pretrained(weights).lang_code_to_id]
    (hub / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": languages}))
    described = {"tokenizer_class": "M2M100Tokenizer", "language_codes": "m2m100", "num_madeup_words": 8}
    (hub / "tokenizer_config.json").write_text(json.dumps(described))

    assert len(converted(hub, tmp_path / "made")) == 100
    for file in ("model.bin", "shared_vocabulary.json", "config.json", PIECES_FILE):
        assert sha256(tmp_path / "made" / file) == sha256(artifacts / "tiny-1" / file)


def test_int8_translates_as_transformers_does_in_float32(artifacts: Path, weights: Path) -> None:
    from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

    tokens = M2M100Tokenizer.from_pretrained(weights, src_lang="en")
    model = M2M100ForConditionalGeneration.from_pretrained(weights).eval()
    read = tokens([pair.text for pair in LEARNED], return_tensors="pt", padding=True)
    theirs = model.generate(**read, forced_bos_token_id=tokens.get_lang_id("ja"), num_beams=2, max_new_tokens=50)
    ours = load(artifacts / "tiny-1").predict(columns(LEARNED))["translation"]
    assert ours == tokens.batch_decode(theirs, skip_special_tokens=True) == REFERENCES


def test_a_conversion_that_fails_leaves_everything_as_it_was(
    artifacts: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: sha256(file) for file in artifacts.rglob("*") if file.is_file()}
    other = tmp_path / "other"
    shutil.copytree(weights, other)
    (other / PIECES_FILE).unlink()
    (tmp_path / "empty").mkdir()
    for asked, problem in (
        (["--weights", str(other)], "does not hold M2M100 weights"),
        (["--weights", str(tmp_path / "empty")], "does not hold M2M100 weights"),
        (["--weights", str(weights), "--languages", "en,tlh"], "no language tlh; the tokenizer has af, am"),
        (["--weights", str(weights), "--languages", "en,ja,fr", "--version", "tiny-1"], "exists with other contents"),
    ):
        assert main([*asked, "--out", str(artifacts)]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("error: ")
        assert problem in said
    assert {file: sha256(file) for file in artifacts.rglob("*") if file.is_file()} == before


def test_a_vocabulary_whose_languages_are_shifted_is_refused(weights: Path, tmp_path: Path) -> None:
    shifted = tmp_path / "shifted"
    shutil.copytree(weights, shifted)
    swapped = {"__af__": "__am__", "__am__": "__af__"}
    for file in ("tokenizer_config.json", "added_tokens.json"):
        text = (shifted / file).read_text()
        (shifted / file).write_text(re.sub("|".join(swapped), lambda found: swapped[found.group()], text))
    with pytest.raises(NotConverted, match="is __am__, not __af__"):
        converted(shifted, tmp_path / "made")


def test_weights_that_have_learned_nothing_are_refused(
    weights: Path, tmp_path: Path, training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

    untrained = tmp_path / "untrained"
    shutil.copytree(weights, untrained)
    configuration = training.configuration(M2M100Tokenizer.from_pretrained(weights))
    M2M100ForConditionalGeneration(configuration).save_pretrained(untrained)
    converted(untrained, tmp_path / "made")
    monkeypatch.setattr(runtime, "MAX_DECODED", 16)  # they find no end
    with pytest.raises(NotConverted, match="learned nothing"):
        list(golden(tmp_path / "made", ["en", "ja"]))


def test_learning_twice_gives_the_same_weights(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(training, "EPOCHS", 3)
    tokens = training.tokenizer(tmp_path)
    once, again = (training.learn(tokens, LEARNED, seed=2).state_dict() for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_hub_out_of_reach_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub", reason=WHY)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["--out", str(tmp_path / "out")]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("error: cannot fetch facebook/m2m100_418M from the Hugging Face Hub")
    assert "Connection refused" in said
    assert "--weights FOLDER" in said
    assert not (tmp_path / "out").exists()


def test_without_torch_the_error_names_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert main(["--weights", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "error: converting needs torch: .venv/bin/pip install -r requirements/convert.txt\n"
    )


def test_chrf_is_what_sacrebleu_reckons() -> None:
    """Recorded from sacrebleu 2.6.0: corpus_chrf(found, [wanted]).score"""
    found = ["The dog runs in the park.", "犬は公園で走っています。", "", "x"]
    wanted = ["The cat runs in the park.", "猫は公園で走っています。", "Hello", "y"]
    assert chrf(found, wanted) == pytest.approx(71.51166526729028)
    book = [pair.translation for pair in pairs("book", [("en", "ja")])]
    assert chrf(book[1:] + book[:1], book) == pytest.approx(13.445640597472552)
    assert chrf(wanted, wanted) == 100
    assert chrf(["abc"], ["xyz"]) == chrf([], []) == chrf([""], ["a"]) == 0
