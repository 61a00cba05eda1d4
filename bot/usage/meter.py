"""The meter: requests queue, and one writer books whatever queued while its last commit was under way.

No request waits for a timer, and none is answered before its commit. The writer is optimistic: it stores the events as
if none were a repeat and every balance sufficed. Only when the database objects does it look closer and try again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.db.engine import Database
from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.ledger.model import BelowFloor
from bot.money import Credits
from bot.usage import store
from bot.usage.debits import debit, park, total
from bot.usage.model import Busy, Event, HoldConflict, Row, UsageRefused, new_batch
from bot.usage.rating import Rater, StaleTerms, Terms

MOST_AT_ONCE: Final = 5_000  # events in one transaction
MOST_WAITING: Final = 50_000  # events in the queue
_GREATEST: Final = 4 * 10**18  # nano-credits in one transaction: sums stay within a database's integers
_TRIES: Final = 10
_CAREFUL_FOR: Final = 50  # batches after a repeat: where one came, more come

EventKey = tuple[int, bytes]
Also = Callable[[AsyncConnection, Credits, int], Awaitable[HoldConflict | None]]
"""Done in the same transaction, with what the events cost and how many are new: why they are not booked, if so."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request: how many events were new, what all its events cost, and how many are parked."""

    new: int
    cost: Credits
    parked: int


@dataclass(slots=True)
class _Request:
    events: Sequence[Event]
    received_at: datetime
    rows: list[Row]
    terms: Terms
    also: Also | None
    done: asyncio.Future[Receipt]
    conflict: HoldConflict | None = None

    def refuse(self, why: UsageRefused | HoldConflict | Outage) -> None:
        if not self.done.done():
            self.done.set_exception(why)


class _Reconsider(Exception):
    """Other requests have a conflict than was thought: nothing is booked before they are sorted out anew."""


@dataclass(slots=True)
class _Batch:
    """What one transaction books: new rows by key, the requests it answers, and what is done with them."""

    rows: dict[EventKey, Row] = field(default_factory=dict)
    answers: list[tuple[_Request, list[Row], int]] = field(default_factory=list)  # with all its rows, and the new ones
    conflicts: list[tuple[_Request, list[Row], int]] = field(default_factory=list)  # the same, and none is booked
    refused: list[tuple[_Request, UsageRefused]] = field(default_factory=list)

    def admit(self, request: _Request, known: Mapping[EventKey, Row]) -> None:
        """Take a request in, without what was stored before; or refuse it, where an id comes with other content."""
        fresh: dict[EventKey, Row] = {}
        stored: list[Row] = []
        problems: list[tuple[int, str]] = []
        for n, row in enumerate(request.rows):
            key = row.source, row.key
            before = known.get(key) or self.rows.get(key) or fresh.get(key)
            if before is None:
                fresh[key] = row
            elif not before.same_use(row, at_any_time=request.events[n].at is None):
                problems.append((n, f"the id {request.events[n].id} was used before, with other content"))
            stored.append(before or row)
        if problems:
            self.refused.append((request, UsageRefused(problems, conflict=True)))
        elif request.conflict:
            self.conflicts.append((request, stored, len(fresh)))
        else:
            self.rows |= fresh
            self.answers.append((request, stored, len(fresh)))

    def answer(self) -> None:
        """Tell everybody. Not before the commit: until then, what contradicts a request may itself be no event."""
        for request, why in self.refused:
            request.refuse(why)
        for request, *_ in self.conflicts:
            assert request.conflict
            request.refuse(request.conflict)
        for request, rows, new in self.answers:
            if not request.done.done():
                request.done.set_result(Receipt(new, total(rows), sum(row.parked is not None for row in rows)))


class Meter:
    """Books events, each exactly once. One writer in a process: ``work``."""

    def __init__(self, database: Database, clock: Clock, rater: Rater) -> None:
        self._database = database
        self._clock = clock
        self._rater = rater
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._careful = 0
        self.nudge: Callable[[], None] = lambda: None  # wakes the writer

    async def book(self, events: Sequence[Event], *, also: Also | None = None) -> Receipt:
        """Book all of these events or none, and do ``also`` with them. Returns after the commit.

        Raises ``UsageRefused`` for an unknown account or an id that was used with other content, the ``HoldConflict``
        of ``also``, ``Busy``, and ``Outage``: then the same events can be sent again.
        """
        if self._waiting >= MOST_WAITING:
            raise Busy()
        self._waiting += len(events)
        try:
            received_at = self._clock.now()
            terms = await self._rater.terms()
            rows = await self._rater.rate(events, received_at, terms)
            done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
            self._queue.append(_Request(events, received_at, rows, terms, also, done))
            self.nudge()
            return await done
        finally:
            self._waiting -= len(events)

    async def work(self) -> int:
        """Book what is in the queue, in one transaction. How many requests that were."""
        requests = self._take()
        try:
            if requests:
                await self._write(requests)
        except Outage as outage:
            for request in requests:
                request.refuse(outage)
        finally:  # of a bug too, everybody hears
            unbooked = Outage("usage", "the events could not be booked")
            for request in requests:
                request.refuse(unbooked)
        return len(requests)

    def _take(self) -> list[_Request]:
        requests: list[_Request] = []
        events = nano = 0
        while self._queue:
            following = self._queue[0]
            events += len(following.rows)
            nano += total(following.rows).nano
            if requests and (events > MOST_AT_ONCE or nano > _GREATEST):
                break
            requests.append(self._queue.popleft())
        return requests

    async def _write(self, requests: list[_Request]) -> None:
        known: dict[EventKey, Row] = {}
        for _ in range(_TRIES):
            terms = await self._rater.terms()
            for request in requests:
                if request.terms is not terms:
                    request.rows = await self._rater.rate(request.events, request.received_at, terms)
                    request.terms = terms
            if self._careful:
                known = await self._known(requests)
            batch = _Batch()
            for request in requests:
                if not request.done.done():
                    batch.admit(request, known)
            try:
                await self._database.write(partial(self._store, batch, terms))
            except StaleTerms:
                await self._rater.terms(newer_than=terms)
            except store.SeenBefore:
                self._careful = _CAREFUL_FOR
            except BelowFloor as low:
                park(batch.rows.values(), low.balances, terms)
            except _Reconsider:
                self._careful = _CAREFUL_FOR
            else:
                self._careful = max(0, self._careful - 1)
                return batch.answer()
        raise Outage("usage", "others changed what it is booked by, again and again")

    async def _known(self, requests: list[_Request]) -> dict[EventKey, Row]:
        async with self._database.read() as tx:
            return await store.known(tx, {(row.source, row.key) for request in requests for row in request.rows})

    async def _store(self, batch: _Batch, terms: Terms, tx: AsyncConnection) -> None:
        await terms.must_hold(tx)
        now = self._clock.now()
        if batch.rows:
            number = new_batch(now)
            await store.add(tx, list(batch.rows.values()), number)
            faultpoint("U1")
            await debit(tx, batch.rows.values(), number, now, terms)
        await _do_also(batch, tx)
        faultpoint("U2")


async def _do_also(batch: _Batch, tx: AsyncConnection) -> None:
    """Do what else is wanted, and see whether what had a conflict has it still: it was found where nothing remained."""
    changed = False
    for request, rows, new in [*batch.answers, *batch.conflicts]:
        before = request.conflict
        request.conflict = await request.also(tx, total(rows), new) if request.also else None
        changed |= (before is None) != (request.conflict is None)
    if changed:
        raise _Reconsider
