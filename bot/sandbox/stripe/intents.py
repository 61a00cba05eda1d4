"""PaymentIntents and the charges they make: the state machine in which money moves at most once."""

from collections.abc import Callable

from bot.sandbox.stripe.cards import NEEDS_THE_BUYER, Challenge, Decline
from bot.sandbox.stripe.customers import Customers
from bot.sandbox.stripe.errors import JsonObject, card_error, invalid, unexpected_state
from bot.sandbox.stripe.reversals import Reversals
from bot.sandbox.stripe.state import State, merged

LEAST = {"usd": 50, "eur": 50, "gbp": 30, "dkk": 250}
MOST = 99_999_999
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
DEBIT_FAILED = Decline("payment_method_bank_debit_failed", "", "The bank debit was returned by the buyer's bank.")


class Intents:
    """Rules for ``/v1/payment_intents`` and ``/v1/charges``. ``watchers`` hear where every attempt leads."""

    def __init__(self, state: State, customers: Customers, reversals: Reversals) -> None:
        self._state = state
        self._customers = customers
        self._reversals = reversals
        self.watchers: list[Callable[[JsonObject], None]] = []
        self._sessions: set[str] = set()

    def create(self, params: JsonObject) -> JsonObject:
        """A new intent; confirmed at once only when asked to."""
        if not params.get("confirm"):
            for param in ("off_session", "return_url", "error_on_requires_action"):
                if param in params:
                    raise invalid(f"You cannot provide `{param}` without setting `confirm` to true.", param=param)
        intent = self.new(params)
        if params.get("confirm"):
            keys = ("off_session", "return_url", "error_on_requires_action")
            return self.confirm(intent["id"], {key: params[key] for key in keys if key in params})
        return intent

    def new(self, params: JsonObject, *, session: bool = False) -> JsonObject:
        """An unconfirmed intent. One that belongs to a Checkout Session can be confirmed only there."""
        check_amount(params["amount"], params["currency"].lower())
        customer_id = params.get("customer")
        if customer_id:
            self._customers.living(customer_id, "customer")
        method = params.get("payment_method")
        if method:
            method = self._customers.usable(method, customer_id)["id"]
        ident = self._state.new_id("pi")
        intent = self._shape(ident, params) | {
            "customer": customer_id,
            "payment_method": method,
            "status": "requires_confirmation" if method else "requires_payment_method",
        }
        if session:
            self._sessions.add(ident)
        self._state.intents.add(intent)
        self._state.emit("payment_intent.created", intent)
        return intent

    def update(self, ident: str, params: JsonObject) -> JsonObject:
        intent = self._state.intents.get(ident)
        changes = dict(params)
        if "metadata" in changes:
            changes["metadata"] = merged(intent["metadata"], changes["metadata"])
        moving = changes.keys() & {"amount", "payment_method"}
        if moving and intent["status"] not in CONFIRMABLE:
            raise unexpected_state(
                "This PaymentIntent's " + " and ".join(sorted(moving)) + " could not be updated because it has a "
                f"status of {intent['status']}. You may only update it while its status is one of: "
                f"{', '.join(CONFIRMABLE)}.",
                intent,
            )
        if "amount" in changes:
            check_amount(changes["amount"], intent["currency"])
        if "payment_method" in changes:
            changes["payment_method"] = self._customers.usable(changes["payment_method"], intent["customer"])["id"]
            changes["status"] = "requires_confirmation"
        intent.update(changes)
        return intent

    def confirm(self, ident: str, params: JsonObject) -> JsonObject:
        """Try to take the money. A card that says no is an error, with the intent inside."""
        intent = self._state.intents.get(ident)
        self._may_confirm(intent)
        if ident in self._sessions:
            raise invalid("You cannot confirm a PaymentIntent that was created by a Checkout Session.")
        method_id = params.get("payment_method") or intent["payment_method"]
        if not method_id:
            raise unexpected_state(
                "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "
                "the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with "
                "a payment method or ConfirmationToken.",
                intent,
            )
        self._needs_return_url(intent, params)
        method = self._customers.usable(method_id, intent["customer"])
        if method["type"] not in intent["payment_method_types"]:
            raise invalid(
                f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent.",
                param="payment_method",
            )
        return self.attempt(
            intent,
            method,
            off_session=bool(params.get("off_session")),
            return_url=params.get("return_url"),
            no_action=bool(params.get("error_on_requires_action")),
        )

    def attempt(
        self,
        intent: JsonObject,
        method: JsonObject,
        *,
        off_session: bool,
        return_url: str | None,
        no_action: bool = False,
    ) -> JsonObject:
        """Charge, be refused (raises), or ask the bank's question first."""
        self._may_confirm(intent)
        intent |= {"payment_method": method["id"], "next_action": None, "last_payment_error": None}
        card = self._customers.card_of(method)
        challenged = card.challenge is Challenge.ALWAYS or (
            card.challenge is Challenge.UNLESS_SET_UP and not (off_session and self._customers.is_set_up(method))
        )
        if challenged and (off_session or no_action):
            raise self._fail(intent, method, NEEDS_THE_BUYER)
        if challenged:
            return self._ask_the_buyer(intent, return_url)
        return self._charge(intent, method)

    def authenticate(self, ident: str, *, ok: bool) -> JsonObject:
        """The buyer answers the bank's question. Refusals are in the intent afterwards; nothing is raised for them."""
        intent = self._state.intents.get(ident)
        if intent["status"] != "requires_action":
            raise unexpected_state(f"This PaymentIntent has a status of {intent['status']}, nothing is asked.", intent)
        method = self._state.methods.get(intent["payment_method"])
        intent["next_action"] = None
        decline = self._customers.card_of(method).decline if ok else AUTHENTICATION_FAILED
        if decline:
            self._fail(intent, method, decline)
            return intent
        return self._charge(intent, method)

    def finish_processing(self, ident: str, *, ok: bool) -> JsonObject:
        """What a bank answers days after a debit."""
        intent = self._state.intents.get(ident)
        if intent["status"] != "processing":
            raise unexpected_state(f"This PaymentIntent has a status of {intent['status']}, not processing.", intent)
        method = self._state.methods.get(intent["payment_method"])
        charge = self._state.charges.get(intent["latest_charge"])
        intent["processing"] = None
        if not ok:
            self._fail(intent, method, DEBIT_FAILED, charge)
            return intent
        charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": charge["amount"]}
        return self._succeed(intent, method, charge)

    def cancel(self, ident: str, params: JsonObject) -> JsonObject:
        intent = self._state.intents.get(ident)
        if ident in self._sessions and intent["status"] in CANCELABLE:
            raise invalid(
                "You cannot cancel a PaymentIntent that was created by a Checkout Session. Expire the session instead."
            )
        return self.call_off(intent, params.get("cancellation_reason"))

    def call_off(self, intent: JsonObject, reason: str | None, *, at: int | None = None) -> JsonObject:
        """Cancel for good. Refused once money moved or is on its way."""
        if intent["status"] not in CANCELABLE:
            raise unexpected_state(
                f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a "
                f"PaymentIntent with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
                intent,
            )
        intent |= {
            "status": "canceled",
            "canceled_at": self._state.now() if at is None else at,
            "cancellation_reason": reason,
            "next_action": None,
        }
        self._state.emit("payment_intent.canceled", intent, at=at)
        return intent

    def _may_confirm(self, intent: JsonObject) -> None:
        status = intent["status"]
        if status == "succeeded":
            raise unexpected_state(
                "You cannot confirm this PaymentIntent because it has already succeeded after being previously "
                "confirmed.",
                intent,
            )
        if status not in CONFIRMABLE:
            raise unexpected_state(
                f"You cannot confirm this PaymentIntent because it has a status of {status}. Only a PaymentIntent with "
                f"one of the following statuses may be confirmed: {', '.join(CONFIRMABLE)}.",
                intent,
            )

    def _needs_return_url(self, intent: JsonObject, params: JsonObject) -> None:
        """Some ways to pay send the buyer elsewhere, so Stripe wants to know where they come back to."""
        automatic = intent["automatic_payment_methods"]
        if automatic and automatic["allow_redirects"] == "always" and not params.get("return_url"):
            raise invalid(
                "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
                "these payment methods might redirect your customer off of your page, you must provide a `return_url`. "
                "If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` "
                "to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
                "Payment Intents."
            )

    def _ask_the_buyer(self, intent: JsonObject, return_url: str | None) -> JsonObject:
        page = f"{self._state.base_url}/pay/challenges/{intent['id']}"
        intent |= {
            "status": "requires_action",
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": page, "return_url": return_url},
            },
        }
        self._state.emit("payment_intent.requires_action", intent)
        self._tell(intent)
        return intent

    def _charge(self, intent: JsonObject, method: JsonObject) -> JsonObject:
        card = self._customers.card_of(method)
        if card.decline:
            raise self._fail(intent, method, card.decline)
        charge = self._new_charge(intent, method)
        if card.slow:
            charge |= {"status": "pending", "captured": False, "paid": False, "amount_captured": 0}
            intent |= {"status": "processing", "latest_charge": charge["id"], "processing": {"type": method["type"]}}
            self._state.emit("charge.pending", charge)
            self._state.emit("payment_intent.processing", intent)
            self._tell(intent)
            return intent
        self._succeed(intent, method, charge)
        if card.disputed:
            self._reversals.dispute(charge)
        return intent

    def _succeed(self, intent: JsonObject, method: JsonObject, charge: JsonObject) -> JsonObject:
        intent |= {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "latest_charge": charge["id"],
            "next_action": None,
        }
        self._customers.use_up(method)
        if intent["setup_future_usage"] and intent["customer"]:
            self._customers.keep(method, intent["customer"], "limited")
        if intent["setup_future_usage"] == "off_session":
            self._customers.set_up(method)
        self._state.emit("charge.succeeded", charge)
        self._state.emit("payment_intent.succeeded", intent)
        self._tell(intent)
        return intent

    def _fail(
        self, intent: JsonObject, method: JsonObject, decline: Decline, charge: JsonObject | None = None
    ) -> Exception:
        """Record a refused attempt, and return the error for a caller who wants to raise it."""
        charge = charge or self._new_charge(intent, method)
        charge |= {
            "status": "failed",
            "paid": False,
            "captured": False,
            "amount_captured": 0,
            "balance_transaction": None,
            "failure_code": decline.code,
            "failure_message": decline.message,
            "receipt_url": None,
            "outcome": {
                "network_status": "declined_by_network",
                "reason": decline.decline_code or decline.code,
                "risk_level": "normal",
                "seller_message": "The bank did not approve this payment.",
                "type": "issuer_declined",
            },
        }
        problem = {
            "type": "card_error" if method["type"] == "card" else "invalid_request_error",
            "code": decline.code,
            "message": decline.message,
            "charge": charge["id"],
            "payment_method": dict(method),
            "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        }
        if decline.decline_code:
            problem["decline_code"] = decline.decline_code
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge["id"],
            "last_payment_error": problem,
            "next_action": None,
        }
        self._state.emit("charge.failed", charge)
        self._state.emit("payment_intent.payment_failed", intent)
        self._tell(intent)
        return card_error(intent, problem)

    def _tell(self, intent: JsonObject) -> None:
        for watcher in self.watchers:
            watcher(intent)

    def _shape(self, ident: str, params: JsonObject) -> JsonObject:
        types = params.get("allowed_payment_method_types")
        automatic = {"allow_redirects": "always", "enabled": True} | params.get("automatic_payment_methods", {})
        if types or not automatic["enabled"]:
            automatic, types = {}, types or ["card"]
        return {
            "id": ident,
            "object": "payment_intent",
            "allowed_payment_method_types": params.get("allowed_payment_method_types"),
            "amount": params["amount"],
            "amount_capturable": 0,
            "amount_received": 0,
            "application": None,
            "automatic_payment_methods": automatic or None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic_async",
            "client_secret": f"{ident}_secret_{self._state.new_id('sandbox')}",
            "confirmation_method": "automatic",
            "created": self._state.now(),
            "currency": params["currency"].lower(),
            "description": params.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": merged({}, params.get("metadata", {})),
            "next_action": None,
            "payment_method_options": {},
            "payment_method_types": types or ["card", "us_bank_account"],
            "processing": None,
            "receipt_email": params.get("receipt_email"),
            "setup_future_usage": params.get("setup_future_usage"),
            "shipping": None,
            "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
            "transfer_group": None,
        }

    def _new_charge(self, intent: JsonObject, method: JsonObject) -> JsonObject:
        ident = self._state.new_id("ch")
        kind = method["type"]
        suffix = intent["statement_descriptor_suffix"]
        charge = {
            "id": ident,
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "amount_refunded": 0,
            "balance_transaction": self._state.new_id("txn"),
            "billing_details": method["billing_details"],
            "calculated_statement_descriptor": f"SANDBOX* {suffix}" if suffix else "SANDBOX",
            "captured": True,
            "created": self._state.now(),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": dict(intent["metadata"]),
            "outcome": {
                "network_status": "approved_by_network",
                "reason": None,
                "risk_level": "normal",
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
            "paid": True,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {kind: dict(method[kind]), "type": kind},
            "receipt_email": intent["receipt_email"],
            "receipt_number": None,
            "receipt_url": f"{self._state.base_url}/pay/receipts/{ident}",
            "refunded": False,
            "status": "succeeded",
        }
        return self._state.charges.add(charge)


def check_amount(amount: int, currency: str) -> None:
    """Stripe's own limits for one charge."""
    if currency not in LEAST:
        raise invalid(
            f"Invalid currency: {currency}. The sandbox knows these currencies: {', '.join(LEAST)}", param="currency"
        )
    if amount < LEAST[currency]:
        least = f"{LEAST[currency] // 100}.{LEAST[currency] % 100:02}"
        raise invalid(f"Amount must be at least ${least} {currency}", param="amount", code="amount_too_small")
    if amount > MOST:
        raise invalid("Amount must be no more than $999,999.99", param="amount", code="amount_too_large")
