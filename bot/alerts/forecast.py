"""When an account's credits run out at its present pace: the likely moment, and a range that holds four times in five.

An estimate, not books: it computes with floats, in units of the account's own mean day. What a local day costs is
taken to be

    (pace + what is special about its day of the week + growth × days from now) × part of the day seen + scatter

and fitted by least squares. Recent days weigh more; days of the week and growth are held towards what is usual, as
firmly as the account's own scatter asks for (https://en.wikipedia.org/wiki/Bayesian_linear_regression), so a week of
history says little of weekends and leaves the range wide. The hours of the week then place a moment inside its day.

The range adds up the scatter of days to come, what is not known of pace and days of the week, and growth that may
change: scatter alone makes ranges too narrow (https://robjhyndman.com/hyndsight/narrow-pi/). The constants were chosen
by the back-test: ``python -m tests.bench forecasting``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

HORIZON: Final = timedelta(days=400)
LEAST: Final = timedelta(days=3)  # of data
SILENCE: Final = timedelta(days=14)  # without any spend: nothing is being spent

_MEMORY: Final = timedelta(weeks=8)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_HALF_LIFE: Final = 42  # days after which a day weighs half
_SURE: Final = 1.2816  # standard deviations that 80 % of a normal distribution lie within
_USUAL_SCATTER: Final = 0.1  # variance of a day over its mean, believed like two days of data
_BELIEVED: Final = 2
_USUAL_WEEKDAYS: Final = 0.5  # by how much days of the week differ
_USUAL_GROWTH: Final = 0.02 / 7  # a day, of an account that shows no other
_GROWTH_VARIES: Final = 0.02 / 7, 0.15 / 7  # between accounts: where growth is not plain to see, and at most
_PLAIN: Final = 3.0  # standard errors that growth must be off the usual to be plain to see
_GROWTH_MAY_BEGIN: Final = 0.1 / 7  # a day, or the growth there is may double
_GROWS_FOR: Final = 56  # days at most, and no longer than it has been seen
_DEPENDENT: Final = 0.5  # correlation of neighbouring days that is believed at most
_WEEKDAYS: Final = range(1, 8)  # among the unknowns: 0 is the pace, 8 the growth
_GROWTH: Final = 8
_UNKNOWNS: Final = 9

Vector = list[float]
Matrix = list[Vector]


@dataclass(frozen=True, slots=True)
class RunOut:
    """When nothing is left. Moments are UTC and none is later than ``HORIZON``; ``late`` is None beyond it."""

    early: datetime
    likely: datetime
    late: datetime | None
    per_day: int  # nano-credits, the mean of a week at the present pace


def run_out(history: Mapping[datetime, int], balance: int, now: datetime, zone: ZoneInfo) -> RunOut | None:
    """The forecast for an account; None with too little data, or when nothing is being spent.

    ``history`` has the nano-credits spent by the (aware, whole, UTC) hour in which they were; hours without use may be
    left out, and the hour of ``now`` is, being incomplete. ``zone`` is where the account's days and weeks begin.
    """
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    spent = {hour: nano for hour, nano in history.items() if nano > 0 and hour < end}
    if not spent or end - min(spent) < LEAST or end - max(spent) > SILENCE:
        return None
    first = max(min(spent), end - _MEMORY)
    hours = [_hour(first + n * _HOUR, spent, zone) for n in range((end - first) // _HOUR)]
    calendar = _Calendar(_shares(hours), now.astimezone(UTC), zone)
    days, mean_day = _days(hours, calendar)
    fit = _fit(days)
    if fit.pace <= 0:
        return None
    early, likely, late = _crossings(fit, balance / mean_day, calendar)
    horizon = calendar.now + HORIZON
    return RunOut(early or horizon, likely or horizon, late, round(fit.pace * mean_day))


class _Hour(NamedTuple):
    """An hour of the history, on the account's own clock."""

    day: date
    hour: int
    nano: int


def _hour(hour: datetime, spent: Mapping[datetime, int], zone: ZoneInfo) -> _Hour:
    local = hour.astimezone(zone)
    return _Hour(local.date(), local.hour, spent.get(hour, 0))


def _shares(hours: Sequence[_Hour]) -> Matrix:
    """The part of its day that each hour is, by day of the week; what days have in common weighs as two weeks do."""
    own = [[0.0] * 24 for _ in range(7)]
    for day, hour, nano in hours:
        own[day.weekday()][hour] += nano * _weight((day - hours[-1].day).days)
    total = sum(map(sum, own))
    common = [(sum(day[hour] for day in own) + total / 2400) / (1.01 * total) for hour in range(24)]  # never nothing
    firm = 2 * total / (len(hours) / 24)
    return [[(nano + firm * usual) / (sum(day) + firm) for nano, usual in zip(day, common, strict=True)] for day in own]


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The days to come as the account's clock counts them, however long they are."""

    shares: Matrix
    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def hours(self, day: date) -> Iterator[tuple[datetime, datetime, float]]:
        """What is left of the day by hours: from, to, and the share of the day's spend."""
        at, end = max(self.now, self._start(day)), self._start(day + _DAY)
        while at < end:
            to = min(end, at.replace(minute=0, second=0, microsecond=0) + _HOUR)
            yield at, to, self.shares[day.weekday()][at.astimezone(self.zone).hour] * ((to - at) / _HOUR)
            at = to

    def left(self, day: date) -> float:
        """The share of the day's spend that is still to come."""
        return sum(share for _, _, share in self.hours(day)) if day == self.today else 1.0

    def moment(self, day: date, part: float) -> datetime:
        """When so much of what is left of the day has been spent."""
        hours = list(self.hours(day))
        to_spend = part * sum(share for _, _, share in hours)
        for at, to, share in hours:
            if to_spend <= share:
                return at + (to - at) * (to_spend / share)
            to_spend -= share
        return self._start(day + _DAY)

    def _start(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


class _Day(NamedTuple):
    """A day of the history: days from today, day of the week, part of it that was seen, and spend in mean days."""

    ahead: int
    weekday: int
    seen: float
    spent: float


def _days(hours: Sequence[_Hour], calendar: _Calendar) -> tuple[list[_Day], float]:
    """The days of the history in order, and the nano-credits of a mean day."""
    seen: dict[date, float] = {}
    nano: dict[date, int] = {}
    for hour in hours:
        seen[hour.day] = seen.get(hour.day, 0.0) + calendar.shares[hour.day.weekday()][hour.hour]
        nano[hour.day] = nano.get(hour.day, 0) + hour.nano
    mean = sum(nano.values()) / sum(seen.values())
    return [_Day((day - calendar.today).days, day.weekday(), seen[day], nano[day] / mean) for day in seen], mean


class _Fit(NamedTuple):
    """The unknowns, how well they are known, and the scatter of days around them. All in mean days."""

    unknowns: Vector
    covariance: Matrix
    weekdays: Vector  # each day of the week over the pace
    scatter: float  # variance of a day over its mean
    deviations: float  # standard deviations that the range reaches to either side
    grows_for: int

    @property
    def pace(self) -> float:
        return _pace(self.unknowns)

    def row(self, ahead: int, weekday: int) -> Vector:
        return _row(min(ahead, self.grows_for), weekday, self.weekdays)


def _fit(days: Sequence[_Day]) -> _Fit:
    """Fit thrice: the account itself tells how firmly to hold its days of the week, and then its growth."""
    weekdays, scatter, differ = [1.0] * 7, _USUAL_SCATTER, _USUAL_WEEKDAYS
    varies, freely = _GROWTH_VARIES
    for _ in range(3):
        unknowns, inverse, used = _solve(days, weekdays, scatter, differ, freely)
        weekdays = _over_pace(unknowns)
        scatter, known, dependent = _scatter(days, weekdays, unknowns, used)
        differ = math.sqrt(sum(unknowns[n] ** 2 + scatter * inverse[n][n] for n in _WEEKDAYS) / 7)
    plain = (unknowns[_GROWTH] - _USUAL_GROWTH) ** 2 - _PLAIN**2 * scatter * inverse[_GROWTH][_GROWTH]
    unknowns, _, _ = _solve(days, weekdays, scatter, differ, math.sqrt(max(varies**2, plain)))
    scatter *= (1 + dependent) / (1 - dependent)  # neighbouring days that are alike tell less
    return _Fit(
        unknowns,
        [[scatter * value for value in row] for row in inverse],
        _over_pace(unknowns),
        scatter,
        _student(known),
        min(_GROWS_FOR, -days[0].ahead),
    )


def _solve(
    days: Sequence[_Day], weekdays: Vector, scatter: float, differ: float, varies: float
) -> tuple[Vector, Matrix, float]:
    """The unknowns, the inverse of their normal matrix, and how many of them the data had to tell."""
    held = [1e-6, *[scatter / differ**2] * 7, scatter / varies**2]
    normal = [[held[n] if n == m else 0.0 for m in range(_UNKNOWNS)] for n in range(_UNKNOWNS)]
    right = [0.0] * _GROWTH + [held[_GROWTH] * _USUAL_GROWTH]
    for ahead, weekday, seen, spent in days:
        row, weight = _row(ahead, weekday, weekdays), _weight(ahead)
        for n in (0, 1 + weekday, _GROWTH):
            right[n] += weight * spent * row[n]
            for m in (0, 1 + weekday, _GROWTH):
                normal[n][m] += weight * seen * row[n] * row[m]
    inverse = _inverse(normal)
    told = _UNKNOWNS - sum(held[n] * inverse[n][n] for n in range(_UNKNOWNS))
    return [_dot(row, right) for row in inverse], inverse, told


def _scatter(days: Sequence[_Day], weekdays: Vector, unknowns: Vector, used: float) -> tuple[float, float, float]:
    """The variance of a day over its mean, on how many days that rests, and how alike neighbouring days are."""
    means = [max(0.0, _dot(_row(day.ahead, day.weekday, weekdays), unknowns)) for day in days]
    off = [day.spent - day.seen * mean for day, mean in zip(days, means, strict=True)]
    weights = [_weight(day.ahead) for day in days]
    seen = sum(weight * day.seen for weight, day in zip(weights, days, strict=True))
    mean = sum(weight * day.seen * mean for weight, day, mean in zip(weights, days, means, strict=True)) / seen
    squares = sum(weight * each * each for weight, each in zip(weights, off, strict=True))
    known = max(0.0, seen - used) + _BELIEVED
    alike = _dot(off[:-1], off[1:]) / (_dot(off, off) + 1e-12) * len(days) / (len(days) + 5)
    return (squares / max(mean, 1e-9) + _BELIEVED * _USUAL_SCATTER) / known, known, min(_DEPENDENT, max(0.0, alike))


def _crossings(fit: _Fit, goal: float, calendar: _Calendar) -> list[datetime | None]:
    """When the highest, the likely and the lowest course of spending reach the goal; None beyond the horizon."""
    found: list[datetime | None] = [None if goal > 0 else calendar.now] * 3
    before = [0.0] * 3
    for day, courses in _courses(fit, calendar):
        for n, spent in enumerate(courses):
            if found[n] is None and spent >= goal:
                found[n] = calendar.moment(day, (goal - before[n]) / (spent - before[n]))
            before[n] = spent
        if None not in found:
            break
    return found


def _courses(fit: _Fit, calendar: _Calendar) -> Iterator[tuple[date, Vector]]:
    """What will have been spent at the end of each day: at most, likely and at least. A lognormal's quantiles."""
    mean = growing = 0.0
    sums = [0.0] * _UNKNOWNS
    changes = abs(fit.unknowns[_GROWTH])
    for ahead in range(HORIZON.days):
        day = calendar.today + ahead * _DAY
        left, row = calendar.left(day), fit.row(ahead, day.weekday())
        mean += left * max(0.0, _dot(row, fit.unknowns))
        growing += left * row[_GROWTH]
        sums = [total + left * value for total, value in zip(sums, row, strict=True)]
        if mean < 1e-9:
            continue
        variance = fit.scatter * mean + _dot(sums, [_dot(each, sums) for each in fit.covariance])
        more = _deviation(variance + ((_GROWTH_MAY_BEGIN + changes) * growing) ** 2, mean)
        less = _deviation(variance + (changes * growing) ** 2, mean)
        yield day, [mean * math.exp(fit.deviations * more), mean, mean * math.exp(-fit.deviations * less)]


def _deviation(variance: float, mean: float) -> float:
    """The standard deviation of the logarithm of what has this variance and mean."""
    return math.sqrt(math.log1p(variance / mean**2))


def _row(ahead: int, weekday: int, weekdays: Vector) -> Vector:
    """What a day has of each unknown: growth is of a day as large as that day of the week is."""
    row = [0.0] * _UNKNOWNS
    row[0] = row[1 + weekday] = 1.0
    row[_GROWTH] = ahead * weekdays[weekday]
    return row


def _pace(unknowns: Vector) -> float:
    return unknowns[0] + sum(unknowns[n] for n in _WEEKDAYS) / 7


def _over_pace(unknowns: Vector) -> Vector:
    """Each day of the week over the pace, within bounds that keep a fit from running away."""
    pace = max(_pace(unknowns), 1e-9)
    return [min(3.0, max(0.05, (unknowns[0] + unknowns[n]) / pace)) for n in _WEEKDAYS]


def _weight(ahead: int) -> float:
    return math.exp2(ahead / _HALF_LIFE)


def _student(known: float) -> float:
    """The deviations of ``_SURE`` when the scatter itself is only known from so many days (Cornish and Fisher)."""
    z = _SURE
    return z + (z**3 + z) / (4 * known) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * known**2)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


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
