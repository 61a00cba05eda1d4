"""Delivers what is owed to Slack: one message at a time in each place, many places at once, until all of it is shown.

A row says how one message ought to look. Delivering sends the newest content only, so changes that come quickly melt
into one edit, and a process that dies leaves nothing behind but a row that is still due.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.db.engine import Database
from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.outbox import store
from bot.outbox.model import LONGEST_WAIT, Owed, Remedy, backoff, remedy
from bot.outbox.pace import Pace
from bot.outbox.sender import LeaseOver, Messenger, Sender, Told
from bot.slack.client import RateLimited, SlackRefused

MOST_PLACES_AT_ONCE = 20
POLL_SECONDS = 1.0
DRAIN_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Outbox:
    """Write with ``store.owe`` in the transaction of the cause, ``nudge`` after its commit."""

    def __init__(
        self, database: Database, slack: Messenger, clock: Clock, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._database = database
        self._clock = clock
        self._jitter = jitter
        self._pace = Pace(clock)
        self._sender = Sender(database, slack, clock, self._pace)
        self._serving: dict[str, asyncio.Task[bool | None]] = {}
        self._nudged = asyncio.Event()
        self._nudges = 0
        self._stopping = False

    def nudge(self) -> None:
        """Something may be due."""
        self._nudges += 1
        self._nudged.set()

    async def deliver(self) -> int:
        """Send what is due, until nothing is. Return how many messages were brought up to date."""
        sent = 0
        while tasks := await self._begin():
            sent += sum(map(bool, await asyncio.gather(*tasks)))
        return sent

    async def run(self) -> None:
        """Deliver whatever becomes due, until cancelled; then let what is being sent arrive, for a few seconds."""
        self._stopping = False
        awake = False
        try:
            while True:
                self._nudged.clear()
                try:
                    awake = awake or await self._wake()
                    await self._begin()
                except (Outage, SQLAlchemyError, OSError) as error:
                    logger.warning("the outbox cannot reach the database: %s", error)
                except Exception:  # the boundary: whatever it was, there is another round
                    logger.exception("a round of the outbox failed")
                await self._rest()
        finally:
            await self._drain()

    async def _wake(self) -> bool:
        """Take up what an earlier run left behind."""
        now = self._clock.now()

        async def wake(tx: AsyncConnection) -> int:
            if self._database.is_sqlite:  # this process has the file alone; elsewhere leases run out by themselves
                await store.release_leases(tx)
            return await store.revive(tx, now)

        if revived := await self._database.write(wake):
            logger.info("%d messages that Slack's token had stopped are tried again", revived)
        return True

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._nudged.wait()

    async def _drain(self) -> None:
        self._stopping = True
        serving = list(self._serving.values())
        if serving:
            await asyncio.wait(serving, timeout=DRAIN_SECONDS)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    # --- places

    async def _begin(self) -> list[asyncio.Task[bool | None]]:
        """Start to serve places that something is due for, as many as may be served at once."""
        free = MOST_PLACES_AT_ONCE - len(self._serving)
        if self._stopping or free <= 0:
            return []
        not_now = self._pace.silent().union(self._serving)
        nudges = self._nudges
        async with self._database.read() as tx:
            places = await store.places_due(tx, self._clock.now(), besides=not_now, limit=free)
        everywhere = len(places) < free
        return [
            self._start(place, nudges if everywhere and count == 1 else None)
            for place, count in places
            if place not in self._serving
        ]

    def _start(self, place: str, alone_at: int | None) -> asyncio.Task[bool | None]:
        task = asyncio.create_task(self._serve(place), name=f"outbox {place}")
        self._serving[place] = task
        task.add_done_callback(partial(self._served, place, alone_at))
        return task

    def _served(self, place: str, alone_at: int | None, task: asyncio.Task[bool | None]) -> None:
        """Look whether more is due, unless the message was alone ``alone_at`` so many nudges and there were no more."""
        del self._serving[place]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Outage):
            logger.warning("delivering to %s stopped, and goes on when a lease is over: %s", place, error)
        elif error:
            logger.error("delivering to %s failed", place, exc_info=error)
        elif task.result() is False or (task.result() and alone_at != self._nudges):
            self._nudged.set()

    async def _serve(self, place: str) -> bool | None:
        """Deliver the next row of this place, if it still has one. Whether Slack now shows the row's content."""
        owed = await self._claim(place)
        return await self._send(owed) if owed else None

    async def _claim(self, place: str) -> Owed | None:
        if self._stopping or place in self._pace.silent():
            return None
        now = self._clock.now()
        return await self._database.write(lambda tx: store.claim(tx, place, now))

    # --- one row

    async def _send(self, owed: Owed) -> bool:
        """Tell Slack, and write down what came of it. True when Slack now shows the row's content."""
        faultpoint("K13")
        try:
            told = await self._sender.tell(owed)
        except RateLimited as limited:
            self._pace.pause(owed.place, limited.retry_after)
            await self._put_off(owed, min(timedelta(seconds=limited.retry_after), LONGEST_WAIT), limited)
        except Outage as outage:
            await self._put_off(owed, backoff(owed.attempts, self._jitter()), outage)
        except SlackRefused as refused:
            await self._refused(owed, refused)
        except LeaseOver as late:
            await self._put_off(owed, timedelta(0), late)
        else:
            faultpoint("K14")
            return await self._mark(owed, told)
        return False

    async def _mark(self, owed: Owed, told: Told) -> bool:
        """Write down that Slack was told. For as long as it takes: forgetting it would tell people twice."""
        for failures in itertools.count():
            try:
                return await self._database.write(lambda tx: store.delivered(tx, owed, told.channel, told.ts))
            except Outage as outage:
                logger.warning("%s was delivered, which cannot be written down yet: %s", owed.key, outage)
                await self._clock.sleep(backoff(min(failures, 3), self._jitter()).total_seconds())
        raise AssertionError("unreachable")

    async def _refused(self, owed: Owed, refused: SlackRefused) -> None:
        if remedy(refused.error) is Remedy.LATER:
            await self._put_off(owed, backoff(owed.attempts, self._jitter()), refused)
            return
        logger.warning("%s cannot be delivered to %s: %s", owed.key, owed.place, refused)
        now = self._clock.now()
        await self._database.write(lambda tx: store.bury(tx, owed, refused.error, now))

    async def _put_off(self, owed: Owed, wait: timedelta, why: Exception) -> None:
        logger.warning("%s to %s waits %.1f s: %r", owed.key, owed.place, wait.total_seconds(), why)
        until = self._clock.now() + wait
        await self._database.write(lambda tx: store.put_off(tx, owed, until))
