"""The bot is killed while usage comes in: what was acknowledged is there, and whatever is sent again counts once."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits
from bot.sandbox.world import ACCOUNT
from bot.usage import wire
from bot.usage.tables import events

from ..genstudio import Program, use
from .conftest import NewDatabase
from .lives import KILLED, Nursery, Setting, Stand, everywhere

WHEN_EVENTS_COME = ("U1", "U2", "U1 U1 U1", "U2 U2 U2")
WHEN_THEIR_PRICE_COMES = ("U3",)

READ, OUTPUT = 2_000, 8_000  # nano-credits a token
REACHED = Setting(card=None, reached=True)

EVENTS, TIMES, AT_ONCE, TASKS, DEATHS = 20_000, 5, 400, 8, 5


class Sender:
    """A program that does not give up, and remembers what was acknowledged."""

    def __init__(self, stand: Stand, program: Program) -> None:
        self.acknowledged: set[str] = set()
        self._stand = stand
        self._program = program

    async def send(self, ids: Sequence[str], body: bytes) -> None:
        """Send it until it is acknowledged."""
        async with asyncio.timeout(60):
            while not await self._sent(body):  # noqa: ASYNC110 - it is sent again each time
                await asyncio.sleep(0.02)
        self.acknowledged.update(ids)

    async def _sent(self, body: bytes) -> bool:
        with suppress(httpx.TransportError):
            answer = await self._program.ask(
                "POST", "events", content=body, headers={"Content-Type": wire.BATCH}, timeout=10
            )
            assert answer.status_code in (204, 429, 503), answer.text
            return answer.status_code == 204
        return False

    async def look(self) -> None:
        """Now that the bot is dead: all that it acknowledged is stored, and the books are right."""
        async with self._stand.database() as database:
            assert self.acknowledged <= await stored(database)
            assert (await verify(database)).ok


async def stored(database: Database, *, booked: bool = False) -> set[str]:
    async with database.read() as tx:
        found = await tx.execute(select(events.c.id).where(events.c.batch.is_not(None) if booked else True))
    return {row.id for row in found}


def reported(events: Iterable[dict[str, Any]]) -> tuple[list[str], bytes]:
    told = list(events)
    return [each["id"] for each in told], json.dumps(told).encode()


def expected(events: Iterable[dict[str, Any]]) -> Credits:
    return Credits(
        -sum(each["data"]["input_tokens"] * READ + each["data"]["output_tokens"] * OUTPUT for each in events)
    )


async def prove(stand: Stand, told: Sequence[dict[str, Any]]) -> None:
    """Every event is booked once, and the balance is what they cost."""
    async with stand.database() as database:
        assert await stored(database, booked=True) == {each["id"] for each in told}
        async with database.read() as tx:
            entries = await ledger.caused_by(tx, ["usage:"])
            assert sum(int(str(entry.facts["events"])) for entry in entries) == len(told)
            assert await ledger.balance(tx, ACCOUNT) == expected(told)
        audit = await verify(database)
        assert audit.ok, audit.problems


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_events_count_once_wherever_the_bot_is_killed(
    kind: str, nursery: Nursery, tmp_path: Path, new_database: NewDatabase
) -> None:
    urls = iter([new_database() for _ in range(9)] if kind == "postgres" else [""] * 9)
    tales = {each: partial(_report, nursery, each.split(), url=next(urls)) for each in WHEN_EVENTS_COME}
    tales |= {
        each: partial(_wait_for_a_price, nursery, each.split(), url=next(urls)) for each in WHEN_THEIR_PRICE_COMES
    }
    await everywhere(tmp_path, tales)


async def _report(nursery: Nursery, moments: Sequence[str], folder: Path, *, url: str) -> None:
    told = [use(f"use {n}", input_tokens=1_000 + n, output_tokens=n) for n in range(40)]
    async with Stand.open(nursery, folder, REACHED, database_url=url) as stand, stand.program() as program:
        await stand.price(READ * 10**6, OUTPUT * 10**6)
        sender = Sender(stand, program)
        stand.meanwhile.append(sender.look)
        stand.live(moments)
        for first in range(0, 40, 8):
            some = told[first : first + 8]
            await asyncio.gather(*(sender.send(*reported(some[n : n + 3])) for n in range(6)))
        assert stand.ends == [KILLED]
        assert await stand.stop() == 0
        await prove(stand, told)


async def _wait_for_a_price(nursery: Nursery, moments: Sequence[str], folder: Path, *, url: str) -> None:
    told = [use(f"use {n}", input_tokens=1_000 + n, output_tokens=n) for n in range(40)]
    async with Stand.open(nursery, folder, REACHED, database_url=url) as stand, stand.program() as program:
        sender = Sender(stand, program)
        stand.live((), moments)
        await sender.send(*reported(told))
        stand.meanwhile += [sender.look, partial(_price_once, stand)]
        await stand.kill()
        await stand.until(lambda: len(stand.ends) == 2 and stand.alive, "the bot to die of the price, and to come back")
        async with stand.database() as database, asyncio.timeout(20):
            while not await stored(database, booked=True):  # noqa: ASYNC110 - another process stores
                await asyncio.sleep(0.02)
        assert await stand.stop() == 0
        await prove(stand, told)


async def _price_once(stand: Stand) -> None:
    if len(stand.ends) == 1:
        await stand.price(READ * 10**6, OUTPUT * 10**6)


async def test_twenty_thousand_events_five_times_each_and_a_bot_that_is_killed_meanwhile(
    nursery: Nursery, tmp_path: Path
) -> None:
    random = Random(20_000)
    told = [
        use(f"use {n}", input_tokens=random.randrange(1_000), output_tokens=random.randrange(300))
        for n in range(EVENTS)
    ]
    written = [json.dumps(each) for each in told]
    requests: list[tuple[list[str], bytes]] = []
    for _ in range(TIMES):
        order = random.sample(range(EVENTS), EVENTS)
        for first in range(0, EVENTS, AT_ONCE):
            some = order[first : first + AT_ONCE]
            body = f"[{','.join(written[n] for n in some)}]".encode()
            requests.append(([told[n]["id"] for n in some], body))
    random.shuffle(requests)
    deaths = {len(requests) * n // (DEATHS + 1) for n in range(1, DEATHS + 1)}

    async with Stand.open(nursery, tmp_path, REACHED) as stand, stand.program() as program:
        await stand.price(READ * 10**6, OUTPUT * 10**6)
        sender = Sender(stand, program)
        stand.meanwhile.append(sender.look)
        stand.live()

        async def task() -> None:
            while requests:
                if len(requests) in deaths:
                    deaths.remove(len(requests))
                    await stand.until(lambda: stand.alive, "the bot")
                    await stand.kill()
                await sender.send(*requests.pop())

        await asyncio.gather(*(task() for _ in range(TASKS)))
        assert stand.ends == [KILLED] * DEATHS
        assert await stand.stop() == 0
        await prove(stand, told)
