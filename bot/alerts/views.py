"""What people read of warnings: the living message of each, and what else is said about them.

A message is its text, which says it all, and its blocks. Nothing in it calls a whole channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_skeleton
from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, Option, SectionBlock, StaticSelectElement

from bot.alerts.forecast import RunOut
from bot.alerts.model import Episode, Snooze
from bot.alerts.rules import Amount, Days, Level, Percent, Trigger
from bot.money import NANO_PER_CENT, Credits
from bot.slack import mrkdwn, names
from bot.slack.buttons import ask_the_owner
from bot.text import Texts

_DAY: Final = timedelta(days=1)
_FAR: Final = timedelta(days=365)  # nobody plans for a day beyond it

_REACHED: Final = {
    Level.LOW: "alert.low",
    Level.CRITICAL: "alert.critical",
    Level.EMPTY: "alert.empty",
}
_SNOOZES: Final = {
    Snooze.HOUR: "alert.snooze_hour",
    Snooze.DAY: "alert.snooze_day",
    Snooze.MONDAY: "alert.snooze_monday",
}
_DEAD: Final = {
    "is_archived": "alert.dead_archived",
    "not_in_channel": "alert.dead_removed",
    "channel_not_found": "alert.dead_unseen",
    "user_disabled": "alert.dead_deactivated",
}

Said = tuple[str, Sequence[Block]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """How an account stands at a moment. ``zone`` is where its days begin."""

    account: str
    balance: Credits
    run_out: RunOut | None
    now: datetime
    zone: ZoneInfo


def warning(texts: Texts, episode: Episode, outlook: Outlook) -> Said:
    """The living message of an episode, as long as it is open."""
    return _to_be_handled(texts, _REACHED[episode.level], episode, outlook, episode.id)


def reminder(texts: Texts, episode: Episode, outlook: Outlook, name: str) -> Said:
    """A message of its own, since an edit notifies nobody. Its buttons say its ``name``."""
    return _to_be_handled(texts, "alert.reminder", episode, outlook, name)


def recovered(texts: Texts, outlook: Outlook) -> Said:
    """What the message of an episode ends as."""
    return _only(stands(texts, "alert.recovered", outlook))


def withdrawn(texts: Texts, outlook: Outlook) -> Said:
    """What it ends as when its level or its place is watched no more."""
    return _only(stands(texts, "alert.withdrawn", outlook))


def spike(texts: Texts, outlook: Outlook, *, today: Credits, usual: Credits) -> Said:
    """Far more was spent today than the ``usual`` by this hour of the week."""
    return _only(stands(texts, "alert.spike", outlook, today=today, usual=usual))


def test(texts: Texts, outlook: Outlook, sent_by: str) -> Said:
    """It has no buttons: there is nothing that it could mute."""
    return _only(stands(texts, "alert.test", outlook, who=mrkdwn.mention(sent_by)))


def test_sent(texts: Texts, places: Sequence[str]) -> str:
    """What whoever sent a test is told at once."""
    return texts("alerts.test_sent", places=" ".join(map(place, places)))


def why(texts: Texts, account: str, trigger: Trigger, set_by: str | None) -> Said:
    """The answer to "Why do I see this?": the rule, and who made it. ``set_by`` is None where it is the default."""
    match trigger:
        case Days(days):
            when = texts("alert.by_days", n=days)
        case Percent(percent):
            when = texts("alert.by_percent", percent=percent)
        case Amount(credits):
            when = texts("alert.by_amount", amount=credits)
    rule = texts("alert.rule", account=mrkdwn.escape(account), when=when)
    whose = texts("alert.set_by", who=mrkdwn.mention(set_by)) if set_by else texts("alert.by_default")
    return _only(f"{rule} {whose} {texts('alert.change')}")


def dead_route(texts: Texts, account: str, *, route: str, error: str, instead: str | None) -> Said:
    """For an owner: warnings do not arrive at ``route`` (a channel's or user's id), for Slack's reason ``error``.

    ``instead`` is where they go from now on; None: nowhere.
    """
    key = _DEAD.get(error)
    because = texts(key) if key else texts("alert.dead_otherwise", error=mrkdwn.escape(error))
    said = texts("alert.dead", account=mrkdwn.escape(account), place=place(route), because=because)
    onwards = texts("alert.dead_instead", place=place(instead)) if instead else texts("alert.dead_nowhere")
    return _only(f"{said} {onwards} {texts('alert.change')}")


def _only(said: str) -> Said:
    return said, [SectionBlock(text=said)]


def place(slack_id: str) -> str:
    return mrkdwn.mention(slack_id) if slack_id.startswith(("U", "W")) else f"<#{slack_id}>"


def stands(texts: Texts, key: str, outlook: Outlook, **more: object) -> str:
    """The sentence of ``key``, and when the credits run out."""
    said = texts(key, account=mrkdwn.escape(outlook.account), balance=outlook.balance, **more)
    return " ".join(filter(None, (said, _runs_out(texts, outlook))))


def _runs_out(texts: Texts, outlook: Outlook) -> str:
    """The pace, and when that leaves nothing: never more exactly than is known, and nothing where nothing is known."""
    found = outlook.run_out
    if found is None:
        return ""
    pace = Credits(-(-found.per_day // NANO_PER_CENT) * NANO_PER_CENT)  # up: what is little is not nothing
    if outlook.balance <= Credits.ZERO:
        return texts("alert.pace", pace=pace)
    last = found.late or found.likely
    when = mrkdwn.moment if last - outlook.now < _DAY else partial(_day, texts, outlook)
    early, likely = when(found.early), when(found.likely)
    if found.likely - outlook.now > _FAR:
        return texts("alert.lasts", pace=pace, early=early)
    if found.late is None:
        return texts("alert.runs_out_open", pace=pace, likely=likely, early=early)
    late = when(found.late)
    if early == late:
        return texts("alert.runs_out_on", pace=pace, likely=likely)
    return texts("alert.runs_out", pace=pace, likely=likely, early=early, late=late)


def _day(texts: Texts, outlook: Outlook, at: datetime) -> str:
    """A day of the account's: by its name within a week, by its date after it."""
    local, today = at.astimezone(outlook.zone), outlook.now.astimezone(outlook.zone).date()
    if local.date() < today + timedelta(weeks=1):
        return format_date(local.date(), "EEEE", locale=texts.locale)
    if local.year == today.year:
        return texts("alert.date", date=format_skeleton("MMMMd", local.date(), locale=texts.locale))
    return texts("alert.date", date=local)


def _to_be_handled(texts: Texts, key: str, episode: Episode, outlook: Outlook, name: str) -> Said:
    said = "\n".join(filter(None, (stands(texts, key, outlook), _handled(texts, episode))))
    return said, [SectionBlock(text=said), ActionsBlock(elements=_buttons(texts, episode, name))]


def _handled(texts: Texts, episode: Episode) -> str:
    if episode.acknowledged_by:
        return texts("alert.acknowledged", who=mrkdwn.mention(episode.acknowledged_by))
    if episode.snoozed_by and episode.snoozed_until:
        until = mrkdwn.moment(episode.snoozed_until)
        return texts("alert.snoozed", who=mrkdwn.mention(episode.snoozed_by), until=until)
    return ""


def _buttons(texts: Texts, episode: Episode, name: str) -> list[ButtonElement | StaticSelectElement]:
    """What can still be done. The block has no id: where Slack knows it, it keeps showing what was chosen."""
    snooze = StaticSelectElement(
        action_id=names.SNOOZE_ALERT,
        placeholder=texts("alert.snooze"),
        options=[Option(value=f"{choice} {name}", label=texts(key)) for choice, key in _SNOOZES.items()],
    )
    in_a_channel = not episode.place.startswith(("U", "W"))  # elsewhere an owner is told
    acknowledge = ButtonElement(text=texts("alert.acknowledge"), action_id=names.ACKNOWLEDGE_ALERT, value=name)
    return [
        buy(texts),
        *([ask_the_owner(texts)] if in_a_channel else []),
        *([] if episode.acknowledged_by else [acknowledge]),
        *([] if episode.acknowledged_by else [snooze]),  # while one lasts, too: it can be changed
        ButtonElement(text=texts("alert.why"), action_id=names.WHY_ALERT, value=name),
    ]


def buy(texts: Texts) -> ButtonElement:
    return ButtonElement(text=texts("alert.buy"), action_id=names.OPEN_BUY_FORM, style="primary")


def chosen_snooze(value: str) -> tuple[Snooze, str]:
    """For how long, and in which message. Raise ``ValueError`` for what is no option of ours."""
    choice, _, name = value.partition(" ")
    return Snooze(choice), name
