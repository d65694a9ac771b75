"""Makes an artifact of M2M100 weights in transformers' own format, from the Hugging Face Hub or from a folder.

    python -m models.translator.convert [--weights facebook/m2m100_418M] [--revision COMMIT] [--languages en,ja,…]
                                        [--version NAME] [--out FOLDER]

writes `<out>/<version>/` and names it in `<out>/CURRENT`. It needs torch and transformers (requirements/convert.txt);
what it writes needs neither. A fetch of m2m100_418M is 2 GB, the artifact a quarter of that.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models.translator.evaluate import BEAMS, columns, evaluate, headline
from models.translator.model import PIECES_FILE, VOCABULARY_FILE, Translator, language_token
from models.translator.phrasebook import DIRECTIONS, pairs
from serving.artifact import MANIFEST, sha256
from serving.training import VersionRefused, libraries, new_artifact, write_golden, write_json, write_manifest

ARTIFACTS = Path(__file__).parent / "artifact"
WEIGHTS = "facebook/m2m100_418M"
QUANTISATION = "int8"
LIBRARIES = ("ctranslate2", "sentencepiece", "torch", "transformers")

FETCHED = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
    PIECES_FILE,
    "vocab.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer_config.json",
)

GOLDEN = 25
"""Phrases that are tried as golden rows; no divisor of their number, so that every direction gives others."""


class NotConverted(Exception):
    """The weights cannot be had, or are not such as this model can serve."""


def fetch(weights: str, revision: str | None = None) -> tuple[Path, dict[str, str]]:
    """Return the folder of the weights and where they come from; fetch them if they are not a folder already."""
    folder = Path(weights)
    if folder.is_dir():
        files = sorted(file for pattern in FETCHED for file in folder.glob(pattern))
        return folder, {"source": folder.resolve().name, **{f"sha256 of {file.name}": sha256(file) for file in files}}
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(weights, revision=revision, allow_patterns=list(FETCHED)))
    except (OSError, ValueError) as problem:  # no network, no such repository or revision, a full disk; no such name
        why = " ".join(str(problem).split())
        raise NotConverted(
            f"cannot fetch {weights} from the Hugging Face Hub ({why}). Where it cannot be reached, copy the "
            "repository's files here by hand and name their folder: --weights FOLDER"
        ) from None
    return folder, {"source": weights, "revision": folder.name}


def converted(folder: Path, made: Path, quantisation: str | None = QUANTISATION) -> list[str]:
    """Write weights and tokenizer of transformers' format to `made` in CTranslate2's, and return the languages.

    Raises NotConverted.
    """
    import torch  # noqa: F401  without it, CTranslate2's converter fails with a NameError
    from ctranslate2.converters import TransformersConverter
    from transformers import M2M100Tokenizer

    try:
        TransformersConverter(str(folder)).convert(str(made), quantization=quantisation, force=True)
        tokenizer = M2M100Tokenizer.from_pretrained(str(folder))
        shutil.copyfile(folder / PIECES_FILE, made / PIECES_FILE)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise NotConverted(f"{folder} does not hold M2M100 weights in transformers' format: {problem}") from problem
    vocabulary = json.loads((made / VOCABULARY_FILE).read_text(encoding="utf-8"))
    for language, number in tokenizer.lang_code_to_id.items():
        if vocabulary[number] != language_token(language):  # shifted by one, it would translate into gibberish
            raise NotConverted(f"{folder}: token {number} is {vocabulary[number]}, not {language_token(language)}")
    return sorted(tokenizer.lang_code_to_id)


def make(
    folder: Path,
    version: str,
    out: Path,
    about: Mapping[str, Any],
    languages: Sequence[str] | None = None,
    with_float32: bool = False,
) -> Path:
    """Convert, check and evaluate the weights, write the artifact to `out`, and name it in CURRENT.

    `about` goes into the manifest; `languages` are those of the tokenizer's that the weights know, all of them unless
    given. Raises NotConverted and VersionRefused.
    """
    with new_artifact(out, version) as made, TemporaryDirectory() as scratch:
        of_tokenizer = converted(folder, made)
        if strange := sorted(set(languages or ()) - set(of_tokenizer)):
            raise NotConverted(f"no language {', '.join(strange)}; the tokenizer has {', '.join(of_tokenizer)}")
        known = sorted(languages or of_tokenizer)
        folders = {QUANTISATION: made}
        if with_float32:
            folders["float32"] = Path(scratch)
            converted(folder, Path(scratch), None)
        write_golden(made, golden(made, known))
        print(f"evaluating {version} on the phrase book", flush=True)
        evaluation = evaluate(folders, known)
        write_json(made / "evaluation.json", {"about": about["note"], **evaluation})
        manifest = {
            "languages": known,
            **about,
            "quantisation": QUANTISATION,
            "libraries": libraries(*LIBRARIES),
            "metrics": headline(evaluation),
        }
        write_manifest(made, manifest)
    return out / version


def golden(made: Path, languages: Sequence[str]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Yield inputs with their translations, where every beam size and both kinds of arithmetic agree on them.

    Any other would make a worker with another setting or processor refuse the model. Raises NotConverted.
    """
    known = [(source, target) for source, target in DIRECTIONS if {source, target} <= set(languages)]
    candidates = pairs("book", known)
    chosen = columns(candidates[:: max(1, len(candidates) // GOLDEN)])
    for name, value in zip(chosen, (" \n", languages[0], languages[-1]), strict=True):
        chosen[name].append(value)
    found = [
        Translator(made, languages, beam, arithmetic).predict(chosen)["translation"]
        for beam in BEAMS
        for arithmetic in ("default", "float32")
    ]
    inputs = (dict(zip(chosen, row, strict=True)) for row in zip(*chosen.values(), strict=True))
    agreed = [(row, same[0]) for row, same in zip(inputs, zip(*found, strict=True), strict=True) if len(set(same)) == 1]
    if len(agreed) < GOLDEN / 4:
        raise NotConverted("the converted weights translate differently with every setting: they have learned nothing")
    for row, translation in agreed:
        yield row, {"translation": translation}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.translator.convert", description=__doc__.split("\n")[0])
    parser.add_argument("--weights", default=WEIGHTS, help=f"repository of the Hub, or a folder; default: {WEIGHTS}")
    parser.add_argument("--revision", help="branch, tag or commit of the repository; default: its newest")
    parser.add_argument("--languages", help="those that the weights know, with commas; default: all the tokenizer's")
    parser.add_argument("--version", help="default: the weights' name and the quantisation: m2m100_418M-int8")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, help="folder that takes <version>/ and CURRENT")
    asked = parser.parse_args(arguments)
    try:
        folder, origin = fetch(asked.weights, asked.revision)
        version = asked.version or f"{Path(asked.weights).resolve().name}-{QUANTISATION}"
        note = f"The weights of {origin['source']}, converted to {QUANTISATION}."
        about = {"note": note, "stand_in": False, "data": origin}
        print(f"converting {folder}", flush=True)
        made = make(folder, version, asked.out, about, asked.languages.split(",") if asked.languages else None)
    except ModuleNotFoundError as missing:
        print(
            f"error: converting needs {missing.name}: .venv/bin/pip install -r requirements/convert.txt",
            file=sys.stderr,
        )
        return 2
    except (NotConverted, VersionRefused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    print(f"wrote {made}: " + ", ".join(f"{name} {value}" for name, value in metrics(made).items()))
    return 0


def metrics(made: Path) -> dict[str, float]:
    """Return the headline figures of an artifact's folder."""
    found: dict[str, float] = json.loads((made / MANIFEST).read_text(encoding="utf-8"))["metrics"]
    return found


if __name__ == "__main__":
    sys.exit(main())
