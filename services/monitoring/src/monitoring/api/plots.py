"""Plots as inline SVG; colours come from the page's CSS variables, so that they follow light and dark."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 760, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 26


def bars(labels: Sequence[str], values: Sequence[float], shaded: Sequence[bool], title: str) -> str:
    """One bar a window; shaded windows lie in the training window."""
    top = _ceiling(max(values, default=1.0))
    step = (WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    marks = []
    for n, value in enumerate(values):
        height = value / top * (HEIGHT - _TOP - _BOTTOM)
        kind = "bar soft" if shaded[n] else "bar"
        marks.append(
            f'<rect class="{kind}" x="{_LEFT + n * step + step * 0.12:.1f}" y="{HEIGHT - _BOTTOM - height:.1f}" '
            f'width="{max(step * 0.76, 0.8):.1f}" height="{height:.1f}" rx="1.5">'
            f"<title>{escape(labels[n])}: {value:,.0f}</title></rect>"
        )
    return _svg(_grid(0, top, "{:,.0f}") + "".join(marks) + _time_axis(labels, step), title)


def lines(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    shaded: Sequence[bool],
    title: str,
    bounds: tuple[float, float] | None = None,
) -> str:
    """A line a series over the windows; None leaves a hole."""
    known = [value for _, values in series for value in values if value is not None]
    low, high = bounds or (min(known, default=0.0), max(known, default=1.0))
    pad = (high - low) * 0.12 or 0.05
    low, high = (low, high) if bounds else (low - pad, high + pad)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)

    def place(n: int, value: float) -> tuple[float, float]:
        y = HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return _LEFT + (n + 0.5) * step, y

    body = _shade(shaded, step) + _grid(low, high, "{:.3f}")
    for index, (name, values) in enumerate(series):
        body += _line(name, values, labels, place, index)
    return _svg(body + _time_axis(labels, step), title)


def _line(name: str, values: Sequence[float | None], labels: Sequence[str], place: object, index: int) -> str:
    parts: list[str] = []
    run: list[str] = []
    dots = []
    for n, value in [*enumerate(values), (len(values), None)]:
        if value is None:
            if len(run) > 1:
                parts.append(f'<polyline class="line c{index}" points="{" ".join(run)}"/>')
            run = []
            continue
        x, y = place(n, value)  # type: ignore[operator]
        run.append(f"{x:.1f},{y:.1f}")
        dots.append(
            f'<circle class="dot c{index}" cx="{x:.1f}" cy="{y:.1f}" r="2.6">'
            f"<title>{escape(labels[n])} · {escape(name)} {value:.4f}</title></circle>"
        )
    return "".join(parts) + "".join(dots)


def heatmap(labels: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[float | None, str]]]], title: str) -> str:
    """A row a column, a cell a window: (score over its threshold or None, tooltip). From 1 on it drifted."""
    left, cell_height = 230, 18
    height = _TOP + len(rows) * cell_height + _BOTTOM
    step = (WIDTH - left - _RIGHT) / max(len(labels), 1)
    parts = []
    for r, (name, cells) in enumerate(rows):
        y = _TOP + r * cell_height
        shown = name if len(name) <= 34 else name[:33] + "…"
        parts.append(
            f'<text class="name" x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
        )
        for n, (ratio, tip) in enumerate(cells):
            kind, opacity = _heat(ratio)
            parts.append(
                f'<rect class="{kind}" fill-opacity="{opacity:.2f}" x="{left + n * step:.2f}" y="{y}" '
                f'width="{max(step - 0.8, 0.6):.2f}" height="{cell_height - 2}" rx="1">'
                f"<title>{escape(name)} · {escape(labels[n])} · {escape(tip)}</title></rect>"
            )
    axis = _time_axis(labels, step, left, height)
    return _svg("".join(parts) + axis, title, height)


def _heat(ratio: float | None) -> tuple[str, float]:
    if ratio is None:
        return "cell none", 1.0
    if ratio >= 1:
        return "cell hot", min(0.55 + 0.15 * ratio, 1.0)
    return "cell cool", 0.08 + 0.6 * ratio


def histograms(expected: Sequence[float], actual: Sequence[float], title: str) -> str:
    """The reference's shares as outline, the window's as bars; small, for a table cell."""
    width, height = 132, 34
    top = max([*expected, *actual, 1e-9])
    step = width / max(len(expected), 1)
    parts = [
        f'<rect class="bar" x="{n * step + 0.4:.1f}" y="{height - value / top * height:.1f}" '
        f'width="{max(step - 0.8, 0.5):.1f}" height="{value / top * height:.1f}"/>'
        for n, value in enumerate(actual)
    ]
    points = "".join(
        f"L{n * step:.1f},{height - value / top * height:.1f} L{(n + 1) * step:.1f},{height - value / top * height:.1f} "
        for n, value in enumerate(expected)
    )
    outline = f'<path class="outline" d="M0,{height} {points}L{width},{height}"/>'
    return (
        f'<svg class="small" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}{outline}</svg>"
    )


def _svg(body: str, title: str, height: int = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'


def _grid(low: float, high: float, form: str) -> str:
    parts = []
    for n in range(5):
        value = low + (high - low) * n / 4
        y = HEIGHT - _BOTTOM - n / 4 * (HEIGHT - _TOP - _BOTTOM)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{form.format(value)}</text>'
        )
    return "".join(parts)


def _shade(shaded: Sequence[bool], step: float) -> str:
    return "".join(
        f'<rect class="shade" x="{_LEFT + n * step:.1f}" y="{_TOP}" width="{step:.2f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
        for n, each in enumerate(shaded)
        if each
    )


def _time_axis(labels: Sequence[str], step: float, left: int = _LEFT, height: int = HEIGHT) -> str:
    every = max(1, -(-len(labels) // 8))
    return "".join(
        f'<text class="tick" x="{left + (n + 0.5) * step:.1f}" y="{height - 8}" text-anchor="middle">{escape(labels[n])}</text>'
        for n in range(0, len(labels), every)
    )


def _ceiling(value: float) -> float:
    if value <= 4:
        return 4.0
    digits = 10 ** (len(str(int(value))) - 1)
    return float(next(step * digits for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12) if step * digits >= value))
