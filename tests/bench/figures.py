"""What was measured, beside what it is compared with: medians of rounds, their spread, ratios and goals."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_HEADS = ("", "the bot", "(least–most)", "beside it", "(least–most)", "ratio", "(least–most)", "goal", "")


@dataclass
class Row:
    """One figure: a value of each round for the bot, and one for what stands beside it."""

    name: str
    unit: str
    goal: float | None
    at_least: bool = False  # the ratio should not be lower than the goal, rather than not higher
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        """The values of one round."""
        self.ours.append(ours)
        self.theirs.append(theirs)

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        if self.goal is None:
            return True
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal

    def cells(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {self.goal:g}"
        verdict = "" if self.goal is None else "met" if self.met else "MISSED"
        shown = [cell for values in (self.ours, self.theirs) for cell in _middle_and_ends(values, self.unit)]
        return (self.name, *shown, *_middle_and_ends(self.ratios, ""), goal, verdict)


@dataclass(frozen=True)
class Check:
    """Whether what was measured was really done."""

    name: str
    found: object
    expected: object

    @property
    def right(self) -> bool:
        return self.found == self.expected

    def __str__(self) -> str:
        return f"{'right' if self.right else 'WRONG'}  {self.name}: {self.found}, expected {self.expected}"


@dataclass
class Measured:
    """What one measurement brought home."""

    title: str
    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what explains the figures

    @property
    def good(self) -> bool:
        return all(row.met for row in self.rows) and all(check.right for check in self.checks)

    def __str__(self) -> str:
        told = [*self.notes, *map(str, self.checks)]
        return "\n".join([self.title, *_table(row.cells() for row in self.rows), *(f"  {line}" for line in told)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _middle_and_ends(values: Sequence[float], unit: str) -> tuple[str, str]:
    return f"{statistics.median(values):.2f} {unit}".rstrip(), f"({min(values):.2f}–{max(values):.2f})"


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [_HEADS, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_HEADS))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
