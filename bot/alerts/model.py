"""When an account is warned, reminded and told that it has recovered. Rules only: every fact comes in as an argument.

An account has up to three levels, and places (channels) that are warned of them. An *episode* is one warning: of one
level in one place, from the moment the level is reached until the balance is clearly back. Whoever keeps episodes

    looks at an account when its balance leaves its ``bounds``, when its ``next_due`` has come, and when it was edited,
    stores the episodes that ``look`` changed, and does what it says.

A look may come twice or late: what was said is in the episodes, and is not said again. Moments are aware, in UTC.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from bot.alerts.forecast import RunOut
from bot.alerts.rules import WORST_FIRST, Amount, Days, Level, Percent, Rules, moment
from bot.ids import NewId
from bot.money import NANO_PER_CENT, Credits

CALM: Final = timedelta(minutes=1)  # a level has recovered when two looks that far apart find it so
EDIT_EVERY: Final = timedelta(minutes=1)  # at most, where only figures change
LOOK_EVERY: Final = timedelta(hours=1)  # while an episode is open, so that its message is never older
FARTHEST_LOOK: Final = timedelta(days=1)  # at a level by days that is far from reached
NEW_LOOK: Final = timedelta(hours=6)  # at a level by days while there is no forecast yet
MARGIN: Final = 10 * NANO_PER_CENT  # a balance is at least so far above a level when it has recovered: 110 % of 0 is 0

_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_MONDAY_MORNING: Final = time(9)

REMIND_EVERY: Final = {
    Level.LOW: timedelta(days=1),
    Level.CRITICAL: timedelta(hours=4),
    Level.EMPTY: timedelta(hours=4),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an account at one moment."""

    balance: Credits
    last_purchase: Credits | None
    run_out: RunOut | None  # by a forecast for this balance
    now: datetime
    used: bool = False  # lately: enough for a forecast soon


@dataclass(frozen=True, slots=True)
class Episode:
    """One warning: of one level in one place."""

    id: str
    level: Level
    place: str
    opened_at: datetime
    said: str  # the figures in its message, to tell whether it needs an edit
    said_at: datetime
    remind_at: datetime | None  # None once acknowledged
    under: Level | None = None  # the worst level open in this place, if worse: only that one reminds
    calm_since: datetime | None = None  # the first of the looks in a row that found the balance back
    acknowledged_by: str | None = None  # a Slack user id, as is ``snoozed_by``
    acknowledged_at: datetime | None = None
    snoozed_by: str | None = None
    snoozed_until: datetime | None = None
    closed_at: datetime | None = None


class Say(StrEnum):
    """What is to be done about the message of an episode."""

    OPEN = "open"  # post it
    UPDATE = "update"  # edit it
    REMIND = "remind"  # post a reminder; after an UPDATE, if both
    RECOVER = "recover"  # end it: the balance is back
    WITHDRAW = "withdraw"  # end it: its level or place is watched no more


class Effect(NamedTuple):
    say: Say
    episode: Episode


class Outcome(NamedTuple):
    """The episodes to store, which are new or not what they were, and what to do, in this order."""

    episodes: Sequence[Episode] = ()
    effects: Sequence[Effect] = ()


class Bounds(NamedTuple):
    """A balance at or below ``low``, or at or above ``high``, may change something; None where no balance does."""

    low: Credits | None
    high: Credits | None


def look(rules: Rules, facts: Facts, places: Iterable[str], episodes: Iterable[Episode], new_id: NewId) -> Outcome:
    """What these facts make of the account's episodes: at most one open of a level in a place.

    In each of the places, which differ, the worst level comes first: a lesser one neither begins nor reminds while a
    worse one is open.
    """
    standing = {(episode.place, episode.level): episode for episode in episodes if episode.closed_at is None}
    changed: list[Episode] = []
    effects: list[Effect] = []
    for place in places:
        under: Level | None = None
        for level in WORST_FIRST:
            if level not in rules.triggers:
                continue
            before = standing.pop((place, level), None)
            after, says = (
                _go_on(rules, facts, before, under) if before else _begin(rules, facts, level, place, under, new_id)
            )
            if after is None:
                continue
            effects += [Effect(say, after) for say in says]
            if after != before:
                changed.append(after)
            if after.closed_at is None:
                under = under or level
    withdrawn = [replace(episode, closed_at=facts.now) for episode in standing.values()]
    return Outcome([*changed, *withdrawn], [*effects, *(Effect(Say.WITHDRAW, episode) for episode in withdrawn)])


def acknowledge(episode: Episode, user: str, now: datetime) -> Outcome:
    """No reminders any more. Only the first to press it counts."""
    if episode.closed_at or episode.acknowledged_at:
        return Outcome()
    return _pressed(
        replace(episode, acknowledged_by=user, acknowledged_at=now, remind_at=None, snoozed_by=None, snoozed_until=None)
    )


def snooze(episode: Episode, user: str, until: datetime, now: datetime) -> Outcome:
    """No reminder before then, and one at that moment. The last to press it counts."""
    if episode.closed_at or episode.acknowledged_at or until <= now:
        return Outcome()
    return _pressed(replace(episode, snoozed_by=user, snoozed_until=until, remind_at=until))


def _pressed(episode: Episode) -> Outcome:
    return Outcome([episode], [Effect(Say.UPDATE, episode)])


class Snooze(StrEnum):
    """For how long somebody may want to hear nothing."""

    HOUR = "hour"
    DAY = "day"
    MONDAY = "monday"  # the next one, in the morning; on a Monday, in a week


def snooze_until(choice: Snooze, now: datetime, zone: ZoneInfo) -> datetime:
    """When a snooze chosen now ends."""
    match choice:
        case Snooze.HOUR:
            return now + timedelta(hours=1)
        case Snooze.DAY:
            return now + _DAY
        case Snooze.MONDAY:
            today = now.astimezone(zone).date()
            return moment(today + (7 - today.weekday()) * _DAY, _MONDAY_MORNING, zone)


def next_due(rules: Rules, facts: Facts, places: Iterable[str], episodes: Iterable[Episode]) -> datetime | None:
    """When to look again though the balance stays within its bounds. Asked after a look, about what it left."""
    return min(_due(rules, facts, _spots(rules, facts, places, episodes)), default=None)


def bounds(rules: Rules, facts: Facts, places: Iterable[str], episodes: Iterable[Episode]) -> Bounds:
    """Between which balances nothing begins or ends. Asked after a look, about what it left.

    For a level by days they are where the present pace puts it, and ``next_due`` looks after changes of pace. Where
    nothing is used, the next use is what begins one.
    """
    lows, highs = [], []
    for spot in _spots(rules, facts, places, episodes):
        if spot.marks is None:
            continue
        if spot.episode is None:
            if not spot.under and spot.marks.reached < facts.balance.nano:
                idle = isinstance(rules.triggers[spot.level], Days) and not facts.run_out and not facts.used
                lows.append(facts.balance.nano - 1 if idle else spot.marks.reached)
        elif spot.episode.calm_since:
            lows.append(spot.marks.back - 1)
        else:
            highs.append(spot.marks.back)
    return Bounds(Credits(max(lows)) if lows else None, Credits(min(highs)) if highs else None)


class _Marks(NamedTuple):
    """A level in nano-credits: reached at or below the first, back at or above the second, which is greater."""

    reached: int
    back: int


def _marks(rules: Rules, facts: Facts, level: Level) -> _Marks | None:
    """None for what cannot be reached."""
    match rules.triggers[level]:
        case Percent(percent):
            if facts.last_purchase is None:
                return None
            mark = facts.last_purchase.nano * percent // 100
        case Days(days) if facts.run_out:
            left, least = (facts.run_out.likely - facts.now) // _MICROSECOND, days * _DAY // _MICROSECOND
            pace, per = max(1, facts.run_out.per_day), _DAY // _MICROSECOND
            to_spend = _up((left - least) * pace, per)
            to_buy = _up((least * rules.recovery - left * 100) * pace, per * 100)
            return _Marks(facts.balance.nano - to_spend, facts.balance.nano + to_buy)
        case Days():
            mark = 0
        case Amount(credits):
            mark = credits.nano
    return _Marks(mark, max(_up(mark * rules.recovery, 100), mark + MARGIN))


def _begin(
    rules: Rules, facts: Facts, level: Level, place: str, under: Level | None, new_id: NewId
) -> tuple[Episode | None, list[Say]]:
    marks, now = _marks(rules, facts, level), facts.now
    if marks is None or facts.balance.nano > marks.reached or under or _hush(rules, level, now):
        return None, []
    remind_at = now + REMIND_EVERY[level]
    return Episode(new_id("epi", now), level, place, now, _figures(rules, facts), now, remind_at), [Say.OPEN]


def _go_on(rules: Rules, facts: Facts, episode: Episode, under: Level | None) -> tuple[Episode, list[Say]]:
    marks, now = _marks(rules, facts, episode.level), facts.now
    if marks is not None and facts.balance.nano < marks.back:
        episode = replace(episode, calm_since=None)
    elif episode.calm_since is None or episode.calm_since > now:  # the latter where the clock went back
        episode = replace(episode, calm_since=now)
    elif now - episode.calm_since >= CALM:
        return replace(episode, closed_at=now), [Say.RECOVER]
    episode, edited = _edited(episode, _figures(rules, facts), under, now)
    episode, reminded = _reminded(rules, episode, now)
    return episode, [Say.UPDATE] * edited + [Say.REMIND] * reminded


def _edited(episode: Episode, figures: str, under: Level | None, now: datetime) -> tuple[Episode, bool]:
    """The episode with what its message should say now, and whether it says something else."""
    woken = episode.snoozed_until is not None and episode.snoozed_until <= now
    if woken:
        episode = replace(episode, snoozed_by=None, snoozed_until=None)
    if episode.under and not under and episode.remind_at and not episode.snoozed_until:
        episode = replace(episode, remind_at=now + REMIND_EVERY[episode.level])  # the better news is enough for now
    stale = figures != episode.said and abs(now - episode.said_at) >= EDIT_EVERY
    if woken or stale or under != episode.under:
        return replace(episode, under=under, said=figures, said_at=now), True
    return episode, False


def _reminded(rules: Rules, episode: Episode, now: datetime) -> tuple[Episode, bool]:
    """The episode with its next reminder, and whether one is due. Late ones are not made up for."""
    if episode.remind_at is None or episode.snoozed_until:
        return episode, False
    following = now + REMIND_EVERY[episode.level]
    if episode.remind_at > now or episode.under or episode.calm_since or _hush(rules, episode.level, now):
        return replace(episode, remind_at=min(episode.remind_at, following)), False  # less where the clock went back
    return replace(episode, remind_at=following), True


class _Spot(NamedTuple):
    """A level in a place: what is open there, or would be, and under which worse one."""

    level: Level
    marks: _Marks | None
    episode: Episode | None
    under: Level | None


def _spots(rules: Rules, facts: Facts, places: Iterable[str], episodes: Iterable[Episode]) -> Iterator[_Spot]:
    standing = {(episode.place, episode.level): episode for episode in episodes if episode.closed_at is None}
    for place in places:
        under: Level | None = None
        for level in WORST_FIRST:
            if level in rules.triggers:
                episode = standing.get((place, level))
                yield _Spot(level, _marks(rules, facts, level), episode, under)
                under = under or (level if episode else None)


def _due(rules: Rules, facts: Facts, spots: Iterable[_Spot]) -> Iterator[datetime]:
    now = facts.now
    for level, marks, episode, under in spots:
        if episode is None:
            if marks is None or under:
                continue
            if facts.balance.nano <= marks.reached:
                yield _hush(rules, level, now) or now
            elif isinstance(trigger := rules.triggers[level], Days):
                if facts.run_out:
                    ahead = facts.run_out.likely - now - trigger.days * _DAY
                    yield now + min(ahead, max(LOOK_EVERY, min(ahead / 4, FARTHEST_LOOK)))
                elif facts.used:
                    yield now + NEW_LOOK
            continue
        yield now + LOOK_EVERY
        if episode.snoozed_until:
            yield episode.snoozed_until
        if episode.calm_since:
            yield episode.calm_since + CALM
        elif episode.remind_at and not under:
            yield _hush(rules, level, max(now, episode.remind_at)) or episode.remind_at
        if episode.said != _figures(rules, facts):
            yield episode.said_at + EDIT_EVERY


def _hush(rules: Rules, level: Level, at: datetime) -> datetime | None:
    """Until when nobody should hear of this level then."""
    return rules.quiet.until(at, rules.zone) if rules.quiet and level is Level.LOW else None


def _figures(rules: Rules, facts: Facts) -> str:
    """What a message says that may change: the balance, and the days between which it runs out."""
    run_out = facts.run_out
    moments = [run_out.early, run_out.likely, run_out.late] if run_out else []
    return " ".join([str(facts.balance), *(f"{at.astimezone(rules.zone).date()}" if at else "never" for at in moments)])


def _up(whole: int, part: int) -> int:
    """Divided, and rounded up."""
    return -(-whole // part)
