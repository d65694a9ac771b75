"""Draws the reliability diagram: of the inputs with scores around p, the share that was true."""

import math
from collections.abc import Mapping, Sequence
from html import escape

SIZE, MARGIN = 320, 48
COLOURS = ("#0b6e99", "#c4621d")


def draw(bins: Mapping[str, Sequence[Mapping[str, float]]], observed: str) -> str:
    """Return an SVG with the bins of one or two scorers; a calibrated one lies on the diagonal.

    A bin has `mean_score` and `observed_rate`; `observed` says of what.
    """
    highest = max(max(b["mean_score"], b["observed_rate"]) for series in bins.values() for b in series)
    limit = math.ceil(highest * 10) / 10

    def point(mean_score: float, observed_rate: float) -> tuple[float, float]:
        return (round(MARGIN + SIZE * mean_score / limit, 1), round(MARGIN / 2 + SIZE * (1 - observed_rate / limit), 1))

    left, bottom = point(0, 0)
    right, top = point(limit, limit)
    parts = [
        f'<rect x="{left}" y="{top}" width="{SIZE}" height="{SIZE}" fill="none" stroke="#888"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{top}" stroke="#888" stroke-dasharray="4"/>',
    ]
    for tenth in range(round(limit * 10) + 1):
        x, y = point(tenth / 10, tenth / 10)
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{tenth / 10}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tenth / 10}</text>')
    for number, ((name, series), colour) in enumerate(zip(bins.items(), COLOURS, strict=False)):
        dots = [point(b["mean_score"], b["observed_rate"]) for b in series]
        line = " ".join(f"{x},{y}" for x, y in dots)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in dots]
        parts.append(f'<text x="{left + 12}" y="{top + 20 + 16 * number}" fill="{colour}">{name}</text>')
    middle = MARGIN + SIZE / 2
    parts.append(f'<text x="{middle}" y="{bottom + 36}" text-anchor="middle">mean score of the bin</text>')
    parts.append(f'<text transform="translate(14 {top + SIZE / 2}) rotate(-90)" text-anchor="middle">{observed}</text>')
    width, height = SIZE + 1.5 * MARGIN, SIZE + 1.5 * MARGIN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    style = 'role="img" font-family="sans-serif" font-size="12" fill="#444">\n<title>Reliability diagram</title>\n'
    return (
        head
        + style
        + _description(bins)
        + '<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _description(bins: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    gaps = {name: max(abs(b["mean_score"] - b["observed_rate"]) for b in series) for name, series in bins.items()}
    said = "; ".join(f"{name}: the largest gap of a bin is {gap:.3f}" for name, gap in gaps.items())
    return f"<desc>{escape(said)}</desc>\n"
