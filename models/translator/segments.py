"""Cuts texts into what the model reads at once, and puts the translations together again.

A text goes to the model sentence by sentence: M2M100 learned from single sentences, and of several at once it leaves
some out (facebookresearch/fairseq#4167). A sentence of more than MAX_PIECES pieces is cut every MAX_PIECES, wherever
that is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from models.translator.sentences import BREAKS, sentences
from serving.visible import is_blank

MAX_PIECES = 128
"""Some ninety English words. Past the length of the sentences that it learned from, the model drops what it reads."""

UNSPACED = frozenset({"ja", "zh"})
"""Languages that put no space between two sentences."""


class Segment(NamedTuple):
    """Pieces that are translated together, and the white space that followed them in the text."""

    pieces: Sequence[str]
    gap: str


def segments(text: str, encode: Callable[[str], Sequence[str]]) -> list[Segment]:
    """Cut the text; a text of white space, or of invisible characters, or of none, has no segments."""
    found: list[Segment] = []
    for sentence, gap in sentences(text):
        if is_blank(sentence):  # the model would invent one
            found[-1:] = [Segment(last.pieces, last.gap + gap) for last in found[-1:]]
            continue
        pieces = encode(sentence)
        cuts = range(MAX_PIECES, len(pieces), MAX_PIECES)
        found += [Segment(pieces[cut - MAX_PIECES : cut], "") for cut in cuts]
        last = pieces[cuts[-1] if cuts else 0 :]
        if last:
            found.append(Segment(last, gap))
    return found


def joined(translations: Sequence[str], gaps: Sequence[str], target: str) -> str:
    """Put translated segments together: line breaks stay as they were, other gaps are the target language's."""
    space = "" if target in UNSPACED else " "
    kept = (gap if set(gap) & set(BREAKS) else space for gap in gaps)
    return "".join(map("".join, zip(translations, kept, strict=True))).rstrip()
