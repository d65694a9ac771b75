"""The project's own phrase book: what the stand-in learns by heart, and phrases that are held out from it."""

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "phrases.jsonl"
LANGUAGES = ("de", "en", "fr", "ja")
DIRECTIONS = tuple(permutations(LANGUAGES, 2))
PARTS = ("book", "held_out")


class Pair(NamedTuple):
    """A phrase in one language, and in another."""

    source: str
    target: str
    text: str
    translation: str


def phrases(part: str) -> list[dict[str, str]]:
    """Return the part's phrases, each in every language."""
    rows = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return [{language: row[language] for language in LANGUAGES} for row in rows if row["part"] == part]


def pairs(part: str, directions: Sequence[tuple[str, str]] = DIRECTIONS) -> list[Pair]:
    """Return every phrase of the part in each of the directions."""
    return [
        Pair(source, target, phrase[source], phrase[target])
        for source, target in directions
        for phrase in phrases(part)
    ]
