"""The back-test of the forecast: accounts whose future is known, and whether the stated range had it in it.

The accounts are generated, each from its seed: where they are, how long they have been used, their days, nights,
weekends, scatter (days that resemble the day before), bursts and growth. Each has enough for 3 to 30 days at its true
pace, and is then spent empty. How far off somebody would be who knew the true pace, and only not what chance will
bring, stands beside the forecast: nobody can do better than that.

    steady        every day of the week alike
    weekly        weekends cost nothing to three tenths of other days
    bursty        nine tenths of the spend are 2 to 8 bursts a day, of sizes that differ as much as they are large
    rare bursts   as bursty, with 2 to 10 bursts a week: the harder form, which bursty once had
    growing       by 3 to 15 percent a week, in a line or compounded
    just started  3 to 10 days ago, one of the others but rare bursts; those are 3 to 12 weeks old

Constants of the forecast are chosen by looking at accounts of the seeds ``FOR_CHOOSING`` alone. What is printed is of
``HELD_OUT``, which nobody looks at while choosing: if its table made somebody change a constant, these seeds would be
spent, and others would have to take their place. The median error of 1,000 accounts that just started differs by a
point from one thousand to the next (15.1 % for the seeds from 1,000,000 on, with these very constants), hence so many.

Of rare bursts only the range is promised to be right: who knew the true pace would still be off by about twice of what
is promised for the others.
"""

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bot.alerts.forecast import HORIZON, RunOut, run_out
from bot.money import NANO_PER_CREDIT
from tests.bench.figures import Measured

FOR_CHOOSING = range(5_000)  # seeds, as is the next
HELD_OUT = range(2_000_000, 2_002_000)
COVERED, OFF = 0.80, 0.15

LASTING = ("steady", "weekly", "bursty", "growing")
JUST_STARTED = "just started"
KINDS = (*LASTING, JUST_STARTED)
RARE_BURSTS = "rare bursts"

_HOUR = timedelta(hours=1)
_BURSTS_A_DAY = {"bursty": (2, 8), RARE_BURSTS: (0.3, 1.5)}
_ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/Copenhagen",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
)


class Hour(NamedTuple):
    """What an hour was expected to cost, and what it did."""

    expected: float
    spent: float


@dataclass(frozen=True)
class Account:
    """An account at one moment, and when it will really have run out."""

    zone: ZoneInfo
    history: dict[datetime, int]
    balance: int
    now: datetime
    empty: datetime
    expected: datetime  # as who knows the true pace would say

    def off(self, likely: datetime) -> float:
        return abs(likely - self.empty) / (self.empty - self.now)


def account(kind: str, seed: int) -> Account:
    """The account of this kind and seed, always the same."""
    random = Random(f"{kind} {seed}")
    age = random.uniform(3, 10) if kind == JUST_STARTED else random.uniform(21, 84)
    zone = ZoneInfo(random.choice(_ZONES))
    start = datetime(2024, 1, 1, tzinfo=UTC) + random.randrange(3 * 365 * 24) * _HOUR
    seen = int(age * 24)
    now = start + (seen + random.random()) * _HOUR
    course = _course(LASTING[seed % 4] if kind == JUST_STARTED else kind, random, start, zone, seen)
    history = {start + n * _HOUR: _nano(hour.spent) for n, hour in enumerate(islice(course, seen))}
    week = list(islice(course, 7 * 24))
    balance = _nano(sum(hour.expected for hour in week) / 7 * random.uniform(3, 30))
    future = week + list(islice(course, 53 * 24))
    while sum(hour.spent for hour in future[1:]) * NANO_PER_CREDIT < balance:
        future.extend(islice(course, 30 * 24))
    return Account(
        zone,
        {hour: nano for hour, nano in history.items() if nano},
        balance,
        now,
        _empty(now, balance, [_nano(hour.spent) for hour in future]),
        _empty(now, balance, [_nano(hour.expected) for hour in future]),
    )


def _course(kind: str, random: Random, start: datetime, zone: ZoneInfo, seen: int) -> Iterator[Hour]:
    """The hours from the start on, without end; ``seen`` of them are before the moment at which growth is one."""
    pace = 10 ** random.uniform(0, 3) / 24
    night = random.uniform(0.05, 1)
    weekend = {"steady": 1.0, "weekly": random.uniform(0, 0.3)}.get(kind, random.choice([1.0, random.uniform(0, 0.5)]))
    growth, compound = (random.uniform(0.03, 0.15) if kind == "growing" else 0.0), random.random() < 0.5
    bursts_a_day = random.uniform(*_BURSTS_A_DAY[kind]) if kind in _BURSTS_A_DAY else 0.0
    sizes = _sizes(random)
    size, day, n = next(sizes), start.astimezone(zone).date(), 0
    coming = [0.0] * 6  # of bursts, in the next hours
    while True:
        local = (start + n * _HOUR).astimezone(zone)
        if local.date() != day:
            size, day = next(sizes), local.date()
        weeks = (n - seen) / (7 * 24)
        grown = (1 + growth) ** weeks if compound else max(0.05, 1 + growth * weeks)
        busy = grown * (1 if 8 <= local.hour < 19 else night) * (weekend if local.weekday() > 4 else 1)
        if bursts_a_day:
            if random.random() < bursts_a_day / 24 * busy:
                lasts = random.randint(1, 6)
                burst = random.expovariate(1) * 0.9 * pace * 24 / bursts_a_day
                coming = [each + burst / lasts * (hour < lasts) for hour, each in enumerate(coming)]
            yield Hour(pace * busy, 0.1 * pace * busy * size + coming[0])
            coming = [*coming[1:], 0.0]
        else:
            yield Hour(pace * busy, pace * busy * size * random.gammavariate(2, 0.5))
        n += 1


def _sizes(random: Random) -> Iterator[float]:
    """How large days are: one in the mean, and alike when they are neighbours."""
    scatter, alike = random.uniform(0.1, 0.35), random.uniform(0, 0.5)
    state = random.gauss(0, 1)
    while True:
        yield math.exp(scatter * state - scatter**2 / 2)
        state = alike * state + math.sqrt(1 - alike**2) * random.gauss(0, 1)


def _nano(credits: float) -> int:
    return round(credits * NANO_PER_CREDIT)


def _empty(now: datetime, balance: int, hours: Sequence[int]) -> datetime:
    """When hours of such spend, of which the first is already under way, have used up the balance."""
    at = now
    for nano in hours:
        to = at.replace(minute=0, second=0, microsecond=0) + _HOUR
        spent = nano * ((to - at) / _HOUR)
        if spent >= balance:
            return at + (to - at) * (balance / spent)
        at, balance = to, balance - spent
    return at


@dataclass
class Line:
    """The forecasts of a kind of account, beside what came."""

    kind: str
    held_to: float | None = OFF
    covered: list[bool] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    at_best: list[float] = field(default_factory=list)  # with the true pace known
    width: list[float] = field(default_factory=list)  # of the range, over the time that is likely left
    milliseconds: list[float] = field(default_factory=list)

    def add(self, account: Account, found: RunOut, seconds: float) -> None:
        late = found.late or account.now + HORIZON
        self.covered.append(found.early <= account.empty and (found.late is None or account.empty <= late))
        self.off.append(account.off(found.likely))
        self.at_best.append(account.off(account.expected))
        self.width.append((late - found.early) / (found.likely - account.now))
        self.milliseconds.append(seconds * 1000)

    def __add__(self, other: "Line") -> "Line":
        return Line(
            self.kind,
            self.held_to,
            self.covered + other.covered,
            self.off + other.off,
            self.at_best + other.at_best,
            self.width + other.width,
            self.milliseconds + other.milliseconds,
        )

    @property
    def share_covered(self) -> float:
        return statistics.mean(self.covered)

    @property
    def median_off(self) -> float:
        return statistics.median(self.off)

    @property
    def missed(self) -> list[str]:
        return ["covered"] * (self.share_covered < COVERED) + ["error"] * (self.median_off > (self.held_to or math.inf))

    def cells(self) -> tuple[str, ...]:
        return (
            self.kind,
            str(len(self.covered)),
            f"{self.share_covered:.1%}",
            f"≥ {COVERED:.0%}",
            f"{self.median_off:.1%}",
            "–" if self.held_to is None else f"≤ {self.held_to:.0%}",
            f"{statistics.median(self.at_best):.1%}",
            f"{statistics.median(self.width):.0%}",
            f"{statistics.median(self.milliseconds):.1f} ms",
            f"MISSED: {', '.join(self.missed)}" if self.missed else "met",
        )


_HEADS = ("kind", "accounts", "covered", "goal", "median error", "goal", "true pace known", "width", "took", "")


@dataclass
class BackTest(Measured):
    """The table of the back-test."""

    lines: list[Line] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not any(line.missed for line in self.lines)

    def __str__(self) -> str:
        table = [_HEADS, *(line.cells() for line in self.lines)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        drawn = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
        return "\n".join([self.title, *(f"  {line}" for line in drawn), *(f"  {note}" for note in self.notes)])


def back_test(kind: str, seeds: Iterable[int]) -> Line:
    """Forecast for these accounts of a kind."""
    line = Line(kind, None if kind == RARE_BURSTS else OFF)
    for seed in seeds:
        subject = account(kind, seed)
        began = time.perf_counter()
        found = run_out(subject.history, subject.balance, subject.now, subject.zone)
        if found is not None:  # the first hours of one that just started may have been without use
            line.add(subject, found, time.perf_counter() - began)
    return line


def measure(_folder: Path, _python: str) -> Measured:
    lines = [back_test(kind, HELD_OUT) for kind in KINDS]
    return BackTest(
        "The forecast: generated accounts that were held out, spent empty, beside the range that was stated",
        notes=[
            "Width: of the range, over the time likely left. True pace known: the error of who knows all but chance.",
            "An account of bursts is a sum of few large numbers: its error is mostly chance, and so its range is wide.",
            f"Accounts of {RARE_BURSTS} (2 to 10 a week) are not in all, and no error is promised for them.",
        ],
        lines=[*lines, sum(lines, Line("all")), back_test(RARE_BURSTS, HELD_OUT)],
    )
