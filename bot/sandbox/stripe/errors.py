"""How Stripe says no: an HTTP status and an error object. Every refusal of the sandbox's Stripe is made here."""

from typing import Any

JsonObject = dict[str, Any]


class StripeRefusal(Exception):
    """An answer that is an error. ``executed`` is false when the request was turned away before any work began."""

    def __init__(self, status: int, kind: str, message: str, *, executed: bool = True, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.error: JsonObject = {"type": kind, "message": message} | {k: v for k, v in details.items() if v}
        if code := self.error.get("code"):
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{str(code).replace('_', '-')}"


def invalid(message: str, *, param: str = "", code: str = "", status: int = 400, **details: Any) -> StripeRefusal:
    """The request makes sense, but not here and now."""
    return StripeRefusal(status, "invalid_request_error", message, param=param, code=code, **details)


def malformed(message: str, *, param: str = "", code: str = "") -> StripeRefusal:
    """The request's parameters are wrong in themselves; no idempotency key remembers such a request."""
    return StripeRefusal(400, "invalid_request_error", message, param=param, code=code, executed=False)


def no_such(kind: str, ident: str, param: str) -> StripeRefusal:
    """404 for the id in the address (``param`` is ``id``), 400 for an id among the parameters."""
    status = 404 if param == "id" else 400
    return invalid(f"No such {kind}: '{ident}'", param=param, code="resource_missing", status=status)


def unexpected_state(message: str, intent: JsonObject) -> StripeRefusal:
    return invalid(message, code="payment_intent_unexpected_state", payment_intent=intent)


def card_error(intent: JsonObject, problem: JsonObject) -> StripeRefusal:
    """402: the card was refused. The intent travels inside the error."""
    details: JsonObject = {k: v for k, v in problem.items() if k not in {"type", "message", "doc_url"}}
    return StripeRefusal(402, "card_error", problem["message"], payment_intent=intent, **details)
