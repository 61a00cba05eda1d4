"""A purchase as a person at support needs to know it: what it is, its states, and its names at Stripe. No secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Workspace
from bot.db.engine import must
from bot.money import Usd
from bot.purchases import store
from bot.purchases.model import CREDITED, UNKNOWN_FOR_LONG, Purchase, Status


@dataclass(frozen=True, slots=True)
class Dossier:
    """``states`` are each state with its time and a note; ``ids`` are what Stripe calls things, by what they are."""

    id: str
    account_id: str
    workspace: Workspace
    buyer_id: str
    amount: Usd
    status: str
    created_at: datetime
    facts: Mapping[str, str]
    states: Sequence[tuple[datetime, str, str | None]]
    ids: Mapping[str, str]


async def of_id(tx: AsyncConnection, purchase_id: str) -> Dossier | None:
    purchase = await store.of_id(tx, purchase_id)
    return await _dossier(tx, purchase) if purchase else None


async def of_account(tx: AsyncConnection, account_id: str, buyer_id: str | None, limit: int) -> Sequence[Dossier]:
    """The newest purchases of the account, or of one buyer for it."""
    found = await store.of_account(tx, account_id, limit=limit if buyer_id is None else 10 * limit)
    mine = [each for each in found if buyer_id in (None, each.buyer_id)]
    return [await _dossier(tx, each) for each in mine[:limit]]


async def in_trouble(tx: AsyncConnection, now: datetime) -> Sequence[tuple[str, Dossier]]:
    """Purchases that a person must look at, each with why: ``quarantined``, or ``unknown`` for a day.

    Not those that are credited: of what goes back of them too late, their buyers need not hear.
    """
    found = await store.in_trouble(tx, now - UNKNOWN_FOR_LONG)
    return [
        ("quarantined" if each.status is Status.QUARANTINED else "unknown", await _dossier(tx, each))
        for each in found
        if each.status not in CREDITED
    ]


async def _dossier(tx: AsyncConnection, purchase: Purchase) -> Dossier:
    account = must(await accounts.of_id(tx, purchase.account_id))
    facts = {
        "card": f"{purchase.card.brand} ending in {purchase.card.last4}" if purchase.card else None,
        "reason": purchase.reason,
        "cancelled by": purchase.cancelled_by,
        "given back": f"${purchase.reversed}" if purchase.reversed.cents else None,
        "receipt": purchase.receipt_url,
    }
    ids = {
        "payment intent": purchase.intent_id,
        "checkout session": purchase.session_id,
        "payment method": purchase.card and purchase.card.id,
        "customer": account.customer,
        "last request that failed": purchase.request_id,
    }
    return Dossier(
        id=purchase.id,
        account_id=purchase.account_id,
        workspace=purchase.workspace,
        buyer_id=purchase.buyer_id,
        amount=purchase.amount,
        status=purchase.status.value,
        created_at=purchase.created_at,
        facts={name: fact for name, fact in facts.items() if fact},
        states=[(at, status.value, note) for at, status, note in await store.history(tx, purchase.id)],
        ids={name: id for name, id in ids.items() if id},
    )
