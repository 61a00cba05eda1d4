"""The events and the ledger prove each other: what was changed in one shows in the other."""

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.ledger.service import Audit, verify
from bot.money import Credits
from bot.usage import proof, store
from bot.usage.proof import compare

from .metered import NOON, furnish, metering, use

DIFFERS = "and its events differ in account or cost"
_TAMPERING = {
    "an event costs less": ("UPDATE usage_events SET nano = nano - 1 WHERE id = '1'", DIFFERS),
    "an event is another account's": ("UPDATE usage_events SET account_id = 'other' WHERE id = '1'", DIFFERS),
    "an event is deleted": ("DELETE FROM usage_events WHERE id = '1'", DIFFERS),
    "an event is of another batch": ("UPDATE usage_events SET batch = 1 WHERE id = '1'", DIFFERS),
    "an event is parked again": ("UPDATE usage_events SET batch = NULL, parked = 'overdrawn' WHERE id = '1'", DIFFERS),
    "all events are gone": ("DELETE FROM usage_events", DIFFERS),
    "an event that cost nothing is deleted": (
        "DELETE FROM usage_events WHERE id = '3'",
        "2 events were debited, and the entries are of 3",
    ),
    "an event that nobody booked is put in": (
        "UPDATE usage_events SET batch = 1 WHERE id = 'parked'",
        "4 events were debited, and the entries are of 3",
    ),
}


async def problems(database: Database) -> list[str]:
    audit = Audit()
    await compare(database, audit)
    return audit.problems


@pytest.fixture
async def metered(database: Database) -> Database:
    """Three uses of two accounts, the last one for nothing, and one that is parked."""
    await furnish(database)
    async with metering(database) as meter:
        await meter.book([use("1", input=500), use("2", "other", output=500), use("parked", model="new", input=1)])
        await meter.book([use("3")])
    return database


async def test_what_was_booked_is_proven(metered: Database) -> None:
    assert await problems(metered) == []


@pytest.mark.parametrize("how", _TAMPERING)
async def test_what_the_ledger_alone_cannot_see_is_found(metered: Database, how: str) -> None:
    statement, found = _TAMPERING[how]
    await metered.write(lambda tx: tx.exec_driver_sql(statement))

    assert (await verify(metered)).ok
    assert [problem for problem in await problems(metered) if found in problem]


@pytest.mark.parametrize("cause", ["usage:1", "usage:9999999999999999999", "usage:everything"])
async def test_a_debit_without_events_is_found(metered: Database, cause: str) -> None:
    forged = transfer(cause, "acme", Credits(-5), Book.USAGE, NOON)
    await metered.write(lambda tx: ledger.post(tx, forged, NOON))

    assert await problems(metered) == [f"entry {cause} {DIFFERS}"]


async def test_any_number_of_batches_is_held_against_the_ledger(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some postings at a time, however many there are in a batch: all of them would not find room in memory."""
    asked: list[int] = []

    def costs(tx: AsyncConnection, batches: Sequence[int]) -> AsyncIterator[tuple[int, str, Credits]]:
        asked.append(len(batches))
        return store.costs(tx, batches)

    monkeypatch.setattr(proof, "_AT_ONCE", 6)
    monkeypatch.setattr(proof, "store", SimpleNamespace(costs=costs, booked=store.booked))
    await furnish(database)
    async with metering(database) as meter:
        for n in range(5):
            await meter.book([use(f"a{n}", input=n + 1)])  # two postings
        for n in range(3):
            await meter.book([use(f"b{n}", input=n + 1), use(f"c{n}", "other", input=n + 1)])  # three
    assert await problems(database) == []
    assert asked == [3, 3, 2]

    await database.write(lambda tx: tx.exec_driver_sql("UPDATE usage_events SET nano = 1 WHERE id IN ('a0', 'c2')"))
    assert len(await problems(database)) == 2
