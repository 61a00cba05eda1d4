"""What a day of an account costs: its pace, its weekends and other days of the week, its growth. Pure.

An estimate, not books: it computes with floats, in units of the account's own mean day. What a local day costs is
taken to be

    (pace + what is special about weekends and this day of the week + growth × days from now) × part seen + scatter

and fitted by least squares. Recent days weigh more. Weekends, days of the week and growth are held towards what is
usual, as firmly as the account's own scatter asks for (https://en.wikipedia.org/wiki/Bayesian_linear_regression): a
week of history says little of them, and leaves much unknown. The constants were chosen by the back-test on its
accounts for choosing, and only then tried on others: see ``tests/bench/forecasting.py``.
"""

import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import Final, NamedTuple

_HALF_LIFE: Final = 84  # days after which a day weighs half
_SURE: Final = 1.2816  # standard deviations that 80 % of a normal distribution lie within
_USUAL_SCATTER: Final = 0.2  # variance of a day over its mean, believed like two days of data
_BELIEVED: Final = 2
_USUAL_WEEKEND: Final = -0.4  # what is special about it, of the pace of other days
_WEEKENDS_DIFFER: Final = 0.6  # between accounts
_USUAL_WEEKDAYS: Final = 0.07  # by how much days of the week differ otherwise
_USUAL_GROWTH: Final = 0.005 / 7  # a day, of an account that shows no other
_GROWTH_OF_THE_YOUNG: Final = 0.22 / 7  # beside it on an account's first day; a quarter of that in a week
_GROWTH_VARIES: Final = 0.02 / 7, 0.15 / 7  # between accounts: where growth is not plain to see, and at most
_PLAIN: Final = 3.0  # standard errors that growth must be off the usual to be plain to see
_GROWS_FOR: Final = 56  # days at most, and no longer than it has been seen
_DEPENDENT: Final = 0.5  # correlation of neighbouring days that is believed at most

_WEEKDAYS: Final = range(1, 8)  # among the unknowns: 0 is the pace of a day that is nothing special
_GROWTH: Final = 8
_WEEKEND: Final = 9
_UNKNOWNS: Final = 10
_SATURDAY: Final = 5

Vector = list[float]
Matrix = list[Vector]


class Day(NamedTuple):
    """A day of the history: days from today, day of the week, part of it that was seen, and spend in mean days."""

    ahead: int
    weekday: int
    seen: float
    spent: float


class Fit(NamedTuple):
    """The unknowns, how well they are known, and the scatter of days around them. All in mean days."""

    unknowns: Vector
    covariance: Matrix
    weekdays: Vector  # each day of the week over the pace
    scatter: float  # variance of a day over its mean
    deviations: float  # standard deviations that a range reaches to either side
    grows_for: int

    @property
    def pace(self) -> float:
        """Of the mean day of a week."""
        return _pace(self.unknowns)

    @property
    def growth(self) -> float:
        """A day."""
        return self.unknowns[_GROWTH]

    def row(self, ahead: int, weekday: int) -> Vector:
        """What a day to come has of each unknown."""
        return _row(min(ahead, self.grows_for), weekday, self.weekdays)

    @staticmethod
    def growing(row: Vector) -> float:
        """What a day with this row has of growth."""
        return row[_GROWTH]


def fit(days: Sequence[Day]) -> Fit:
    """Fit thrice: the account itself tells how firmly to hold its days of the week, and then its growth."""
    weekdays, scatter, differ, working_day = [1.0] * 7, _USUAL_SCATTER, _USUAL_WEEKDAYS, 1.0
    usual_growth = _USUAL_GROWTH + _GROWTH_OF_THE_YOUNG / (1 - days[0].ahead / 7) ** 2
    varies, freely = _GROWTH_VARIES
    for _ in range(3):
        usual = _Usual(scatter, differ, working_day, usual_growth)
        unknowns, inverse, used = _solve(days, weekdays, usual, freely)
        weekdays = _over_pace(unknowns)
        scatter, known, dependent = _scatter(days, weekdays, unknowns, used)
        differ = math.sqrt(sum(unknowns[n] ** 2 + scatter * inverse[n][n] for n in _WEEKDAYS) / 7)
        working_day = max(0.2, unknowns[0])
    plain = (unknowns[_GROWTH] - usual_growth) ** 2 - _PLAIN**2 * scatter * inverse[_GROWTH][_GROWTH]
    usual = _Usual(scatter, differ, working_day, usual_growth)
    unknowns, _, _ = _solve(days, weekdays, usual, math.sqrt(max(varies**2, plain)))
    scatter *= (1 + dependent) / (1 - dependent)  # neighbouring days that are alike tell less
    return Fit(
        unknowns,
        [[scatter * value for value in row] for row in inverse],
        _over_pace(unknowns),
        scatter,
        _student(known),
        min(_GROWS_FOR, -days[0].ahead),
    )


class _Usual(NamedTuple):
    """What the unknowns are held towards, as far as the days do not say otherwise."""

    scatter: float
    weekdays_differ: float
    working_day: float
    growth: float


def _solve(days: Sequence[Day], weekdays: Vector, usual: _Usual, varies: float) -> tuple[Vector, Matrix, float]:
    """The unknowns, the inverse of their normal matrix, and how many of them the data had to tell."""
    of_weekdays = usual.scatter / usual.weekdays_differ**2
    of_weekends = usual.scatter / (usual.working_day * _WEEKENDS_DIFFER) ** 2
    held = [1e-6, *[of_weekdays] * 7, usual.scatter / varies**2, of_weekends]
    towards = [0.0] * _GROWTH + [usual.growth, _USUAL_WEEKEND * usual.working_day]
    normal = [[held[n] if n == m else 0.0 for m in range(_UNKNOWNS)] for n in range(_UNKNOWNS)]
    right = [firm * value for firm, value in zip(held, towards, strict=True)]
    for ahead, weekday, seen, spent in days:
        row, weighs = _row(ahead, weekday, weekdays), weight(ahead)
        has = [n for n in range(_UNKNOWNS) if row[n]]
        for n in has:
            right[n] += weighs * spent * row[n]
            for m in has:
                normal[n][m] += weighs * seen * row[n] * row[m]
    inverse = _inverse(normal)
    told = _UNKNOWNS - sum(held[n] * inverse[n][n] for n in range(_UNKNOWNS))
    return [dot(row, right) for row in inverse], inverse, told


def _scatter(days: Sequence[Day], weekdays: Vector, unknowns: Vector, used: float) -> tuple[float, float, float]:
    """The variance of a day over its mean, on how many days that rests, and how alike neighbouring days are."""
    means = [max(0.0, dot(_row(day.ahead, day.weekday, weekdays), unknowns)) for day in days]
    off = [day.spent - day.seen * mean for day, mean in zip(days, means, strict=True)]
    weights = [weight(day.ahead) for day in days]
    seen = sum(weight * day.seen for weight, day in zip(weights, days, strict=True))
    mean = sum(weight * day.seen * mean for weight, day, mean in zip(weights, days, means, strict=True)) / seen
    squares = sum(weight * each * each for weight, each in zip(weights, off, strict=True))
    known = max(0.0, seen - used) + _BELIEVED
    alike = dot(off[:-1], off[1:]) / (dot(off, off) + 1e-12) * len(days) / (len(days) + 5)
    return (squares / max(mean, 1e-9) + _BELIEVED * _USUAL_SCATTER) / known, known, min(_DEPENDENT, max(0.0, alike))


def _row(ahead: int, weekday: int, weekdays: Vector) -> Vector:
    """What a day has of each unknown: growth is of a day as large as that day of the week is."""
    row = [0.0] * _UNKNOWNS
    row[0] = row[1 + weekday] = 1.0
    row[_GROWTH] = ahead * weekdays[weekday]
    row[_WEEKEND] = float(weekday >= _SATURDAY)
    return row


def _pace(unknowns: Vector) -> float:
    return sum(map(_on(unknowns), range(7))) / 7


def _over_pace(unknowns: Vector) -> Vector:
    """Each day of the week over the pace, within bounds that keep a fit from running away."""
    pace = max(_pace(unknowns), 1e-9)
    return [min(3.0, max(0.05, cost / pace)) for cost in map(_on(unknowns), range(7))]


def _on(unknowns: Vector) -> Callable[[int], float]:
    """What today would cost if it were this day of the week."""
    return lambda weekday: unknowns[0] + unknowns[1 + weekday] + unknowns[_WEEKEND] * (weekday >= _SATURDAY)


def weight(ahead: int) -> float:
    return math.exp2(ahead / _HALF_LIFE)


def _student(known: float) -> float:
    """The deviations of ``_SURE`` when the scatter itself is only known from so many days (Cornish and Fisher)."""
    z = _SURE
    return z + (z**3 + z) / (4 * known) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * known**2)


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """Both are as long. A forecast does this five thousand times."""
    return sum(map(mul, one, other), 0.0)


def _inverse(matrix: Matrix) -> Matrix:
    """By elimination. The matrix is symmetric and positive, so no pivot is nothing."""
    size = len(matrix)
    rows = [[*row, *(1.0 if n == m else 0.0 for m in range(size))] for n, row in enumerate(matrix)]
    for n in range(size):
        rows[n] = [value / rows[n][n] for value in rows[n]]
        for m in range(size):
            if m != n and (times := rows[m][n]):
                rows[m] = [value - times * pivot for value, pivot in zip(rows[m], rows[n], strict=True)]
    return [row[size:] for row in rows]
