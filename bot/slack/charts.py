"""What was spent by day, and on what: Slack's native chart, and the same figures as a table beside it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from babel.dates import format_skeleton
from slack_sdk.models.blocks import Block, TableBlock

from bot.money import Credits
from bot.text import Texts

_MOST_SERIES: Final = 6  # of Slack's charts, as is the next
_LONGEST_LABEL: Final = 20


def by_day(texts: Texts, spent: Mapping[date, Mapping[str, Credits]]) -> Sequence[Block]:
    """A chart and a table of the days, oldest first and all of them, on at least one of which something was spent."""
    days = [format_skeleton("MMMEd", day, locale=texts.locale) for day in spent]
    columns = _columns(texts, spent.values(), list(sums(spent.values())))
    return [_chart(texts, days, columns), _table(texts, days, columns)]


def sums(days: Collection[Mapping[str, Credits]]) -> Mapping[str, Credits]:
    """What each cost in all, the costliest first."""
    names = {name for day in days for name in day}
    costs = {name: total(day[name] for day in days if name in day) for name in names}
    return dict(sorted(costs.items(), key=lambda each: (-each[1].nano, each[0])))


def total(costs: Iterable[Credits]) -> Credits:
    return Credits(sum(cost.nano for cost in costs))


class _Chart(Block):
    """Slack's native chart, for which slack_sdk has no class."""

    type = "data_visualization"

    def __init__(self, *, title: str, chart: Mapping[str, Any]) -> None:
        super().__init__(type=self.type)
        self.title = title
        self.chart = chart

    @property
    def attributes(self) -> set[str]:  # type: ignore[override]  # as slack_sdk's own blocks do
        return super().attributes | {"title", "chart"}


class _Column(NamedTuple):
    """What one of them, or the others together, cost by day."""

    name: str
    costs: Sequence[Credits]


def _columns(texts: Texts, days: Collection[Mapping[str, Credits]], names: Sequence[str]) -> Sequence[_Column]:
    """The costliest by themselves; the others together, where there are more than a chart takes."""
    own = names if len(names) <= _MOST_SERIES else names[: _MOST_SERIES - 1]
    columns = [_Column(name, [day.get(name, Credits.ZERO) for day in days]) for name in own]
    if len(own) < len(names):
        others = [total(cost for name, cost in day.items() if name not in own) for day in days]
        columns.append(_Column(texts("chart.others"), others))
    return columns


def _chart(texts: Texts, days: Sequence[str], columns: Sequence[_Column]) -> Block:
    """A picture of the table: JSON's numbers are good enough for it."""
    labels = [_cut(day, _LONGEST_LABEL) for day in days]
    series = []
    for name, column in zip(_short_names(column.name for column in columns), columns, strict=True):
        points = zip(labels, column.costs, strict=True)
        series.append({"name": name, "data": [{"label": label, "value": cost.cents / 100} for label, cost in points]})
    plot = {"type": "bar", "series": series, "axis_config": {"categories": labels}}
    return _Chart(title=texts("chart.title"), chart=plot)


def _table(texts: Texts, days: Sequence[str], columns: Sequence[_Column]) -> Block:
    whole = texts("chart.total")
    daily = [total(costs) for costs in zip(*(column.costs for column in columns), strict=True)]
    rows = [[texts("chart.day"), *days, whole]]
    for name, costs in [*columns, _Column(whole, daily)]:
        rows.append([name, *map(texts.show, costs), texts.show(total(costs))])
    return TableBlock(
        rows=[[{"type": "raw_text", "text": cell} for cell in row] for row in zip(*rows, strict=True)],
        column_settings=[{"align": "left"}, *([{"align": "right"}] * (len(rows) - 1))],
    )


def _short_names(full: Iterable[str]) -> Sequence[str]:
    """Names that fit into a chart, each still different from the others."""
    short: list[str] = []
    for name in full:
        label, n = _cut(name, _LONGEST_LABEL), 1
        while label in short:
            n += 1
            label = f"{_cut(name, _LONGEST_LABEL - len(f' {n}'))} {n}"
        short.append(label)
    return short


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
