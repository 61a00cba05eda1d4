"""A payment gateway that is loaded when it is first needed, in a thread: Stripe's library takes a while to import.

So the bot answers Slack before that is done, and while it is done.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.money import Usd
from bot.payments.gateway import Card, CheckoutLink, Hint, Order, Outcome, PaymentGateway, Portal, Reversal


class ClosableGateway(PaymentGateway, Protocol):
    async def aclose(self) -> None: ...


class GatewayOnDemand:
    """``PaymentGateway`` through the one that ``load`` makes."""

    def __init__(self, load: Callable[[], ClosableGateway]) -> None:
        self._load = load
        self._one_at_a_time = threading.Lock()
        self._gateway: ClosableGateway | None = None

    def _load_once(self) -> ClosableGateway:
        with self._one_at_a_time:
            if self._gateway is None:
                self._gateway = self._load()
            return self._gateway

    async def _loaded(self) -> ClosableGateway:
        if self._gateway is None:
            return await asyncio.to_thread(self._load_once)
        return self._gateway

    async def aclose(self) -> None:
        if self._gateway is not None:
            await self._gateway.aclose()

    async def new_customer(self, account_id: str, name: str, slack_team: str, *, instead_of: str | None = None) -> str:
        return await (await self._loaded()).new_customer(account_id, name, slack_team, instead_of=instead_of)

    async def has_customer(self, customer: str) -> bool:
        return await (await self._loaded()).has_customer(customer)

    async def saved_card(self, customer: str) -> Card | None:
        return await (await self._loaded()).saved_card(customer)

    async def prepare(self, order: Order, attempt: int) -> str:
        return await (await self._loaded()).prepare(order, attempt)

    async def confirm(self, intent_id: str, card_id: str) -> Outcome:
        return await (await self._loaded()).confirm(intent_id, card_id)

    async def payment(self, intent_id: str) -> Outcome:
        return await (await self._loaded()).payment(intent_id)

    async def cancel(self, intent_id: str) -> Outcome:
        return await (await self._loaded()).cancel(intent_id)

    async def open_checkout(self, order: Order, attempt: int, locale: str | None) -> CheckoutLink:
        return await (await self._loaded()).open_checkout(order, attempt, locale)

    async def checkout(self, session_id: str) -> Outcome:
        return await (await self._loaded()).checkout(session_id)

    async def close_checkout(self, session_id: str) -> Outcome:
        return await (await self._loaded()).close_checkout(session_id)

    async def payment_named(self, hint: Hint) -> Outcome:
        return await (await self._loaded()).payment_named(hint)

    async def reversals(self, intent_id: str, bought: Usd) -> Sequence[Reversal]:
        return await (await self._loaded()).reversals(intent_id, bought)

    async def open_portal(self, customer: str, part: Portal, locale: str | None) -> str:
        return await (await self._loaded()).open_portal(customer, part, locale)

    async def hints(self, since: datetime) -> Sequence[Hint]:
        return await (await self._loaded()).hints(since)

    def read_webhook(self, body: bytes, signature: str) -> Hint:
        return self._load_once().read_webhook(body, signature)

    async def probe(self) -> Mapping[str, str]:
        return await (await self._loaded()).probe()

    async def probe_portal(self) -> bool:
        return await (await self._loaded()).probe_portal()
