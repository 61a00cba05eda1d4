"""The cards that buyers have on file at the sandbox's Stripe, and the switch that changes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.sandbox.stripe import StripeAccount
from bot.sandbox.stripe.cards import BY_NAME
from bot.sandbox.stripe.errors import JsonObject

OFFERED = ("visa", "mastercard", "declined_later", "insufficient_funds", "authentication_required", "bank_debit")


@dataclass(frozen=True, slots=True)
class Wallet:
    """A customer, and the newest card on file by its name in ``cards`` (empty: none)."""

    customer: str
    name: str
    card: str
    choices: Sequence[tuple[str, str]]


def wallets(stripe: StripeAccount) -> Sequence[Wallet]:
    return [_wallet(stripe, customer) for customer in stripe.state.customers if not customer.get("deleted")]


def put_on_file(stripe: StripeAccount, customer: str, card: str) -> None:
    """Replace whatever is on file by this card, or by none (an empty name)."""
    for method in stripe.customers.methods_of(customer):
        stripe.customers.detach(method["id"])
    if card:
        stripe.save_card(customer, card, default=True)


def _wallet(stripe: StripeAccount, customer: JsonObject) -> Wallet:
    methods = stripe.customers.methods_of(customer["id"])
    card = stripe.customers.card_of(methods[0]).name if methods else ""
    offered = dict.fromkeys((*OFFERED, *filter(None, [card])))
    choices = [("", "No saved card"), *((name, _says(name)) for name in offered)]
    return Wallet(customer["id"], customer["name"] or customer["description"] or customer["id"], card, choices)


def _says(name: str) -> str:
    card = BY_NAME[name]
    return f"···· {card.last4} · {card.label}"
