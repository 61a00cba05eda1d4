"""The messages of a request, owed through the outbox: a card for each owner, and what whoever asked is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Account
from bot.clock import Clock
from bot.outbox import store as outbox
from bot.outbox.model import Message, User
from bot.purchases.asking import store, views
from bot.purchases.asking.model import PREFIX, Limit, Request, State
from bot.purchases.cards import Cards as PurchaseCards
from bot.purchases.model import Purchase
from bot.text import texts_for


@dataclass(frozen=True, slots=True)
class Cards:
    """Tells how a purchase stands; where it came of a request, whoever asked hears it too."""

    clock: Clock
    of_purchase: PurchaseCards

    async def __call__(self, tx: AsyncConnection, purchase: Purchase, account: Account) -> None:
        await self.of_purchase(tx, purchase, account)
        if purchase.nonce.startswith(PREFIX) and (request := await store.of_id(tx, purchase.nonce)):
            await self.tell(tx, request, account, purchase)

    async def tell(
        self, tx: AsyncConnection, request: Request, account: Account, purchase: Purchase | None = None
    ) -> None:
        """Write every message of the request anew; the outbox posts or edits those that changed."""
        for owner, locale in request.told.items():
            card = views.owner_card(texts_for(locale), request, account, owner)
            await self._owe(tx, f"request:{request.id}:{owner}", owner, card)
            if request.told_again(owner):
                await self._owe(tx, f"request:{request.id}:{owner}:again", owner, card)
        texts = texts_for(request.locale)
        await self._owe(tx, f"request:{request.id}:asker", request.asker_id, views.asker_card(texts, request, account))
        if request.state is not State.OPEN and not request.withdrawn:
            answer = views.outcome(texts, request, purchase)
            await self._owe(tx, f"request:{request.id}:outcome", request.asker_id, answer)

    async def tell_of_limit(
        self, tx: AsyncConnection, account: Account, limit: Limit, change: str, locales: Mapping[str, str | None]
    ) -> None:
        """A message for every owner. ``change`` is an id, one for each time that the limit was set."""
        for owner in sorted(account.owners):
            news = views.limit_news(texts_for(locales.get(owner)), account, limit)
            await self._owe(tx, f"{change}:{owner}", owner, news)

    async def _owe(self, tx: AsyncConnection, key: str, user_id: str, said: views.Said) -> None:
        text, blocks = said
        message = Message(key, User(user_id), text, [block.to_dict() for block in blocks])
        await outbox.owe(tx, message, self.clock.now())
