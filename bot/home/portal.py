"""The way to Stripe's own pages, on which owners change the card and find their invoices."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.accounts.model import Workspace, who_to_ask
from bot.errors import Refusal
from bot.home.service import Homes
from bot.payments.gateway import Portal

OpenPortal = Callable[[str, Portal, str | None], Awaitable[str]]
"""``PaymentGateway.open_portal``."""


class NotTheirCards(Refusal):
    key = "refusal.not_their_cards"


class NothingBought(Refusal):
    """There is nobody at Stripe yet."""

    key = "refusal.nothing_bought"


@dataclass(frozen=True, slots=True)
class Portals:
    homes: Homes
    open_portal: OpenPortal

    async def customer(self, workspace: Workspace, user_id: str) -> str:
        """The account's customer at Stripe, for an owner. Raise the reason why there is none for this person."""
        account, _ = await self.homes.visible(workspace, user_id)
        if user_id not in account.owners:
            raise NotTheirCards(**who_to_ask(account))
        if account.customer is None:
            raise NothingBought()
        return account.customer

    async def link(self, customer: str, part: Portal, workspace: Workspace, user_id: str) -> str:
        """A link that is good for some minutes. Raise ``Outage``, which an unfinished set-up at Stripe is too."""
        person = await self.homes.purchases.person(workspace, user_id)
        return await self.open_portal(customer, part, person.locale if person else None)
