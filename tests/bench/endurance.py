"""What takes long: whether memory stays flat over millions of events, and what an event costs when millions are stored.

Measured only when asked for by name.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench import books
from tests.bench.bare_ledgers import Sizes
from tests.bench.figures import Measured, Row
from tests.bench.load import Order
from tests.bench.places import Place, places
from tests.bench.processes import Load, Running, Surroundings, outside
from tests.bench.stream import Stream

LONG = 5_000_000  # events, while memory is watched
MANY, FEW = 10_000_000, 100_000  # events that are stored already
ROUNDS = 5
_A_ROUND = 20_000
_AT_ONCE = 50_000
_GROWTH = 1.5
_FLAT = 1.1  # times the memory


def memory(folder: Path, python: str, events: int | None = None, only: str | None = None) -> Measured:
    """Memory in use over the last fifth of the events, beside that over the second fifth: the first one warms up."""
    events = events or LONG
    measured = Measured(f"Memory over {events} events, 64×100 over HTTP, 10,000 accounts")
    with outside(folder) as world, places(folder, only) as known, Load() as load:
        for place in known:
            asyncio.run(_watch(measured, place, Surroundings(world, load, python), events))
            _so_far(measured)
    return measured


async def _watch(measured: Measured, place: Place, around: Surroundings, events: int) -> None:
    url = place.url("memory")
    await books.prepare(url)
    row = Row(f"memory, {place.name}", "MB", _FLAT)
    streams = list(_streams(events))
    with around.bot(url) as bot:
        bot.wait_until_up()
        seen = [_megabytes_after(bot, around.load, stream) for stream in streams]
    fifth = max(1, len(seen) // 5)
    for late, early in zip(seen[-fifth:], seen[fifth : 2 * fifth], strict=False):
        row.add(late, early)
    measured.rows.append(row)
    measured.checks += await books.checks(f"{place.name}, HTTP", url, streams)


def _streams(events: int) -> Iterator[Stream]:
    for first in range(0, events, _AT_ONCE):
        yield Stream(first, min(_AT_ONCE, events - first), hot=False)


def _megabytes_after(bot: Running, load: Load, stream: Stream) -> float:
    _send(bot, load, stream)
    return bot.megabytes


def growth(
    folder: Path, python: str, rounds: int = ROUNDS, events: int | None = None, only: str | None = None
) -> Measured:
    """The time that new events take where many are stored, beside where few are."""
    events = events or MANY
    measured = Measured(f"Cost of an event where {events} are stored, beside {FEW}; 64×100 over HTTP, 10,000 accounts")
    with outside(folder) as world, places(folder, only) as known, Load() as load:
        for place in known:
            asyncio.run(_compare(measured, place, Surroundings(world, load, python), rounds, events))
            _so_far(measured)
    return measured


async def _compare(measured: Measured, place: Place, around: Surroundings, rounds: int, stored: int) -> None:
    sent = {database: [Stream(0, count, hot=False)] for database, count in (("many", stored), ("few", FEW))}
    for database, [stream] in sent.items():
        await books.prepare(place.url(database))
        with place.connect(database) as connection:
            await books.fill(place.url(database), place.raw(connection, Sizes()), stream)
    rows = {
        True: Row(f"{place.name}, v7", "µs", _GROWTH),
        False: Row(f"{place.name}, v4", "µs", None),  # random places in a tree that does not fit into memory
    }
    with ExitStack() as stack:
        bots = {database: stack.enter_context(around.bot(place.url(database))) for database in sent}
        for bot in bots.values():
            bot.wait_until_up()
            bot.wait_until_idle()
        for n in range(1 + rounds):
            for ordered, row in rows.items():
                took = {}
                for database in sorted(sent, reverse=n % 2 == 0):
                    last = sent[database][-1]
                    stream = Stream(max(stored, last.first + last.events), _A_ROUND, hot=False, ordered=ordered)
                    took[database] = 1_000_000 * _send(bots[database], around.load, stream) / stream.events
                    sent[database].append(stream)
                if n:  # the first one only warms up
                    row.add(took["many"], took["few"])
            if not n:
                for bot in bots.values():
                    bot.wait_until_idle()
    measured.rows += rows.values()
    for database, streams in sent.items():
        measured.checks += await books.checks(f"{place.name}, {database}", place.url(database), streams)


def _so_far(measured: Measured) -> None:
    """What took so long is not to be lost with what comes after it."""
    print(measured, end="\n\n", file=sys.stderr, flush=True)


def _send(bot: Running, load: Load, stream: Stream) -> float:
    """Seconds until all of it was acknowledged."""
    load.prepare(Order(bot.port, books.TOKEN, stream, 100, 64))
    sent = load.send()
    if 100 * len(sent.acknowledged) < stream.events:
        raise ConnectionError("the bot has gone")
    return sent.seconds
