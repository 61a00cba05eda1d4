"""Reads Stripe's objects, as plain JSON, into the gateway's own words. Asks nobody anything.

What cannot be read raises ``KeyError``, ``TypeError`` or ``ValueError``: a status that is unknown here is no answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.money import Usd
from bot.payments.gateway import (
    Cancelled,
    Card,
    CheckoutLink,
    Declined,
    Expired,
    NeedsBuyer,
    Open,
    Outcome,
    Paid,
    Processing,
    Reversal,
    Unconfirmed,
)

JsonObject = dict[str, Any]

_ASKS_FOR_BUYER = "authentication_required"
_MONEY_IS_BACK = {"won", "prevented"}
_MONEY_NEVER_LEFT = {"warning_needs_response", "warning_under_review", "warning_closed"}
_UNDECIDED = {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}


def payment(intent: JsonObject) -> Outcome:
    """What became of a PaymentIntent whose ``latest_charge`` is expanded."""
    match intent["status"]:
        case "succeeded":
            return _paid(intent)
        case "processing":
            return Processing(intent["id"])
        case "requires_action":
            return NeedsBuyer()
        case "requires_confirmation":
            return Unconfirmed(intent["id"])
        case "requires_payment_method":
            error = intent["last_payment_error"]
            return _refusal(error) if error else Unconfirmed(intent["id"])
        case "canceled":
            return Cancelled()
        case status:
            raise ValueError(f"a payment of the unknown status {status!r}")


def _paid(intent: JsonObject) -> Paid:
    charge = intent["latest_charge"]
    return Paid(
        intent_id=intent["id"],
        amount=_usd(intent["amount_received"]),
        currency=intent["currency"],
        receipt_url=charge["receipt_url"],
        paid_at=moment(charge["created"]),
        went_back=charge["disputed"] or charge["amount_refunded"] > 0,
    )


def _refusal(error: JsonObject) -> Declined | NeedsBuyer:
    """Why a card was refused. The bank's own reason says more than Stripe's."""
    codes = [code for code in (error.get("decline_code"), error.get("code")) if code]
    if _ASKS_FOR_BUYER in codes:
        return NeedsBuyer()
    return Declined(codes[0] if codes else "card_error")


def checkout(session: JsonObject) -> Outcome:
    """What became of a Checkout Session, ``payment_intent.latest_charge`` expanded. Money counts before status."""
    paid_by = session["payment_intent"] and payment(session["payment_intent"])
    match session["status"], paid_by:
        case _, Paid():
            return replace(paid_by, amount=_without_tax(paid_by.amount, session.get("total_details")))
        case _, Processing():
            return paid_by
        case "open", _:
            return Open()
        case "expired", _:
            return Expired()
        case "complete", Declined():
            return paid_by
        case "complete", Cancelled():
            return Declined("canceled")
        case "complete", NeedsBuyer():  # a voucher or a transfer that the buyer has yet to make
            return Processing(session["payment_intent"]["id"])
        case status, _:
            raise ValueError(f"a checkout page that is {status!r} with the payment {paid_by!r}")


def _without_tax(paid: Usd, details: JsonObject | None) -> Usd:
    """What arrived for the goods. Stripe adds the tax to what was asked, and never takes it from that."""
    return Usd(paid.cents - _usd(details["amount_tax"]).cents) if details else paid


def link(session: JsonObject, done_url: str) -> CheckoutLink:
    """A page's address. A page that was paid has none any more: then it is the place where buyers come back to."""
    url = session["url"] or f"{done_url}?session_id={session['id']}"
    return CheckoutLink(session_id=session["id"], url=url, expires_at=moment(session["expires_at"]))


def card(method: JsonObject) -> Card:
    """A saved payment method of the type ``card``."""
    return Card(id=method["id"], brand=method["card"]["brand"], last4=method["card"]["last4"])


def refund(item: JsonObject) -> Reversal:
    """A refund. One that is still under way counts: the money is out of our hands."""
    match item["status"]:
        case "succeeded" | "pending" | "requires_action":
            gone = _usd(item["amount"])
        case "failed" | "canceled":
            gone = Usd(0)
        case status:
            raise ValueError(f"a refund of the unknown status {status!r}")
    return Reversal(item["id"], "refund", gone, open=False, at=moment(item["created"]))


def dispute(item: JsonObject) -> Reversal:
    """A dispute, or the mere warning of one, which holds no money. It names the bank's sum, in the bank's currency."""
    status = item["status"]
    if status in _UNDECIDED or status == "lost":
        gone = _usd(item["amount"])
    elif status in _MONEY_IS_BACK or status in _MONEY_NEVER_LEFT:
        gone = Usd(0)
    else:
        raise ValueError(f"a dispute of the unknown status {status!r}")
    if gone.cents and item["currency"] != "usd":
        raise ValueError(f"a dispute in {item['currency']!r}")
    return Reversal(item["id"], "dispute", gone, open=status in _UNDECIDED, at=moment(item["created"]))


def shares(reversals: Iterable[Reversal], bought: Usd, paid: Usd) -> Sequence[Reversal]:
    """What went back of what was bought, where tax was paid with it: all of the payment is all of that.

    Each is rounded so that together they are never a cent off, and none takes more than was paid: a bank that reckons
    in another currency may dispute some cents more.
    """
    found: list[Reversal] = []
    gone = told = 0
    for each in reversals:
        gone += min(each.amount.cents, paid.cents)
        share = gone * bought.cents // paid.cents
        found.append(replace(each, amount=Usd(share - told)))
        told = share
    return found


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _usd(cents: object) -> Usd:
    if type(cents) is not int:
        raise TypeError(f"{cents!r} is no number of cents")
    return Usd(cents)
