"""chrF, the share of characters' n-grams that translations and references have in common.

Popović: chrF: character n-gram F-score for automatic MT evaluation (2015). As sacreBLEU reckons it by default (chrF2):
n-grams of 1 to 6 characters, white space left out, recall weighed twice, over all translations together.
"""

from collections import Counter
from collections.abc import Sequence

ORDERS = range(1, 7)
BETA = 2.0


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return 0 for nothing in common, 100 for the same texts."""
    precisions, recalls = [], []
    for order in ORDERS:
        wanted = [_ngrams(text, order) for text in references]
        # Where the reference is too short to have any, the translation's do not count against it.
        found = [_ngrams(text, order) if there else Counter() for text, there in zip(translations, wanted, strict=True)]
        common = sum((a & b).total() for a, b in zip(found, wanted, strict=True))
        n_found, n_wanted = sum(map(Counter.total, found)), sum(map(Counter.total, wanted))
        if n_found and n_wanted:
            precisions.append(common / n_found)
            recalls.append(common / n_wanted)
    if not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _ngrams(text: str, order: int) -> Counter[str]:
    packed = "".join(text.split())
    return Counter(packed[begin : begin + order] for begin in range(len(packed) - order + 1))
