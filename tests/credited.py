"""Credits that were bought, put into the books without the bot, Slack and Stripe around them."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Workspace
from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.money import Credits, Usd
from bot.purchases import store
from bot.purchases.model import PayWith, Purchase, Status


async def credit(database: Database, account_id: str, amount: Usd, at: datetime, *, n: int = 1) -> None:
    """The account's purchase number ``n``, and its entry."""
    name = f"{account_id}_{n}"
    purchase = Purchase(
        id=f"pur_{name}",
        nonce=name,
        account_id=account_id,
        workspace=Workspace("", "T1"),
        buyer_id="U1",
        locale=None,
        amount=amount,
        status=Status.REQUESTED,
        pay_with=PayWith.CHECKOUT,
        created_at=at,
        updated_at=at,
        check_at=None,
    )
    bought = Credits.bought_for(amount)
    entry = transfer(f"purchase:pi_{name}", account_id, bought, Book.SALES, at, purchase=purchase.id, buyer="U1")

    async def write(tx: AsyncConnection) -> None:
        await store.add(tx, purchase)
        await store.move(tx, purchase, Status.SETTLED, at, intent_id=f"pi_{name}")
        await ledger.post(tx, entry, at)

    await database.write(write)
