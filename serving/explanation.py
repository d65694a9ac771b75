"""What a score is made of: how much each input column has added to it."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from serving.contract import Columns, Spec

if TYPE_CHECKING:
    import numpy as np  # the handler has no numpy
    from numpy.typing import NDArray


class Contributions(NamedTuple):
    """Shapley values of a model's inputs, in the unit of its margin: log odds where the output is a probability.

    An input's base and contributions add up to its margin. Of a model that tells classes apart, they are those of the
    class that it has chosen.
    """

    columns: "dict[str, NDArray[np.float64]]"
    """One value an input, by the name of the input column."""
    base: "NDArray[np.float64]"
    """What the margin is on average, one value an input."""


class Explainer(Protocol):
    """What a predictor is, too, if it can say what its scores are made of."""

    def explain(self, columns: Columns) -> Contributions:
        """Return the contributions of each input."""


RUNTIMES = frozenset({"xgboost", "lightgbm"})
"""The runtimes whose predictors are Explainers. A model that is code says so in its spec."""


def explained_columns(spec: Spec) -> list[str]:
    """Return the input columns that may contribute, in the order in which contributions are stored."""
    return [column.name for column in spec.input_columns if column.name != spec.key]
