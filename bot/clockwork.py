"""Jobs and workers. APScheduler is the alarm clock; what is due stands in the database, never in its memory.

A worker does rounds of work for as long as there is some, and then waits for a nudge or for the next alarm. This is
the boundary of everything that runs without a person waiting: an error in one round is logged, and the rounds go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.errors import Outage

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[], Awaitable[int]]

_IN_TURN = 0.05  # seconds that a start waits for the first round of one before the next one begins

_at_large: set[asyncio.Task[Any]] = set()  # nobody waits for these any more; kept from being collected


class Worker:
    """Repeats ``work`` until it says 0, then sleeps until nudged; its alarm goes off every ``interval`` seconds.

    Its first round is ``begin_after`` seconds after the start, or when it is nudged before that.
    """

    def __init__(self, name: str, work: Work, interval: float, begin_after: float = 0.0) -> None:
        self.name = name
        self._work = work
        self._interval = interval
        self._begin_after = begin_after
        self._wound = interval - begin_after if begin_after else 0.0
        self._nudged = asyncio.Event()
        self._begun = asyncio.Event()

    def nudge(self) -> None:
        """There may be something to do."""
        self._nudged.set()

    async def alarm(self) -> None:
        """As ``nudge``. APScheduler runs what is no coroutine in a thread, where an event must not be set."""
        self.nudge()

    def wind(self, seconds: float) -> None:
        """Time was moved on by so much: the alarm goes off if it would have gone off in between."""
        self._wound += seconds
        if self._wound >= self._interval:
            self._wound = 0.0
            self.nudge()

    async def begun(self) -> None:
        """Return when the first round is over, or is not to be now, or takes its time."""
        if not self._begin_after:
            with suppress(TimeoutError):
                async with asyncio.timeout(_IN_TURN):
                    await self._begun.wait()

    async def run(self) -> None:
        if self._begin_after:
            with suppress(TimeoutError):  # wait_for may overhear that the round is cancelled
                async with asyncio.timeout(self._begin_after):
                    await self._nudged.wait()
        while True:
            self._nudged.clear()
            try:
                done = await self._work()
            except Outage as outage:
                logger.warning("%s has to wait: %s", self.name, outage)
                done = 0
            except Exception:  # the boundary: see the module
                logger.exception("a round of %s failed", self.name)
                done = 0
            self._begun.set()
            if not done:
                with suppress(TimeoutError):  # APScheduler's alarms go by the wall clock: one set back would not come
                    async with asyncio.timeout(2 * self._interval):
                        await self._nudged.wait()


class Crew:
    """Up to ``hands`` pieces of work at the same time, so that a slow one holds up nobody."""

    def __init__(self, hands: int) -> None:
        self._hands = hands
        self._at_work: set[asyncio.Task[None]] = set()
        self.free_again: Callable[[], None] = lambda: None  # called when all hands were full and one is not any more

    @property
    def free(self) -> int:
        return self._hands - len(self._at_work)

    @property
    def busy(self) -> int:
        return len(self._at_work)

    def start(self, piece: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(piece)
        self._at_work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a piece of work failed: %s", error, exc_info=error)
        if self.free == 1:
            self.free_again()

    async def done(self) -> None:
        """Wait until nobody is at work."""
        while self._at_work:
            await asyncio.wait(self._at_work)

    async def stop(self) -> None:
        await _cancel(self._at_work)


async def at_most(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Do ``work``, or raise ``TimeoutError`` on time.

    What takes longer is cancelled and not waited for: leaving a database that hangs takes longer than people wait.
    """
    task = asyncio.create_task(work)
    _at_large.add(task)
    task.add_done_callback(_let_in)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # does nothing to what is done
    if not task.done():
        raise TimeoutError
    return task.result()


def _let_in(task: asyncio.Task[Any]) -> None:
    _at_large.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waited has left, or will raise it again


class Clockwork:
    """All workers of the process, each nudged at its own interval."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, name: str, work: Work, *, begin_after: float = 0.0) -> Worker:
        """Do ``work`` every so many seconds, and whenever the returned worker is nudged. See ``Worker``."""
        worker = Worker(name, work, seconds, begin_after)
        self._workers.append(worker)
        self._scheduler.add_job(worker.alarm, "interval", seconds=seconds, id=name)
        return worker

    def wind(self, seconds: float) -> None:
        """A clock that can be wound was: whoever would have had an alarm in that time has it now, once."""
        for worker in self._workers:
            worker.wind(seconds)

    def start(self) -> None:
        self._scheduler.start()
        self._tasks = [asyncio.create_task(self._begin(), name="begin")]

    async def _begin(self) -> None:
        """One after another: they need not all ask the database at once, each with a connection of its own."""
        for worker in self._workers:
            self._tasks.append(asyncio.create_task(worker.run(), name=worker.name))
            await worker.begun()

    async def stop(self) -> None:
        """Cancel the rounds. Whatever they were at is in the database and goes on after the next start."""
        if self._scheduler.running:
            self._scheduler.pause()
            await asyncio.sleep(0)  # alarms that just went off end: cut short, they would be logged as failures
            self._scheduler.shutdown(wait=False)
        await _cancel(self._tasks)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    leaving = list(tasks)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
