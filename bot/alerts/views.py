"""What people read of warnings: the message of each, what else is said about them, and the form that sets them up.

A message is its text, which says it all, and its blocks. Nothing in it calls a whole channel.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_interval, format_skeleton
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    CheckboxesElement,
    ContextBlock,
    ConversationFilter,
    ConversationMultiSelectElement,
    InputBlock,
    InputInteractiveElement,
    MarkdownTextObject,
    Option,
    PlainTextInputElement,
    SectionBlock,
    StaticSelectElement,
    TableBlock,
    TimePickerElement,
)
from slack_sdk.models.views import View

from bot.alerts.forecast import RunOut
from bot.alerts.model import Episode, Snooze
from bot.alerts.rules import DAYS, PERCENT, Amount, Days, Level, Percent, Quiet, Rules, Trigger
from bot.money import GREATEST, NANO_PER_CENT, NANO_PER_CREDIT, AmbiguousAmount, Credits, UnreadableAmount, Usd
from bot.slack import mrkdwn, names
from bot.text import Texts, languages, texts_for

MOST_CHANNELS: Final = 10
LONGEST_FIGURE: Final = 24  # characters

_DAY: Final = timedelta(days=1)
_FAR: Final = timedelta(days=365)  # nobody plans for a day beyond it
_SOON: Final = timedelta(weeks=2)  # run out by then, and the advice is to buy
_MUCH: Final = 60  # percent of the spend
_MOST_SERIES, _LONGEST_LABEL = 6, 20  # of Slack's charts

_REACHED: Final = {
    Level.LOW: "alert.low",
    Level.CRITICAL: "alert.critical",
    Level.EMPTY: "alert.empty",
}
_LEVELS: Final = {
    Level.LOW: "alert.level_low",
    Level.CRITICAL: "alert.level_critical",
    Level.EMPTY: "alert.level_empty",
}
_SNOOZES: Final = {
    Snooze.HOUR: "alert.snooze_hour",
    Snooze.DAY: "alert.snooze_day",
    Snooze.MONDAY: "alert.snooze_monday",
}
_UNITS: Final = {
    "days": "alert.unit_days",
    "percent": "alert.unit_percent",
    "amount": "alert.unit_amount",
    "off": "alert.unit_off",
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


@dataclass(frozen=True, slots=True)
class Settings:
    """What the form shows and asks for."""

    channels: tuple[str, ...]
    rules: Rules
    language: str
    digest: bool

    def dumps(self) -> str:
        return json.dumps([self.channels, self.rules.as_json(), self.language, self.digest])

    @classmethod
    def loads(cls, metadata: str) -> "Settings":
        channels, rules, language, digest = json.loads(metadata)
        return cls(tuple(channels), Rules.of_json(rules), language, digest)


# ── the message of a warning ──────────────────────────────────────────────────────────────────────────────────────


def warning(texts: Texts, episode: Episode, outlook: Outlook) -> Said:
    """The living message of an episode, as long as it is open."""
    said = _stands(texts, _REACHED[episode.level], outlook)
    if handled := _handled(texts, episode):
        said = f"{said}\n{handled}"
    return said, [SectionBlock(text=said), ActionsBlock(elements=_buttons(texts, episode))]


def recovered(texts: Texts, outlook: Outlook) -> Said:
    """What the message of an episode ends as."""
    return _only(_stands(texts, "alert.recovered", outlook))


def withdrawn(texts: Texts, outlook: Outlook) -> Said:
    """What it ends as when its level or its place is watched no more."""
    return _only(_stands(texts, "alert.withdrawn", outlook))


def reminder(texts: Texts, outlook: Outlook) -> Said:
    """A message of its own, since an edit notifies nobody."""
    return _only(_stands(texts, "alert.reminder", outlook))


def spike(texts: Texts, outlook: Outlook, *, today: Credits, usual: Credits) -> Said:
    """Far more was spent today than the ``usual`` by this hour of the week."""
    return _only(_stands(texts, "alert.spike", outlook, today=today, usual=usual))


def test(texts: Texts, outlook: Outlook, sent_by: str) -> Said:
    """It has no buttons: there is nothing that it could mute."""
    return _only(_stands(texts, "alert.test", outlook, who=mrkdwn.mention(sent_by)))


def test_sent(texts: Texts, places: Sequence[str]) -> str:
    """What whoever sent a test is told at once."""
    return texts("alerts.test_sent", places=" ".join(map(_place, places)))


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
    said = texts("alert.dead", account=mrkdwn.escape(account), place=_place(route), because=because)
    onwards = texts("alert.dead_instead", place=_place(instead)) if instead else texts("alert.dead_nowhere")
    return _only(f"{said} {onwards} {texts('alert.change')}")


def _only(said: str) -> Said:
    return said, [SectionBlock(text=said)]


def _place(slack_id: str) -> str:
    return mrkdwn.mention(slack_id) if slack_id.startswith(("U", "W")) else f"<#{slack_id}>"


def _stands(texts: Texts, key: str, outlook: Outlook, **more: object) -> str:
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


def _handled(texts: Texts, episode: Episode) -> str:
    if episode.acknowledged_by:
        return texts("alert.acknowledged", who=mrkdwn.mention(episode.acknowledged_by))
    if episode.snoozed_by and episode.snoozed_until:
        until = mrkdwn.moment(episode.snoozed_until)
        return texts("alert.snoozed", who=mrkdwn.mention(episode.snoozed_by), until=until)
    return ""


def _buttons(texts: Texts, episode: Episode) -> list[ButtonElement | StaticSelectElement]:
    """What can still be done. The block has no id: where Slack knows it, it keeps showing what was chosen."""
    snooze = StaticSelectElement(
        action_id=names.SNOOZE_ALERT,
        placeholder=texts("alert.snooze"),
        options=[Option(value=f"{choice} {episode.id}", label=texts(key)) for choice, key in _SNOOZES.items()],
    )
    acknowledge = ButtonElement(text=texts("alert.acknowledge"), action_id=names.ACKNOWLEDGE_ALERT, value=episode.id)
    return [
        ButtonElement(text=texts("alert.buy"), action_id=names.OPEN_BUY_FORM, style="primary"),
        *([] if episode.acknowledged_by else [acknowledge]),
        *([] if episode.acknowledged_by or episode.snoozed_by else [snooze]),
        ButtonElement(text=texts("alert.why"), action_id=names.WHY_ALERT, value=episode.id),
    ]


def chosen_snooze(value: str) -> tuple[Snooze, str]:
    """For how long, and of which episode. Raise ``ValueError`` for what is no option of ours."""
    choice, _, episode = value.partition(" ")
    return Snooze(choice), episode


# ── the weekly digest ─────────────────────────────────────────────────────────────────────────────────────────────


class _Chart(Block):
    """Slack's native chart, for which slack_sdk has no class."""

    type = "data_visualization"

    def __init__(self, *, title: str, chart: Mapping[str, Any]) -> None:
        super().__init__(type=self.type)
        self.title = title
        self.chart = chart

    @property
    def attributes(self) -> set[str]:  # type: ignore[override]  # as slack_sdk's own blocks do
        return super().attributes | {"title", "chart"}


def digest(texts: Texts, outlook: Outlook, spent: Mapping[date, Mapping[str, Credits]]) -> Said:
    """A week in which something was spent: by day (oldest first, all of them) and by model."""
    models = _sum(spent.values())
    used = _total(models.values())
    week = format_interval(min(spent), max(spent), "MMMMd", locale=texts.locale)
    model, cost = next(iter(models.items()))
    said = " ".join(
        [
            _stands(texts, "alert.digest", outlook, used=used, week=week),
            texts("alert.digest_most", model=mrkdwn.escape(model), cost=cost),
            _advice(texts, outlook, models, used),
        ]
    )
    days = [format_skeleton("MMMEd", day, locale=texts.locale) for day in spent]
    columns = _columns(texts, spent.values(), list(models))
    return said, [SectionBlock(text=said), _chart(texts, days, columns), _table(texts, days, columns)]


class _Column(NamedTuple):
    """What one model, or the others together, cost by day."""

    name: str
    costs: Sequence[Credits]


def _sum(days: Collection[Mapping[str, Credits]]) -> Mapping[str, Credits]:
    """What each model cost, the costliest first."""
    models = {model for day in days for model in day}
    sums = {model: _total(day[model] for day in days if model in day) for model in models}
    return dict(sorted(sums.items(), key=lambda each: (-each[1].nano, each[0])))


def _advice(texts: Texts, outlook: Outlook, models: Mapping[str, Credits], used: Credits) -> str:
    found, left = outlook.run_out, outlook.balance.nano
    soon = found.likely - outlook.now < _SOON if found else left < used.nano * 2
    if soon:
        missing = (found.per_day * 28 if found else used.nano * 4) - left
        amount = min(Usd.dollars(max(1, -(-missing // NANO_PER_CREDIT))), GREATEST)
        return texts("alert.advice_buy", amount=texts.short(amount))
    model, cost = next(iter(models.items()))
    percent = cost.nano * 100 // used.nano
    if len(models) > 1 and percent >= _MUCH:
        return texts("alert.advice_model", model=mrkdwn.escape(model), percent=percent)
    return texts("alert.advice_none")


def _columns(texts: Texts, days: Collection[Mapping[str, Credits]], models: Sequence[str]) -> Sequence[_Column]:
    """The costliest models by themselves; the others together, where there are more than a chart takes."""
    own = models if len(models) <= _MOST_SERIES else models[: _MOST_SERIES - 1]
    columns = [_Column(model, [day.get(model, Credits.ZERO) for day in days]) for model in own]
    if len(own) < len(models):
        others = [_total(cost for model, cost in day.items() if model not in own) for day in days]
        columns.append(_Column(texts("alert.others"), others))
    return columns


def _chart(texts: Texts, days: Sequence[str], columns: Sequence[_Column]) -> Block:
    """A picture of the table: JSON's numbers are good enough for it."""
    labels = [_cut(day, _LONGEST_LABEL) for day in days]
    series = []
    for name, column in zip(_short_names(column.name for column in columns), columns, strict=True):
        points = zip(labels, column.costs, strict=True)
        series.append({"name": name, "data": [{"label": label, "value": cost.cents / 100} for label, cost in points]})
    plot = {"type": "bar", "series": series, "axis_config": {"categories": labels}}
    return _Chart(title=texts("alert.chart"), chart=plot)


def _table(texts: Texts, days: Sequence[str], columns: Sequence[_Column]) -> Block:
    total = texts("alert.total")
    by_day = [_total(costs) for costs in zip(*(column.costs for column in columns), strict=True)]
    rows = [[texts("alert.day"), *days, total]]
    for name, costs in [*columns, _Column(total, by_day)]:
        rows.append([name, *map(texts.show, costs), texts.show(_total(costs))])
    return TableBlock(
        rows=[[{"type": "raw_text", "text": cell} for cell in row] for row in zip(*rows, strict=True)],
        column_settings=[{"align": "left"}, *([{"align": "right"}] * (len(rows) - 1))],
    )


def _total(costs: Iterable[Credits]) -> Credits:
    return Credits(sum(cost.nano for cost in costs))


def _short_names(full: Iterable[str]) -> Sequence[str]:
    """Names that fit into a chart, each still different from the others."""
    short: list[str] = []
    for name in full:
        label, n = _cut(name, _LONGEST_LABEL), 1
        while label in short:
            n += 1
            label = f"{_cut(name, _LONGEST_LABEL - len(f' {n}'))} {n}"
        short.append(label)
    return short


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


def settings(texts: Texts, account: str, now: Settings) -> View:
    """The form behind ``/buy-credits alerts``, filled in with what holds now."""
    return View(
        type="modal",
        callback_id=names.ALERTS_FORM,
        private_metadata=now.dumps(),
        title=texts("alert.title"),
        submit=texts("alert.save"),
        close=texts("form.cancel"),
        blocks=[
            SectionBlock(text=texts("alert.about", account=mrkdwn.escape(account))),
            _channels(texts, now.channels),
            *(block for level in Level for block in _trigger(texts, level, now.rules.triggers.get(level))),
            *_quiet(texts, now.rules),
            _language(texts, now.language),
            _digest_choice(texts, chosen=now.digest),
            ActionsBlock(elements=[ButtonElement(text=texts("alert.test_button"), action_id=names.TEST_ALERT)]),
            ContextBlock(elements=[MarkdownTextObject(text=texts("alert.test_hint"))]),
        ],
    )


def ask_shared(texts: Texts, shared: Sequence[str], chosen: Settings) -> View:
    """Before warnings go to channels that another company reads too. The form carries what was chosen."""
    return View(
        type="modal",
        callback_id=names.ALERTS_SHARED_FORM,
        private_metadata=chosen.dumps(),
        title=texts("alert.shared_title"),
        submit=texts("alert.shared_submit"),
        close=texts("form.cancel"),
        blocks=[SectionBlock(text=texts("alert.shared", channels=" ".join(map(_place, shared)), n=len(shared)))],
    )


def read_settings(texts: Texts, values: Mapping[str, Mapping[str, Any]], now: Rules) -> Settings | Mapping[str, str]:
    """What was submitted (``state.values`` of the view), or what is wrong: a sentence by the block of each field.

    The form does not ask for everything: the rest stays as the rules are ``now``.
    """
    fields = {name: field for block in values.values() for name, field in block.items()}
    triggers, wrong = _read_triggers(texts, fields)
    start, end = (fields[name]["selected_time"] for name in (names.ALERT_QUIET_FROM, names.ALERT_QUIET_UNTIL))
    if bool(start) != bool(end):
        wrong[names.ALERT_QUIET_UNTIL if start else names.ALERT_QUIET_FROM] = texts("alert.error_quiet")
    if wrong:
        return wrong
    quiet = Quiet(time.fromisoformat(start), time.fromisoformat(end)) if start != end else None
    return Settings(
        channels=tuple(fields[names.ALERT_CHANNELS]["selected_conversations"]),
        rules=replace(now, triggers=triggers, quiet=quiet),
        language=fields[names.ALERT_LANGUAGE]["selected_option"]["value"],
        digest=bool(fields[names.ALERT_DIGEST]["selected_options"]),
    )


class _Unread(ValueError):
    """A sentence for the field."""


def _read_triggers(
    texts: Texts, fields: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[Level, Trigger], dict[str, str]]:
    triggers: dict[Level, Trigger] = {}
    wrong: dict[str, str] = {}
    for level in Level:
        unit, typed = fields[_unit_of(level)]["selected_option"]["value"], fields[_figure_of(level)]["value"]
        if unit == "off":
            continue
        try:
            trigger = _read_trigger(texts, unit, (typed or "").strip())
        except _Unread as unread:
            wrong[_figure_of(level)] = str(unread)
            continue
        above = next((each for each, higher in triggers.items() if not _below(trigger, higher)), None)
        if above:
            wrong[_figure_of(level)] = texts("alert.error_order", above=texts(_LEVELS[above]))
        triggers[level] = trigger
    return triggers, wrong


def _read_trigger(texts: Texts, unit: str, typed: str) -> Trigger:
    if unit == "amount":
        return Amount(_read_credits(texts, typed))
    kind, allowed = (Days, DAYS) if unit == "days" else (Percent, PERCENT)
    if not re.fullmatch("[0-9]{1,3}", typed) or int(typed) not in allowed:
        raise _Unread(texts("alert.error_number", least=allowed[0], most=allowed[-1]))
    return kind(int(typed))


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


def _below(lower: Trigger, upper: Trigger) -> bool:
    """Whether a level can be worse than another; triggers of two kinds cannot be compared."""
    match lower, upper:
        case Amount(less), Amount(more):
            return less < more
        case (Days(fewer), Days(most)) | (Percent(fewer), Percent(most)):
            return fewer < most
    return True


def _unit_of(level: Level) -> str:
    return f"{names.ALERT_UNIT}_{level}"


def _figure_of(level: Level) -> str:
    return f"{names.ALERT_FIGURE}_{level}"


def _field(
    label: str, element: InputInteractiveElement, *, hint: str | None = None, optional: bool = False
) -> InputBlock:
    """A field whose block is named as it is, so that an error finds it."""
    return InputBlock(block_id=element.action_id, label=label, hint=hint, element=element, optional=optional)


def _channels(texts: Texts, chosen: Sequence[str]) -> Block:
    element = ConversationMultiSelectElement(
        action_id=names.ALERT_CHANNELS,
        placeholder=texts("alert.channels_choose"),
        initial_conversations=list(chosen),
        max_selected_items=MOST_CHANNELS,
        filter=ConversationFilter(include=["public", "private"]),
    )
    return _field(texts("alert.channels"), element, hint=texts("alert.channels_hint"), optional=True)


def _trigger(texts: Texts, level: Level, trigger: Trigger | None) -> Iterable[Block]:
    options = {unit: Option(value=unit, label=texts(key)) for unit, key in _UNITS.items()}
    match trigger:
        case Days(days):
            unit, written = "days", str(days)
        case Percent(percent):
            unit, written = "percent", str(percent)
        case Amount(credits):
            unit, written = "amount", texts.write_amount(Usd(credits.cents))
        case None:
            unit, written = "off", ""
    select = StaticSelectElement(
        action_id=_unit_of(level), options=list(options.values()), initial_option=options[unit]
    )
    figure = PlainTextInputElement(action_id=_figure_of(level), initial_value=written, max_length=LONGEST_FIGURE)
    name = texts(_LEVELS[level])
    yield _field(texts("alert.unit", level=name), select)
    yield _field(texts("alert.figure", level=name), figure, optional=True)  # nothing to fill in where it is off


def _quiet(texts: Texts, rules: Rules) -> Iterable[Block]:
    start, end = (f"{rules.quiet.start:%H:%M}", f"{rules.quiet.end:%H:%M}") if rules.quiet else (None, None)
    first = TimePickerElement(action_id=names.ALERT_QUIET_FROM, initial_time=start, timezone=rules.time_zone)
    last = TimePickerElement(action_id=names.ALERT_QUIET_UNTIL, initial_time=end, timezone=rules.time_zone)
    yield _field(texts("alert.quiet_from"), first, optional=True)
    yield _field(texts("alert.quiet_until"), last, hint=texts("alert.quiet_hint", zone=rules.time_zone), optional=True)


def _language(texts: Texts, language: str) -> Block:
    options = {each: Option(value=each, label=_own_name(each)) for each in languages()}
    element = StaticSelectElement(
        action_id=names.ALERT_LANGUAGE,
        options=list(options.values()),
        initial_option=options[texts_for(language).language],
    )
    return _field(texts("alert.language"), element)


def _own_name(language: str) -> str:
    own = Locale.parse(language).get_display_name(language) or language
    return own[0].upper() + own[1:]


def _digest_choice(texts: Texts, *, chosen: bool) -> Block:
    option = Option(value="weekly", label=texts("alert.digest_weekly"))
    element = CheckboxesElement(
        action_id=names.ALERT_DIGEST, options=[option], initial_options=[option] if chosen else None
    )
    return _field(texts("alert.digest_label"), element, optional=True)
