"""Customers and their cards: what may be saved, used again, attached and removed."""

from collections.abc import Callable
from typing import Any

from bot.sandbox.stripe.cards import BY_ALIAS, BY_NUMBER, TestCard
from bot.sandbox.stripe.errors import JsonObject, StripeRefusal, invalid
from bot.sandbox.stripe.state import State, merged

NEVER_AGAIN = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


class Customers:
    """Rules for ``/v1/customers`` and ``/v1/payment_methods``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._cards: dict[str, TestCard] = {}
        self._used_up: set[str] = set()
        self._set_up: set[str] = set()

    def create(self, params: JsonObject) -> JsonObject:
        customer = {
            "id": self._state.new_id("cus", 14),
            "object": "customer",
            "address": params.get("address"),
            "balance": 0,
            "business_name": params.get("business_name"),
            "created": self._state.now(),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": params.get("description"),
            "email": params.get("email"),
            "individual_name": params.get("individual_name"),
            "invoice_settings": {"default_payment_method": None},
            "livemode": False,
            "metadata": merged({}, params.get("metadata", {})),
            "name": params.get("name"),
            "phone": params.get("phone"),
            "preferred_locales": params.get("preferred_locales", []),
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }
        self._state.customers.add(customer)
        self._state.emit("customer.created", customer)
        return customer

    def retrieve(self, ident: str) -> JsonObject:
        """A deleted customer is still answered for, with little more than its id."""
        return self._state.customers.get(ident)

    def living(self, ident: str, param: str) -> JsonObject:
        """The customer, who must exist and not be deleted."""
        customer = self._state.customers.get(ident, param)
        if customer.get("deleted"):
            raise invalid(f"No such customer: '{ident}'", param=param, code="resource_missing")
        return customer

    def update(self, ident: str, params: JsonObject) -> JsonObject:
        customer = self.living(ident, "id")
        changes = dict(params)
        if "metadata" in changes:
            changes["metadata"] = merged(customer["metadata"], changes["metadata"])
        if settings := changes.pop("invoice_settings", None):
            changes["invoice_settings"] = self._default_method(customer, settings)
        before = {key: customer[key] for key, value in changes.items() if customer[key] != value}
        customer.update(changes)
        self._state.emit("customer.updated", customer, before=before)
        return customer

    def delete(self, ident: str) -> JsonObject:
        customer = self.living(ident, "id")
        for method in self.methods_of(ident):
            self.detach(method["id"])
        self._state.emit("customer.deleted", customer)
        return self._state.customers.add({"id": ident, "object": "customer", "deleted": True})

    def add_tax_id(self, ident: str, given: dict[str, str]) -> None:
        """Keep a tax id, once."""
        if any(known["value"] == given["value"] for known in self.tax_ids_of(ident)):
            return
        tax_id = {
            "id": self._state.new_id("txi"),
            "object": "tax_id",
            "country": given["value"][:2] if given["type"] == "eu_vat" else None,
            "created": self._state.now(),
            "customer": ident,
            "livemode": False,
            "verification": {"status": "unavailable", "verified_address": None, "verified_name": None},
            **given,
        }
        self._state.emit("customer.tax_id.created", self._state.tax_ids.add(tax_id))

    def tax_ids_of(self, ident: str) -> list[JsonObject]:
        """Newest first."""
        return [tax_id for tax_id in self._state.tax_ids.newest_first() if tax_id["customer"] == ident]

    def methods_of(self, ident: str) -> list[JsonObject]:
        """The saved ways to pay of a customer, newest first."""
        return [method for method in self._state.methods.newest_first() if method["customer"] == ident]

    def create_method(self, params: JsonObject) -> JsonObject:
        card = self._read_card(params)
        method = self.new_method(card, params.get("billing_details"))
        method["allow_redisplay"] = params.get("allow_redisplay", "unspecified")
        method["metadata"] = merged({}, params.get("metadata", {}))
        return method

    def update_method(self, ident: str, params: JsonObject) -> JsonObject:
        method = self._state.methods.get(ident)
        if not method["customer"]:
            raise invalid("You must save this PaymentMethod to a customer before you can update it.")
        changes = dict(params)
        if "metadata" in changes:
            changes["metadata"] = merged(method["metadata"], changes["metadata"])
        before = {key: method[key] for key, value in changes.items() if method[key] != value}
        method.update(changes)
        self._state.emit("payment_method.updated", method, before=before)
        return method

    def new_method(self, card: TestCard, billing: JsonObject | None = None) -> JsonObject:
        """A way to pay that belongs to nobody yet."""
        details = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
        ident = self._state.new_id("pm")
        method = {
            "id": ident,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": details | (billing or {}),
            "type": card.type,
            card.type: _bank_shape(card) if card.slow else self._card_shape(card),
            "created": self._state.now(),
            "customer": None,
            "livemode": False,
            "metadata": {},
        }
        self._cards[ident] = card
        return self._state.methods.add(method)

    def find_method(self, ident: str, param: str) -> JsonObject:
        """A payment method by its id. Names such as ``pm_card_visa`` make a fresh one, as at Stripe."""
        if card := BY_ALIAS.get(ident):
            return self.new_method(card)
        return self._state.methods.get(ident, param)

    def attach(self, ident: str, customer_id: str, *, even_if_refused: bool = False) -> JsonObject:
        """Save a way to pay. A bank may refuse that, unless the card is to have gone bad only afterwards."""
        method = self.find_method(ident, "id")
        customer = self.living(customer_id, "customer")
        if method["id"] in self._used_up:
            raise invalid(NEVER_AGAIN)
        if method["customer"] not in {None, customer_id}:
            raise invalid("The payment method you provided has already been attached to a customer.")
        card = self.card_of(method)
        if card.decline and not card.attaches and not even_if_refused:
            raise _refused_at_saving(card)
        method["customer"] = customer["id"]
        self._state.emit("payment_method.attached", method)
        return method

    def detach(self, ident: str) -> JsonObject:
        method = self._state.methods.get(ident)
        if not method["customer"]:
            raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
        customer = self._state.customers.get(method["customer"])
        if customer["invoice_settings"]["default_payment_method"] == ident:
            customer["invoice_settings"] = {"default_payment_method": None}
        before = {"customer": method["customer"]}
        method["customer"] = None
        self._used_up.add(ident)
        self._state.emit("payment_method.detached", method, before=before)
        return method

    def usable(self, ident: str, customer_id: str | None) -> JsonObject:
        """The payment method, if this customer may pay with it."""
        method = self.find_method(ident, "payment_method")
        owner = method["customer"]
        if owner and owner != customer_id:
            raise invalid(
                f"The provided PaymentMethod ({ident}) belongs to another Customer. Please include the Customer in the "
                "`customer` parameter on the PaymentIntent.",
                param="payment_method",
            )
        if method["id"] in self._used_up:
            raise invalid(NEVER_AGAIN, param="payment_method")
        return method

    def card_of(self, method: JsonObject) -> TestCard:
        return self._cards[method["id"]]

    def use_up(self, method: JsonObject) -> None:
        """A way to pay that nobody saved works once."""
        if not method["customer"]:
            self._used_up.add(method["id"])

    def keep(self, method: JsonObject, customer_id: str, redisplay: str) -> None:
        """Save a card that has just paid; in vain when the customer was deleted meanwhile."""
        if self._state.customers.get(customer_id).get("deleted"):
            return
        if method["customer"] is None or redisplay == "always":
            method["allow_redisplay"] = redisplay
        if method["customer"] is None:
            self._used_up.discard(method["id"])
            self.attach(method["id"], customer_id, even_if_refused=True)

    def set_up(self, method: JsonObject) -> None:
        """The buyer agreed with the bank that this card may be charged without them."""
        self._set_up.add(method["id"])

    def is_set_up(self, method: JsonObject) -> bool:
        return method["id"] in self._set_up

    def _default_method(self, customer: JsonObject, settings: JsonObject) -> JsonObject:
        ident = settings["default_payment_method"]
        if ident is not None:
            method = self._state.methods.get(ident, "invoice_settings[default_payment_method]")
            if method["customer"] != customer["id"]:
                raise invalid(
                    f"The customer does not have a payment method with the ID {ident}. The payment method must be "
                    "attached to the customer.",
                    param="invoice_settings[default_payment_method]",
                    code="resource_missing",
                )
        return {"default_payment_method": ident}

    def _read_card(self, params: JsonObject) -> TestCard:
        number = params.get("card", {}).get("number", "").replace(" ", "")
        if params["type"] == "card" and number in BY_NUMBER:
            return BY_NUMBER[number]
        if params["type"] == "us_bank_account":
            return BY_ALIAS["pm_usBankAccount"]
        raise StripeRefusal(
            402,
            "card_error",
            "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test "
            "cards, visit: https://stripe.com/docs/testing.",
            code="card_declined",
            decline_code="test_mode_live_card",
        )

    def _card_shape(self, card: TestCard) -> JsonObject:
        return {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": self._state.clock.now().year + 3,
            "fingerprint": f"sandbox{card.last4}{card.name}",
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }


def by_fields(**wanted: Any) -> Callable[[JsonObject], bool]:
    """A filter on plain fields; a field that is not asked about (``None``) always fits."""
    asked = {key: value for key, value in wanted.items() if value is not None}
    return lambda item: all(item.get(key) == value for key, value in asked.items())


def _bank_shape(card: TestCard) -> JsonObject:
    return {
        "account_holder_type": "company",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": f"sandbox{card.last4}",
        "last4": card.last4,
        "routing_number": "110000000",
    }


def _refused_at_saving(card: TestCard) -> StripeRefusal:
    assert card.decline is not None
    return StripeRefusal(
        402, "card_error", card.decline.message, code=card.decline.code, decline_code=card.decline.decline_code
    )
