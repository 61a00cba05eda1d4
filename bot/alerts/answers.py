"""What an owner entered in the form of warnings, or what is wrong with it."""

import re
from collections.abc import Mapping
from datetime import time
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from bot.alerts.forms import LEVELS, Settings, figure_of, unit_of
from bot.alerts.rules import (
    DAYS,
    DEFAULTS,
    PERCENT,
    RECOVERY,
    Amount,
    Days,
    Level,
    Percent,
    Quiet,
    Rules,
    Trigger,
    is_zone,
)
from bot.money import GREATEST, AmbiguousAmount, Credits, UnreadableAmount, Usd, half_width
from bot.slack import names
from bot.text import Texts


def read_settings(texts: Texts, values: Mapping[str, Mapping[str, Any]]) -> Settings | Mapping[str, str]:
    """What was submitted (``state.values`` of the view), or what is wrong: a sentence by the block of each field."""
    fields = {name: field for block in values.values() for name, field in block.items()}
    triggers, wrong = _read_triggers(texts, fields)
    start, end = (fields[name]["selected_time"] for name in (names.ALERT_QUIET_FROM, names.ALERT_QUIET_UNTIL))
    if bool(start) != bool(end):
        wrong[names.ALERT_QUIET_UNTIL if start else names.ALERT_QUIET_FROM] = texts("alert.error_quiet")
    recovery, zone = DEFAULTS.recovery, DEFAULTS.time_zone
    try:
        recovery = _read_whole(texts, _typed(fields, names.ALERT_RECOVERY), RECOVERY)
    except _Unread as unread:
        wrong[names.ALERT_RECOVERY] = str(unread)
    try:
        zone = _read_zone(texts, _typed(fields, names.ALERT_ZONE))
    except _Unread as unread:
        wrong[names.ALERT_ZONE] = str(unread)
    if wrong:
        return wrong
    quiet = Quiet(time.fromisoformat(start), time.fromisoformat(end)) if start != end else None
    return Settings(
        channels=tuple(fields[names.ALERT_CHANNELS]["selected_conversations"]),
        rules=Rules(triggers, recovery, quiet, zone, _ticked(fields, names.ALERT_SPIKES)),
        language=fields[names.ALERT_LANGUAGE]["selected_option"]["value"],
        digest=_ticked(fields, names.ALERT_DIGEST),
    )


class _Unread(ValueError):
    """A sentence for the field."""


def _read_triggers(
    texts: Texts, fields: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[Level, Trigger], dict[str, str]]:
    triggers: dict[Level, Trigger] = {}
    wrong: dict[str, str] = {}
    for level in Level:
        unit = fields[unit_of(level)]["selected_option"]["value"]
        if unit == "off":
            continue
        try:
            trigger = _read_trigger(texts, unit, _typed(fields, figure_of(level)))
        except _Unread as unread:
            wrong[figure_of(level)] = str(unread)
            continue
        above = next((each for each, higher in triggers.items() if not _below(trigger, higher)), None)
        if above:
            wrong[figure_of(level)] = texts("alert.error_order", above=texts(LEVELS[above]))
        triggers[level] = trigger
    return triggers, wrong


def _read_trigger(texts: Texts, unit: str, typed: str) -> Trigger:
    if unit == "amount":
        return Amount(_read_credits(texts, typed))
    kind, allowed = (Days, DAYS) if unit == "days" else (Percent, PERCENT)
    return kind(_read_whole(texts, typed, allowed))


def _read_whole(texts: Texts, typed: str, allowed: range) -> int:
    digits = half_width(typed)
    if not re.fullmatch("[0-9]{1,3}", digits) or int(digits) not in allowed:
        raise _Unread(texts("alert.error_number", least=allowed[0], most=allowed[-1]))
    return int(digits)


def _read_credits(texts: Texts, typed: str) -> Credits:
    try:
        amount = texts.read_amount(typed)
    except UnreadableAmount as unread:
        raise _Unread(texts("amount.unreadable", typed=typed, example=texts.write_amount(Usd(1050)))) from unread
    except AmbiguousAmount as unclear:
        much, little = unclear.readings
        ways = {"write_much": texts.write_amount(much), "write_little": texts.write_amount(little)}
        raise _Unread(texts("amount.ambiguous", typed=typed, much=much, little=little, **ways)) from unclear
    if amount > GREATEST:
        raise _Unread(texts("alert.error_amount", most=texts.write_amount(GREATEST)))
    return Credits.bought_for(amount)


def _read_zone(texts: Texts, typed: str) -> str:
    """The name of a zone; its city is enough, however it is spelt, where no other zone is called so."""
    if is_zone(typed):
        return typed
    wanted = typed.casefold().replace(" ", "_")
    meant = sorted(name for name in _zones() if wanted in (name.casefold(), name.rpartition("/")[2].casefold()))
    match meant:
        case [zone]:
            return zone
        case []:
            raise _Unread(texts("alert.error_zone", typed=typed))
    raise _Unread(texts("alert.error_zones", typed=typed, zones=", ".join(meant)))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _typed(fields: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return (fields[name]["value"] or "").strip()


def _ticked(fields: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return bool(fields[name]["selected_options"])


def _below(lower: Trigger, upper: Trigger) -> bool:
    """Whether a level can be worse than another; triggers of two kinds cannot be compared."""
    match lower, upper:
        case Amount(less), Amount(more):
            return less < more
        case (Days(fewer), Days(most)) | (Percent(fewer), Percent(most)):
            return fewer < most
    return True
