"""A chart with two axes as SVG: no script, no library, readable in both colour schemes of a page by its own ground."""

from collections.abc import Sequence
from html import escape
from math import isfinite

WIDTH, HEIGHT = 520, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 44, 52
CROWDED = 8
"""Names in one line below the axis."""
INK, QUIET, GRID = "#1f2933", "#616e7c", "#e4e7eb"
COLOURS = ("#2563eb", "#be123c", "#059669", "#d97706")

Points = Sequence[tuple[float, float]]


class Canvas:
    """Collects the marks of a chart in the units of its axes; `svg` returns the file."""

    def __init__(
        self, title: str, description: str, across: tuple[float, float], up: tuple[float, float], width: int = WIDTH
    ) -> None:
        self._title, self._description = title, description
        self._across, self._up, self._width = across, up, width
        self._marks: list[str] = []
        self._keys = 0

    def line(self, points: Points, colour: str, name: str = "", dashed: bool = False) -> None:
        """Draw a line through the points; those that are not finite are left out."""
        places = " ".join(",".join(map(str, self._place(*point))) for point in points if all(map(isfinite, point)))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._marks.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        self._key(name, colour)

    def dots(self, points: Points, colour: str, name: str = "", size: float = 3) -> None:
        for point in points:
            if all(map(isfinite, point)):
                x, y = self._place(*point)
                self._marks.append(f'<circle cx="{x}" cy="{y}" r="{size}" fill="{colour}"/>')
        self._key(name, colour)

    def bar(self, across: tuple[float, float], height: float, colour: str) -> None:
        """Draw a bar from the axis up."""
        (left, top), (right, bottom) = self._place(across[0], height), self._place(across[1], self._up[0])
        size = f'width="{max(0.0, round(right - left, 1))}" height="{max(0.0, round(bottom - top, 1))}"'
        self._marks.append(f'<rect x="{left}" y="{top}" {size} fill="{colour}"/>')

    def whisker(self, x: float, low: float, high: float, colour: str) -> None:
        """Draw an interval that stands upright."""
        if isfinite(low) and isfinite(high):
            (middle, bottom), (_, top) = self._place(x, low), self._place(x, high)
            self._marks.append(f'<path d="M{middle} {bottom}V{top}" stroke="{colour}" stroke-width="1.5"/>')

    def labels(self, places: Sequence[float], names: Sequence[str]) -> None:
        """Write names below the axis, every second one a line lower where there are many."""
        lower = 12 if len(names) > CROWDED else 0
        for number, (place, name) in enumerate(zip(places, names, strict=True)):
            x, y = self._place(place, self._up[0])
            self._text(x, y + 14 + lower * (number % 2), name)

    def key(self, name: str, colour: str) -> None:
        self._key(name, colour)

    def ticks(self, across: Sequence[float], up: Sequence[float], form: str = "g") -> None:
        """Write numbers along both axes, with a line across at each of the upright one's."""
        for value in up:
            x, y = self._place(self._across[0], value)
            self._marks.insert(0, f'<path d="M{x} {y}H{self._width - RIGHT}" stroke="{GRID}"/>')
            self._text(x - 6, y + 4, format(value, form), "end")
        self.labels(across, [format(value, form) for value in across])

    def name_axes(self, across: str, up: str) -> None:
        middle = LEFT + (self._width - LEFT - RIGHT) / 2
        self._text(middle, HEIGHT - 12, across)
        turned = f"translate(16 {TOP + (HEIGHT - TOP - BOTTOM) / 2}) rotate(-90)"
        self._marks.append(f'<text transform="{turned}" text-anchor="middle">{escape(up)}</text>')

    def svg(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {HEIGHT}" width="{self._width}" '
            f'height="{HEIGHT}" role="img" font-family="sans-serif" font-size="12" fill="{QUIET}">'
        )
        said = f"<title>{escape(self._title)}</title>\n<desc>{escape(self._description)}</desc>"
        ground = '<rect width="100%" height="100%" fill="#fff"/>'
        return "\n".join([head, said, ground, *self._marks, "</svg>"]) + "\n"

    def _place(self, x: float, y: float) -> tuple[float, float]:
        width, height = self._width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        along = (x - self._across[0]) / ((self._across[1] - self._across[0]) or 1)
        upward = (y - self._up[0]) / ((self._up[1] - self._up[0]) or 1)
        return round(LEFT + width * along, 1), round(TOP + height * (1 - upward), 1)

    def _text(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        self._marks.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')

    def _key(self, name: str, colour: str) -> None:
        if name:
            x = LEFT + 150 * self._keys
            self._marks.append(f'<rect x="{x}" y="16" width="12" height="12" fill="{colour}"/>')
            self._marks.append(f'<text x="{x + 18}" y="26" fill="{INK}">{escape(name)}</text>')
            self._keys += 1
