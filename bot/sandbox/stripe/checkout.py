"""Checkout Sessions: one page on which one buyer pays one amount, until it is paid or has expired."""

import re
from dataclasses import dataclass
from enum import Enum

from bot.sandbox.stripe.billing import SOMEBODY, Buyer, tax_on
from bot.sandbox.stripe.cards import TestCard
from bot.sandbox.stripe.customers import Customers
from bot.sandbox.stripe.errors import JsonObject, StripeRefusal, invalid
from bot.sandbox.stripe.intents import LEAST, MOST, Intents
from bot.sandbox.stripe.invoices import Invoices
from bot.sandbox.stripe.state import State, merged

SHORTEST, LONGEST = 30 * 60, 24 * 60 * 60
PLACEHOLDER = "{CHECKOUT_SESSION_ID}"


class Outcome(Enum):
    """What came of a try to pay."""

    PAID = "paid"
    PROCESSING = "the bank takes days"
    CHALLENGE = "the bank wants to see the buyer"
    DECLINED = "the bank said no"
    CLOSED = "the page takes no payments any more"


@dataclass(frozen=True, slots=True)
class Payment:
    """A try to pay on the page. ``redirect`` is where the buyer is sent next, if anywhere."""

    outcome: Outcome
    session: str
    intent: str | None = None
    redirect: str | None = None
    message: str = ""


class Checkout:
    """Rules for ``/v1/checkout/sessions`` and for what a buyer does on the page."""

    def __init__(self, state: State, customers: Customers, intents: Intents) -> None:
        self._state = state
        self._customers = customers
        self._intents = intents
        self.invoices = Invoices(state)
        self.line_items: dict[str, list[JsonObject]] = {}
        self._intent_data: dict[str, JsonObject] = {}
        self._ticked: dict[str, bool] = {}
        intents.watchers.append(self._follow)

    def create(self, params: JsonObject) -> JsonObject:
        items = _line_items(params["line_items"])
        total = sum(item["amount_total"] for item in items)
        currency = _one_currency(items)
        _check_total(total, currency)
        if params.get("customer"):
            self._customers.living(params["customer"], "customer")
        if params.get("customer") and params.get("customer_email"):
            raise invalid("You may only specify one of these parameters: customer, customer_email.")
        self._check_updates(params, items)
        ident = self._state.new_id("cs_test", 58)
        session = {
            "id": ident,
            "object": "checkout.session",
            "adaptive_pricing": {"enabled": params.get("adaptive_pricing", {}).get("enabled", True)},
            "allowed_payment_method_types": params.get("allowed_payment_method_types"),
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {"enabled": _on(params, "automatic_tax"), "liability": None, "status": None},
            "billing_address_collection": params.get("billing_address_collection"),
            "cancel_url": params.get("cancel_url"),
            "client_reference_id": params.get("client_reference_id"),
            "created": self._state.now(),
            "currency": currency,
            "custom_fields": [_custom_field(each) for each in params.get("custom_fields", [])],
            "custom_text": {"submit": params.get("custom_text", {}).get("submit")},
            "customer": params.get("customer"),
            "customer_creation": "if_required" if not params.get("customer") else None,
            "customer_details": self._details(params),
            "customer_email": params.get("customer_email"),
            "customer_update": params.get("customer_update"),
            "expires_at": self._expiry(params.get("expires_at")),
            "invoice": None,
            "invoice_creation": {
                "enabled": _on(params, "invoice_creation"),
                "invoice_data": {"description": None, "metadata": {}}
                | params.get("invoice_creation", {}).get("invoice_data", {}),
            },
            "livemode": False,
            "locale": params.get("locale"),
            "metadata": merged({}, params.get("metadata", {})),
            "mode": params["mode"],
            "payment_intent": None,
            "payment_method_types": params.get("allowed_payment_method_types", ["card", "us_bank_account"]),
            "payment_status": "unpaid",
            "saved_payment_method_options": params.get("saved_payment_method_options"),
            "shipping_options": [],
            "status": "open",
            "submit_type": params.get("submit_type"),
            "success_url": params["success_url"],
            "tax_id_collection": {"enabled": _on(params, "tax_id_collection"), "required": "never"},
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": f"{self._state.base_url}/pay/{ident}",
        }
        self.line_items[ident] = items
        self._intent_data[ident] = params.get("payment_intent_data", {})
        if session["customer_details"]:
            self._add_tax(session)
        return self._state.sessions.add(session)

    def _check_updates(self, params: JsonObject, items: list[JsonObject]) -> None:
        """What must be allowed to change about a customer who exists, for taxes and tax ids."""
        updates = params.get("customer_update", {})
        if updates and not params.get("customer"):
            raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
        known = self._state.customers.get(params["customer"]) if params.get("customer") else None
        if known and _on(params, "tax_id_collection") and updates.get("name") != "auto":
            raise invalid(
                "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
                "existing customer, please set `customer_update[name]` to `auto`."
            )
        if not _on(params, "automatic_tax"):
            return
        if known and not known["address"] and updates.get("address") != "auto":
            raise invalid(
                "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address "
                "to the Customer or set `customer_update[address]` to 'auto' to save the one entered in Checkout.",
                code="customer_tax_location_invalid",
            )
        if any(item["price"]["tax_behavior"] != "exclusive" for item in items):
            raise invalid(
                "The price has no `tax_behavior`, and this account has no default one. Set it to calculate taxes.",
                param="line_items[0][price_data][tax_behavior]",
            )

    def expire(self, ident: str, *, at: int | None = None) -> JsonObject:
        """Close the page. What was begun on it is called off."""
        session = self._state.sessions.get(ident)
        if session["status"] != "open":
            raise invalid(
                'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status '
                f"of {session['status']}."
            )
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self._intents.call_off(self._state.intents.get(session["payment_intent"]), "expired", at=at)
        self._state.emit("checkout.session.expired", session, at=at)
        return session

    def expire_due(self) -> None:
        """Close every page whose time is over."""
        now = self._state.now()
        for session in list(self._state.sessions):
            if session["status"] == "open" and session["expires_at"] <= now:
                self.expire(session["id"], at=session["expires_at"])

    def saved_methods(self, session: JsonObject) -> list[JsonObject]:
        """The cards that this buyer agreed to see again."""
        if not session["customer"]:
            return []
        options = session["saved_payment_method_options"] or {}
        shown = options.get("allow_redisplay_filters", ["always"])
        methods = self._customers.methods_of(session["customer"])
        return [method for method in methods if method["allow_redisplay"] in shown]

    def offers_to_save(self, session: JsonObject) -> bool:
        options = session["saved_payment_method_options"] or {}
        return bool(session["customer"]) and options.get("payment_method_save") == "enabled"

    def pay(self, ident: str, method: TestCard | JsonObject, *, save: bool, buyer: Buyer = SOMEBODY) -> Payment:
        """Press the button on the page, with a test card or with one of the saved methods."""
        session = self._state.sessions.get(ident)
        if session["status"] != "open":
            return Payment(Outcome.CLOSED, ident, session["payment_intent"])
        if problem := buyer.complaint(session):
            return Payment(Outcome.DECLINED, ident, message=problem)
        self._write_down(session, buyer)
        if isinstance(method, TestCard):
            method = self._customers.new_method(method, session["customer_details"] and _billing(session))
        if method["type"] not in session["payment_method_types"]:
            return Payment(Outcome.DECLINED, ident, message="This way to pay is not accepted here.")
        self._ticked[ident] = save and self.offers_to_save(session)
        try:
            intent = self._intent_of(session)
            self._intents.attempt(intent, method, off_session=False, return_url=session["success_url"])
        except StripeRefusal as refusal:
            return Payment(Outcome.DECLINED, ident, session["payment_intent"], message=str(refusal))
        return self.came_of(session)

    def came_of(self, session: JsonObject) -> Payment:
        """Where the buyer stands after a try, or after the bank's question."""
        ident, intent = session["id"], self._state.intents.get(session["payment_intent"])
        if intent["status"] == "requires_action":
            page = intent["next_action"]["redirect_to_url"]["url"]
            return Payment(Outcome.CHALLENGE, ident, intent["id"], page)
        if session["status"] == "complete":
            outcome = Outcome.PAID if session["payment_status"] == "paid" else Outcome.PROCESSING
            return Payment(outcome, ident, intent["id"], session["success_url"].replace(PLACEHOLDER, ident))
        if session["status"] == "open":
            return Payment(Outcome.DECLINED, ident, intent["id"], message=intent["last_payment_error"]["message"])
        return Payment(Outcome.CLOSED, ident, intent["id"])

    def session_of(self, intent_id: str) -> JsonObject | None:
        found = (session for session in self._state.sessions if session["payment_intent"] == intent_id)
        return next(found, None)

    def _write_down(self, session: JsonObject, buyer: Buyer) -> None:
        """What the buyer typed, as far as the page asked for it."""
        for each in session["custom_fields"]:
            each["text"]["value"] = buyer.fields.get(each["key"]) or None
        if session["billing_address_collection"] != "required":
            return
        details = session["customer_details"] or {"email": None, "phone": None, "tax_exempt": "none", "tax_ids": []}
        session["customer_details"] = details | {"address": buyer.address, "name": buyer.name}
        if session["tax_id_collection"]["enabled"]:
            session["customer_details"]["tax_ids"] = buyer.tax_ids
        self._add_tax(session)

    def _add_tax(self, session: JsonObject) -> None:
        if not session["automatic_tax"]["enabled"]:
            return
        details, subtotal = session["customer_details"], session["amount_subtotal"]
        tax = tax_on(subtotal, details["address"], business=bool(details["tax_ids"]))
        session["automatic_tax"]["status"] = "complete" if details["address"] else "requires_location_inputs"
        session["total_details"]["amount_tax"] = tax
        session["amount_total"] = subtotal + tax

    def _intent_of(self, session: JsonObject) -> JsonObject:
        """The page's one intent, made at the first try."""
        if session["payment_intent"]:
            return self._intents.update(session["payment_intent"], {"amount": session["amount_total"]})
        intent = self._intents.new(
            self._intent_data[session["id"]]
            | {
                "amount": session["amount_total"],
                "currency": session["currency"],
                "customer": session["customer"],
                "allowed_payment_method_types": session["payment_method_types"],
            },
            session=True,
        )
        session["payment_intent"] = intent["id"]
        return intent

    def _follow(self, intent: JsonObject) -> None:
        """Complete the session when its intent has moved."""
        session = self.session_of(intent["id"])
        if session is None:
            return
        first = session["status"] == "open"
        if intent["status"] == "succeeded":
            session |= {"status": "complete", "payment_status": "paid", "url": None}
            self._save_if_ticked(session, intent)
            self._update_customer(session)
            if session["invoice_creation"]["enabled"]:
                session["invoice"] = self.invoices.paid(session, intent, self.line_items[session["id"]])["id"]
            self._state.emit(f"checkout.session.{'completed' if first else 'async_payment_succeeded'}", session)
        elif intent["status"] == "processing":
            session |= {"status": "complete", "url": None}
            self._state.emit("checkout.session.completed", session)
        elif intent["status"] == "requires_payment_method" and not first:
            self._state.emit("checkout.session.async_payment_failed", session)

    def _save_if_ticked(self, session: JsonObject, intent: JsonObject) -> None:
        if self._ticked.get(session["id"]):
            method = self._state.methods.get(intent["payment_method"])
            self._customers.keep(method, session["customer"], "always")

    def _update_customer(self, session: JsonObject) -> None:
        """Keep what was typed, as far as the session says so; in vain when the customer was deleted meanwhile."""
        ident, details, updates = session["customer"], session["customer_details"], session["customer_update"] or {}
        if not ident or self._state.customers.get(ident).get("deleted"):
            return
        changes = {key: details[key] for key in ("address", "name") if updates.get(key) == "auto" and details[key]}
        if changes:
            self._customers.update(ident, changes)
        for tax_id in details["tax_ids"]:
            self._customers.add_tax_id(ident, tax_id)

    def _details(self, params: JsonObject) -> JsonObject | None:
        customer = self._state.customers.get(params["customer"]) if params.get("customer") else {}
        email = customer.get("email") or params.get("customer_email")
        if not email and not customer:
            return None
        keep = {key: customer.get(key) for key in ("address", "name", "phone")}
        return keep | {"email": email, "tax_exempt": "none", "tax_ids": []}

    def _expiry(self, asked: int | None) -> int:
        now = self._state.now()
        if asked is None:
            return now + LONGEST
        if asked < now + SHORTEST:
            raise invalid(
                "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
                param="expires_at",
            )
        if asked > now + LONGEST:
            raise invalid(
                "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
                param="expires_at",
            )
        return asked


def _line_items(asked: list[JsonObject]) -> list[JsonObject]:
    if not asked:
        raise invalid("Missing required param: line_items.", param="line_items", code="parameter_missing")
    return [_line_item(number, item) for number, item in enumerate(asked, 1)]


def _line_item(number: int, item: JsonObject) -> JsonObject:
    price, product = item["price_data"], item["price_data"]["product_data"]
    total = price["unit_amount"] * item["quantity"]
    return {
        "id": f"li_{number}",
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": price["currency"].lower(),
        "description": product["name"],
        "metadata": {},
        "price": {
            "object": "price",
            "currency": price["currency"].lower(),
            "tax_behavior": price.get("tax_behavior", "unspecified"),
            "unit_amount": price["unit_amount"],
        },
        "product_description": product.get("description"),
        "quantity": item["quantity"],
    }


def _custom_field(asked: JsonObject) -> JsonObject:
    if not re.fullmatch("[A-Za-z0-9]+", asked["key"]):
        raise invalid("The key of a custom field must be alphanumeric.", param="custom_fields[0][key]")
    bounds = {"default_value": None, "maximum_length": None, "minimum_length": None, "value": None}
    return asked | {"optional": asked.get("optional", False), "text": bounds | asked.get("text", {})}


def _on(params: JsonObject, name: str) -> bool:
    return bool(params.get(name, {}).get("enabled"))


def _one_currency(items: list[JsonObject]) -> str:
    currency: str = items[0]["currency"]
    if any(item["currency"] != currency for item in items):
        raise invalid("You cannot combine currencies on a single Checkout Session.", param="line_items")
    if currency not in LEAST:
        raise invalid(f"Invalid currency: {currency}.", param="line_items[0][price_data][currency]")
    return currency


def _check_total(total: int, currency: str) -> None:
    if total < LEAST[currency]:
        raise invalid(
            "The Checkout Session's total amount due must add up to at least $0.50 usd.", code="amount_too_small"
        )
    if total > MOST:
        raise invalid(
            "The Checkout Session's total amount due must be no more than $999,999.99.", code="amount_too_large"
        )


def _billing(session: JsonObject) -> JsonObject:
    details = session["customer_details"]
    return {key: details[key] for key in ("address", "email", "name", "phone")}
