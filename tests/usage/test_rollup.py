"""Hours of usage: every event is in its own hour once, whatever is repeated, late, parked or rolled up twice."""

import asyncio
import dataclasses
from datetime import date, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from bot.db.engine import Database
from bot.money import Credits
from bot.prices import store as prices
from bot.sandbox.clock import WindableClock
from bot.usage import hour_store
from bot.usage.parking import Parking
from bot.usage.rating import Rater
from bot.usage.rollup import Rollup

from .metered import NOON, PRICE, furnish, metering, use


@pytest.fixture
async def metered(database: Database) -> Database:
    await furnish(database)
    return database


async def roll_up(database: Database, clock: WindableClock, rollup: Rollup | None = None) -> None:
    """As often as it takes: on PostgreSQL an entry has to have been there for a minute."""
    rollup = rollup or Rollup(database, clock)
    for _ in range(2):
        while await rollup.work():
            pass
        clock.wind(61)
    while await rollup.work():
        pass


async def hours(database: Database, account: str = "acme") -> dict[float, int]:
    """Nano-credits by the hour, counted from noon."""
    async with database.read() as tx:
        spent = await hour_store.spend_by_hour(tx, account)
    return {(hour - NOON) / timedelta(hours=1): credits.nano for hour, credits in spent.items()}


async def test_each_event_is_counted_in_its_own_hour_and_once(metered: Database) -> None:
    clock = WindableClock()
    async with metering(metered) as meter:
        first = [replace(use(f"a{n}", input=10 + n), at=NOON + timedelta(minutes=25 * n)) for n in range(4)]
        await meter.book(first)
        await meter.book([use("b1", "other", output=1)])
        await roll_up(metered, clock)
        await meter.book([*first, replace(use("late", input=1), at=NOON - timedelta(hours=5))])
        await asyncio.gather(*(roll_up(metered, clock) for _ in range(2)))

    assert await hours(metered) == {0: (10 + 11 + 12) * 2_000, 1: 13 * 2_000, -5: 2_000}
    assert await hours(metered, "other") == {0: 8_000}


async def test_where_nothing_is_new_nothing_is_written(metered: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WindableClock()
    rollup = Rollup(metered, clock)
    async with metering(metered) as meter:
        await meter.book([use("a1", input=1)])
        await roll_up(metered, clock, rollup)

    async def write(work: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(metered, "write", write)
    assert await rollup.work() == 0


async def test_on_postgres_an_entry_that_is_committed_late_is_not_passed_over(metered: Database) -> None:
    clock = WindableClock()
    rollup = Rollup(metered, clock)
    async with metering(metered) as meter:
        await meter.book([use("a1", input=1)])
        before = await rollup.work()
        if not metered.is_sqlite:
            assert before == 0
            clock.wind(30)
            assert await rollup.work() == 0
        await roll_up(metered, clock, rollup)
        assert await hours(metered) == {0: 2_000}


async def test_a_parked_event_is_counted_when_it_is_booked(metered: Database) -> None:
    clock = WindableClock()
    async with metering(metered) as meter:
        await meter.book([use("a1", model="new", input=1)])
    await roll_up(metered, clock)
    assert await hours(metered) == {}

    await metered.write(partial(prices.add, price=dataclasses.replace(PRICE, model="new"), at=NOON))
    await Parking(metered, clock, Rater(metered)).work()
    await roll_up(metered, clock)
    assert await hours(metered) == {0: 2_000}


async def test_days_are_counted_where_the_account_is_and_those_without_use_are_there(metered: Database) -> None:
    await metered.write(partial(prices.add, price=dataclasses.replace(PRICE, model="new"), at=NOON))
    async with metering(metered) as meter:
        await meter.book([use("a1", input=1), replace(use("a2", input=2), at=NOON - timedelta(hours=2))])
        await meter.book([replace(use("a3", model="new", input=3), at=NOON + timedelta(hours=11, minutes=30))])
        await meter.book([use("b1", "other", input=9), replace(use("a4", input=9), at=NOON - timedelta(days=2))])
    await roll_up(metered, WindableClock())

    first, zone = date(2026, 11, 2), ZoneInfo("Europe/Copenhagen")
    async with metered.read() as tx:
        spent = await hour_store.spend_by_day_and_model(tx, "acme", zone, first, first + timedelta(days=2))
    assert list(spent.items()) == [
        (first, {}),
        (first + timedelta(days=1), {"openai gpt": Credits(6_000)}),
        (first + timedelta(days=2), {"openai new": Credits(6_000)}),
    ]
