"""How easy a text is to read: Flesch's reading ease.

Flesch, "A New Readability Yardstick", Journal of Applied Psychology 32 (1948), as 206.835 - 1.015 words per sentence -
84.6 syllables per word. 100 is very easy, 0 very hard; both ends are open.
"""

import re
from pathlib import Path

import pyphen

WORD, END = re.compile(r"[^\W\d_]+"), re.compile(r"[.!?]+")


class Readability:
    def __init__(self) -> None:
        self._syllables = pyphen.Pyphen(lang="en_US")

    def predict(self, columns: dict[str, list[str]]) -> dict[str, list[float]]:
        """Take a list for each input, and return one for each output."""
        return {"ease": [self._ease(text) for text in columns["text"]]}

    def _ease(self, text: str) -> float:
        words = WORD.findall(text) or ["a"]
        sentences = len(END.findall(text)) or 1
        syllables = sum(len(self._syllables.positions(word)) + 1 for word in words)
        return 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)


def load(folder: Path) -> Readability:
    """Load the model; its files are in the folder."""
    return Readability()
