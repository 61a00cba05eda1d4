"""The Home tab, from facts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

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

from bot.accounts.model import Account, Plan
from bot.alerts.views import Outlook, dead_route, place, stands
from bot.errors import Refusal
from bot.money import Credits
from bot.purchases.model import Purchase
from bot.slack import charts, mrkdwn, names
from bot.slack.buttons import ask_the_owner, contact_support
from bot.text import Texts

_MOST_MODELS: Final = 8
_BAR: Final = 10  # characters of the longest
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a Home tells. For guests, strangers and workspaces without an account, only the ``refusal``.

    ``refusal`` is why this person may not buy. Receipts, where warnings go, and what was used and not booked yet
    (``parked`` uses) are for an ``owner``.
    """

    refusal: Refusal | None
    account: Account | None = None
    outlook: Outlook | None = None
    held: Credits = Credits.ZERO
    owner: bool = False
    parked: int = 0
    spent: Mapping[date, Mapping[str, Credits]] = field(default_factory=dict)  # by day and model, lately
    told_at: Sequence[str] = ()  # the channels and people that warnings go to
    dead: Mapping[str, str] = field(default_factory=dict)  # where they arrive no more, and Slack's reason
    latest: Sequence[Purchase] = ()


def home(texts: Texts, facts: Facts, support: str) -> View:
    """The tab: what the account has and what this person may do, or what to do next."""
    blocks: list[Block] = [HeaderBlock(text=texts("app.name"))]
    if facts.account and facts.outlook:
        blocks += _stands(texts, facts, facts.account, facts.outlook)
    if facts.refusal:
        about = {name: mrkdwn.fact(value) for name, value in facts.refusal.facts.items()}
        blocks.append(SectionBlock(text=texts(facts.refusal.key, support=support, **about)))
    blocks.append(ActionsBlock(elements=list(_buttons(texts, facts))))
    if facts.account:
        blocks += [*_spent(texts, facts.spent), *_routes(texts, facts, facts.account), *_latest(texts, facts)]
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=texts("home.trouble", support=support))]))
    return View(type="home", blocks=blocks)


def _stands(texts: Texts, facts: Facts, account: Account, outlook: Outlook) -> Iterator[Block]:
    yield SectionBlock(text=stands(texts, "home.balance", outlook))
    if facts.held > Credits.ZERO:
        available = Credits(outlook.balance.nano - facts.held.nano)
        yield SectionBlock(text=texts("home.held", held=facts.held, available=available))
    if facts.owner and (owed := _owed(texts, outlook.balance, facts.parked)):
        yield SectionBlock(text=owed)
    yield ContextBlock(elements=[MarkdownTextObject(text=_plan(texts, account, outlook.now))])


def _owed(texts: Texts, balance: Credits, parked: int) -> str:
    said = [texts("home.overdrawn", owed=Credits(-balance.nano))] if balance.cents < 0 else []
    return " ".join([*said, texts("home.parked", n=parked)] if parked else said)


def _plan(texts: Texts, account: Account, now: datetime) -> str:
    if account.plan is not Plan.FREE_TRIAL:
        return texts("home.plan", plan=account.plan.label)
    if account.trial_ends_at is None:
        return texts("home.trial")
    days = -((now - account.trial_ends_at) // _DAY)  # up: the last one is a day too
    return texts("home.trial_left", n=days) if days > 0 else texts("home.trial_over")


def _buttons(texts: Texts, facts: Facts) -> Iterator[ButtonElement]:
    """What this person may do. Each is listened to by another part of the bot."""
    if facts.refusal is None:
        yield ButtonElement(text=texts("home.buy"), action_id=names.OPEN_BUY_FORM, style="primary")
    elif facts.refusal.ask_for is not None:
        yield ask_the_owner(texts)
    if facts.account:
        yield ButtonElement(text=texts("home.history"), action_id=names.OPEN_HISTORY)
    if facts.account and facts.owner:
        yield ButtonElement(text=texts("home.alerts"), action_id=names.OPEN_ALERTS_FORM)
        if facts.account.customer:
            yield ButtonElement(text=texts("home.card"), action_id=names.CHANGE_CARD)
            yield ButtonElement(text=texts("home.invoices"), action_id=names.OPEN_INVOICES)
    yield contact_support(texts, "home")


def _spent(texts: Texts, spent: Mapping[date, Mapping[str, Credits]]) -> Iterator[Block]:
    """By model, as bars and figures: Slack draws charts and tables in messages only, so there is a button for those."""
    models = charts.sums(spent.values())
    if not (used := charts.total(models.values())).nano:
        return
    shown = list(models.items())[:_MOST_MODELS]
    if rest := charts.total(list(models.values())[_MOST_MODELS:]).nano:
        shown.append((texts("chart.others"), Credits(rest)))
    yield DividerBlock()
    yield SectionBlock(
        text=f"*{texts('home.spent', n=len(spent), used=used)}*",
        accessory=ButtonElement(text=texts("home.spent_chart"), action_id=names.SHOW_SPEND),
    )
    most = max(cost.nano for _, cost in shown)
    lines = [_bar(texts, model, cost, most, used) for model, cost in shown]
    yield SectionBlock(text="\n".join(lines))


def _bar(texts: Texts, model: str, cost: Credits, most: int, used: Credits) -> str:
    filled = max(1, cost.nano * _BAR // most)
    bar = f"`{'█' * filled}{'░' * (_BAR - filled)}`"
    percent = cost.nano * 100 // used.nano
    return f"{bar} {texts('home.spent_line', model=mrkdwn.escape(model), cost=cost, percent=percent)}"


def _routes(texts: Texts, facts: Facts, account: Account) -> Iterator[Block]:
    if not facts.told_at and not facts.dead:
        return
    yield DividerBlock()
    where = " ".join(map(place, facts.told_at)) or texts("home.routes_none")
    yield SectionBlock(text=f"*{texts('home.routes')}*\n{where}")
    for dead, error in facts.dead.items():
        said, _ = dead_route(texts, account.name, route=dead, error=error, instead=next(iter(facts.told_at), None))
        yield SectionBlock(text=said)


def _latest(texts: Texts, facts: Facts) -> Iterator[Block]:
    yield DividerBlock()
    yield SectionBlock(text=f"*{texts('home.latest')}*")
    lines = [_line(texts, each, owner=facts.owner) for each in facts.latest] or [texts("home.none")]
    yield from (SectionBlock(text=line) for line in lines)


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
