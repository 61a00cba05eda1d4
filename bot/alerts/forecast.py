"""When an account's credits run out at its present pace: the likely moment, and a range that holds four times in five.

What a day costs is told by ``pace``. The hours of the week place a moment inside its day. The range adds up the scatter
of days to come, what is not known of the pace, and growth that may change: scatter alone makes ranges too narrow
(https://robjhyndman.com/hyndsight/narrow-pi/). How well it holds: ``python -m tests.bench forecasting``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from bot.alerts.pace import Day, Fit, Matrix, Vector, dot, fit, weight

HORIZON: Final = timedelta(days=400)
LEAST: Final = timedelta(days=3)  # of data
SILENCE: Final = timedelta(days=14)  # without any spend: nothing is being spent

_MEMORY: Final = timedelta(weeks=12)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_GROWTH_MAY_BEGIN: Final = 0.12 / 7  # a day, or the growth there is may double


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
    hours = [hour for at in _days_from(first, end) for hour in _hours(at, min(end, at + _DAY), spent, zone)]
    calendar = _Calendar(_shares(hours), now.astimezone(UTC), zone)
    days, mean_day = _days(hours, calendar)
    fitted = fit(days)
    if fitted.pace <= 0:
        return None
    early, likely, late = _crossings(fitted, balance / mean_day, calendar)
    horizon = calendar.now + HORIZON
    return RunOut(early or horizon, likely or horizon, late, round(fitted.pace * mean_day))


class _Hour(NamedTuple):
    """An hour of the history, on the account's own clock."""

    day: date
    hour: int
    nano: int


def _days_from(first: datetime, end: datetime) -> Iterator[datetime]:
    return (first + n * _DAY for n in range(math.ceil((end - first) / _DAY)))


def _hours(first: datetime, end: datetime, spent: Mapping[datetime, int], zone: ZoneInfo) -> Iterator[_Hour]:
    """At most a day of them. A clock is asked how far it is from UTC at both ends: each hour is too often to ask."""
    times = [first + n * _HOUR for n in range((end - first) // _HOUR)]
    off, off_at_end = (at.astimezone(zone).utcoffset() or timedelta() for at in (times[0], times[-1]))
    for at in times:
        local = at + off if off == off_at_end else at.astimezone(zone)
        yield _Hour(local.date(), local.hour, spent.get(at, 0))


def _shares(hours: Sequence[_Hour]) -> Matrix:
    """The part of its day that each hour is, by day of the week; what days have in common weighs as two weeks do."""
    own = [[0.0] * 24 for _ in range(7)]
    for day, hour, nano in hours:
        own[day.weekday()][hour] += nano * weight((day - hours[-1].day).days)
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

    def left_of_today(self) -> float:
        """The share of its spend that is still to come."""
        return sum(share for _, _, share in self.hours(self.today))

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


def _days(hours: Sequence[_Hour], calendar: _Calendar) -> tuple[list[Day], float]:
    """The days of the history in order, and the nano-credits of a mean day."""
    seen: dict[date, float] = {}
    nano: dict[date, int] = {}
    for hour in hours:
        seen[hour.day] = seen.get(hour.day, 0.0) + calendar.shares[hour.day.weekday()][hour.hour]
        nano[hour.day] = nano.get(hour.day, 0) + hour.nano
    mean = sum(nano.values()) / sum(seen.values())
    return [Day((day - calendar.today).days, day.weekday(), seen[day], nano[day] / mean) for day in seen], mean


def _crossings(fitted: Fit, goal: float, calendar: _Calendar) -> list[datetime | None]:
    """When the highest, the likely and the lowest course of spending reach the goal; None beyond the horizon."""
    found: list[datetime | None] = [None if goal > 0 else calendar.now] * 3
    before = [0.0] * 3
    for day, courses in _courses(fitted, calendar):
        for n, spent in enumerate(courses):
            if found[n] is None and spent >= goal:
                found[n] = calendar.moment(day, (goal - before[n]) / (spent - before[n]))
            before[n] = spent
        if None not in found:
            break
    return found


def _courses(fitted: Fit, calendar: _Calendar) -> Iterator[tuple[date, Vector]]:
    """What will have been spent at the end of each day: at most, likely and at least. A lognormal's quantiles."""
    mean = growing = 0.0
    sums = [0.0] * len(fitted.unknowns)
    today, left = calendar.today, calendar.left_of_today()
    for ahead in range(HORIZON.days):
        day = today + ahead * _DAY
        row = fitted.row(ahead, day.weekday())
        mean += left * max(0.0, dot(row, fitted.unknowns))
        growing += left * fitted.growing(row)
        sums = [total + left * value for total, value in zip(sums, row, strict=True)]
        left = 1.0
        if mean < 1e-9:
            continue
        variance = fitted.scatter * mean + dot(sums, [dot(each, sums) for each in fitted.covariance])
        more = _deviation(variance + ((_GROWTH_MAY_BEGIN + abs(fitted.growth)) * growing) ** 2, mean)
        less = _deviation(variance + (fitted.growth * growing) ** 2, mean)
        yield day, [mean * math.exp(fitted.deviations * more), mean, mean * math.exp(-fitted.deviations * less)]


def _deviation(variance: float, mean: float) -> float:
    """The standard deviation of the logarithm of what has this variance and mean."""
    return math.sqrt(math.log1p(variance / mean**2))
