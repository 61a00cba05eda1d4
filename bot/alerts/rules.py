"""When an account wants to be warned: three levels, quiet hours and a time zone, and the JSON they are stored as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Self
from zoneinfo import ZoneInfo

from bot.money import NANO_PER_CREDIT, Credits, UnreadableAmount

PERCENT: Final = range(1, 101)  # that a level may be of the last purchase
DAYS: Final = range(1, 91)  # that may be left
RECOVERY: Final = range(101, 301)  # percent

_DAY: Final = timedelta(days=1)


class Level(StrEnum):
    """How little is left, from bad to worst."""

    LOW = "low"
    CRITICAL = "critical"
    EMPTY = "empty"


WORST_FIRST: Final = tuple(reversed(Level))


@dataclass(frozen=True, slots=True)
class Amount:
    """Reached when no more than this is left."""

    credits: Credits


@dataclass(frozen=True, slots=True)
class Percent:
    """Reached when no more than this part of the last purchase is left; never by an account that bought nothing."""

    percent: int


@dataclass(frozen=True, slots=True)
class Days:
    """Reached when the likely run-out is no farther than this; where there is no forecast, when nothing is left."""

    days: int


Trigger = Amount | Percent | Days


class BadRules(ValueError):
    """Rules that cannot be: which field of their JSON is wrong, and what it should be."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name}: expected {expected}")
        self.name = name
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the local day in which nobody is told of a low balance; critical and empty get through."""

    start: time
    end: time  # of the next day where it is before the start

    def until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the quiet that ``now`` is in ends; None where it is in none."""
        today = now.astimezone(zone).date()
        for day in (today - _DAY, today):
            end = moment(day if self.start < self.end else day + _DAY, self.end, zone)
            if moment(day, self.start, zone) <= now < end:
                return end
        return None


def _default_triggers() -> Mapping[Level, Trigger]:
    return {
        Level.LOW: Days(7),
        Level.CRITICAL: Amount(Credits(10 * NANO_PER_CREDIT)),
        Level.EMPTY: Amount(Credits.ZERO),
    }


@dataclass(frozen=True, slots=True)
class Rules:
    """When an account is warned. A level without a trigger is off."""

    triggers: Mapping[Level, Trigger] = field(default_factory=_default_triggers)
    recovery: int = 110  # percent of a level that make it recovered
    quiet: Quiet | None = None
    time_zone: str = "UTC"  # the account's, an IANA name
    spikes: bool = True  # whether it is told of a day unlike others

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def as_json(self) -> dict[str, object]:
        """What ``of_json`` reads: ``{"low": {"days": 7}, "critical": {"amount": "10.00"}, "empty": null, …}``."""
        quiet = self.quiet and {"from": f"{self.quiet.start:%H:%M}", "to": f"{self.quiet.end:%H:%M}"}
        levels = {level.value: _trigger_as_json(self.triggers.get(level)) for level in Level}
        others = {"recovery": self.recovery, "quiet": quiet, "time_zone": self.time_zone, "spikes": self.spikes}
        return {**levels, **others}

    @classmethod
    def of_json(cls, value: object) -> Self:
        """The rules that ``as_json`` wrote. Raise ``BadRules``."""
        names = {*map(str, Level), "recovery", "quiet", "time_zone", "spikes"}
        if not isinstance(value, Mapping) or set(value) != names:
            raise BadRules("rules", f"an object of {', '.join(sorted(names))}")
        recovery, zone = value["recovery"], value["time_zone"]
        if not _whole(recovery, RECOVERY):
            raise BadRules("recovery", f"a whole number from {RECOVERY[0]} to {RECOVERY[-1]}")
        if not is_zone(zone):
            raise BadRules("time_zone", "a name such as Europe/Copenhagen")
        if not isinstance(value["spikes"], bool):
            raise BadRules("spikes", "true or false")
        triggers = {level: trigger for level in Level if (trigger := _trigger_of(level, value[level]))}
        return cls(triggers, recovery, _quiet_of(value["quiet"]), zone, value["spikes"])


DEFAULTS: Final = Rules()


def is_zone(name: object) -> bool:
    """Whether this names a time zone."""
    try:
        return isinstance(name, str) and bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # unknown; no name at all; a folder of names
        return False


def moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When a clock there shows this: the first time if twice, and as late as without the change if never (RFC 5545)."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _whole(value: object, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _trigger_as_json(trigger: Trigger | None) -> dict[str, object] | None:
    match trigger:
        case Amount(credits):
            return {"amount": credits.exact}
        case Percent(percent):
            return {"percent": percent}
        case Days(days):
            return {"days": days}
    return None


def _trigger_of(level: Level, value: object) -> Trigger | None:
    match value:
        case None:
            return None
        case {"amount": str(text), **others} if not others and (credits := _credits_of(text)):
            return Amount(credits)
        case {"percent": int(percent), **others} if not others and _whole(percent, PERCENT):
            return Percent(percent)
        case {"days": int(days), **others} if not others and _whole(days, DAYS):
            return Days(days)
    raise BadRules(level, f'an amount such as "10.00", percent up to {PERCENT[-1]}, days up to {DAYS[-1]}, or null')


def _credits_of(text: str) -> Credits | None:
    try:
        credits = Credits.exactly(text)
    except UnreadableAmount:
        return None
    return credits if credits >= Credits.ZERO else None


def _quiet_of(value: object) -> Quiet | None:
    match value:
        case None:
            return None
        case {"from": str(start), "to": str(end), **others} if not others:
            quiet = Quiet(_time_of(start), _time_of(end))
            if quiet.start != quiet.end:
                return quiet
    raise BadRules("quiet", "from and to, which differ, or null")


def _time_of(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise BadRules("quiet", "times such as 22:00") from None
