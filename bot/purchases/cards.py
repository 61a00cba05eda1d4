"""The living messages of a purchase: one for the buyer, one for the account's channel, owed through the outbox."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Account
from bot.clock import Clock
from bot.outbox import store as outbox
from bot.outbox.model import Channel, Message, User
from bot.purchases.model import Purchase
from bot.purchases.views import buyer_card, channel_card
from bot.text import texts_for


@dataclass(frozen=True, slots=True)
class Cards:
    """Writes both messages anew whenever a purchase changes; the outbox posts or edits them."""

    clock: Clock
    support_email: str

    async def __call__(self, tx: AsyncConnection, purchase: Purchase, account: Account) -> None:
        now = self.clock.now()
        text, blocks = buyer_card(texts_for(purchase.locale), purchase, account, self.support_email)
        key = f"purchase:{purchase.id}:buyer"
        await outbox.owe(tx, Message(key, User(purchase.buyer_id), text, [block.to_dict() for block in blocks]), now)
        if account.channel:
            text, blocks = channel_card(texts_for(account.language), purchase)
            key = f"purchase:{purchase.id}:channel"
            await outbox.owe(tx, Message(key, Channel(account.channel), text, [b.to_dict() for b in blocks]), now)
