"""The geometry of Slack's ``data_visualization`` charts: numbers in, points and paths for an inline SVG out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 30
_INNER_WIDTH, _INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    hue: int
    says: str


@dataclass(frozen=True, slots=True)
class Curve:
    hue: int
    line: str
    fill: str
    dots: Sequence[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Slice:
    path: str
    hue: int
    says: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to draw, and the table with the same figures."""

    title: str
    kind: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: Sequence[str]
    x_label: str = ""
    y_label: str = ""
    grid: Sequence[tuple[float, str]] = ()
    ticks: Sequence[tuple[float, str]] = ()
    bars: Sequence[Bar] = ()
    curves: Sequence[Curve] = ()
    slices: Sequence[Slice] = field(default=())


def chart_of(block: dict[str, Any]) -> Chart:
    chart = block.get("chart", {})
    if chart.get("type") == "pie":
        return _pie(str(block.get("title", "")), chart.get("segments", []))
    return _plot(str(block.get("title", "")), chart)


def _pie(title: str, segments: Sequence[dict[str, Any]]) -> Chart:
    total = sum(segment["value"] for segment in segments) or 1
    slices, turn = [], 0.0
    for hue, segment in enumerate(segments):
        share = segment["value"] / total
        says = f"{segment['label']}: {_figure(segment['value'])} ({share:.0%})"
        slices.append(Slice(_wedge(turn, turn + share), hue, says))
        turn += share
    rows = [(str(segment["label"]), _figure(segment["value"])) for segment in segments]
    return Chart(title, "pie", ("", "Value"), rows, [label for label, _ in rows], slices=slices)


def _wedge(start: float, end: float) -> str:
    middle_x, middle_y, radius, hole = HEIGHT / 2, HEIGHT / 2, 100, 58

    def at(turn: float, distance: float) -> str:
        angle = 2 * math.pi * turn - math.pi / 2
        return f"{middle_x + distance * math.cos(angle):.1f} {middle_y + distance * math.sin(angle):.1f}"

    end = min(end, start + 0.9999)  # a full circle would begin where it ends and vanish
    large = int(end - start > 0.5)
    return (
        f"M{at(start, radius)} A{radius} {radius} 0 {large} 1 {at(end, radius)} "
        f"L{at(end, hole)} A{hole} {hole} 0 {large} 0 {at(start, hole)} Z"
    )


def _plot(title: str, chart: dict[str, Any]) -> Chart:
    kind, series, axes = str(chart.get("type")), chart.get("series", []), chart.get("axis_config", {})
    categories = [str(name) for name in axes.get("categories") or _labels(series)]
    table = [[_value_at(one, category) for category in categories] for one in series]
    names = [str(one.get("name", "")) for one in series]
    scale = Scale.over([value for values in table for value in values], len(categories), flat=kind == "line")
    rows = [(name, *(_figure(values[i]) for values in table)) for i, name in enumerate(categories)]
    bars = _bars(scale, categories, names, table) if kind == "bar" else ()
    curves = () if kind == "bar" else _curves(scale, categories, names, table)
    return Chart(
        title,
        kind,
        (str(axes.get("x_label", "")), *names),
        rows,
        names,
        str(axes.get("x_label", "")),
        str(axes.get("y_label", "")),
        [(scale.y(value), _figure(value)) for value in scale.steps],
        [(scale.x(i), name) for i, name in enumerate(categories) if i % _every(len(categories)) == 0],
        bars,
        curves,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """From figures to pixels."""

    low: float
    high: float
    step: float
    count: int

    @classmethod
    def over(cls, values: Sequence[float], count: int, *, flat: bool) -> "Scale":
        low, high = min([0.0, *values]), max([0.0, *values])
        if flat and values and min(values) > 0 and min(values) > 0.7 * high:
            low = min(values)  # a line high above zero would show no movement
        step = _round_step((high - low) / 4 or 1)
        return cls(math.floor(low / step) * step, math.ceil(high / step) * step or step, step, max(count, 1))

    @property
    def steps(self) -> list[float]:
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]

    def y(self, value: float) -> float:
        return round(TOP + _INNER_HEIGHT * (self.high - value) / (self.high - self.low), 1)

    def x(self, index: int) -> float:
        return round(LEFT + _INNER_WIDTH * (index + 0.5) / self.count, 1)


def _bars(
    scale: Scale, categories: Sequence[str], names: Sequence[str], table: Sequence[Sequence[float]]
) -> Sequence[Bar]:
    room = _INNER_WIDTH / scale.count * 0.72
    width = min(room / max(len(table), 1), 44)
    base = scale.y(max(scale.low, 0))
    bars = []
    for hue, (name, values) in enumerate(zip(names, table, strict=True)):
        for i, value in enumerate(values):
            x = scale.x(i) + (hue - len(table) / 2) * width
            top = min(scale.y(value), base)
            says = f"{categories[i]}, {name}: {_figure(value)}"
            bars.append(Bar(round(x + 1, 1), top, round(width - 2, 1), abs(scale.y(value) - base), hue, says))
    return bars


def _curves(
    scale: Scale, categories: Sequence[str], names: Sequence[str], table: Sequence[Sequence[float]]
) -> Sequence[Curve]:
    curves = []
    for hue, (name, values) in enumerate(zip(names, table, strict=True)):
        dots = [(scale.x(i), scale.y(v), f"{categories[i]}, {name}: {_figure(v)}") for i, v in enumerate(values)]
        line = "M" + " L".join(f"{x} {y}" for x, y, _ in dots) if dots else ""
        floor = scale.y(max(scale.low, 0))
        fill = f"{line} L{dots[-1][0]} {floor} L{dots[0][0]} {floor} Z" if dots else ""
        curves.append(Curve(hue, line, fill, dots))
    return curves


def _labels(series: Sequence[dict[str, Any]]) -> list[str]:
    return [point["label"] for point in series[0].get("data", [])] if series else []


def _value_at(series: dict[str, Any], category: str) -> float:
    return next((point["value"] for point in series.get("data", []) if point.get("label") == category), 0)


def _every(count: int) -> int:
    return max(1, math.ceil(count / 10))


def _round_step(rough: float) -> float:
    size = 10 ** math.floor(math.log10(rough))
    return float(next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough))


def _figure(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
