"""What people see of requests: the forms, the cards of the owners, the messages of whoever asked, and the limit.

What somebody wrote as a reason stands in a block of plain text, and escaped in what a phone shows.
"""

from collections.abc import Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    InputBlock,
    MarkdownTextObject,
    PlainTextInputElement,
    PlainTextObject,
    SectionBlock,
)
from slack_sdk.models.views import View

from bot.accounts.model import Account
from bot.money import Usd
from bot.purchases.asking.model import LONGEST_REASON, Asked, Limit, Request, State
from bot.purchases.model import Purchase
from bot.purchases.views import amount_field, channel_card
from bot.slack import mrkdwn, names
from bot.slack.buttons import ask_the_owner
from bot.text import Texts

Said = tuple[str, Sequence[Block]]


# ── the forms ─────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_form(
    texts: Texts, account: Account, nonce: str, *, amount: Usd | str | None = None, remark: str | None = None
) -> View:
    """Asks for amount and reason. ``amount`` and ``remark`` as in ``buy_form``."""
    whom = mrkdwn.mentions(sorted(account.owners))
    return View(
        type="modal",
        callback_id=names.ASK_FORM,
        private_metadata=nonce,
        title=texts("ask.title"),
        submit=texts("ask.submit"),
        close=texts("form.cancel"),
        blocks=[
            SectionBlock(text=texts("ask.about", account=mrkdwn.escape(account.name), owners=whom)),
            amount_field(texts, amount),
            *([SectionBlock(text=f":warning: {remark}")] if remark else []),
            InputBlock(
                block_id="reason",
                label=texts("ask.reason"),
                element=PlainTextInputElement(
                    action_id=names.ASK_REASON,
                    placeholder=texts("ask.reason_placeholder"),
                    multiline=True,
                    max_length=LONGEST_REASON,
                ),
            ),
        ],
    )


def change_form(texts: Texts, request: Request) -> View:
    """Asks an owner for the amount that they approve instead."""
    about = texts("ask.change_about", asker=mrkdwn.mention(request.asker_id), asked=request.asked)
    return View(
        type="modal",
        callback_id=names.CHANGE_REQUEST_FORM,
        private_metadata=request.id,
        title=texts("ask.change_title"),
        submit=texts("ask.change_submit"),
        close=texts("form.cancel"),
        blocks=[SectionBlock(text=about), amount_field(texts, request.amount)],
    )


def asked(texts: Texts, done: Asked) -> str:
    """What whoever asked is told at once."""
    request = done.request
    whom = mrkdwn.mentions(sorted(request.told))
    if not done.new:
        return texts("ask.asked_already", owners=whom, until=mrkdwn.moment(request.ends_at))
    said = texts("ask.asked", owners=whom)
    return f"{texts('ask.above_limit')} {said}" if _is_owners(request) else said


# ── the card of an owner ──────────────────────────────────────────────────────────────────────────────────────────


def owner_card(texts: Texts, request: Request, account: Account, reader: str) -> Said:
    """The living message of one owner: who asks for what and why, and what this owner can do; at last who decided."""
    facts = {"asker": mrkdwn.mention(request.asker_id), "account": mrkdwn.escape(account.name)}
    if request.state is not State.OPEN:
        return _with_reason(request, texts("ask.card_closed", asked=request.asked, **facts), _answer(texts, request))
    key = "ask.card_own" if _is_owners(request) else "ask.card"
    until = mrkdwn.moment(request.ends_at)
    said, blocks = _with_reason(request, texts(key, amount=request.amount, **facts), *_agreed_so_far(texts, request))
    hint = MarkdownTextObject(text=texts("ask.card_hint", until=until))
    return said, [*blocks, ActionsBlock(elements=_buttons(texts, request, reader)), ContextBlock(elements=[hint])]


def _buttons(texts: Texts, request: Request, reader: str) -> list[ButtonElement]:
    """The block has no id: where Slack knows it, it keeps showing what was there."""
    decline = ButtonElement(
        text=texts("ask.decline_button"), action_id=names.DECLINE_REQUEST, value=request.id, style="danger"
    )
    if request.first_by == reader:
        return [decline]
    sure = ConfirmObject(
        title=texts("ask.confirm_title", amount=request.amount),
        text=PlainTextObject(text=texts("ask.confirm")),
        confirm=texts("ask.change_submit"),
        deny=texts("form.cancel"),
    )
    approve = ButtonElement(
        text=texts("ask.approve_button", amount=request.amount),
        action_id=names.APPROVE_REQUEST,
        value=f"{request.id} {request.amount.cents}",
        style="primary",
        confirm=sure,
    )
    change = ButtonElement(text=texts("ask.change_button"), action_id=names.CHANGE_REQUEST, value=request.id)
    return [approve, change, decline]


def seen(value: str) -> tuple[str, Usd]:
    """The request, and the amount that stood on the button."""
    request_id, _, cents = value.partition(" ")
    return request_id, Usd(int(cents))


# ── the messages of whoever asked ─────────────────────────────────────────────────────────────────────────────────


def asker_card(texts: Texts, request: Request, account: Account) -> Said:
    """The living message of whoever asked: what for, how it stands, and a way to take it back."""
    whom = mrkdwn.mentions(sorted(request.told))
    said = texts("ask.yours", owners=whom, amount=request.asked, account=mrkdwn.escape(account.name))
    if request.state is not State.OPEN:
        return _with_reason(request, said, _answer(texts, request))
    waits = texts("ask.waits", until=mrkdwn.moment(request.ends_at))
    said, blocks = _with_reason(request, said, *_agreed_so_far(texts, request), waits)
    button = ButtonElement(text=texts("ask.withdraw_button"), action_id=names.WITHDRAW_REQUEST, value=request.id)
    return said, [*blocks, ActionsBlock(elements=[button])]


def outcome(texts: Texts, request: Request, purchase: Purchase | None) -> Said:
    """A message of its own, since an edit notifies nobody: the answer and, where it was yes, what became of it."""
    who = mrkdwn.mention(request.decided_by or "")
    if purchase:
        same = request.amount == request.asked
        key = "ask.answer_approved" if same else "ask.answer_changed"
        said = f"{texts(key, who=who, asked=request.asked, amount=request.amount)}\n{channel_card(texts, purchase)[0]}"
        return said, [SectionBlock(text=said)]
    if request.state is State.DECLINED:
        said = texts("ask.answer_declined", who=who, asked=request.asked)
        return said, [SectionBlock(text=said)]
    said = texts("ask.answer_expired", asked=request.asked)
    again = ask_the_owner(texts, texts.write_amount(request.asked))
    return said, [SectionBlock(text=said), ActionsBlock(elements=[again])]


def first_of_two(texts: Texts, owner: str) -> str:
    """It takes one more owner."""
    return texts("ask.first", who=mrkdwn.mention(owner))


def _is_owners(request: Request) -> bool:
    """An owner's own purchase, which was too much for one."""
    return request.asker_id == request.first_by


def _agreed_so_far(texts: Texts, request: Request) -> list[str]:
    if request.agreed_first is None:
        return []
    changed = request.amount != request.asked
    said = [texts("ask.first_changed", asked=request.asked, amount=request.amount)] if changed else []
    return [*said, first_of_two(texts, request.agreed_first)]


def _answer(texts: Texts, request: Request) -> str:
    who = mrkdwn.mention(request.decided_by or "")
    if request.state is State.EXPIRED:
        return texts("ask.expired")
    if request.withdrawn:
        return texts("ask.withdrawn", who=who)
    if request.state is State.DECLINED:
        return texts("ask.declined", who=who)
    key = "ask.approved" if request.amount == request.asked else "ask.approved_changed"
    said = texts(key, who=who, amount=request.amount)
    if request.agreed_first in (None, request.decided_by):
        return said
    return f"{said} {texts('ask.approved_before', who=mrkdwn.mention(request.agreed_first))}"


def _with_reason(request: Request, said: str, *stands: str) -> Said:
    """First what is asked, then why in the asker's own words, then how it stands."""
    blocks: list[Block] = [SectionBlock(text=said)]
    lines = [said]
    if request.reason:
        blocks.append(SectionBlock(text=PlainTextObject(text=f"“{request.reason}”", emoji=False)))
        lines.append(f"“{mrkdwn.escape(request.reason)}”")
    if stands:
        blocks.append(SectionBlock(text=" ".join(stands)))
        lines.append(" ".join(stands))
    return "\n".join(lines), blocks


# ── the limit ─────────────────────────────────────────────────────────────────────────────────────────────────────


def limit_stands(texts: Texts, account: Account, limit: Limit | None) -> str:
    """The limit as it is, and how to change it."""
    name = mrkdwn.escape(account.name)
    change = texts("ask.limit_change", example=texts.write_amount(Usd.dollars(500)))
    if limit is None or limit.amount is None:
        return f"{texts('ask.limit_none', account=name)} {change}"
    said = texts("ask.limit_is", account=name, limit=limit.amount, who=mrkdwn.mention(limit.set_by))
    alone = [texts("ask.limit_alone")] if len(account.owners) == 1 else []
    return " ".join([said, *alone, change])


def limit_news(texts: Texts, account: Account, limit: Limit) -> Said:
    """What every owner is told when one of them changed it."""
    facts = {"who": mrkdwn.mention(limit.set_by), "account": mrkdwn.escape(account.name)}
    if limit.amount is None:
        said = texts("ask.limit_lifted", **facts)
    else:
        said = texts("ask.limit_set", limit=limit.amount, **facts)
    return said, [SectionBlock(text=said)]
