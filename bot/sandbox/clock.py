"""A clock that runs like the machine's and can be wound forward by hand."""

import asyncio
import time
from datetime import UTC, datetime, timedelta


class WindableClock:
    """Real time plus everything it was wound by. Sleepers wake when their time has come, wound or not."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._wound = asyncio.Event()

    @property
    def ahead(self) -> timedelta:
        """How far this clock is ahead of the machine's."""
        return timedelta(seconds=self._ahead)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            wound = self._wound
            try:
                async with asyncio.timeout(left):
                    await wound.wait()
            except TimeoutError:
                return

    def wind(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move the clock forward and wake whoever's time has come."""
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days).total_seconds()
        if step < 0:
            raise ValueError("a clock is only wound forward")
        self._ahead += step
        self._wound.set()
        self._wound = asyncio.Event()
