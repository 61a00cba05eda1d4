"""Stripe's test cards, and the test bank account, with what happens to each. No other number is ever taken."""

from dataclasses import dataclass
from enum import Enum


class Challenge(Enum):
    """When the bank wants to see the buyer (3-D Secure)."""

    NEVER = "never"
    UNLESS_SET_UP = "unless the card was set up for charges without the buyer"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a bank says no, in Stripe's words."""

    code: str
    decline_code: str
    message: str


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
LOST = Decline("card_declined", "lost_card", "Your card was declined.")
STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.")
EXPIRED = Decline("expired_card", "", "Your card has expired.")
WRONG_CVC = Decline("incorrect_cvc", "", "Your card's security code is incorrect.")
PROCESSING_ERROR = Decline(
    "processing_error", "", "An error occurred while processing your card. Try again in a little bit."
)
NEEDS_THE_BUYER = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


@dataclass(frozen=True, slots=True)
class TestCard:
    """One of the numbers that Stripe publishes for trying things out.

    ``attaches`` is false for cards that a bank refuses already when they are saved. ``slow`` money takes days.
    """

    __test__ = False  # pytest collects classes called Test…

    name: str
    number: str
    label: str
    alias: str
    brand: str = "visa"
    decline: Decline | None = None
    challenge: Challenge = Challenge.NEVER
    attaches: bool = True
    disputed: bool = False
    slow: bool = False

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def type(self) -> str:
        return "us_bank_account" if self.slow else "card"

    @property
    def grouped(self) -> str:
        """The number as it is printed on a card."""
        return " ".join(self.number[i : i + 4] for i in range(0, len(self.number), 4))


CARDS = (
    TestCard("visa", "4242424242424242", "Visa, succeeds", "pm_card_visa"),
    TestCard("mastercard", "5555555555554444", "Mastercard, succeeds", "pm_card_mastercard", brand="mastercard"),
    TestCard("declined", "4000000000000002", "Declined", "pm_card_chargeDeclined", decline=GENERIC, attaches=False),
    TestCard(
        "declined_later", "4000000000000341", "Saved, then declined", "pm_card_chargeCustomerFail", decline=GENERIC
    ),
    TestCard(
        "insufficient_funds",
        "4000000000009995",
        "Insufficient funds",
        "pm_card_chargeDeclinedInsufficientFunds",
        decline=INSUFFICIENT_FUNDS,
        attaches=False,
    ),
    TestCard(
        "lost", "4000000000009987", "Lost card", "pm_card_visa_chargeDeclinedLostCard", decline=LOST, attaches=False
    ),
    TestCard(
        "stolen",
        "4000000000009979",
        "Stolen card",
        "pm_card_visa_chargeDeclinedStolenCard",
        decline=STOLEN,
        attaches=False,
    ),
    TestCard(
        "expired", "4000000000000069", "Expired", "pm_card_chargeDeclinedExpiredCard", decline=EXPIRED, attaches=False
    ),
    TestCard(
        "wrong_cvc",
        "4000000000000127",
        "Wrong security code",
        "pm_card_chargeDeclinedIncorrectCvc",
        decline=WRONG_CVC,
        attaches=False,
    ),
    TestCard(
        "processing_error",
        "4000000000000119",
        "The bank stumbles",
        "pm_card_chargeDeclinedProcessingError",
        decline=PROCESSING_ERROR,
        attaches=False,
    ),
    TestCard(
        "authentication_required",
        "4000002760003184",
        "3-D Secure",
        "pm_card_authenticationRequired",
        challenge=Challenge.ALWAYS,
    ),
    TestCard(
        "three_d_secure_2",
        "4000000000003220",
        "3-D Secure 2",
        "pm_card_threeDSecure2Required",
        challenge=Challenge.ALWAYS,
    ),
    TestCard(
        "authentication_once",
        "4000002500003155",
        "3-D Secure until set up",
        "pm_card_authenticationRequiredOnSetup",
        challenge=Challenge.UNLESS_SET_UP,
    ),
    TestCard(
        "authentication_then_declined",
        "4000008260003178",
        "3-D Secure, then no funds",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        decline=INSUFFICIENT_FUNDS,
        challenge=Challenge.ALWAYS,
    ),
    TestCard("disputed", "4000000000000259", "Disputed afterwards", "pm_card_createDispute", disputed=True),
    TestCard("bank_debit", "000123456789", "Bank debit, takes days", "pm_usBankAccount", brand="", slow=True),
)

BY_NAME = {card.name: card for card in CARDS}
BY_NUMBER = {card.number: card for card in CARDS}
BY_ALIAS = {card.alias: card for card in CARDS}
