"""Whether an account has spent far more today than it usually has by this hour of the week. Pure."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from bot.money import Credits

_WEEKS: Final = range(1, 5)  # that are looked back on
_LEAST: Final = 2  # of them must be known
_TIMES: Final = 3  # the usual is far above it
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)


class Spike(NamedTuple):
    """What was spent today so far, and what usually was by this hour of the week."""

    today: Credits
    usual: Credits


def spike(history: Mapping[datetime, Credits], now: datetime, zone: ZoneInfo) -> Spike | None:
    """None where today is like other days, or too little is known to tell.

    Far more is more than three times the mean of this day of the week by this hour, more than on any of these days,
    and more than the account spends on a whole day: a night in which a little is used is no news. ``history`` is by
    the (aware) beginning of each hour.
    """
    local = now.astimezone(zone)
    today = local.date()
    by_day: Counter[date] = Counter()
    by_now: Counter[date] = Counter()
    for hour, spent in history.items():
        at = hour.astimezone(zone)
        by_day[at.date()] += spent.nano
        if at.hour <= local.hour:
            by_now[at.date()] += spent.nano
    first = min(by_day, default=today)
    known = [by_now[today - n * _WEEK] for n in _WEEKS if first < today - n * _WEEK]
    if len(known) < _LEAST:
        return None
    days = min((today - first).days, _WEEKS[-1] * 7)
    whole_day = sum(by_day[today - n * _DAY] for n in range(1, days + 1)) // days
    usual = sum(known) // len(known)
    if by_now[today] <= max(_TIMES * usual, *known, whole_day):
        return None
    return Spike(Credits(by_now[today]), Credits(usual))
