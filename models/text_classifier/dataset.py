"""Labelled texts, and how a fifth of them is held out so that nothing related to it is trained on."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from models.text_classifier.features import parts

SEED = 7
HELD_OUT = 0.2

RUN = 8
"""Words in a row that two texts have in common by copying, hardly by chance."""

RELATED = 0.5
"""Share of the shorter text's runs that the other has too, from which on they count as related."""

MIN_TEXTS = 20
MIN_GROUPS = 10
"""Of a label. Fewer would leave a fold of the cross-validation, or the held-out texts, without it."""


class TooFewTexts(ValueError):
    """The data does not hold enough labels, or enough texts of one, to train and to measure."""


@dataclass(frozen=True)
class TextDataset:
    """Texts with a label and the number of a group each. `sha256` is of the file that they were read from."""

    source: str
    sha256: str
    texts: Sequence[str]
    labels: NDArray[np.str_]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, index: NDArray[np.int64]) -> "TextDataset":
        """Return the texts at the given positions, in that order."""
        texts = [self.texts[row] for row in index]
        return TextDataset(self.source, self.sha256, texts, self.labels[index], self.groups[index])


def related(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number the groups of related texts: a thread by its subject, copies, a reply and what it quotes at length."""
    first: dict[str, int] = {}
    subjects = [parts(text)[0] for text in texts]
    threads = [(row, first.setdefault(subject, row)) for row, subject in enumerate(subjects) if subject]
    pairs = np.vstack([np.array(threads, int).reshape(-1, 2), _copies(texts)])
    graph = csr_array((np.ones(len(pairs)), pairs.T), shape=(len(texts), len(texts)))
    groups: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def split(data: TextDataset, seed: int) -> tuple[TextDataset, TextDataset]:
    """Return the texts to train on, and a fifth of each label's in whole groups. Raises TooFewTexts.

    A group that would alone pass a label's fifth is trained on.
    """
    _refuse_few(data)
    room = {label: round(HELD_OUT * count) for label, count in Counter(data.labels.tolist()).items()}
    members = defaultdict(list)
    for row, group in enumerate(data.groups.tolist()):
        members[group].append(row)
    held: list[int] = []
    for group in np.random.default_rng(seed).permutation(len(members)).tolist():
        needed = Counter(data.labels[members[group]].tolist())
        if all(room[label] >= count for label, count in needed.items()):
            held += members[group]
            for label, count in needed.items():
                room[label] -= count
    test = np.sort(np.array(held, int))
    training = np.setdiff1d(np.arange(len(data)), test)
    if missing := set(data.labels.tolist()) - set(data.labels[test].tolist()):
        raise TooFewTexts(f"{data.source}: the texts of {sorted(missing)[0]!r} are too much alike to hold some out")
    return data.rows(training), data.rows(test)


def _refuse_few(data: TextDataset) -> None:
    counts = Counter(data.labels.tolist())
    if len(counts) < 2:
        raise TooFewTexts(
            f"{data.source}: all texts have the label {next(iter(counts), None)!r}; at least 2 are needed"
        )
    groups = Counter(label for label, _ in set(zip(data.labels.tolist(), data.groups.tolist(), strict=True)))
    for label, count in sorted(counts.items()):
        if count < MIN_TEXTS:
            raise TooFewTexts(f"{data.source}: {count} texts have the label {label!r}; at least {MIN_TEXTS} must")
        if groups[label] < MIN_GROUPS:
            raise TooFewTexts(
                f"{data.source}: the {count} texts of {label!r} are {groups[label]} when related ones count as one; "
                f"at least {MIN_GROUPS} must differ"
            )


def _copies(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the pairs of texts that share much."""
    found = list(map(_runs, texts))
    if not any(found):
        return np.empty((0, 2), np.int64)
    runs = CountVectorizer(analyzer=list, binary=True).fit_transform(found)
    size = np.diff(runs.indptr)
    several = runs[:, np.bincount(runs.indices) > 1]
    shared = (several @ several.T).tocoo()
    related = shared.data >= RELATED * np.minimum(size[shared.row], size[shared.col])
    pairs: NDArray[np.int64] = np.column_stack([shared.row, shared.col])[related].astype(np.int64)
    return pairs


def _runs(text: str) -> set[str]:
    words = re.findall(r"\w+", parts(text)[1])
    starts = range(max(1, len(words) - RUN + 1) if words else 0)
    return {" ".join(words[start : start + RUN]) for start in starts}
