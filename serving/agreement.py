"""How far reviewers agree beyond chance, on what several of them have decided: kappa for two, alpha for any number."""

from collections import Counter
from collections.abc import Iterable, Sequence


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of two reviewers, given what each decided of every prediction: 1 is agreement, 0 is chance.

    None where it is not defined: without pairs, or where both have always said the same one kind.
    J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    n = len(pairs)
    if not n:
        return None
    observed = sum(first == second for first, second in pairs) / n
    firsts, seconds = (Counter(column) for column in zip(*pairs, strict=True))
    expected = sum(firsts[kind] * seconds[kind] for kind in firsts) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha for nominal kinds, given all that was decided of each prediction, by whomever.

    Predictions that one reviewer alone has decided do not count. None where it is not defined: without pairs, or where
    all have always said the same one kind.
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011.
    """
    kinds: Counter[str] = Counter()
    disagreement = 0.0
    for unit in units:
        m = len(unit)
        if m < 2:
            continue
        of_unit = Counter(unit)
        kinds.update(of_unit)
        disagreement += (m * m - sum(count * count for count in of_unit.values())) / (m - 1)
    n = kinds.total()
    expected = n * n - sum(count * count for count in kinds.values())
    return None if not expected else 1 - (n - 1) * disagreement / expected
