"""The form in which owners say who is warned and when. What they enter is read in ``answers``."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from babel import Locale
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
    TimePickerElement,
)
from slack_sdk.models.views import View

from bot.alerts.rules import Amount, Days, Level, Percent, Rules, Trigger
from bot.alerts.views import place
from bot.money import Usd
from bot.slack import mrkdwn, names
from bot.text import Texts, languages, texts_for

MOST_CHANNELS: Final = 10
LONGEST_FIGURE: Final = 24  # characters
LONGEST_ZONE: Final = 60
_YES: Final = "yes"

LEVELS: Final = {
    Level.LOW: "alert.level_low",
    Level.CRITICAL: "alert.level_critical",
    Level.EMPTY: "alert.level_empty",
}
_UNITS: Final = {
    "days": "alert.unit_days",
    "percent": "alert.unit_percent",
    "amount": "alert.unit_amount",
    "off": "alert.unit_off",
}


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


def settings(texts: Texts, account: str, now: Settings) -> View:
    """The form behind ``/buy-credits alerts``, filled in with what holds now."""
    return View(
        type="modal",
        callback_id=names.ALERTS_FORM,
        title=texts("alert.title"),
        submit=texts("alert.save"),
        close=texts("form.cancel"),
        blocks=[
            SectionBlock(text=texts("alert.about", account=mrkdwn.escape(account))),
            _channels(texts, now.channels),
            *(block for level in Level for block in _trigger(texts, level, now.rules.triggers.get(level))),
            _recovery(texts, now.rules.recovery),
            *_quiet(texts, now.rules),
            _zone(texts, now.rules.time_zone),
            _language(texts, now.language),
            _choice(texts, names.ALERT_DIGEST, "alert.digest_label", "alert.digest_weekly", chosen=now.digest),
            _choice(texts, names.ALERT_SPIKES, "alert.spikes_label", "alert.spikes_daily", chosen=now.rules.spikes),
            ActionsBlock(elements=[ButtonElement(text=texts("alert.test_button"), action_id=names.TEST_ALERT)]),
            ContextBlock(elements=[MarkdownTextObject(text=texts("alert.test_hint"))]),
        ],
    )


def ask_shared(texts: Texts, shared: Sequence[str], unseen: Sequence[str], chosen: Settings) -> View:
    """Before warnings go to channels that another company reads too, or may read: Slack does not let us see it.

    The form carries what was chosen.
    """
    questions = {"alert.shared": shared, "alert.shared_unseen": unseen}
    return View(
        type="modal",
        callback_id=names.ALERTS_SHARED_FORM,
        private_metadata=chosen.dumps(),
        title=texts("alert.shared_title"),
        submit=texts("alert.shared_submit"),
        close=texts("form.cancel"),
        blocks=[
            SectionBlock(text=texts(key, channels=" ".join(map(place, channels)), n=len(channels)))
            for key, channels in questions.items()
            if channels
        ],
    )


def unit_of(level: Level) -> str:
    return f"{names.ALERT_UNIT}_{level}"


def figure_of(level: Level) -> str:
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
    select = StaticSelectElement(action_id=unit_of(level), options=list(options.values()), initial_option=options[unit])
    figure = PlainTextInputElement(action_id=figure_of(level), initial_value=written, max_length=LONGEST_FIGURE)
    name = texts(LEVELS[level])
    yield _field(texts("alert.unit", level=name), select)
    yield _field(texts("alert.figure", level=name), figure, optional=True)  # nothing to fill in where it is off


def _recovery(texts: Texts, percent: int) -> Block:
    element = PlainTextInputElement(
        action_id=names.ALERT_RECOVERY, initial_value=str(percent), max_length=LONGEST_FIGURE
    )
    return _field(texts("alert.recovery"), element, hint=texts("alert.recovery_hint"))


def _quiet(texts: Texts, rules: Rules) -> Iterable[Block]:
    start, end = (f"{rules.quiet.start:%H:%M}", f"{rules.quiet.end:%H:%M}") if rules.quiet else (None, None)
    first = TimePickerElement(action_id=names.ALERT_QUIET_FROM, initial_time=start, timezone=rules.time_zone)
    last = TimePickerElement(action_id=names.ALERT_QUIET_UNTIL, initial_time=end, timezone=rules.time_zone)
    yield _field(texts("alert.quiet_from"), first, optional=True)
    yield _field(texts("alert.quiet_until"), last, hint=texts("alert.quiet_hint"), optional=True)


def _zone(texts: Texts, zone: str) -> Block:
    element = PlainTextInputElement(action_id=names.ALERT_ZONE, initial_value=zone, max_length=LONGEST_ZONE)
    return _field(texts("alert.zone"), element, hint=texts("alert.zone_hint"))


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


def _choice(texts: Texts, name: str, label: str, choice: str, *, chosen: bool) -> Block:
    """A box to tick."""
    option = Option(value=_YES, label=texts(choice))
    element = CheckboxesElement(action_id=name, options=[option], initial_options=[option] if chosen else None)
    return _field(texts(label), element, optional=True)
