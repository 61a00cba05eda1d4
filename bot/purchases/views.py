"""What buyers see: the form, what it turns into, and the card of each purchase. The same facts make the same view."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    InputBlock,
    MarkdownTextObject,
    Option,
    PlainTextInputElement,
    RadioButtonsElement,
    SectionBlock,
)
from slack_sdk.models.views import View

from bot.accounts.model import Account
from bot.money import Credits, Usd
from bot.payments.gateway import Card
from bot.purchases.model import CREDITED, LIVE, LOST, PayWith, Purchase, Status, is_refusal
from bot.slack import mrkdwn, names
from bot.slack.buttons import contact_support
from bot.text import Texts

QUICK = (Usd.dollars(25), Usd.dollars(100), Usd.dollars(500), Usd.dollars(1000))
LONGEST_AMOUNT = 30  # characters
_ELSEWHERE = "checkout"
_BRANDS = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay"}

# Declines that have a sentence of their own; the others say that the bank gave no reason. Codes: Stripe's list of
# decline codes, https://docs.stripe.com/declines/codes. Fraud is never named: Stripe asks to show it as any decline.
_DECLINES = frozenset(
    {
        "insufficient_funds",
        "expired_card",
        "authentication_required",
        "card_velocity_exceeded",
        "currency_not_supported",
        "resource_missing",
    }
)
_SAME_AS = {"invalid_request": "resource_missing"}  # so Stripe refuses a card that its customer had taken away


@dataclass(frozen=True, slots=True)
class Form:
    """What a form carries with it, and hands back when it is submitted."""

    nonce: str
    pay_with: PayWith
    card: Card | None = None
    amount: Usd | None = None  # fixed: only "again?" asks for nothing but a yes

    def dumps(self) -> str:
        card = [self.card.id, self.card.brand, self.card.last4] if self.card else None
        return json.dumps([self.nonce, self.pay_with, card, self.amount and self.amount.cents])

    @classmethod
    def loads(cls, metadata: str) -> "Form":
        nonce, pay_with, card, cents = json.loads(metadata)
        return cls(nonce, PayWith(pay_with), Card(*card) if card else None, Usd(cents) if cents else None)


def card_name(card: Card) -> str:
    """``Visa •••• 4242``."""
    return f"{_BRANDS.get(card.brand, card.brand.title())} •••• {card.last4}"


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


def buy_form(
    texts: Texts,
    account: Account,
    balance: Credits,
    form: Form,
    *,
    amount: Usd | str | None = None,
    remark: str | None = None,
    asking: bool = False,
) -> View:
    """The form. ``amount`` fills the field in: an amount, or what somebody typed that could not be read.

    ``remark`` says what is wrong with it; ``asking`` while Stripe is still asked about the saved card.
    """
    blocks: list[Block] = [
        SectionBlock(text=texts("buy.balance", account=mrkdwn.escape(account.name), balance=balance)),
        ActionsBlock(
            block_id="quick",
            elements=[
                ButtonElement(
                    text=texts.short(quick), action_id=f"{names.QUICK_AMOUNT}_{quick.cents}", value=str(quick.cents)
                )
                for quick in QUICK
            ],
        ),
        amount_field(texts, amount),
        *([SectionBlock(text=f":warning: {remark}")] if remark else []),
        *_payment(texts, form, asking),
        ContextBlock(elements=[MarkdownTextObject(text=texts("buy.terms"))]),
    ]
    return View(
        type="modal",
        callback_id=names.BUY_FORM,
        private_metadata=form.dumps(),
        title=texts("buy.title"),
        submit=texts("buy.submit"),
        close=texts("form.cancel"),
        blocks=blocks,
    )


def amount_field(texts: Texts, amount: Usd | str | None) -> InputBlock:
    """Where an amount is typed. ``amount`` as in ``buy_form``."""
    return InputBlock(
        block_id=f"amount_{amount.cents if isinstance(amount, Usd) else 'typed'}",  # a new id shows the new value
        label=texts("buy.amount"),
        hint=texts("buy.limits", **texts.limits),
        element=PlainTextInputElement(
            action_id=names.AMOUNT,
            initial_value=texts.write_amount(amount) if isinstance(amount, Usd) else amount,
            placeholder=texts("buy.placeholder", example=texts.write_amount(QUICK[0])),
            max_length=LONGEST_AMOUNT,
            focus_on_load=True,
        ),
    )


def _payment(texts: Texts, form: Form, asking: bool) -> list[Block]:
    if asking:
        return [SectionBlock(block_id="payment", text=texts("buy.asking_card"))]
    if form.card is None:
        key = "buy.pay_on_page" if form.pay_with is PayWith.CHECKOUT else "buy.pay_either"
        return [SectionBlock(block_id="payment", text=texts(key))]
    saved = Option(value=form.card.id, label=card_name(form.card), description=texts("buy.card_hint"))
    other = Option(value=_ELSEWHERE, label=texts("buy.other_card"), description=texts("buy.other_card_hint"))
    return [
        InputBlock(
            block_id="payment",
            label=texts("buy.pay_with"),
            element=RadioButtonsElement(action_id=names.PAY_WITH, options=[saved, other], initial_option=saved),
        )
    ]


def wants_page(chosen: Mapping[str, Any] | None) -> bool:
    """Whether the buyer chose Stripe's page although a card is saved."""
    return bool(chosen) and (chosen or {}).get("value") == _ELSEWHERE


def again_form(
    texts: Texts,
    form: Form,
    amount: Usd,
    *,
    seconds: int,
    buyer: str,
    reader: str,
    callback_id: str = names.BUY_AGAIN_FORM,
) -> View:
    """The same amount was bought a moment ago: is this one meant too?"""
    if buyer == reader:
        said = texts("buy.again_yours", amount=amount, n=seconds)
    else:
        said = texts("buy.again", amount=amount, n=seconds, buyer=mrkdwn.mention(buyer))
    return View(
        type="modal",
        callback_id=callback_id,
        private_metadata=form.dumps(),
        title=texts("buy.again_title"),
        submit=texts("buy.again_submit"),
        close=texts("form.cancel"),
        blocks=[SectionBlock(text=said)],
    )


def stands(texts: Texts, purchase: Purchase) -> View:
    """What the form turns into: how the purchase stands and, until it has ended, where its end will be told."""
    told = ContextBlock(elements=[MarkdownTextObject(text=texts("buy.told_in_messages"))])
    return View(
        type="modal",
        callback_id=names.NOTICE,
        title=texts("buy.title"),
        close=texts("form.close"),
        blocks=[
            SectionBlock(text=_sentence(texts, purchase)),
            *_actions(purchase, [button for button in _buttons(texts, purchase) if _stays_in_form(button)]),
            *([told] if purchase.status in LIVE else []),
        ],
    )


# ── the card of a purchase ────────────────────────────────────────────────────────────────────────────────────────


def buyer_card(texts: Texts, purchase: Purchase, account: Account, support: str) -> tuple[str, Sequence[Block]]:
    """The living message in the conversation with the buyer: its text, which says it all, and its blocks."""
    said = _sentence(texts, purchase, account, support)
    blocks: list[Block] = [SectionBlock(text=said)]
    blocks += _actions(purchase, _buttons(texts, purchase))
    footer = texts("card.footer", account=mrkdwn.escape(account.name), purchase=purchase.id, support=support)
    blocks.append(ContextBlock(elements=[MarkdownTextObject(text=f"{mrkdwn.moment(purchase.created_at)} · {footer}")]))
    return said, blocks


def channel_card(texts: Texts, purchase: Purchase) -> tuple[str, Sequence[Block]]:
    """The living message in the account's channel: who bought how much, and how it ended. No link to pay by."""
    facts = {"buyer": mrkdwn.mention(purchase.buyer_id), "amount": purchase.amount, "reversed": purchase.reversed}
    said = texts(f"channel.{_stage(purchase)}", balance=purchase.balance or Credits.ZERO, **facts)
    moment = MarkdownTextObject(text=mrkdwn.moment(purchase.created_at))
    return said, [SectionBlock(text=said), ContextBlock(elements=[moment])]


def _stage(purchase: Purchase) -> str:
    """Several states look alike from the channel."""
    match purchase.status:
        case Status.REQUESTED | Status.CHARGING | Status.CHECKOUT | Status.PROCESSING:
            return "under_way"
        case Status.DECLINED | Status.EXPIRED | Status.CANCELLED:
            return "not_bought"
        case Status.DISPUTED if purchase.reason == LOST:
            return "dispute_lost"
    return purchase.status.value


def _sentence(texts: Texts, purchase: Purchase, account: Account | None = None, support: str = "") -> str:
    """How the purchase stands, in plain words, with the next step."""
    said = texts(
        _key(purchase),
        amount=purchase.amount,
        card=card_name(purchase.card) if purchase.card else "",
        balance=purchase.balance or Credits.ZERO,
        reversed=purchase.reversed,
    )
    if _card_failed(purchase):
        return f"{_decline(texts, purchase)} {said}"
    if purchase.status is Status.DECLINED:
        why = said if purchase.session_id else _decline(texts, purchase)  # on the page it was another card than ours
        return f"{why} {texts('card.next_step')}"
    if purchase.status is Status.CANCELLED:
        return f"{said} {_why_cancelled(texts, purchase, account, support)}".rstrip()
    return said


def _card_failed(purchase: Purchase) -> bool:
    """The saved card was declined, and the page is what is left."""
    return purchase.status is Status.CHECKOUT and bool(purchase.reason) and not is_refusal(purchase.reason or "")


def _key(purchase: Purchase) -> str:
    match purchase.status:
        case Status.REQUESTED | Status.CHARGING if purchase.card:
            return "card.charging"
        case Status.REQUESTED | Status.CHARGING:
            return "card.preparing"
        case Status.CHECKOUT if purchase.reason == "authentication_required":
            return "card.confirm"
        case Status.DISPUTED if purchase.reason == LOST:
            return "card.dispute_lost"
    return f"card.{purchase.status.value}"


def _decline(texts: Texts, purchase: Purchase) -> str:
    reason = _SAME_AS.get(purchase.reason or "", purchase.reason)
    code = reason if reason in _DECLINES else "other"
    card = card_name(purchase.card) if purchase.card else texts("card.your_payment")
    return texts(f"decline.{code}", card=card, amount=purchase.amount)


def _why_cancelled(texts: Texts, purchase: Purchase, account: Account | None, support: str) -> str:
    reason = purchase.reason or ""
    if purchase.cancelled_by or not is_refusal(reason) or account is None:
        return ""
    owners = mrkdwn.mentions(sorted(account.owners))
    return texts(reason, account=mrkdwn.escape(account.name), owners=owners, support=support)


def _stays_in_form(button: ButtonElement) -> bool:
    """What leads to a page, or to a person; the rest belongs to the card."""
    return bool(button.url) or button.action_id == names.CONTACT_SUPPORT


def _actions(purchase: Purchase, buttons: list[ButtonElement]) -> list[Block]:
    return [ActionsBlock(block_id=f"purchase_{purchase.status}", elements=buttons)] if buttons else []


def _buttons(texts: Texts, purchase: Purchase) -> list[ButtonElement]:
    if purchase.status is Status.CHECKOUT:
        key = "card.confirm_button" if purchase.reason == "authentication_required" else "card.pay_button"
        support = [contact_support(texts, f"purchase:{purchase.id}")] if _card_failed(purchase) else []
        return [
            ButtonElement(
                text=texts(key, amount=purchase.amount),
                action_id=names.FOLLOW_LINK,
                url=purchase.checkout_url,
                style="primary",
            ),
            ButtonElement(text=texts("card.cancel_button"), action_id=names.CANCEL_PURCHASE, value=purchase.id),
            *support,
        ]
    buttons = []
    if purchase.status in CREDITED and purchase.receipt_url:
        receipt = purchase.receipt_url
        buttons.append(ButtonElement(text=texts("card.receipt_button"), action_id=names.FOLLOW_LINK, url=receipt))
    if purchase.status in (Status.DECLINED, Status.EXPIRED, Status.CANCELLED):
        again = str(purchase.amount.cents)
        buttons.append(ButtonElement(text=texts("card.again_button"), action_id=names.OPEN_BUY_FORM, value=again))
    if purchase.status not in LIVE | {Status.SETTLED}:
        buttons.append(contact_support(texts, f"purchase:{purchase.id}"))
    return buttons
