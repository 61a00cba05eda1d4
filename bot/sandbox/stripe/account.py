"""The sandbox's Stripe: one merchant's account, with the API for programs and everything people do beside it."""

from collections.abc import Callable, Iterable
from random import Random, SystemRandom

from starlette.applications import Starlette
from starlette.routing import Mount

from bot.clock import Clock
from bot.sandbox.faults import Faults
from bot.sandbox.stripe.api import Api, Call
from bot.sandbox.stripe.billing import SOMEBODY, Buyer
from bot.sandbox.stripe.cards import BY_NAME
from bot.sandbox.stripe.checkout import Checkout, Payment
from bot.sandbox.stripe.customers import Customers
from bot.sandbox.stripe.errors import JsonObject
from bot.sandbox.stripe.hosted import pages
from bot.sandbox.stripe.intents import Intents
from bot.sandbox.stripe.portal import Portal
from bot.sandbox.stripe.reversals import Reversals
from bot.sandbox.stripe.state import State
from bot.sandbox.stripe.webhooks import Endpoint, Webhooks


class StripeAccount:
    """``app`` speaks HTTP; the methods are the human side and the test's view. Set ``base_url`` once it is served.

    Objects returned are the live ones, in the API's shape: read them, and change them only through methods.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "SkyDeck.ai",
        random: Random | None = None,
        webhooks: Iterable[Endpoint] = (),
        faults: Faults | None = None,
    ) -> None:
        self.name = name
        self.faults = faults or Faults()
        self.webhooks = Webhooks(clock, webhooks)
        self.state = State(clock, random or SystemRandom())
        self.state.watchers.append(self.webhooks.on_event)
        self.customers = Customers(self.state)
        self.reversals = Reversals(self.state)
        self.intents = Intents(self.state, self.customers, self.reversals)
        self.checkout = Checkout(self.state, self.customers, self.intents)
        self.portal = Portal(self.state, self.customers)
        parts = (self.state, self.customers, self.intents, self.checkout, self.reversals, self.portal)
        self.api = Api(*parts, self.faults, name)
        site = pages(name, self.state, self.customers, self.intents, self.checkout, self.portal)
        self.app = Starlette(routes=[Mount("/pay", routes=site), Mount("/", app=self.api)])

    @property
    def base_url(self) -> str:
        return self.state.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.state.base_url = url.rstrip("/")

    @property
    def calls(self) -> list[Call]:
        """Every request that the API answered, oldest first."""
        return self.api.calls

    def watch(self, watcher: Callable[[JsonObject], None]) -> None:
        """Call ``watcher`` with every event as it happens."""
        self.state.watchers.append(watcher)

    async def close(self) -> None:
        """Stop delivering webhooks."""
        await self.webhooks.close()

    def save_card(self, customer_id: str, card: str = "visa", *, default: bool = False) -> str:
        """A card that the buyer saved earlier, when it was still good. ``card`` is a name from ``cards``."""
        method = self.customers.new_method(BY_NAME[card])
        self.customers.keep(method, customer_id, "always")
        if default:
            self.customers.update(customer_id, {"invoice_settings": {"default_payment_method": method["id"]}})
        return str(method["id"])

    async def pay(
        self,
        session_id: str,
        card: str = "visa",
        save: bool = True,
        authenticate: bool | None = True,
        buyer: Buyer = SOMEBODY,
    ) -> Payment:
        """Pay on the checkout page with a test card, or with a saved payment method by its id.

        When the bank asks, ``authenticate`` is the buyer's answer; ``None`` leaves the question open.
        """
        self.checkout.expire_due()
        test_card = BY_NAME.get(card)
        method = self.state.methods.get(card) if test_card is None else test_card
        payment = self.checkout.pay(session_id, method, save=save, buyer=buyer)
        intent = payment.intent and self.state.intents.get(payment.intent)
        if authenticate is None or not intent or intent["status"] != "requires_action":
            return payment
        self.intents.authenticate(intent["id"], ok=authenticate)
        return self.checkout.came_of(self.state.sessions.get(session_id))

    def authenticate(self, intent_id: str, *, ok: bool = True) -> JsonObject:
        """Answer the bank's question about an intent."""
        self.checkout.expire_due()
        return self.intents.authenticate(intent_id, ok=ok)

    def finish_processing(self, intent_id: str, *, ok: bool = True) -> JsonObject:
        """Let the bank answer a debit that it is working on."""
        return self.intents.finish_processing(intent_id, ok=ok)

    def refund(self, intent_id: str, cents: int | None = None) -> JsonObject:
        """Refund a payment from the dashboard, wholly or in part."""
        return self.reversals.refund(self._charge_of(intent_id), cents)

    def fail_refund(self, refund_id: str) -> JsonObject:
        """The refund comes back."""
        return self.reversals.fail_refund(refund_id)

    def dispute(self, intent_id: str, cents: int | None = None, *, reason: str = "fraudulent") -> JsonObject:
        """The buyer complains to the bank."""
        return self.reversals.dispute(self._charge_of(intent_id), cents, reason=reason)

    def close_dispute(self, dispute_id: str, *, won: bool) -> JsonObject:
        return self.reversals.close_dispute(dispute_id, won=won)

    def expire_due(self) -> None:
        """Expire the sessions whose time is over. Every request does this first; call it after winding the clock."""
        self.checkout.expire_due()

    def charges_made(self) -> list[JsonObject]:
        """Every charge that took money, oldest first, refunded or not."""
        return [charge for charge in self.state.charges if charge["status"] == "succeeded"]

    def succeeded_intents(self) -> list[JsonObject]:
        return [intent for intent in self.state.intents if intent["status"] == "succeeded"]

    def _charge_of(self, intent_id: str) -> JsonObject:
        return self.state.charges.get(self.state.intents.get(intent_id)["latest_charge"])
