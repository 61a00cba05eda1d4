"""Times as a person in Slack reads them: in their own zone, on a 12 or 24 hour clock, today and yesterday by name."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date

_TWELVE_HOURS = ("en-US", "en-AU", "en-CA")
_STYLES = {"date": "long", "date_short": "medium", "date_long": "full"}  # of what other languages than English say
_TOKEN = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose eyes: their zone and locale, and what their sandbox clock says."""

    now: datetime
    zone: str = "UTC"
    locale: str = "en-US"

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(_zone(self.zone))

    def time(self, moment: datetime, *, seconds: bool = False) -> str:
        local = self.local(moment)
        tail = f":{local.second:02}" if seconds else ""
        if self.locale in _TWELVE_HOURS:
            return f"{local.hour % 12 or 12}:{local.minute:02}{tail} {'AM' if local.hour < 12 else 'PM'}"
        return f"{local.hour:02}:{local.minute:02}{tail}"

    def day(self, moment: datetime) -> str:
        """A day as the line between two days in a conversation names it."""
        local = self.local(moment)
        return self._near(local) or f"{local:%A}, {local:%B} {local.day}{_ordinal(local.day)}"

    def stamp(self, moment: datetime) -> str:
        """A moment in little room: the time of today, the day of any other."""
        local = self.local(moment)
        today = local.date() == self.local(self.now).date()
        return self.time(moment, seconds=True) if today else f"{local:%b} {local.day}, {self.time(moment)}"

    def date(self, moment: datetime, template: str) -> str:
        """Fill Slack's ``<!date^…>`` template, such as ``{date_short_pretty} at {time}``."""
        return _TOKEN.sub(lambda match: self._part(moment, match[1]) or match[0], template)

    def _part(self, moment: datetime, token: str) -> str | None:
        local = self.local(moment)
        name = token.removesuffix("_pretty")
        if name in _STYLES and not self.locale.startswith("en"):
            return format_date(local.date(), _STYLES[name], locale=_known(self.locale))
        if name != token and (near := self._near(local)):
            return near.lower()
        match name:
            case "date_num":
                return f"{local:%Y-%m-%d}"
            case "date":
                return f"{local:%B} {local.day}{_ordinal(local.day)}, {local.year}"
            case "date_short":
                return f"{local:%b} {local.day}, {local.year}"
            case "date_long":
                return f"{local:%A}, {local:%B} {local.day}{_ordinal(local.day)}, {local.year}"
            case "time":
                return self.time(moment)
            case "time_secs":
                return self.time(moment, seconds=True)
            case "ago":
                return _ago(self.now - moment)
        return None

    def _near(self, local: datetime) -> str | None:
        days = local.toordinal() - self.local(self.now).toordinal()
        return {0: "Today", -1: "Yesterday", 1: "Tomorrow"}.get(days)


def moment_of(ts: str) -> datetime:
    """The moment that a Slack ``ts`` or a Unix time in text stands for."""
    return datetime.fromtimestamp(int(ts.partition(".")[0]), UTC)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _known(name: str) -> Locale:
    """The locale that Slack calls so; for what only Slack says, such as ``es-LA``, its language."""
    try:
        return Locale.parse(name, sep="-")
    except UnknownLocaleError:
        return Locale.parse(name.partition("-")[0])


def _ordinal(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _ago(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if abs(seconds) >= size:
            count = abs(seconds) // size
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"
