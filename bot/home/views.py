"""The Home tab, from facts."""

from collections.abc import Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    MarkdownTextObject,
    SectionBlock,
)
from slack_sdk.models.views import View

from bot.accounts.model import Account
from bot.errors import Refusal
from bot.money import Credits
from bot.purchases.model import Purchase
from bot.slack import mrkdwn, names
from bot.text import Texts


def home(
    texts: Texts,
    account: Account | None,
    balance: Credits,
    latest: Sequence[Purchase],
    refusal: Refusal | None,
    support: str,
    *,
    owner: bool,
    parked: int = 0,
) -> View:
    """The tab of somebody who may buy, or who is told why not and what to do next.

    Receipts, and what was used and not paid for or not booked yet (``parked`` uses), are for an ``owner``.
    """
    blocks: list[Block] = [HeaderBlock(text=texts("app.name"))]
    if account is not None:
        blocks.append(SectionBlock(text=texts("home.balance", account=mrkdwn.escape(account.name), balance=balance)))
        if owner and (owed := _owed(texts, balance, parked)):
            blocks.append(SectionBlock(text=owed))
    if refusal is None:
        buy = ButtonElement(text=texts("home.buy"), action_id=names.OPEN_BUY_FORM, style="primary")
        alerts = ButtonElement(text=texts("home.alerts"), action_id=names.OPEN_ALERTS_FORM)
        blocks.append(ActionsBlock(elements=[buy, alerts]))
    else:
        facts = {name: mrkdwn.fact(value) for name, value in refusal.facts.items()}
        blocks.append(SectionBlock(text=texts(refusal.key, support=support, **facts)))
    if account is not None:
        blocks += [DividerBlock(), SectionBlock(text=f"*{texts('home.latest')}*")]
        lines = [_line(texts, each, owner=owner) for each in latest] or [texts("home.none")]
        blocks += [SectionBlock(text=line) for line in lines]
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=texts("home.trouble", support=support))]))
    return View(type="home", blocks=blocks)


def _owed(texts: Texts, balance: Credits, parked: int) -> str:
    said = [texts("home.overdrawn", owed=Credits(-balance.nano))] if balance.cents < 0 else []
    return " ".join([*said, texts("home.parked", n=parked)] if parked else said)


def _line(texts: Texts, purchase: Purchase, *, owner: bool) -> str:
    said = texts(
        "home.line",
        when=mrkdwn.moment(purchase.created_at),
        amount=purchase.amount,
        buyer=mrkdwn.mention(purchase.buyer_id),
        state=texts(f"state.{purchase.status}"),
    )
    if not owner or not purchase.receipt_url:
        return said
    return f"{said} · <{purchase.receipt_url}|{texts('card.receipt_button')}>"
