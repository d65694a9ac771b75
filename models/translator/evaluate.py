"""Measures the translator on the project's phrase book, and on phrases that are not in it.

    python -m models.translator.evaluate [--json FILE]

measures the current artifact. The stand-in has learned the phrases of the book, so they show only that nothing was lost
on the way to int8; the held-out phrases show what it cannot do. For real weights both are new.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.translator.chrf import chrf
from models.translator.model import Translator
from models.translator.phrasebook import DIRECTIONS, FILE, PARTS, Pair, pairs, phrases
from models.translator.settings import TranslatorSettings
from models.translator.spec import SPEC
from serving.artifact import ArtifactMissing, current, sha256

BEAMS = (1, 2, 5)
SHOWN = ("en", "ja")
"""The direction whose held-out phrases are written out, for a person to read."""


def evaluate(folders: Mapping[str, Path], languages: Sequence[str]) -> dict[str, Any]:
    """Measure every kind of weights with every beam size, and the first kind by direction.

    `folders` are converted models by the kind of their weights ("int8", "float32"), the served one first.
    """
    known = [(source, target) for source, target in DIRECTIONS if source in languages and target in languages]
    parts = {part: pairs(part, known) for part in PARTS}
    beam = TranslatorSettings.model_fields["translator_beam_size"].default
    served = translations(Translator(next(iter(folders.values())), languages, beam), parts)
    return {
        "data": {"source": FILE.name, "sha256": sha256(FILE), **{part: len(phrases(part)) for part in PARTS}},
        "beam": beam,
        **{part: measure(parts[part], served[part]) for part in PARTS},
        "directions": {
            f"{source}-{target}": {part: _of(source, target, parts[part], served[part]) for part in PARTS}
            for source, target in known
        },
        "settings": [
            {"weights": weights, "beam": beam, **{part: measure(parts[part], found[part]) for part in PARTS}}
            for weights, folder in folders.items()
            for beam in BEAMS
            for found in [translations(Translator(folder, languages, beam), parts)]
        ],
        "examples": [
            {**pair._asdict(), "reference": pair.translation, "translation": translation}
            for pair, translation in zip(parts["held_out"], served["held_out"], strict=True)
            if (pair.source, pair.target) == SHOWN
        ],
    }


def translations(translator: Translator, parts: Mapping[str, Sequence[Pair]]) -> dict[str, list[str]]:
    return {part: translator.predict(columns(chosen))["translation"] for part, chosen in parts.items()}


def columns(chosen: Sequence[Pair]) -> dict[str, list[str]]:
    """Return the pairs as the model's input."""
    return {name: [getattr(pair, name) for pair in chosen] for name in ("text", "source", "target")}


def measure(chosen: Sequence[Pair], found: Sequence[str]) -> dict[str, float]:
    """Return the share of translations that are the phrase book's own, and chrF."""
    references = [pair.translation for pair in chosen]
    exact = sum(map(str.__eq__, found, references))
    return {"exact_match": round(exact / max(1, len(chosen)), 4), "chrf": round(chrf(found, references), 1)}


def _of(source: str, target: str, chosen: Sequence[Pair], found: Sequence[str]) -> dict[str, float]:
    rows = [(p, text) for p, text in zip(chosen, found, strict=True) if (p.source, p.target) == (source, target)]
    return measure([pair for pair, _ in rows], [text for _, text in rows])


def headline(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the manifest's figures."""
    return {f"{part}_{name}": value for part in PARTS for name, value in evaluation[part].items()}


def table(evaluation: Mapping[str, Any]) -> str:
    """Return the figures as Markdown, by direction and then by weights and beam size."""
    rows = [*evaluation["directions"].items(), ("all", evaluation)]
    rows += [(f"{s['weights']}, beam {s['beam']}", s) for s in evaluation["settings"]]
    lines = ["| | book: exact | chrF | held out: exact | chrF |", "|---" * 5 + "|"]
    for name, row in rows:
        cells = (f"{row[part]['exact_match']:.1%} | {row[part]['chrf']:.1f}" for part in PARTS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models.translator.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write every figure here")
    asked = parser.parse_args(arguments)
    try:
        artifact = current(SPEC.name)
    except ArtifactMissing as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    evaluation = evaluate({"int8": artifact.path}, artifact.manifest["languages"])
    print(f"{SPEC.name} {artifact.version}: {artifact.manifest['note']}")
    print(table(evaluation))
    for example in evaluation["examples"]:
        print(f"{example['text']} → {example['translation']} (should be: {example['reference']})")
    if asked.json:
        asked.json.write_text(json.dumps(evaluation, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
