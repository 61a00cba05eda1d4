"""The customer portal: short-lived links to the pages on which customers look after their cards and invoices."""

from bot.sandbox.stripe.customers import Customers
from bot.sandbox.stripe.errors import JsonObject, invalid
from bot.sandbox.stripe.state import State

FIRST_VISIT_WITHIN = 5 * 60  # seconds
GOOD_FOR = 60 * 60  # since the last visit


class Portal:
    """Rules for ``/v1/billing_portal``. ``configured`` is whether somebody saved its settings in the dashboard."""

    def __init__(self, state: State, customers: Customers) -> None:
        self._state = state
        self._customers = customers
        self._visited: dict[str, int] = {}
        self.configured = True

    def create(self, params: JsonObject) -> JsonObject:
        customer = self._customers.living(params["customer"], "customer")
        if not self.configured:
            raise invalid(
                "No configuration provided and your test mode default configuration has not been created. Provide a "
                "configuration or create your default by saving your customer portal settings in test mode at "
                "https://dashboard.stripe.com/test/settings/billing/portal."
            )
        ident, flow = self._state.new_id("bps"), params.get("flow_data")
        portal = {
            "id": ident,
            "object": "billing_portal.session",
            "configuration": "bpc_sandbox",
            "created": self._state.now(),
            "customer": customer["id"],
            "flow": flow and {"type": flow["type"], "after_completion": {"type": "portal_homepage"}},
            "livemode": False,
            "locale": params.get("locale"),
            "on_behalf_of": None,
            "return_url": params.get("return_url"),
            "url": f"{self._state.base_url}/pay/portal/{ident}",
        }
        return self._state.portals.add(portal)

    def configurations(self) -> list[JsonObject]:
        if not self.configured:
            return []
        known = {
            "id": "bpc_sandbox",
            "object": "billing_portal.configuration",
            "active": True,
            "created": 0,
            "default_return_url": None,
            "features": {"invoice_history": {"enabled": True}, "payment_method_update": {"enabled": True}},
            "is_default": True,
            "livemode": False,
            "metadata": {},
        }
        return [known]

    def visit(self, ident: str) -> JsonObject | None:
        """What somebody who follows a link finds; None when it is over, or never was."""
        if ident not in self._state.portals:
            return None
        portal, now = self._state.portals.get(ident), self._state.now()
        over = self._visited.get(ident, portal["created"] + FIRST_VISIT_WITHIN - GOOD_FOR) + GOOD_FOR < now
        if over or self._state.customers.get(portal["customer"]).get("deleted"):
            return None
        self._visited[ident] = now
        return portal

    def add_card(self, portal: JsonObject, method: JsonObject) -> None:
        """Save a card. Whoever came to change theirs pays with it from now on."""
        self._customers.keep(method, portal["customer"], "always")
        if portal["flow"]:
            settings = {"default_payment_method": method["id"]}
            self._customers.update(portal["customer"], {"invoice_settings": settings})
            portal["flow"] = None  # and stands on the front page then
