"""Sends the mails that are due, and says for each, once, what became of it.

A row says what is owed. Whoever dies between the server's yes and writing it down sends it once more, under the same
Message-ID: servers and mail programs show such a mail once.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from functools import partial
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.db.engine import Database
from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.mail import store
from bot.mail.model import Fate, MailRefused, Owed, letter, wait

AT_ONCE = 5

logger = logging.getLogger(__name__)

Told = Callable[[AsyncConnection, str, Fate], Awaitable[None]]
"""Hears, in the transaction that writes it down, what became of the mail with this key."""


class Transport(Protocol):
    """Where mails are handed over. Raises ``MailRefused`` and ``Outage``."""

    sender: str

    async def send(self, message: EmailMessage) -> None: ...


class Mailer:
    """Write with ``store.owe_mail`` in the transaction of the cause, nudge the worker after its commit."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        clock: Clock,
        told: Told,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._transport = transport
        self._clock = clock
        self._told = told
        self._jitter = jitter

    async def work(self) -> int:
        """Try what is due. How many mails were tried."""
        claimed = await self._database.write(partial(store.claim, now=self._clock.now(), limit=AT_ONCE))
        await asyncio.gather(*map(self._send, claimed))
        return len(claimed)

    async def _send(self, owed: Owed) -> None:
        faultpoint("M0")
        try:
            await self._transport.send(letter(owed.mail, self._transport.sender, owed.created_at))
        except MailRefused as refused:
            await self._give_up(owed, str(refused))
        except Outage as outage:
            await self._put_off(owed, outage.reason)
        else:
            faultpoint("M1")
            await self._end(owed, Fate.ACCEPTED)

    async def _put_off(self, owed: Owed, why: str) -> None:
        now = self._clock.now()
        if now >= owed.tried_until:
            return await self._give_up(owed, why)
        pause = wait(owed.attempts, self._jitter())
        logger.warning("mail %s waits %.0f s: %s", owed.mail.key, pause.total_seconds(), why)
        until = min(now + pause, owed.tried_until)
        await self._database.write(partial(store.put_off, owed=owed, until=until, trouble=why))

    async def _give_up(self, owed: Owed, why: str) -> None:
        logger.error("mail %s is given up: %s", owed.mail.key, why)
        await self._end(owed, Fate.GIVEN_UP, why)

    async def _end(self, owed: Owed, fate: Fate, trouble: str | None = None) -> None:
        async def write(tx: AsyncConnection) -> None:
            if await store.ended(tx, owed, fate, self._clock.now(), trouble):
                await self._told(tx, owed.mail.key, fate)

        await self._database.write(write)
