"""Draws the pictures of a group's figures."""

import re
from pathlib import Path

from cli.evaluate.figures import Evaluated
from evaluation.binary import BinaryEvaluation
from evaluation.labels import LabelEvaluation
from evaluation.pictures import confusion, curves, reliability


def pictures_of(found: Evaluated) -> dict[str, str]:
    """Return SVG by kind of picture."""
    binary = {name: one for name, one in found.details.items() if isinstance(one, BinaryEvaluation)}
    labels = {name: one for name, one in found.details.items() if isinstance(one, LabelEvaluation)}
    pictures: dict[str, str] = {}
    if binary:
        pictures |= {"roc": curves.roc(binary), "precision-recall": curves.precision_recall(binary)}
    bins = {name: [vars(part) for part in one.calibration] for name, one in binary.items() if one.calibration}
    if bins:
        pictures["reliability"] = reliability.draw(bins, "share with the target outcome")
    for name, one in labels.items():
        pictures[f"confusion-{name}"] = confusion.draw(one.labels, one.confusion)
    return pictures


def write(found: Evaluated, folder: Path) -> list[Path]:
    """Write the pictures into the folder, by kind and group; return the files."""
    group = re.sub(r"\W+", "-", f"{found.summary.by}-{found.summary.group}").strip("-")
    written = []
    for name, svg in pictures_of(found).items():
        written.append(folder / f"{group}-{name}.svg")
        written[-1].write_text(svg, encoding="utf-8")
    return written
