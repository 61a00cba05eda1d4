"""Money going back: refunds by the merchant, disputes by the buyer's bank."""

from bot.sandbox.stripe.errors import JsonObject, invalid
from bot.sandbox.stripe.state import State, merged

EVIDENCE_WITHIN = 7 * 86_400


class Reversals:
    """Rules for ``/v1/refunds`` and ``/v1/disputes``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create_refund(self, params: JsonObject) -> JsonObject:
        return self.refund(
            self._charge_to_refund(params),
            params.get("amount"),
            reason=params.get("reason"),
            metadata=merged({}, params.get("metadata", {})),
        )

    def refund(
        self,
        charge: JsonObject,
        cents: int | None = None,
        *,
        reason: str | None = None,
        metadata: dict[str, str] | None = None,
    ) -> JsonObject:
        """Give back some of a charge, or all that is left of it."""
        amount = self._refundable(charge, cents)
        refund = {
            "id": self._state.new_id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": self._state.new_id("txn"),
            "charge": charge["id"],
            "created": self._state.now(),
            "currency": charge["currency"],
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "failure_reason": None,
            "metadata": metadata or {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "receipt_number": None,
            "status": "succeeded",
        }
        self._state.refunds.add(refund)
        self._state.emit("refund.created", refund)
        self._set_refunded(charge, charge["amount_refunded"] + amount, "charge.refunded")
        return refund

    def fail_refund(self, ident: str) -> JsonObject:
        """The buyer's bank could not take the money back, which can happen days later."""
        refund = self._state.refunds.get(ident)
        if refund["status"] != "succeeded":
            raise invalid(f"Refund {ident} has a status of {refund['status']}.")
        refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        charge = self._state.charges.get(refund["charge"])
        self._state.emit("refund.failed", refund)
        self._state.emit("charge.refund.updated", refund)
        self._set_refunded(charge, charge["amount_refunded"] - refund["amount"], "charge.updated")
        return refund

    def dispute(self, charge: JsonObject, cents: int | None = None, *, reason: str = "fraudulent") -> JsonObject:
        """The buyer's bank takes the money back and asks for evidence."""
        if charge["status"] != "succeeded":
            raise invalid(f"Charge {charge['id']} was not paid.")
        if self._is_charged_back(charge):
            raise invalid(f"Charge {charge['id']} is disputed already.", code="charge_disputed")
        left = charge["amount"] - charge["amount_refunded"] or charge["amount"]
        due = self._state.now() + EVIDENCE_WITHIN
        dispute = {
            "id": self._state.new_id("du"),
            "object": "dispute",
            "amount": left if cents is None else cents,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": self._state.now(),
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {"due_by": due, "has_evidence": False, "past_due": False, "submission_count": 0},
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
        self._state.disputes.add(dispute)
        charge["disputed"] = True
        self._state.emit("charge.dispute.created", dispute)
        self._state.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, ident: str, *, won: bool) -> JsonObject:
        """The bank's decision. A won dispute brings the money back."""
        dispute = self._state.disputes.get(ident)
        if dispute["status"] in {"won", "lost"}:
            raise invalid(f"This dispute is already closed (its status is {dispute['status']}).")
        dispute["status"] = "won" if won else "lost"
        if won:
            self._state.emit("charge.dispute.funds_reinstated", dispute)
        self._state.emit("charge.dispute.closed", dispute)
        return dispute

    def refunds_of(self, charge_id: str) -> list[JsonObject]:
        return [refund for refund in self._state.refunds.newest_first() if refund["charge"] == charge_id]

    def _is_charged_back(self, charge: JsonObject) -> bool:
        return any(d["charge"] == charge["id"] and d["status"] != "won" for d in self._state.disputes)

    def _charge_to_refund(self, params: JsonObject) -> JsonObject:
        intent_id, charge_id = params.get("payment_intent"), params.get("charge")
        if bool(intent_id) == bool(charge_id):
            raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
        if charge_id:
            return self._state.charges.get(charge_id, "charge")
        intent = self._state.intents.get(str(intent_id), "payment_intent")
        if intent["status"] != "succeeded":
            raise invalid(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
        return self._state.charges.get(intent["latest_charge"])

    def _refundable(self, charge: JsonObject, cents: int | None) -> int:
        ident, left = charge["id"], charge["amount"] - charge["amount_refunded"]
        if charge["status"] != "succeeded":
            raise invalid(f"Charge {ident} was not paid, so it cannot be refunded.", param="charge")
        if self._is_charged_back(charge):
            raise invalid(f"Charge {ident} has been charged back; cannot issue a refund.", code="charge_disputed")
        if not left:
            raise invalid(f"Charge {ident} has already been refunded.", code="charge_already_refunded")
        amount: int = left if cents is None else cents
        if amount > left:
            raise invalid(
                f"Refund amount ({_dollars(amount)}) is greater than unrefunded amount on charge ({_dollars(left)})",
                param="amount",
            )
        return amount

    def _set_refunded(self, charge: JsonObject, amount: int, event: str) -> None:
        before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
        charge |= {"amount_refunded": amount, "refunded": amount == charge["amount"]}
        self._state.emit(event, charge, before=before)


def _dollars(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02}"
