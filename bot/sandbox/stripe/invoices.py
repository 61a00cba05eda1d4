"""Invoices for what was paid on a checkout page."""

from bot.sandbox.stripe.errors import JsonObject
from bot.sandbox.stripe.state import State, merged


class Invoices:
    """Rules for ``/v1/invoices``: they are made paid, and never change."""

    def __init__(self, state: State) -> None:
        self._state = state

    def paid(self, session: JsonObject, intent: JsonObject, items: list[JsonObject]) -> JsonObject:
        """The invoice of a session that was paid."""
        ident, asked = self._state.new_id("in"), session["invoice_creation"]["invoice_data"]
        details = session["customer_details"] or {"address": None, "email": None, "name": None, "tax_ids": []}
        tax, charge = session["total_details"]["amount_tax"], self._state.charges.get(intent["latest_charge"])
        invoice = {
            "id": ident,
            "object": "invoice",
            "amount_due": session["amount_total"],
            "amount_paid": session["amount_total"],
            "amount_remaining": 0,
            "created": self._state.now(),
            "currency": session["currency"],
            "custom_fields": None,
            "customer": session["customer"],
            "customer_address": details["address"],
            "customer_email": details["email"],
            "customer_name": details["name"],
            "customer_tax_ids": details["tax_ids"],
            "description": asked["description"],
            "hosted_invoice_url": f"{self._state.base_url}/pay/invoices/{ident}",
            "invoice_pdf": None,
            "lines": {
                "object": "list",
                "data": [{"description": item["description"], "amount": item["amount_total"]} for item in items],
                "has_more": False,
            },
            "livemode": False,
            "metadata": merged({}, asked["metadata"]),
            "number": f"SANDBOX-{len(self._state.invoices) + 1:04}",
            "receipt_number": charge["receipt_number"],
            "status": "paid",
            "subtotal": session["amount_subtotal"],
            "total": session["amount_total"],
            "total_taxes": [{"amount": tax, "tax_behavior": "exclusive"}] if tax else [],
        }
        self._state.invoices.add(invoice)
        self._state.emit("invoice.paid", invoice)
        return invoice

    def of_customer(self, ident: str) -> list[JsonObject]:
        """Newest first."""
        return [invoice for invoice in self._state.invoices.newest_first() if invoice["customer"] == ident]
