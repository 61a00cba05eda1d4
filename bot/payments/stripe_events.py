"""Reads what Stripe says happened, from its list of events and from signed webhooks. Only hints come out."""

import json
import re
import time
from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

from bot.payments.gateway import ForeignHint, Hint
from bot.payments.stripe_answers import JsonObject

KINDS = [  # Stripe takes at most 20 in one question
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
]
_REVERSALS = ("charge.refund", "refund.", "charge.dispute.")  # how their kinds begin
_TOLERANCE_SECONDS = 300


def hint(event: JsonObject) -> Hint:
    """A snapshot event, as the list and ordinary webhooks carry it. Of other kinds than ours it leads nowhere."""
    item = event["data"]["object"]
    kind, ident = item["object"], item["id"]
    reversal = event["type"].startswith(_REVERSALS)
    if not reversal and event["type"] not in KINDS:
        return Hint(event["id"], event["type"])
    return Hint(
        event_id=event["id"],
        kind=event["type"],
        purchase_id=_word(item.get("client_reference_id") or (item.get("metadata") or {}).get("purchase_id")),
        intent_id=ident if kind == "payment_intent" else _id_of(item.get("payment_intent")),
        session_id=ident if kind == "checkout.session" else None,
        reversal=reversal,
    )


def notification(body: bytes, signature: str, secrets: Sequence[str], *, live: bool) -> Hint:
    """A webhook that one of ``secrets`` signed within the last minutes, for our mode. Else ``ForeignHint``."""
    _check_age(signature)
    if not any(_signed(body, signature, secret) for secret in secrets):
        raise ForeignHint("not signed by our Stripe account")
    try:
        event = json.loads(body)
        if event["livemode"] is not live or event.get("account"):
            raise ForeignHint("of the other mode, or of another account")
        return _thin(event) if event["object"] == "v2.core.event" else hint(event)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ForeignHint("not an event") from error


def _thin(event: JsonObject) -> Hint:
    """A thin event only names the object that it is about; from a refund or a dispute nothing leads to its payment."""
    related = event["related_object"]
    return Hint(
        event_id=event["id"],
        kind=event["type"].removeprefix("v1."),
        intent_id=related["id"] if related["type"] == "payment_intent" else None,
        session_id=related["id"] if related["type"] == "checkout.session" else None,
    )


def _check_age(signature: str) -> None:
    """Stripe's own check looks only at the past, and lets any number of timestamps through."""
    stamps = re.findall(r"(?:^|,)t=([^,]*)", signature)
    if len(stamps) != 1 or not re.fullmatch("[0-9]{1,12}", stamps[0]):
        raise ForeignHint("a signature without its time")
    if abs(time.time() - int(stamps[0])) > _TOLERANCE_SECONDS:
        raise ForeignHint("a signature of another time")


def _signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(body, signature, secret, _TOLERANCE_SECONDS))
    except (SignatureVerificationError, AttributeError, TypeError, ValueError):  # it raises all of these
        return False


def _word(said: object) -> str | None:
    """What others than Stripe may have written, if it can be looked for: a database takes not every character."""
    return said if isinstance(said, str) and said.isprintable() else None


def _id_of(reference: object) -> str | None:
    """The id in a field that holds an id, an expanded object, or nothing."""
    if isinstance(reference, dict):
        reference = reference["id"]
    return reference if isinstance(reference, str) else None
