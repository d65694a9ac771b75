"""Draws ROC and precision-recall curves."""

from collections.abc import Mapping

from evaluation.binary import BinaryEvaluation
from evaluation.linear import Figure
from evaluation.pictures.canvas import COLOURS, QUIET, Canvas

FIFTHS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def roc(evaluations: Mapping[str, BinaryEvaluation]) -> str:
    """Return an SVG with the ROC curve of each evaluation; chance is the diagonal."""
    canvas = _square("ROC curve", "auc", evaluations)
    canvas.line([(0, 0), (1, 1)], QUIET, dashed=True)
    for (name, found), colour in zip(evaluations.items(), COLOURS, strict=False):
        points = zip(found.curve["false_positive_rate"], found.curve["true_positive_rate"], strict=True)
        canvas.line([(0.0, 0.0), *points], colour, name)
    canvas.name_axes("false positive rate", "true positive rate (recall)")
    return canvas.svg()


def precision_recall(evaluations: Mapping[str, BinaryEvaluation]) -> str:
    """Return an SVG with the precision at each recall."""
    canvas = _square("Precision and recall", "average_precision", evaluations)
    for (name, found), colour in zip(evaluations.items(), COLOURS, strict=False):
        canvas.line(list(zip(found.curve["true_positive_rate"], found.curve["precision"], strict=True)), colour, name)
    canvas.name_axes("recall", "precision")
    return canvas.svg()


def _square(title: str, metric: str, evaluations: Mapping[str, BinaryEvaluation]) -> Canvas:
    said = "; ".join(f"{name}: {_said(metric, found.figures[metric])}" for name, found in evaluations.items())
    canvas = Canvas(title, said, (0, 1), (0, 1))
    canvas.ticks(FIFTHS, FIFTHS)
    return canvas


def _said(metric: str, figure: Figure) -> str:
    return f"{metric.replace('_', ' ')} {figure.value:.3f}, between {figure.low:.3f} and {figure.high:.3f}"
