"""From texts to the numbers of the words in them: the same code for training and for serving."""

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SUBJECT_WEIGHT = 3
"""A word of the subject counts for three; cross-validation liked two to four alike, and one less."""

_SUBJECT = re.compile(r"^subject:(.*)$", re.MULTILINE)
_REPLY = re.compile(r"\A(?:\s*(?:re|fwd?|was)\s*:)+")
_WORD = re.compile(r"\w\w+")  # as scikit-learn's default, in any script


class Words(NamedTuple):
    """How often each text has which word: one element a pair, by text and by number of the word."""

    texts: NDArray[np.int64]
    terms: NDArray[np.int64]
    counts: NDArray[np.float64]


def parts(text: str) -> tuple[str, str]:
    """Return subject and body in lower case; a text whose first paragraph has no line `Subject: …` is all body.

    The rest of a header says who wrote, where and with what, which betrays the newsgroup and nothing of the matter.
    """
    text = text.replace("\r\n", "\n").lower()
    header, _, body = text.partition("\n\n")
    subject = _SUBJECT.search(header)
    return (_REPLY.sub("", subject[1]).strip(), body) if subject else ("", text)


def terms(text: str) -> list[str]:
    """Return the words that count, each as often as it does."""
    subject, body = parts(text)
    return _WORD.findall(subject) * SUBJECT_WEIGHT + _WORD.findall(body)


class Vocabulary:
    """The words that a model knows, by number."""

    def __init__(self, words: Sequence[str]) -> None:
        self._numbers = {word: number for number, word in enumerate(words)}

    def count(self, texts: Iterable[str]) -> Words:
        """Count the known words; a text that has none of them has no element."""
        numbers, lengths = array("q"), []
        for text in texts:
            words = terms(text)
            numbers.extend(map(self._numbers.get, words, repeat(-1)))
            lengths.append(len(words))
        found = np.array(numbers, np.int64)
        places = np.repeat(np.arange(len(lengths)), lengths) * len(self._numbers) + found
        places, counts = np.unique(places[found >= 0], return_counts=True)
        rows, columns = np.divmod(places, max(1, len(self._numbers)))
        return Words(rows, columns, counts.astype(np.float64))
