"""What the bot asks of whoever moves the money, and what it hears back.

Every call raises ``bot.errors.Outage`` when the answer is unknown: nothing may be concluded from that but to ask
again later. A decline is not an error, it is an outcome.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bot.errors import Outage
from bot.money import Usd


@dataclass(frozen=True, slots=True)
class Card:
    """A saved card. ``id`` is the payment method; brand and last four digits are all that is ever shown."""

    id: str
    brand: str  # "visa"
    last4: str


@dataclass(frozen=True, slots=True)
class Order:
    """What is being paid for. ``id`` is the purchase: Stripe's idempotency keys are made from it."""

    id: str
    account_id: str
    customer: str
    amount: Usd
    description: str  # on the receipt, in the buyer's language
    slack_team: str
    slack_user: str
    placed_at: datetime
    reference_label: str = "Purchase order number"  # of a field on the page, in the buyer's language


# ── what became of a payment ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Paid:
    """The money moved. ``amount`` is what arrived, without the tax on it; the caller compares it with what was asked.

    ``receipt_url`` is the invoice where there is one. ``went_back``: some of it, or the bank disputes it.
    """

    intent_id: str
    amount: Usd
    currency: str
    receipt_url: str | None
    paid_at: datetime
    went_back: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The payment was made ready and nobody has asked for the money yet."""

    intent_id: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The bank or Stripe said no. ``code`` is Stripe's decline or error code. The buyer may pay in another way.

    ``request_id`` is Stripe's, of the request that it said so to, where that was ours.
    """

    code: str
    request_id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NeedsBuyer:
    """The bank wants the buyer to confirm (3-D Secure). Nothing has moved."""


@dataclass(frozen=True, slots=True)
class Processing:
    """The bank takes its time (up to days for a bank debit). Neither paid nor declined."""

    intent_id: str


@dataclass(frozen=True, slots=True)
class Open:
    """A checkout page waits for the buyer."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nothing was taken, and this payment can never take anything any more."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The checkout page closed by itself, unpaid."""


Outcome = Paid | Unconfirmed | Declined | NeedsBuyer | Processing | Open | Cancelled | Expired


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """A page of the payment provider on which the buyer pays by themselves."""

    session_id: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money that went back after a payment: a refund, or what a dispute holds or took for good.

    ``amount`` is what is gone at this moment, of what was bought and not of the tax on it: a dispute that was won has
    zero, so has a refund that failed.
    """

    id: str  # re_… or du_…
    kind: str  # "refund" | "dispute"
    amount: Usd
    open: bool  # a dispute not yet decided
    at: datetime


class Portal(StrEnum):
    """A part of the payment provider's own pages for customers."""

    CARD = "card"  # change it
    INVOICES = "invoices"


@dataclass(frozen=True, slots=True)
class Hint:
    """Somebody says that something happened to a payment. Never believed, only looked into."""

    event_id: str
    kind: str  # Stripe's event type
    purchase_id: str | None = None
    intent_id: str | None = None
    session_id: str | None = None
    reversal: bool = False  # of money that went back: all that is news of a payment which went through
    at: datetime | None = field(default=None, compare=False)  # by Stripe's clock; known of listed events

    def __bool__(self) -> bool:
        """Whether there is anything to look into."""
        return any((self.purchase_id, self.intent_id, self.session_id))


class CustomerGone(Outage):
    """The customer was deleted at Stripe, or never was in this Stripe account. Asking again does not help."""

    def __init__(self, customer: str) -> None:
        super().__init__("Stripe", f"there is no customer {customer}")
        self.customer = customer


class ForeignHint(Exception):
    """A notification that is not for this bot: not signed by our Stripe account, too old, or of the other mode."""


class PaymentGateway(Protocol):
    """Stripe, or the sandbox's stand-in for it behind the same adapter."""

    async def new_customer(self, account_id: str, name: str, slack_team: str, *, instead_of: str | None = None) -> str:
        """The id of the account's customer; the same one however often this is asked within a day.

        ``instead_of`` is the one that is gone: another is made, and again only one.
        """
        ...

    async def has_customer(self, customer: str) -> bool:
        """Whether this customer is still there."""
        ...

    async def saved_card(self, customer: str) -> Card | None:
        """The card that an off-session charge would use: the customer's default, else the newest saved one."""
        ...

    async def prepare(self, order: Order, attempt: int) -> str:
        """Make the payment ready without taking money; its intent's id. ``attempt`` is 0 the first time.

        Raise ``CustomerGone`` where there is nobody to pay; so does ``open_checkout``.

        From the second attempt on, an intent that an unheard answer left behind is found by its metadata and adopted,
        whatever became of it since.
        """
        ...

    async def confirm(self, intent_id: str, card_id: str) -> Outcome:
        """Take the money, off session. Safe to repeat: an intent is paid at most once."""
        ...

    async def payment(self, intent_id: str) -> Outcome:
        """What became of an intent."""
        ...

    async def cancel(self, intent_id: str) -> Outcome:
        """Close an intent for good. ``Cancelled``, or ``Paid``/``Processing`` when the money was faster."""
        ...

    async def open_checkout(self, order: Order, attempt: int, locale: str | None) -> CheckoutLink:
        """A checkout page for the order. From the second attempt on, an open one is found and adopted first."""
        ...

    async def checkout(self, session_id: str) -> Outcome:
        """``Open``, ``Paid``, ``Processing``, ``Declined`` (a late no) or ``Expired``."""
        ...

    async def close_checkout(self, session_id: str) -> Outcome:
        """Close a checkout page for good. ``Expired``, or ``Paid``/``Processing`` when the buyer was faster."""
        ...

    async def payment_named(self, hint: Hint) -> Outcome:
        """What became of the page or the intent that a hint names; an intent is that of its page, where it has one."""
        ...

    async def reversals(self, intent_id: str, bought: Usd) -> Sequence[Reversal]:
        """Everything that went back of the payment for what was ``bought``, or might, as it now stands."""
        ...

    async def open_portal(self, customer: str, part: Portal, locale: str | None) -> str:
        """The address of a page on which customers look after this by themselves. It is good for some minutes.

        Raise ``CustomerGone`` where there is nobody.
        """
        ...

    async def hints(self, since: datetime) -> Sequence[Hint]:
        """What happened at Stripe since then, oldest first. The way to learn of it without a webhook."""
        ...

    def read_webhook(self, body: bytes, signature: str) -> Hint:
        """Read a notification. Raise ``ForeignHint`` for anything that is not ours to believe, whatever it contains."""
        ...

    async def probe(self) -> Mapping[str, str]:
        """For the doctor: ``mode`` ("test"|"live") and ``account``. Raise ``Outage`` with the reason when refused."""
        ...

    async def probe_portal(self) -> bool:
        """For the doctor: whether somebody has set the portal up. Raise ``Outage`` as ``probe`` does."""
        ...
