"""Events that wait for a price or for credit, and are booked as soon as it is there."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.db import versions
from bot.db.engine import Database
from bot.faultpoint import faultpoint
from bot.ledger.model import BelowFloor
from bot.usage import store
from bot.usage.debits import debit, park
from bot.usage.model import Row, new_batch
from bot.usage.rating import Rater, StaleTerms, Terms

_AT_ONCE: Final = 1_000
_TRIES: Final = 10
_STRAGGLERS: Final = timedelta(
    minutes=1
)  # so long after a change of the terms, something rated before it may be stored


class Parking:
    """Looks whether what is parked can be booked: after each change of the terms, and whenever credit arrived."""

    def __init__(self, database: Database, clock: Clock, rater: Rater) -> None:
        self._database = database
        self._clock = clock
        self._rater = rater
        self._looked_at = -1  # the version of the terms
        self._look_again: datetime | None = None

    async def work(self) -> int:
        """Book what can be booked, a page at a time. Returns 0 when nothing more can."""
        async with self._database.read() as tx:
            rows = await store.affordable(tx, _AT_ONCE)
            version = await versions.current(tx, versions.TERMS)
        for row in rows:
            row.parked = None
        booked = await self._book(rows)
        now = self._clock.now()
        if version != self._looked_at or (self._look_again is not None and now >= self._look_again):
            booked += await self._look_for_prices(now)
        return booked

    async def _look_for_prices(self, now: datetime) -> int:
        terms = await self._rater.fresh_terms()
        changed = terms.version != self._looked_at
        booked = 0
        last: Row | None = None
        while True:
            async with self._database.read() as tx:
                rows = await store.unpriced(tx, _AT_ONCE, last)
            if not rows:
                break
            last = rows[-1]
            reasons = [row.parked for row in rows]
            await self._rater.rate_again(rows, terms)
            booked += await self._book([row for row, old in zip(rows, reasons, strict=True) if row.parked != old])
        self._looked_at = terms.version
        self._look_again = now + _STRAGGLERS if changed else None
        return booked

    async def _book(self, rows: Sequence[Row]) -> int:
        """Book rows that have a price, as many as their accounts can bear; others get their new reason. How many."""
        for _ in range(_TRIES if rows else 0):
            terms = await self._rater.fresh_terms()
            await self._rater.look_up(terms, {row.account_id for row in rows})
            try:
                await self._database.write(partial(self._release, rows, terms))
            except StaleTerms:
                continue
            except BelowFloor as low:
                park(rows, low.balances, terms)
            except store.ReleasedBefore:
                return 0
            else:
                return sum(row.parked is None for row in rows)
        return 0

    async def _release(self, rows: Sequence[Row], terms: Terms, tx: AsyncConnection) -> None:
        await terms.must_hold(tx)
        now = self._clock.now()
        number = new_batch(now)
        await store.release(tx, rows, number)
        faultpoint("U3")
        await debit(tx, rows, number, now, terms)
