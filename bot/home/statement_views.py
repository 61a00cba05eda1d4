"""The statement of a month as people read it, and the form around it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from babel.dates import format_skeleton
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    MarkdownTextObject,
    Option,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.ledger.store import Line
from bot.money import Credits
from bot.purchases.model import Purchase
from bot.slack import charts, mrkdwn, names
from bot.text import Texts
from bot.usage.months import Month, Summary

MOST_LINES: Final = 50  # of purchases and what went back: the others are summed up in one

_LONGEST: Final = 2_800  # characters of a section
_MOST_MODELS: Final = 20
_KINDS: Final = {
    "purchase": "history.purchase",
    "refund": "history.refund",
    "dispute": "history.dispute",
}


def looking(texts: Texts) -> View:
    """Until the figures are there."""
    return _form(texts, [SectionBlock(text=texts("history.looking"))])


def statement(
    texts: Texts,
    account: str,
    told: Summary,
    months: Sequence[Month],
    purchases: Mapping[str, Purchase],
    *,
    receipts: bool,
    zone: str,
) -> View:
    """A month. ``purchases`` by id are those behind its lines; ``receipts`` are for owners."""
    options = {month: Option(value=str(month), label=_name(texts, month)) for month in months}
    pick = StaticSelectElement(
        action_id=names.HISTORY_MONTH, options=list(options.values()), initial_option=options.get(told.month)
    )
    send = ButtonElement(text=texts("history.file"), action_id=names.HISTORY_FILE, value=str(told.month))
    lines = [texts("history.opening", balance=texts.exactly(told.opening))]
    lines += _others(texts, told.others, purchases, receipts=receipts)
    lines += [
        texts("history.used", day=_day(texts, day), change=_signed(texts, -cost.nano))
        for day, cost in told.days.items()
    ]
    lines.append(texts("history.closing", balance=texts.exactly(told.closing)))
    blocks: list[Block] = [
        SectionBlock(text=texts("history.about", account=mrkdwn.escape(account), month=_name(texts, told.month))),
        ActionsBlock(block_id=f"month_{told.month}", elements=[pick, send]),
        *_paragraphs(lines),
    ]
    if told.models:
        blocks += _paragraphs([f"*{texts('history.by_model')}*", *_models(texts, told.models)])
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=texts("history.zone", zone=zone))]))
    return _form(texts, blocks)


def _form(texts: Texts, blocks: list[Block]) -> View:
    return View(
        type="modal",
        callback_id=names.NOTICE,
        title=texts("history.title"),
        close=texts("form.close"),
        blocks=blocks,
    )


def _name(texts: Texts, month: Month) -> str:
    said = format_skeleton("yMMMM", month.first, locale=texts.locale)
    return said[0].upper() + said[1:]


def _day(texts: Texts, day: date) -> str:
    return format_skeleton("MMMEd", day, locale=texts.locale)


def _signed(texts: Texts, nano: int) -> str:
    return f"{'+' if nano > 0 else ''}{texts.exactly(Credits(nano))}"


def _others(texts: Texts, lines: Sequence[Line], purchases: Mapping[str, Purchase], *, receipts: bool) -> Iterator[str]:
    for line in lines[:MOST_LINES]:
        kind = line.cause.partition(":")[0]
        said = texts(
            "history.line",
            when=mrkdwn.moment(line.booked_at),
            what=texts(_KINDS[kind]) if kind in _KINDS else mrkdwn.escape(line.cause),
            change=_signed(texts, line.change.nano),
        )
        purchase = purchases.get(str(line.facts.get("purchase")))
        if purchase and kind == "purchase":
            said = f"{said} · {mrkdwn.mention(purchase.buyer_id)}"
        if purchase and receipts and purchase.receipt_url:
            said = f"{said} · <{purchase.receipt_url}|{texts('card.receipt_button')}>"
        yield said
    if more := lines[MOST_LINES:]:
        change = sum(line.change.nano for line in more)
        yield texts("history.more", n=len(more), change=_signed(texts, change))


def _models(texts: Texts, models: Mapping[str, Credits]) -> Iterator[str]:
    for model, cost in list(models.items())[:_MOST_MODELS]:
        yield texts("history.model", model=mrkdwn.escape(model), cost=texts.exactly(cost))
    if rest := charts.total(list(models.values())[_MOST_MODELS:]).nano:
        yield texts("history.model", model=texts("chart.others"), cost=texts.exactly(Credits(rest)))


def _paragraphs(lines: Sequence[str]) -> Iterator[Block]:
    """The lines in as few blocks as Slack's limit allows."""
    some: list[str] = []
    for line in lines:
        if some and sum(map(len, some)) + len(some) + len(line) > _LONGEST:
            yield SectionBlock(text="\n".join(some))
            some = []
        some.append(line)
    yield SectionBlock(text="\n".join(some))
