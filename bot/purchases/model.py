"""What a purchase is, which states it goes through, and what each outcome of a payment makes of it. Rules only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.accounts.model import Workspace
from bot.errors import Refusal
from bot.money import GREATEST, LEAST, Credits, Usd
from bot.payments.gateway import Cancelled, Card, Declined, Expired, NeedsBuyer, Outcome, Paid, Processing, Reversal

ASK_AGAIN_WITHIN = timedelta(minutes=1)  # the same amount bought twice within this is asked about
CHARGE_WITHIN = timedelta(hours=1)  # a charge that could not even begin by then is given up, with nothing taken
UNKNOWN_FOR_LONG = timedelta(hours=24)  # support is told by then
LEASE = timedelta(seconds=45)
FARTHEST_LOOK = timedelta(minutes=15)
_FARTHEST_AFTER_FAILURE = timedelta(minutes=5)
FAILED_FOR_LONG = UNKNOWN_FOR_LONG // _FARTHEST_AFTER_FAILURE  # so many tries in vain take that long


class Status(StrEnum):
    REQUESTED = "requested"  # stored; nobody has asked the bank yet
    CHARGING = "charging"  # the saved card is being charged
    CHECKOUT = "checkout"  # a page at Stripe waits for the buyer
    PROCESSING = "processing"  # paid, and the bank takes its time
    SETTLED = "settled"  # paid and credited
    DECLINED = "declined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"  # money came, but not the amount that was asked: not credited, somebody is told
    REFUNDED = "refunded"
    DISPUTED = "disputed"


LIVE = frozenset({Status.REQUESTED, Status.CHARGING, Status.CHECKOUT, Status.PROCESSING})
UNPAID = frozenset({*LIVE, Status.DECLINED, Status.EXPIRED, Status.CANCELLED})
CREDITED = frozenset({Status.SETTLED, Status.REFUNDED, Status.DISPUTED})

LOST = "dispute.lost"  # the reason of a disputed purchase of which nothing is open any more


class PayWith(StrEnum):
    """What the buyer was shown, and so agreed to."""

    CARD = "card"  # the card named in the form
    CHECKOUT = "checkout"  # Stripe's page
    EITHER = "either"  # Stripe did not answer in time: "your saved card, or Stripe's page if there is none"


class TooLittle(Refusal):
    key = "refusal.too_little"
    field = "amount"


class TooMuch(Refusal):
    key = "refusal.too_much"
    field = "amount"


class StaleForm(Refusal):
    """The form's nonce is not ours, not this person's, or older than a day."""

    key = "refusal.stale_form"


class Frozen(Refusal):
    """The books did not prove themselves: nothing is sold until somebody has looked."""

    key = "refusal.frozen"


class JustBought(Refusal):
    """The same amount was bought for the same account a moment ago: asked about, not refused for good."""

    key = "buy.again"

    def __init__(self, amount: Usd, *, seconds: int, buyer: str) -> None:
        super().__init__(amount=amount, n=seconds, buyer=buyer)
        self.seconds = seconds
        self.buyer = buyer


def check_amount(amount: Usd) -> None:
    """Raise when the amount cannot be bought."""
    if amount < LEAST:
        raise TooLittle(least=LEAST, greatest=GREATEST)
    if amount > GREATEST:
        raise TooMuch(least=LEAST, greatest=GREATEST)


@dataclass(frozen=True, slots=True)
class Purchase:
    """One intent to buy, and what became of it."""

    id: str
    nonce: str  # unique: one form, one purchase
    account_id: str
    workspace: Workspace
    buyer_id: str
    locale: str | None  # the buyer's
    amount: Usd
    status: Status
    pay_with: PayWith
    created_at: datetime
    updated_at: datetime
    check_at: datetime | None  # when the worker looks at it next; None when there is nothing to look at
    lease_until: datetime | None = None  # somebody is at it; also names who: whoever lost the lease changes nothing
    card: Card | None = None
    intent_id: str | None = None
    session_id: str | None = None
    checkout_url: str | None = None
    attempts: int = 0  # at making an intent or a page; part of Stripe's idempotency keys
    failures: int = 0  # answers missed since the last one that came
    reason: str | None = None  # a decline code, the key of a refusal, or LOST
    cancelled_by: str | None = None  # who asked to cancel
    receipt_url: str | None = None
    request_id: str | None = None  # Stripe's, of the last request that failed: for support
    balance: Credits | None = None  # the account's, after this purchase was credited
    reversed: Usd = Usd(0)  # given back by refunds and disputes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome makes of a purchase. ``note`` goes into its history, for support."""

    status: Status
    note: str | None = None
    intent_id: str | None = None
    receipt_url: str | None = None
    reason: str | None = None


def verdict(purchase: Purchase, outcome: Outcome) -> Verdict | None:
    """What the outcome makes of the purchase; None when it changes nothing. Money that arrived always counts."""
    live = purchase.status in LIVE
    match outcome:
        case Paid() if purchase.status in UNPAID:
            as_asked = outcome.amount == purchase.amount and outcome.currency == "usd"
            return Verdict(
                Status.SETTLED if as_asked else Status.QUARANTINED,
                note=f"{outcome.intent_id}: {outcome.amount} {outcome.currency}",
                intent_id=outcome.intent_id,
                receipt_url=outcome.receipt_url,
            )
        case Processing(intent_id) if live and purchase.status is not Status.PROCESSING:
            return Verdict(Status.PROCESSING, note=intent_id, intent_id=intent_id)
        case Declined(code) if live:
            return Verdict(Status.DECLINED, note=code, reason=code)
        case NeedsBuyer() if purchase.status is Status.PROCESSING:  # the bank wants a buyer who has left long ago
            return Verdict(Status.DECLINED, note="authentication_required", reason="card_declined")
        case Expired() | Cancelled() if live:
            closed = isinstance(outcome, Cancelled) or purchase.cancelled_by or is_refusal(purchase.reason or "")
            return Verdict(Status.CANCELLED if closed else Status.EXPIRED, reason=purchase.reason)
    return None


def is_refusal(reason: str) -> bool:
    """Whether a purchase's reason is a rule of ours, and not a bank's decline code."""
    return reason.startswith("refusal.")


def after_reversals(reversals: Sequence[Reversal]) -> tuple[Status, Usd, str | None]:
    """The status of a credited purchase, how much of it is gone, and its reason: ``LOST`` once nothing is open."""
    gone = Usd(sum(each.amount.cents for each in reversals))
    disputes = [each for each in reversals if each.kind == "dispute" and (each.open or each.amount.cents)]
    if disputes:
        return Status.DISPUTED, gone, None if any(each.open for each in disputes) else LOST
    return (Status.REFUNDED if gone.cents else Status.SETTLED), gone, None


def next_look(purchase: Purchase, now: datetime) -> timedelta:
    """How long to wait before asking again what became of a purchase that waits for somebody.

    Fresh ones are asked about often, so that a payment is credited within a minute though every webhook is lost;
    later ones seldom, because Stripe's list of events, read three times a minute, tells of them too.
    """
    if purchase.failures:
        return min(timedelta(seconds=2 ** min(purchase.failures, 10)), _FARTHEST_AFTER_FAILURE)
    age = now - purchase.created_at
    if purchase.status is Status.PROCESSING:
        return timedelta(seconds=30) if age < timedelta(minutes=10) else FARTHEST_LOOK
    return timedelta(seconds=20) if age < timedelta(minutes=30) else timedelta(minutes=10)
