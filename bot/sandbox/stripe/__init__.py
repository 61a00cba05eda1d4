"""A Stripe on loopback: the API, refusals and idempotency of the real one, for one merchant and test cards."""

from bot.sandbox.stripe.account import StripeAccount
from bot.sandbox.stripe.billing import Buyer
from bot.sandbox.stripe.checkout import Outcome, Payment
from bot.sandbox.stripe.webhooks import Endpoint

__all__ = ["Buyer", "Endpoint", "Outcome", "Payment", "StripeAccount"]
