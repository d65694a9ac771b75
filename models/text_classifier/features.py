"""Turns texts into weights of known words: for training and serving alike, so that they cannot differ.

scikit-learn's CountVectorizer splits by the same pattern (a test compares them), but would bring scikit-learn and scipy
into the worker; ONNX's own tokenizer splits some scripts otherwise, and skl2onnx's logarithm of counts is inexact.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"\b\w\w+\b")
"""Two or more letters, digits or underscores, of any script: CountVectorizer's default."""


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def weights(texts: Sequence[str], vocabulary: Mapping[str, int]) -> NDArray[np.float32]:
    """Return float32 of shape (texts, words of the vocabulary): 1 + ln(how often each word stands in each text), or 0.

    The sublinear term frequency of Manning, Raghavan and Schütze, Introduction to Information Retrieval, 6.4.1.
    It is dense, 88 kB a text with 22,000 words, so give a few dozen texts at a time.
    """
    matrix = np.zeros((len(texts), len(vocabulary)), np.float32)
    for row, text in zip(matrix, texts, strict=True):
        found = Counter(vocabulary[word] for word in words(text) if word in vocabulary)
        row[list(found.keys())] = 1 + np.log(list(found.values()), dtype=np.float32)
    return matrix
