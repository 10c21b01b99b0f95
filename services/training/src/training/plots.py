"""Small line plots as SVG text, for cards and pages: any lines, and the two that every probability has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.metrics import Floats, reliability, roc_curve

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 360, 56, 16, 40, 44
COLORS = ("#0b6e99", "#d1495b", "#6a994e", "#8a6fb0", "#777777")
_DIAGONAL = ((0.0, 0.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Line:
    """One line: points (x, y) in the units of the axes. Dashed ones are there to compare with; marked ones show their points."""

    name: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A title and (value, text) ticks in ascending order; the first and the last are the ends."""

    title: str
    ticks: Sequence[tuple[float, str]]

    def place(self, value: float) -> float:
        """`value` as a share of the axis, kept within its ends."""
        low, high = self.ticks[0][0], self.ticks[-1][0]
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5


def axis(title: str, low: float, high: float, steps: int, digits: int = 1) -> Axis:
    """An axis with `steps` even steps."""
    values = [low + (high - low) * step / steps for step in range(steps + 1)]
    return Axis(title, [(value, f"{value:.{digits}f}") for value in values])


def plot(title: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """The plot as an SVG document that reads on light and dark pages."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{_escaped(title)}</text>',
        *_grid(across, up),
    ]
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        places = [(_x(across.place(x)), _y(up.place(y))) for x, y in line.points]
        dash = ' stroke-dasharray="5 4"' if line.is_dashed else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="2"{dash} points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places if line.is_marked]
        place = f'x="{WIDTH - RIGHT - 6}" y="{HEIGHT - BOTTOM - 10 - 16 * number}"'
        parts.append(f'<text {place} text-anchor="end" fill="{color}">{_escaped(line.name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def reliability_plot(
    title: str, truth: Floats, predicted: Floats, model: str = "model", positives: str = "positives"
) -> str:
    """The share of `positives` (rows of truth 1) in each bin of predicted probability, beside that of a perfect model."""
    bins = [(each["predicted"], each["observed"]) for each in reliability(truth, predicted)]
    return plot(
        title,
        axis("predicted probability", 0, 1, 5),
        axis(f"share of {positives}", 0, 1, 5),
        [Line(model, bins, is_marked=True), Line("perfect", _DIAGONAL, is_dashed=True)],
    )


def roc_plot(title: str, truth: Floats, predicted: Floats, model: str = "model") -> str:
    """The ROC curve of rows of both classes, beside that of chance."""
    curve = list(zip(*(side.tolist() for side in roc_curve(truth, predicted)), strict=True))
    return plot(
        title,
        axis("false positive rate", 0, 1, 5),
        axis("true positive rate", 0, 1, 5),
        [Line(model, curve), Line("chance", _DIAGONAL, is_dashed=True)],
    )


def _grid(across: Axis, up: Axis) -> list[str]:
    parts = []
    for value, text in across.ticks:
        x = _x(across.place(value))
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e3e3e3"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_escaped(text)}</text>')
    for value, text in up.ticks:
        y = _y(up.place(value))
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e3e3e3"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_escaped(text)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{_escaped(across.title)}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 6}">{_escaped(up.title)}</text>')
    return parts


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
