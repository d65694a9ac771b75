"""How often the gate is right, and how many outcomes it needs.

    python -m bench.gate_study [--worlds 100]

prints the verdicts where every input was reviewed, and for inputs that were reviewed by rank the smallest number of
reviews that decides, with the verdicts at that number.
"""

import argparse
import sys
from collections import Counter
from statistics import NormalDist

import numpy as np

from bench.worlds import review, two_versions
from evaluation.draws import propensity
from evaluation.gate import ERROR, GateReport, judge
from evaluation.linear import Flags, Floats
from evaluation.verdict import GateVerdict
from evaluation.weighting import Weighting, weigh

MARGIN, WORSE = 0.015, 0.02
RATE, LIVE, CORRELATION = 0.2, 0.8, 0.9
PASSES = 0.9
"""An equal version is to pass with this chance at least; one that is worse by WORSE is to fail with 1 - ERROR."""
TRIAL = 20_000
"""Reviews with which the standard error is measured; it falls with their square root."""


def gate(seed: int, reviewed: int, change: float, share: float = 1.0, explore: float = 0.0) -> GateReport:
    """Judge a version whose AUC differs by `change`, a share of the inputs reviewed by the live one's rank."""
    truth, live, new = two_versions(seed, round(reviewed / share), RATE, LIVE, change, CORRELATION)
    if share == 1:
        return judge(truth, live, new, margin=MARGIN)
    given = _reviewed(live, reviewed, explore, seed)
    rows = given.rows
    return judge(truth[rows], live[rows], new[rows], margin=MARGIN, weighting=given)


def verdicts(
    worlds: int, reviewed: int, change: float, share: float = 1.0, explore: float = 0.0
) -> Counter[GateVerdict]:
    return Counter(gate(seed, reviewed, change, share, explore).verdict for seed in range(worlds))


def smallest(share: float, explore: float, seeds: int = 5) -> int:
    """Return the number of reviews at which both demands are met, out of the standard error at TRIAL reviews.

    By the normal distribution: an equal version passes where margin / error is at least z(1 - ERROR) + z(PASSES), a
    worse one fails where WORSE / error is at least 2 z(1 - ERROR).
    """
    z = NormalDist().inv_cdf
    needed = min(MARGIN / (z(1 - ERROR) + z(PASSES)), WORSE / (2 * z(1 - ERROR)))
    found = [gate(seed, TRIAL, 0, share, explore).overall for seed in range(seeds)]
    errors = [(part.high - part.low) / 2 / z(1 - ERROR) for part in found]
    return int(round(TRIAL * float(np.mean(np.square(errors))) / needed**2, -2))


def _reviewed(score: Floats, reviewed: int, explore: float, seed: int) -> Weighting:
    arrived: Floats = np.zeros(len(score))
    draws = review(score, arrived, reviewed, explore, seed)
    decided: Flags = np.zeros(len(score), bool)
    decided[draws.item] = True
    return weigh(propensity(arrived, score, draws), decided)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gate_study", description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=100)
    worlds = parser.parse_args(arguments).worlds
    print(f"AUC {LIVE}, {RATE:.0%} positive, margin {MARGIN}, correlation {CORRELATION}; {worlds} worlds each\n")
    print("| reviewed share | explored | smallest number of reviews | equal passes | worse by .02 fails |")
    print("|---" * 5 + "|")
    for share, explore in ((1.0, 0.0), (0.5, 0.05), (0.5, 0.2), (0.2, 0.05), (0.2, 0.2), (0.1, 0.05), (0.1, 0.2)):
        reviews = 5_000 if share == 1 else smallest(share, explore)
        equal = verdicts(worlds, reviews, 0, share, explore)[GateVerdict.PASS]
        worse = verdicts(worlds, reviews, -WORSE, share, explore)[GateVerdict.FAIL]
        named = f"{reviews:,}" + (" (given)" if share == 1 else "")
        print(f"| {share:.0%} | {explore:.0%} | {named} | {equal} of {worlds} | {worse} of {worlds} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
