"""The table of prices: rows never overlap, never change, and a contradiction is loud."""

import asyncio
import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from bot.db import versions
from bot.db.engine import Database
from bot.prices import store
from bot.prices.model import DEAREST, Price, PriceList, Tokens, Unacceptable, beside, cost, when, with_ends
from bot.prices.store import BadPrices

from .examples import DOLLAR, JULY, LATER, NEW_YEAR, NOON, price

FIRST = price()
SECOND = price(effective_at=JULY, input=3 * DOLLAR)


async def add(database: Database, *wanted: Price, at: datetime = NOON) -> list[Price]:
    return await database.write(lambda tx: store.add_all(tx, wanted, at))


async def expire(database: Database, end: datetime, at: datetime = NOON) -> Price:
    return await database.write(lambda tx: store.expire(tx, "openai", "gpt", end, at))


async def stored(database: Database) -> list[Price]:
    """What is in the table, without the numbers of the rows."""
    async with database.read() as tx:
        return [replace(each, id=0) for each in await store.every(tx)]


async def changes(database: Database) -> int:
    async with database.read() as tx:
        return await versions.current(tx, versions.TERMS)


# ── rows are added ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_written_comes_back_to_the_last_digit(database: Database) -> None:
    exact = price(
        input=DEAREST,
        cached=0,
        written=1,
        output=1_234_567_890_123,
        effective_at=JULY + timedelta(microseconds=1),
        expires_at=LATER,
        model="Größe 🙂",
    )
    assert await database.write(lambda tx: store.add(tx, exact, NOON)) is True
    assert await stored(database) == [exact]

    async with database.read() as tx:
        listed, _ = await store.load(tx)
    found = listed.at("openai", exact.model, NOON)
    assert found is not None
    assert cost(found, Tokens(output=10**8), 100_000) == cost(exact, Tokens(output=10**8), 100_000)


async def test_the_same_row_again_changes_nothing(database: Database) -> None:
    await add(database, FIRST, SECOND)
    assert await database.write(lambda tx: store.add(tx, FIRST, NOON)) is False
    assert await add(database, SECOND, FIRST, replace(FIRST, expires_at=JULY)) == [], "with the end that is shown, too"
    assert await stored(database) == [FIRST, SECOND]


async def test_the_same_moment_with_other_prices_is_refused_and_both_are_named(database: Database) -> None:
    await add(database, FIRST)
    for other in (replace(FIRST, input=3 * DOLLAR), replace(FIRST, cached=None), replace(FIRST, written=0)):
        with pytest.raises(
            BadPrices, match=r"openai gpt from 2026-01-01 costs input 2\.00, cached input 0\.50, output"
        ):
            await add(database, other)
    with pytest.raises(BadPrices, match=r"cannot cost input 3\.00, cached input 0\.50, output 8\.00"):
        await add(database, replace(FIRST, input=3 * DOLLAR))
    assert await stored(database) == [FIRST]


async def test_of_several_rows_all_that_are_bad_are_named_and_none_is_written(database: Database) -> None:
    await add(database, FIRST)
    before = await changes(database)
    with pytest.raises(BadPrices) as refused:
        await add(database, SECOND, replace(FIRST, output=0), price(model=" x"), replace(SECOND, output=0))
    assert [index for index, _ in refused.value.problems] == [1, 2, 3], "the last contradicts the first of them"
    assert await stored(database) == [FIRST]
    assert await changes(database) == before


@pytest.mark.parametrize("first_comes_first", [True, False])
async def test_an_end_after_the_next_beginning_is_an_overlap_in_either_order(
    first_comes_first: bool, database: Database
) -> None:
    long = replace(FIRST, expires_at=JULY + timedelta(microseconds=1))
    one, other = (long, SECOND) if first_comes_first else (SECOND, long)
    await add(database, one)
    with pytest.raises(BadPrices, match="overlaps with openai gpt from 2026-0"):
        await add(database, other)
    with pytest.raises(BadPrices, match="overlaps"):
        await add(database, replace(long, model="b"), replace(SECOND, model="b"))


async def test_neighbours_may_touch_and_leave_gaps(database: Database) -> None:
    rows = [replace(FIRST, expires_at=JULY), replace(SECOND, expires_at=NOON), price(effective_at=LATER)]
    await add(database, *rows)
    assert await stored(database) == rows
    assert [each.expires_at for each in with_ends(await stored(database))] == [JULY, NOON, None]


async def test_two_that_overlap_at_the_same_time_are_not_both_written(database: Database) -> None:
    """Each fits what was there when it looked; only a lock keeps them apart."""
    rows = [price(effective_at=NEW_YEAR + timedelta(days=n), expires_at=LATER) for n in range(10)]
    done = await asyncio.gather(*(add(database, row) for row in rows), return_exceptions=True)
    assert [type(each) for each in done].count(BadPrices) == 9
    assert len(await stored(database)) == 1


async def test_one_row_from_ten_tasks_is_one_row(database: Database) -> None:
    done = await asyncio.gather(*(add(database, FIRST) for _ in range(10)))
    assert sorted(len(each) for each in done) == [0] * 9 + [1]


async def test_every_change_is_counted(database: Database) -> None:
    counted = [await changes(database)]
    await add(database, FIRST)
    counted.append(await changes(database))
    await expire(database, LATER)
    counted.append(await changes(database))
    await database.write(lambda tx: store.set_markup(tx, "plan:essential", 1500, NOON, NOON))
    counted.append(await changes(database))
    assert counted == sorted(set(counted))


# ── an end is set once ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_price_without_an_end_may_be_given_one(database: Database) -> None:
    await add(database, FIRST)
    assert (await expire(database, LATER)).expires_at == LATER
    assert (await expire(database, LATER)).expires_at == LATER, "again is as good as once"
    assert await stored(database) == [replace(FIRST, expires_at=LATER)]
    with pytest.raises(Unacceptable, match="expires on 2027-01-01 already"):
        await expire(database, LATER + timedelta(days=1))
    with pytest.raises(BadPrices, match="expires on 2027-01-01 already"):
        await add(database, replace(FIRST, expires_at=LATER + timedelta(days=1)))
    assert await add(database, FIRST) == [], "a row that says nothing of an end does not take it away"
    assert await stored(database) == [replace(FIRST, expires_at=LATER)]


async def test_a_row_that_adds_an_end_sets_it(database: Database) -> None:
    await add(database, FIRST, price(model="other"))
    [written] = await add(database, replace(FIRST, expires_at=LATER), price(model="other"))
    assert (written.model, written.expires_at) == ("gpt", LATER)
    assert await add(database, price(model="new"), price(model="new", expires_at=LATER))
    assert [each.expires_at for each in with_ends(await stored(database))] == [LATER, LATER, None]


async def test_an_end_in_the_past_is_refused_for_what_was_used_is_booked(database: Database) -> None:
    await add(database, FIRST)
    with pytest.raises(Unacceptable, match="in the past"):
        await expire(database, NOON - timedelta(microseconds=1))
    with pytest.raises(BadPrices, match="in the past"):
        await add(database, replace(FIRST, expires_at=JULY))
    assert (await expire(database, NOON)).expires_at == NOON


async def test_a_price_to_come_may_be_called_off_but_not_end_before_it_begins(database: Database) -> None:
    await add(database, price(effective_at=LATER))
    with pytest.raises(Unacceptable, match="no price that begins before 2026-12-31"):
        await expire(database, LATER - timedelta(days=1))
    assert (await expire(database, LATER)).expires_at == LATER


async def test_the_end_is_that_of_the_price_which_would_hold_then(database: Database) -> None:
    await add(database, FIRST, price(effective_at=LATER, output=0))
    await expire(database, LATER - timedelta(days=1))
    await expire(database, LATER + timedelta(days=1))
    assert [each.expires_at for each in await stored(database)] == [
        LATER - timedelta(days=1),
        LATER + timedelta(days=1),
    ]


# ── what a price may be ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"provider": ""}, "provider"),
        ({"provider": " openai"}, "provider"),
        ({"model": "m" * 201}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": "a\u202eb"}, "model"),
        ({"model": "a\x00b"}, "model"),
        ({"input": -1}, "10,000 dollars"),
        ({"output": DEAREST + 1}, "10,000 dollars"),
        ({"cached": DEAREST + 1}, "10,000 dollars"),
        ({"written": -1}, "10,000 dollars"),
        ({"expires_at": NEW_YEAR - timedelta(days=1)}, "before it begins on 2026-01-01"),
    ],
    ids=str,
)
def test_what_is_no_price_is_refused(given_: dict[str, object], named: str) -> None:
    with pytest.raises(Unacceptable, match=named):
        beside(price(**given_), [], NOON)


async def test_a_column_holds_nothing_but_whole_numbers(database: Database) -> None:
    await add(database, FIRST)
    async with database.read() as tx:
        kind = "typeof" if database.is_sqlite else "pg_typeof"
        query = f"SELECT {kind}(input), {kind}(cached), {kind}(output) FROM prices"
        assert set((await tx.execute(text(query))).one()) == {"integer" if database.is_sqlite else "bigint"}


starts = st.integers(0, 8).map(lambda n: NEW_YEAR + timedelta(days=n))
rows = st.builds(
    lambda start, days, figure: price(
        effective_at=start, input=figure, expires_at=None if days is None else start + timedelta(days=days)
    ),
    starts,
    st.none() | st.integers(0, 5),
    st.integers(1, 2),
)


@given(st.lists(rows, max_size=8))
def test_whatever_is_tried_no_two_prices_of_a_model_ever_hold_at_once(tried: list[Price]) -> None:
    known: list[Price] = []
    for new in tried:
        try:
            change = beside(new, known, NEW_YEAR)
        except Unacceptable:
            continue
        if change is not None:
            known = sorted(
                [*(each for each in known if each.effective_at != change.effective_at), change],
                key=lambda each: each.effective_at,
            )
    shown = with_ends(known)
    for one, other in itertools.pairwise(shown):
        assert one.expires_at is not None
        assert one.effective_at <= one.expires_at <= other.effective_at
    for moment in (NEW_YEAR + timedelta(hours=6 * n) for n in range(60)):
        holding = [
            each for each in shown if each.effective_at <= moment and (not each.expires_at or moment < each.expires_at)
        ]
        held, by_ends = (PriceList(each).at("openai", "gpt", moment) for each in (known, shown))
        assert [each.effective_at for each in holding] == ([held.effective_at] if held else [])
        assert (by_ends and by_ends.effective_at) == (held and held.effective_at)


# ── markups ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_markups_are_dated_rows_too(database: Database) -> None:
    async def put(scope: str, points: int, since: datetime) -> bool:
        return await database.write(lambda tx: store.set_markup(tx, scope, points, since, NOON))

    assert await put("plan:essential", 2000, NEW_YEAR) is True
    assert await put("plan:essential", 2000, NEW_YEAR) is False
    assert await put("plan:essential", 0, JULY) is True
    assert await put("account:acme", 100_000, JULY) is True
    with pytest.raises(Unacceptable, match="plan:essential has another markup from 2026-07-01 on"):
        await put("plan:essential", 1, JULY)
    for points in (-1, 100_001):
        with pytest.raises(Unacceptable, match="0 to 1,000 %"):
            await put("plan:essential", points, LATER)
    async with database.read() as tx:
        _, held = await store.load(tx)
    assert [held.at("other", "essential", each) for each in (NEW_YEAR, JULY)] == [2000, 0]
    assert [held.at("acme", "essential", each) for each in (NEW_YEAR, JULY)] == [2000, 100_000]


def test_a_moment_is_written_as_a_day_where_it_is_the_beginning_of_one() -> None:
    assert [when(each) for each in (NEW_YEAR, NOON, NOON + timedelta(microseconds=5))] == [
        "2026-01-01",
        "2026-11-03T12:00:00Z",
        "2026-11-03T12:00:00.000005Z",
    ]
