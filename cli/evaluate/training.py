"""The weights of a training: how many predictions each row stands for."""

from math import sqrt

import numpy as np

from cli.evaluate.population import Population
from evaluation.draws import Propensity
from evaluation.linear import Floats
from evaluation.weighting import weigh


def weights_of(population: Population, clip: float | None) -> Floats:
    """Return a weight for each prediction; it means something for decided ones within the period.

    A row whose propensity is not known stands for itself: 1. Weights above `clip` are cut, which costs a little bias
    and spares much variance; by default above the square root of the number of rows, the order that Ionides ("Truncated
    importance sampling", JCGS 2008) shows to suffice.
    """
    weight = np.ones(len(population.score))
    if population.propensities is None:
        return weight
    inside = np.flatnonzero(population.within)
    known, represents = population.propensities, population.represents[inside]
    bound = max(1.0, sqrt(represents.sum())) if clip is None else clip
    found = weigh(Propensity(known.chance[inside], known.certain[inside]), represents, bound)
    weight[inside[found.rows]] = found.weight
    return weight
