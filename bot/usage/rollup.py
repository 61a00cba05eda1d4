"""Rolls events up into hours, so that nobody has to read millions of events to tell an account's pace."""

from collections import deque
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.db.engine import Database
from bot.usage import hour_store

_AT_ONCE: Final = 200  # ledger entries in one transaction
_COMMITTED_WITHIN: Final = timedelta(minutes=1)


class Rollup:
    """Reads the ledger's entries of usage in their order, each once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._seen: deque[tuple[datetime, int]] = deque()  # when the newest entry had which number
        self.complete_to = datetime.min.replace(tzinfo=UTC)  # what was booked until then is in the hours

    async def work(self) -> int:
        """Roll up some entries; how many numbers that was. 0 when all is done that can be."""
        now = self._clock.now()
        async with self._database.read() as tx:
            newest, before = await hour_store.newest_entry(tx), await hour_store.rolled_up(tx)
        at, settled = self._settled(now, newest)
        done = await self._database.write(partial(self._roll_up, settled)) if settled > before else 0
        if not done:
            self.complete_to = max(self.complete_to, at)
        return done

    def _settled(self, now: datetime, newest: int) -> tuple[datetime, int]:
        """The number up to which no entry can still come, and since when that is so.

        On PostgreSQL a transaction may be committed after others with greater numbers, for as long as it takes.
        """
        if self._database.is_sqlite:
            return now, newest
        self._seen.append((now, newest))
        settled = self.complete_to, 0
        while self._seen and now - self._seen[0][0] >= _COMMITTED_WITHIN:
            settled = self._seen.popleft()
        return settled

    async def _roll_up(self, settled: int, tx: AsyncConnection) -> int:
        done = await hour_store.hold_still(tx)
        upto = min(settled, done + _AT_ONCE)
        if upto <= done:
            return 0
        await hour_store.roll_up(tx, done, upto)
        return upto - done
