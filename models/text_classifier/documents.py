"""Labelled texts from a file, and an honest split of them."""

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from models.artifact import sha256
from models.text_classifier.features import words

PARTS = 5
"""One of so many is held out."""

MIN_A_LABEL = 10
"""With fewer groups of texts of a label, the part that is held out would have hardly any."""

SHINGLE = 8
ALIKE = 0.5
"""Two texts are nearly the same when half of the shorter one's runs of eight words are in the other one, too: answers
that quote, and posts to several groups."""

COMMON = 20
"""A run of words in more texts than this is a signature or a formula, not a sign of a copy."""


class BadData(ValueError):
    """The file cannot be trained on; the message names the line and the field."""


@dataclass(frozen=True)
class Documents:
    source: str
    sha256: str
    texts: list[str]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, index: NDArray[np.int64]) -> "Documents":
        return Documents(self.source, self.sha256, [self.texts[row] for row in index], self.labels[index])


def read(file: Path) -> Documents:
    """Read JSON lines with `text` and `label`, plain or gzipped. Raises BadData."""
    texts, labels = [], []
    try:
        with _opened(file) as lines:
            for number, line in enumerate(lines, start=1):
                text, label = _row(file, number, line)
                texts.append(text)
                labels.append(label)
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{file}: {error}") from None
    if len(set(labels)) < 2:
        raise BadData(f"{file}: {len(set(labels))} labels; it takes two or more")
    for label, count in Counter(labels).items():
        if count < MIN_A_LABEL:
            raise BadData(f"{file}: {count} texts have the label {label!r}; at least {MIN_A_LABEL} must")
    return Documents(file.name, sha256(file), texts, np.array(labels))


def _opened(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return cast(TextIO, gzip.open(file, "rt", encoding="utf-8"))
    return file.open(encoding="utf-8")


def _row(file: Path, number: int, line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadData(f"{file}, line {number}: not JSON: {error}") from None
    for name in ("text", "label"):
        value = row.get(name) if isinstance(row, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise BadData(f"{file}, line {number}: {name} must be text that is not empty")
    return row["text"], row["label"]


def split(data: Documents, seed: int) -> tuple[Documents, Documents]:
    """Hold out a fifth: of every label alike, and without texts of which near copies stay in the rest."""
    folds = StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed)
    rest, held_out = next(folds.split(data.texts, data.labels, groups(data.texts)))
    return data.rows(rest), data.rows(held_out)


def groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number the texts so that near copies have the same number."""
    shingles = [set(_shingles(text)) for text in texts]
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, of_text in enumerate(shingles):
        for shingle in of_text:
            holders[shingle].append(number)
    shared: Counter[tuple[int, int]] = Counter()
    for having in holders.values():
        if 1 < len(having) <= COMMON:
            shared.update((one, other) for place, one in enumerate(having) for other in having[place + 1 :])
    leader = list(range(len(texts)))

    def first(number: int) -> int:
        while leader[number] != number:
            number = leader[number]
        return number

    for (one, other), count in shared.items():
        if count >= ALIKE * min(len(shingles[one]), len(shingles[other])):
            low, high = sorted((first(one), first(other)))
            leader[high] = low  # whatever the order, a group is known by its first text
    return np.array([first(number) for number in range(len(texts))])


def _shingles(text: str) -> Iterator[tuple[str, ...]]:
    found = words(text)
    return (tuple(found[begin : begin + SHINGLE]) for begin in range(len(found) - SHINGLE + 1))
