"""Goals 1 to 6: usage events a second, beside rows that are only stored and events that are booked one at a time.

Everything of one database is measured in turn, round after round, and each side has a database of its own: the bot
that answers HTTP, the meter inside this process, and what they stand beside. At the end the bot is killed at work.
"""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bot.clock import SystemClock
from bot.clockwork import Worker
from bot.db.engine import Database
from bot.usage.meter import Meter
from bot.usage.model import Event
from bot.usage.rating import Rater
from tests.bench import books
from tests.bench.bare_ledgers import Ledger, OneByOne, Sizes, Transfers, transfers
from tests.bench.figures import Check, Measured, Row
from tests.bench.load import Order
from tests.bench.places import Place, Postgres, places
from tests.bench.processes import Load, Running, Sent, Surroundings, outside
from tests.bench.stream import Stream, as_event

ROUNDS = 5
EVENTS = 40_000  # in a round, to the quickest; the slower ones get a part of them

HTTP_100, HTTP_1, NOTHING = "HTTP 64×100", "HTTP 256×1", "HTTP 256×1 that stores nothing"
INSIDE_100, INSIDE_1 = "in process 64×100", "in process 256×1"
RAW, ONE_BY_ONE, FUNCTION = "raw rows", "one transaction each", "one call of a function each"

_PART = {HTTP_1: 10, NOTHING: 10, ONE_BY_ONE: 40, FUNCTION: 20}
_KILLED_AFTER = 3  # transactions


class Trial(NamedTuple):
    """Who books, and what: events of one hot account or of many, with time-ordered ids or with random ones."""

    who: str
    hot: bool
    ordered: bool


@dataclass
class Beside:
    """What is compared. ``number`` is that of the goal in the list of goals; without a goal it only informs."""

    ours: str
    theirs: str
    hot: bool = True
    ordered: bool = True
    goal: float | None = None
    number: str = "–"

    @property
    def trials(self) -> tuple[Trial, Trial]:
        return Trial(self.ours, self.hot, self.ordered), Trial(self.theirs, self.hot, self.ordered)

    def row(self, place: str) -> Row:
        kind = f"{'hot' if self.hot else '10,000'}, {'v7' if self.ordered else 'v4'}"
        return Row(f"{self.number}  {place}, {kind}: {self.ours} / {self.theirs}", "k/s", self.goal, at_least=True)


_EVERYWHERE = [
    Beside(HTTP_1, NOTHING, goal=0.35, number="6"),
    Beside(HTTP_100, RAW, hot=False, ordered=False),
    Beside(INSIDE_100, RAW),
    Beside(INSIDE_100, RAW, hot=False),
]
_COMPARED = {
    "PostgreSQL": [
        Beside(HTTP_100, RAW, goal=0.70, number="1"),
        Beside(HTTP_100, RAW, hot=False, goal=0.30, number="2"),
        Beside(INSIDE_1, ONE_BY_ONE, goal=100, number="4"),
        Beside(INSIDE_1, ONE_BY_ONE, hot=False, goal=25, number="4"),
        Beside(HTTP_1, ONE_BY_ONE, goal=9, number="5"),
        Beside(HTTP_1, ONE_BY_ONE, hot=False, goal=6, number="5"),
        *_EVERYWHERE,
        Beside(HTTP_100, RAW, ordered=False),
        Beside(HTTP_1, FUNCTION),
        Beside(HTTP_1, FUNCTION, hot=False),
    ],
    "SQLite": [
        Beside(HTTP_100, RAW, goal=0.55, number="3"),
        Beside(HTTP_100, RAW, ordered=False, goal=0.80, number="3"),
        *_EVERYWHERE,
        Beside(HTTP_100, RAW, hot=False),
        Beside(INSIDE_100, RAW, ordered=False),
        Beside(HTTP_1, ONE_BY_ONE),
        Beside(HTTP_1, ONE_BY_ONE, hot=False),
    ],
}


def measure(folder: Path, python: str, rounds: int = ROUNDS, events: int | None = None) -> Measured:
    """The meter inside this process runs on this Python, whatever ``python`` is."""
    events = events or EVENTS
    measured = Measured(f"Goals 1 to 6: usage events, {rounds} rounds of up to {events}")
    with outside(folder) as world, places(folder) as known, Load() as load:
        for place in known:
            asyncio.run(_measure(measured, place, Surroundings(world, load, python), rounds, events))
    measured.rows.sort(key=lambda row: row.name)
    return measured


async def _measure(measured: Measured, place: Place, around: Surroundings, rounds: int, events: int) -> None:
    for database in ("bot", "inside", "bare"):
        await books.prepare(place.url(database))
    contest = Contest(place, _COMPARED[place.name], events)
    with around.bot(place.url("bot")) as bot, around.nothing() as nothing, place.connect("bot") as looking:
        bot.wait_until_up()
        bot.wait_until_idle()
        nothing.wait_until_up()
        sizes = BotSizes(place, looking)
        async with AsyncExitStack() as stack:
            contest.ledgers = {
                HTTP_100: Http(around.load, bot, 100, 64, sizes),
                HTTP_1: Http(around.load, bot, 1, 256),
                NOTHING: Http(around.load, nothing, 1, 256),
                **await _ledgers(place, sizes, stack),
            }
            await contest.run(1)  # only warms up
            bot.wait_until_idle()
            await contest.run(rounds)
    measured.notes += contest.notes
    killed = Stream(contest.next, 10 * events)
    measured.checks += [*place.checks(), *await _kill(place, around, killed), *await contest.checks(killed)]
    measured.rows += contest.rows


async def _ledgers(place: Place, sizes: Sizes, stack: AsyncExitStack) -> dict[str, Ledger]:
    """All that work in this process."""
    meter = await stack.enter_async_context(_metering(place.url("inside")))
    bare = Database(place.url("bare"))
    stack.push_async_callback(bare.dispose)
    ledgers: dict[str, Ledger] = {
        INSIDE_100: Inside(meter, 100, 64),
        INSIDE_1: Inside(meter, 1, 256),
        RAW: place.raw(stack.enter_context(place.connect("bare")), sizes),
        ONE_BY_ONE: OneByOne(bare),
    }
    if isinstance(place, Postgres):
        ledgers[FUNCTION] = await stack.enter_async_context(transfers(place.plain("bare"), books.EVERYBODY))
    return ledgers


class BotSizes(Sizes):
    """What the bot's transactions were like when it last booked such a stream."""

    def __init__(self, place: Place, connection: Any) -> None:
        super().__init__()
        self._place = place
        self._connection = connection

    @contextmanager
    def booking(self, stream: Stream) -> Iterator[None]:
        """The bot books this stream meanwhile."""
        newest = self._place.newest_batch(self._connection)
        yield
        self.note(stream, self._place.sizes_after(self._connection, newest))


class Computed:
    """What a processor did for an event, by the kind of the stream it came in."""

    def __init__(self) -> None:
        self._microseconds: defaultdict[tuple[bool, bool], list[float]] = defaultdict(list)

    def note(self, stream: Stream, seconds: float) -> None:
        self._microseconds[stream.hot, stream.ordered].append(seconds * 1_000_000 / stream.events)

    def median(self, *, hot: bool, ordered: bool) -> float:
        """In microseconds; the first round only warmed up."""
        _, *counted = self._microseconds[hot, ordered]
        return statistics.median(counted)


class Http:
    """Events over HTTP, so many in a request and so many requests in flight."""

    def __init__(
        self, load: Load, server: Running, per_request: int, in_flight: int, sizes: BotSizes | None = None
    ) -> None:
        self._load = load
        self._server = server
        self._per_request = per_request
        self._in_flight = in_flight
        self._sizes = sizes
        self._sent: list[Sent] = []
        self.computed = Computed()

    async def run(self, stream: Stream) -> float:
        self._load.prepare(Order(self._server.port, books.TOKEN, stream, self._per_request, self._in_flight))
        computed = self._server.cpu_seconds
        with self._sizes.booking(stream) if self._sizes else nullcontext():
            sent = self._load.send()
        if len(sent.acknowledged) * self._per_request < stream.events:
            raise ConnectionError("the other side has gone")
        self.computed.note(stream, self._server.cpu_seconds - computed)
        self._sent.append(sent)
        return sent.seconds

    @property
    def note(self) -> str:
        """What it cost the server, and how long each request took among so many."""
        computed = self.computed.median(hot=True, ordered=True)
        p50 = statistics.median(sent.p50 for sent in self._sent)
        p99 = statistics.median(sent.p99 for sent in self._sent)
        took = f"p50 {p50:.1f}, p99 {p99:.1f} ms"
        return f"the server computes {computed:.1f} µs for an event of a hot account; a request takes {took}"


class Inside:
    """Events booked by a meter in this process, for so many callers at once."""

    def __init__(self, meter: Meter, per_request: int, in_flight: int) -> None:
        self._meter = meter
        self._per_request = per_request
        self._in_flight = in_flight
        self.computed = Computed()

    async def run(self, stream: Stream) -> float:
        requests = iter([[as_event(use) for use in part] for part in stream.parts([self._per_request])])
        began, computed = time.perf_counter(), time.process_time()
        await asyncio.gather(*(self._call(requests) for _ in range(self._in_flight)))
        self.computed.note(stream, time.process_time() - computed)
        return time.perf_counter() - began

    async def _call(self, requests: Iterator[list[Event]]) -> None:
        for request in requests:
            await self._meter.book(request)


@asynccontextmanager
async def _metering(url: str) -> AsyncIterator[Meter]:
    """A meter at work in this process."""
    database = Database(url)
    meter = Meter(database, SystemClock(), Rater(database))
    worker = Worker("usage", meter.work, 5.0)
    meter.nudge = worker.nudge
    working = asyncio.create_task(worker.run())
    yield meter
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await database.dispose()


@dataclass
class Contest:
    """All that is compared on one kind of database, round after round. ``next`` is the number of the next event."""

    place: Place
    pairs: Sequence[Beside]
    events: int
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    streams: defaultdict[str, list[Stream]] = field(default_factory=lambda: defaultdict(list))
    next: int = 0

    async def run(self, rounds: int) -> None:
        self.rows = [pair.row(self.place.name) for pair in self.pairs]
        trials = list(dict.fromkeys(trial for pair in self.pairs for trial in pair.trials))
        for n in range(rounds):
            speeds = {trial: await self._speed(trial) for trial in (trials if n % 2 == 0 else reversed(trials))}
            for pair, row in zip(self.pairs, self.rows, strict=True):
                row.add(*(speeds[trial] for trial in pair.trials))

    async def _speed(self, trial: Trial) -> float:
        """Thousands of events a second."""
        stream = Stream(self.next, max(100, self.events // _PART.get(trial.who, 1)), trial.hot, trial.ordered)
        self.next += stream.events
        self.streams[trial.who].append(stream)
        return stream.events / 1000 / await self.ledgers[trial.who].run(stream)

    @property
    def notes(self) -> list[str]:
        served = [(who, ledger) for who, ledger in self.ledgers.items() if isinstance(ledger, Http)]
        told = [f"{self.place.name}, {who}: {ledger.note}" for who, ledger in served]
        missed = [(pair, row) for pair, row in zip(self.pairs, self.rows, strict=True) if not row.met]
        return [*told, *(self._why(pair, row) for pair, row in missed)]

    def _why(self, pair: Beside, row: Row) -> str:
        """What the goal would have taken, and what the one core that Python computes on can give at the most."""
        ours = self.ledgers[pair.ours]
        assert isinstance(ours, Http | Inside)
        spent = ours.computed.median(hot=pair.hot, ordered=pair.ordered)
        needed = (row.goal or 0) * statistics.median(row.theirs)
        return (
            f"MISSED {row.name}: the goal takes {needed:.1f} k/s, {1000 / needed:.1f} µs an event; "
            f"ours computes {spent:.1f} µs for one, which is {1000 / spent:.1f} k/s at the most, and waits for the rest"
        )

    async def checks(self, killed: Stream) -> list[Check]:
        name, booked = self.place.name, self.streams
        return [
            *await books.checks(f"{name}, HTTP", self.place.url("bot"), [*booked[HTTP_100], *booked[HTTP_1], killed]),
            *await books.checks(f"{name}, inside", self.place.url("inside"), booked[INSIDE_100] + booked[INSIDE_1]),
            *await books.checks_of_rows(f"{name}, beside", self.place.url("bare"), booked[RAW], booked[ONE_BY_ONE]),
            *(self._checks_of_function() if FUNCTION in self.ledgers else ()),
        ]

    def _checks_of_function(self) -> list[Check]:
        count = sum(stream.events for stream in self.streams[FUNCTION])
        with self.place.connect("bare") as connection:
            found = connection.execute(Transfers.PROOF).fetchone()
        return [Check("The function: transfers, all wallets together, wrong wallets", found, (count, 0, 0))]


async def _kill(place: Place, around: Surroundings, stream: Stream) -> list[Check]:
    """Kill a bot at work, look for what it had acknowledged, start it again and send everything once more."""
    acknowledged = set(_send_and_kill(place, around, stream).acknowledged)
    stored = await books.keys(place.url("bot"))
    lost = sum(n in acknowledged and use.key.bytes not in stored for n, use in enumerate(stream))
    with around.bot(place.url("bot")) as bot:
        bot.wait_until_up()
        around.load.prepare(Order(bot.port, books.TOKEN, stream, 100, 64))
        again = around.load.send()
    return [
        Check(f"{place.name}: killed in the middle of it", 0 < len(acknowledged) < stream.events, True),
        Check(f"{place.name}: acknowledged before kill -9 and gone after it", lost, 0),
        Check(f"{place.name}: sent again after it and acknowledged", 100 * len(again.acknowledged), stream.events),
    ]


def _send_and_kill(place: Place, around: Surroundings, stream: Stream) -> Sent:
    with around.bot(place.url("bot")) as bot, place.connect("bot") as looking:
        bot.wait_until_up()
        around.load.prepare(Order(bot.port, books.TOKEN, stream, 1, 256))
        newest = place.newest_batch(looking)
        around.load.begin()
        while len(place.sizes_after(looking, newest)) < _KILLED_AFTER:
            time.sleep(0.005)
        bot.kill()
        return around.load.end()
