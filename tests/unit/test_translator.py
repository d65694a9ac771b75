import json
import subprocess
import sys
from typing import Any

import pytest

from models.translator import model as runtime
from models.translator.endpoint import TRANSLATION, TranslationRequest
from models.translator.evaluate import columns
from models.translator.model import Translator, load
from models.translator.phrasebook import DIRECTIONS, LANGUAGES, Pair, pairs
from models.translator.segments import MAX_PIECES
from models.translator.settings import TranslatorSettings
from models.translator.spec import SPEC, Text, Translation, tokens, unknown_languages
from serving import wire
from serving.artifact import Artifact, ModelMismatch, verify
from serving.catalogue import FOLDER
from serving.contract import BadInput, Fault

SHIPPED = FOLDER / "translator" / "artifact" / "phrasebook-1.0.0"
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))
BOOK = pairs("book")
EXAMPLE = Pair("en", "ja", "Life is like a box of chocolates.", "人生はチョコレートの箱のようなものだ。")


@pytest.fixture(scope="module")
def translator() -> Translator:
    return load(ARTIFACT.path)


def translate(translator: Translator, *texts: tuple[str, str, str]) -> list[str]:
    """Translate (text, source, target) rows."""
    rows = {name: [row[place] for row in texts] for place, name in enumerate(("text", "source", "target"))}
    return translator.predict(rows)["translation"]


# The artifact


def test_the_shipped_artifact_is_the_one_its_manifest_describes() -> None:
    verify(ARTIFACT)
    assert sum(file.stat().st_size for file in ARTIFACT.path.iterdir()) < 2_000_000
    assert ARTIFACT.manifest["languages"] == list(LANGUAGES)


def test_the_stand_in_says_that_it_is_one() -> None:
    assert ARTIFACT.manifest["stand_in"] is True
    assert ARTIFACT.version.startswith("phrasebook-")
    for said in (ARTIFACT.manifest["note"], ARTIFACT.evaluation["about"]):
        assert "stand-in" in said
    card = (FOLDER / "translator" / "README.md").read_text(encoding="utf-8")
    assert "stand-in" in card[:400]


def test_the_golden_rows_are_valid_and_translate_as_recorded(translator: Translator) -> None:
    rows = list(ARTIFACT.golden())
    assert len(rows) > 20
    for row in rows:
        Text.model_validate(row["input"])
        Translation.model_validate(row["output"])
    texts = [(row["input"]["text"], row["input"]["source"], row["input"]["target"]) for row in rows]
    assert translate(translator, *texts) == [row["output"]["translation"] for row in rows]


@pytest.mark.parametrize("beam", [1, 5])
def test_the_golden_rows_hold_for_every_beam_size(beam: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSLATOR_BEAM_SIZE", str(beam))
    test_the_golden_rows_are_valid_and_translate_as_recorded(load(ARTIFACT.path))


IN_A_FORK_WITHOUT_TORCH = """
import os, sys
from pathlib import Path
sys.modules["torch"] = sys.modules["transformers"] = None  # importing them fails
from models.translator.model import load
child = os.fork()
if child == 0:
    columns = {"text": ["Thank you very much."], "source": ["en"], "target": ["de"]}
    os._exit(load(Path(sys.argv[1])).predict(columns)["translation"] == ["Vielen Dank."])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_translates_without_torch_and_transformers() -> None:
    command = [sys.executable, "-c", IN_A_FORK_WITHOUT_TORCH, str(ARTIFACT.path)]
    assert subprocess.run(command, cwd=FOLDER.parent, timeout=60, check=False).returncode == 1


# Translating


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_the_phrase_book_is_translated_in_every_direction(translator: Translator, source: str, target: str) -> None:
    chosen = pairs("book", [(source, target)])
    assert translator.predict(columns(chosen))["translation"] == [pair.translation for pair in chosen]


def test_the_contracts_example_is_translated(translator: Translator) -> None:
    assert EXAMPLE in BOOK
    assert translate(translator, (EXAMPLE.text, "en", "ja")) == [EXAMPLE.translation]


def test_every_direction_in_one_batch_keeps_the_order(translator: Translator) -> None:
    mixed = [*BOOK[::7], *BOOK[3::7]]  # neighbours are in other languages and of other lengths
    assert len({(pair.source, pair.target) for pair in mixed}) == len(DIRECTIONS)
    assert translator.predict(columns(mixed))["translation"] == [pair.translation for pair in mixed]


def test_texts_translate_the_same_alone_as_merged(translator: Translator) -> None:
    long = [Pair("en", "fr", " ".join(pair.text for pair in BOOK[::40]), ""), Pair("ja", "de", "", "")]
    mixed = [*BOOK[::11], *pairs("held_out")[::5], *long]
    merged = translator.predict(columns(mixed))["translation"]
    assert [translator.predict(columns([pair]))["translation"][0] for pair in mixed] == merged
    assert translator.predict(columns(mixed[:9]))["translation"] == merged[:9]


def test_a_text_in_which_nothing_stands_has_an_empty_translation(translator: Translator) -> None:
    texts = [("", "en", "ja"), (EXAMPLE.text, "en", "ja"), (" \n\t", "fr", "de"), ("", "ja", "ja")]
    assert translate(translator, *texts) == ["", EXAMPLE.translation, "", ""]


def test_a_text_in_the_target_language_stays_as_it_is(translator: Translator) -> None:
    assert translate(translator, ("  Anything at all\n", "en", "en")) == ["  Anything at all\n"]


def test_no_texts_have_no_translations(translator: Translator) -> None:
    assert translate(translator) == []


def test_duplicate_texts_are_each_translated(translator: Translator) -> None:
    assert translate(translator, *[(EXAMPLE.text, "en", "ja")] * 3) == [EXAMPLE.translation] * 3


def test_a_text_of_several_sentences_is_translated_sentence_by_sentence(translator: Translator) -> None:
    text = "Good morning. How are you?\n\nI am hungry.  Call a doctor!"
    assert translate(translator, (text, "en", "ja"), (text, "en", "fr")) == [
        "おはようございます。お元気ですか？\n\nお腹が空きました。医者を呼んでください！",
        "Bonjour. Comment allez-vous ?\n\nJ'ai faim. Appelez un médecin !",
    ]


def test_no_sentence_of_a_long_text_is_lost(translator: Translator) -> None:
    chosen = pairs("book", [("ja", "en")])[:9] * 40  # far more than the model could read at once
    text = "".join(pair.text for pair in chosen)
    assert len(text) > 20 * MAX_PIECES
    assert translate(translator, (text, "ja", "en")) == [" ".join(pair.translation for pair in chosen)]


def test_a_sentence_that_is_too_long_reaches_the_model_whole(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[str]] = []
    translated = translator._translate

    def reading(tokens: list[list[str]], prefixes: list[list[str]]) -> list[str]:
        read.extend(tokens)
        return translated(tokens, prefixes)

    monkeypatch.setattr(translator, "_translate", reading)
    text = "Good morning " * 300
    [translation] = translate(translator, (text, "en", "fr"))
    assert translation
    assert all(tokens[0] == "__en__" and tokens[-1] == "</s>" and len(tokens) <= MAX_PIECES + 2 for tokens in read)
    assert [piece for tokens in read for piece in tokens[1:-1]] == translator._encode(text.strip())


def test_a_text_cannot_spell_a_token_of_the_models_own(translator: Translator) -> None:
    for text in ("__ja__", "</s>", "<unk>", "<pad> __ja__ </s>", "\u2581__ja__"):
        pieces = translator._encode(text)
        assert not {"__ja__", "</s>", "<s>", "<pad>"} & set(pieces)


def test_a_translation_that_does_not_end_is_ended_and_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "MAX_DECODED", 4)
    [translation] = translate(load(ARTIFACT.path), (EXAMPLE.text, "en", "ja"))
    assert EXAMPLE.translation.startswith(translation)
    assert "translation_without_end" in capsys.readouterr().out


# Languages


@pytest.mark.parametrize(("source", "target"), [("en", "xx"), ("xx", "en"), ("zh", "ja"), ("", "ja"), ("EN", "ja")])
def test_an_unknown_language_is_refused_and_the_known_ones_named(
    translator: Translator, source: str, target: str
) -> None:
    known = r"#/1/[a-z]+: The model does not know the language '(..)?'; it knows de, en, fr, ja"
    with pytest.raises(BadInput, match=known):
        translate(translator, (EXAMPLE.text, "en", "ja"), ("text", source, target))


def test_the_door_names_each_unknown_language_and_the_known_ones() -> None:
    given = {"text": ["a"] * 3, "source": ["en", "xx", "en"], "target": ["ja", "yy", "ja\n"], "id": [None] * 3}
    known = "it knows de, en, fr, ja"
    assert list(unknown_languages(given, ARTIFACT.manifest)) == [
        Fault(1, "source", f"The model does not know the language 'xx'; {known}"),
        Fault(1, "target", f"The model does not know the language 'yy'; {known}"),
        Fault(2, "target", f"The model does not know the language 'ja\\n'; {known}"),
    ]


def test_languages_that_the_vocabulary_lacks_are_refused_when_the_model_is_loaded() -> None:
    with pytest.raises(ModelMismatch, match="lacks __tlh__"):
        Translator(ARTIFACT.path, ["en", "tlh"], 2)


# The spec and the endpoint


def test_the_spec_has_a_fast_twin() -> None:
    payload = b'[{"text":"a","source":"en","target":"ja"},{"text":"","source":"fr","target":"de","id":"7"}]'
    found = wire.columns(SPEC, wire.decoder(SPEC).decode(payload))
    assert found == {"text": ["a", ""], "source": ["en", "fr"], "target": ["ja", "de"], "id": [None, "7"]}


def test_a_long_text_weighs_more_than_a_short_one_and_an_empty_one_weighs_something() -> None:
    weights = tokens({"text": ["", "good morning", "人生はチョコレートの箱のようなものだ。", "word " * 400]})
    assert list(weights) == sorted(weights)
    assert weights[0] > 0
    assert weights[-1] < SPEC.max_batch


def body(*records: tuple[str, str], source: str = "en", target: str = "ja") -> dict[str, Any]:
    listed = [{"id": key, "text": text} for key, text in records]
    return {"payload": {"fromLang": source, "records": listed, "toLang": target}}


def test_the_endpoint_answers_every_record_in_order_with_its_id(translator: Translator) -> None:
    """As the handler does it, with duplicate ids, an empty text and several lengths."""
    request = TranslationRequest.model_validate(
        body(("123", EXAMPLE.text), ("7", ""), ("123", "Good night."), ("123", EXAMPLE.text))
    )
    inputs = TRANSLATION.inputs(request)
    rows = wire.validator(SPEC).validate_python(inputs)
    outputs = translator.predict(wire.columns(SPEC, rows))
    assert TRANSLATION.outputs(request, outputs, 0.1) == {
        "result": [
            {"id": "123", "text": EXAMPLE.translation},
            {"id": "7", "text": ""},
            {"id": "123", "text": "おやすみなさい。"},
            {"id": "123", "text": EXAMPLE.translation},
        ]
    }


def test_the_endpoint_points_at_the_place_in_its_own_body() -> None:
    given = body(("1", "a"))
    places = [TRANSLATION.locate(0, field) for field in ("text", "source", "target", "id")]
    found = []
    for place in places:
        value: Any = given
        for step in place:
            value = value[step]
        found.append(value)
    assert found == ["a", "en", "ja", "1"]


# Settings


def test_the_beam_size_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSLATOR_BEAM_SIZE", "")
    assert TranslatorSettings().translator_beam_size == 2
    monkeypatch.setenv("TRANSLATOR_BEAM_SIZE", "5")
    assert load(ARTIFACT.path)._beam_size == 5
    monkeypatch.setenv("TRANSLATOR_BEAM_SIZE", "0")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        load(ARTIFACT.path)
