"""Draws a confusion matrix as SVG."""

from collections.abc import Sequence
from html import escape

CELL = 34
MARGIN = 120


def draw(labels: Sequence[str], counts: Sequence[Sequence[float]]) -> str:
    """Return an SVG: a row for each true label, a column for each guess, a cell's shade its share of the row."""
    side = CELL * len(labels)
    width, height = side + MARGIN + 20, side + MARGIN + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="sans-serif" font-size="12" fill="#222">',
        "<title>Confusion matrix</title>",
        f"<desc>{len(labels)} labels; {_right(counts):.1%} of the guesses are right.</desc>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{MARGIN + side / 2}" y="{height - 6}" text-anchor="middle">guessed</text>',
        f'<text transform="translate(14 {20 + side / 2}) rotate(-90)" text-anchor="middle">true label</text>',
    ]
    for row, label in enumerate(labels):
        middle = 20 + row * CELL + CELL / 2
        below = MARGIN + row * CELL + CELL / 2
        parts.append(f'<text x="{MARGIN - 8}" y="{middle + 4}" text-anchor="end">{escape(label)}</text>')
        parts.append(
            f'<text transform="translate({below + 4} {side + 28}) rotate(-40)" text-anchor="end">{escape(label)}</text>'
        )
        total = max(1, sum(counts[row]))
        for column, count in enumerate(counts[row]):
            share = count / total
            x, y = MARGIN + column * CELL, 20 + row * CELL
            colour = "#2166ac" if row == column else "#b2182b"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" fill="{colour}" '
                f'fill-opacity="{max(0.04, share):.2f}"/>'
            )
            if count:
                ink = "#fff" if share > 0.5 else "#222"
                place = f'x="{x + CELL / 2 - 1}" y="{y + CELL / 2 + 3}"'
                parts.append(f'<text {place} text-anchor="middle" fill="{ink}">{count:.10g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _right(counts: Sequence[Sequence[float]]) -> float:
    return sum(row[place] for place, row in enumerate(counts)) / max(1, sum(map(sum, counts)))
