"""Statements add up, with every use behind a debit; what a program reads of them is what was written."""

import csv
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.db.engine import Database
from bot.ledger.store import Line
from bot.money import Credits
from bot.prices import store as prices
from bot.prices.model import Tokens
from bot.usage import statement
from bot.usage.model import Event
from bot.usage.statement import Movement, Statement, movements, movements_with_debits, statement_of
from bot.usage.store import Debit

from ..conftest import examples
from .metered import NOON, PRICE, furnish, metering, use

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", " =1", "＝1", "''", "\n", "'\t", "a=1", "")
Json = dict[str, Any]


@pytest.fixture
async def furnished(database: Database) -> Database:
    await furnish(database)
    return database


async def text(database: Database) -> list[str]:
    told = await statement_of(database, "acme")
    pieces = [piece async for piece in statement.as_text(told, movements_with_debits(told, database))]
    return "".join(pieces).splitlines()


async def as_program(database: Database) -> Json:
    told = await statement_of(database, "acme")
    pieces = [piece async for piece in statement.as_json(told, movements_with_debits(told, database))]
    read: Json = json.loads("".join(pieces))
    return read


async def table(told: Statement, moved: AsyncIterator[Movement]) -> list[dict[str, str]]:
    pieces = [piece async for piece in statement.as_csv(told, moved)]
    return list(csv.DictReader(io.StringIO("".join(pieces), newline="")))


def nano(amounts: Sequence[str]) -> int:
    return sum(Credits.exactly(amount).nano for amount in amounts)


async def test_each_use_is_told_with_its_tokens_prices_markup_and_cost(furnished: Database) -> None:
    await furnished.write(lambda tx: prices.set_markup(tx, "account:acme", 1250, NOON, NOON))
    late = Event("genstudio", "late", "acme", "openai", "gpt", NOON - timedelta(days=1), Tokens(input=1_000))
    async with metering(furnished) as meter:
        await meter.book([use("1", input=1_200, cached=800, output=300, reasoning=100), late, use("x", "other")])

    told = await as_program(furnished)
    [_, used] = told["movements"]
    # 1200 x 2 + 800 x 0.5 + 300 x 8 = 5200 per million, and 12.5 % on top; the day before there was no markup yet
    assert used["debits"] == [
        {
            **{"source": "genstudio", "id": "late", "happened_at": "2026-11-02T12:00:00+00:00"},
            **{"provider": "openai", "model": "gpt"},
            **{"input_tokens": 1000, "cached_input_tokens": 0, "cache_write_tokens": 0},
            **{"output_tokens": 0, "reasoning_tokens": 0},
            **{"input_price": "2.00", "cached_input_price": "0.50", "cache_write_price": None, "output_price": "8.00"},
            **{"markup_percent": "0", "cost": "0.002"},
        },
        {
            **{"source": "genstudio", "id": "1", "happened_at": "2026-11-03T12:00:00+00:00"},
            **{"provider": "openai", "model": "gpt"},
            **{"input_tokens": 1200, "cached_input_tokens": 800, "cache_write_tokens": 0},
            **{"output_tokens": 300, "reasoning_tokens": 100},
            **{"input_price": "2.00", "cached_input_price": "0.50", "cache_write_price": None, "output_price": "8.00"},
            **{"markup_percent": "12.5", "cost": "0.00585"},
        },
    ]
    assert (told["opening"], used["change"], told["closing"]) == ("0.00", "-0.00785", "999.99215")

    [_, _, entry, first, second, _] = await text(furnished)
    assert first.split() == ["2026-11-02", "12:00:00", "openai", "gpt", "-0.002", "1000", "input", "at", "2.00"]
    assert second.endswith(
        " -0.00585  1200 input at 2.00, 800 cached input at 0.50, 300 output (100 reasoning) at 8.00, +12.5 %"
    )
    assert entry.index("-0.00785") + len("-0.00785") == first.index("-0.002") + len("-0.002"), "under each other"


async def test_a_statement_without_debits_reads_none(furnished: Database) -> None:
    async with metering(furnished) as meter:
        await meter.book([use("1", input=1)])
    told = await statement_of(furnished, "acme")
    pieces = [piece async for piece in statement.as_json(told, movements(told))]
    assert [set(each) & {"debits"} for each in json.loads("".join(pieces))["movements"]] == [set(), set()]
    assert [row["kind"] for row in await table(told, movements(told))] == ["opening", "movement", "movement", "closing"]


async def test_an_old_statement_never_changes_because_a_price_did(furnished: Database) -> None:
    dearer = replace(PRICE, input=9 * 10**9, effective_at=NOON - timedelta(hours=1))
    async with metering(furnished) as meter:
        await meter.book([use("1", input=1_000)])
        before = (await as_program(furnished))["movements"]
        await furnished.write(lambda tx: prices.add(tx, dearer, NOON))
        await meter.book([use("2", input=1_000)])
    *told, new = (await as_program(furnished))["movements"]
    assert told == before
    assert [each["debits"][0]["cost"] for each in (told[-1], new)] == ["0.002", "0.009"]


_ids = itertools.count(1)
_uses = st.tuples(
    st.sampled_from(["acme", "acme", "other"]),
    st.builds(
        lambda *counts: Tokens(*counts, reasoning=counts[-1]),
        *[st.integers(0, 10**6)] * 2,
        st.just(0),
        st.integers(0, 10**6),
    ),
    st.integers(0, 10**6),
)


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_uses, min_size=1, max_size=6), max_size=4))
async def test_whatever_was_used_the_statement_adds_up(
    furnished: Database, batches: list[list[tuple[str, Tokens, int]]]
) -> None:
    before = (await as_program(furnished))["movements"]
    async with metering(furnished) as meter:
        for batch in batches:
            await meter.book(
                [
                    Event("genstudio", str(next(_ids)), account, "openai", "gpt", NOON + timedelta(0, late), tokens)
                    for account, tokens, late in batch
                ]
            )
    told = await as_program(furnished)

    assert told["movements"][: len(before)] == before
    changes = [each["change"] for each in told["movements"]]
    assert nano([told["opening"], *changes]) == nano([told["closing"]])
    for each in told["movements"][1:]:
        assert nano([debit["cost"] for debit in each["debits"]]) == -nano([each["change"]])
        assert each["debits"] == sorted(each["debits"], key=lambda debit: str(debit["happened_at"]))

    whole = await statement_of(furnished, "acme")
    rows = await table(whole, movements_with_debits(whole, furnished))
    assert nano([row["change"] for row in rows if row["change"]]) == nano([rows[-1]["balance"]])
    costs = nano([row["cost"] for row in rows if row["cost"]])
    assert costs == -nano([row["change"] for row in rows if row["cause"].startswith("usage:")])


async def test_more_uses_than_are_read_at_once(furnished: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "_AT_ONCE", 4)
    async with metering(furnished) as meter:
        for n in range(10):
            await meter.book([use(f"{n}-{m}", input=1 + n + m) for m in range(n % 3 + 1)])
    told = await as_program(furnished)
    assert [len(each["debits"]) for each in told["movements"]] == [0, *(n % 3 + 1 for n in range(10))]


@given(st.lists(st.sampled_from(FORMULAS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
async def test_a_table_is_read_back_as_it_was_written_and_runs_nothing(texts: list[str]) -> None:
    line = Line(7, "usage:1", NOON, NOON, Credits(-len(texts)), Credits(-len(texts)), {"events": len(texts)})
    debits = [_debit(each) for each in texts]

    async def moved() -> AsyncIterator[Movement]:
        yield line, debits

    [opening, movement, *rows, closing] = await table(Statement("acme", Credits.ZERO, [line]), moved())

    for row in rows:
        for name in ("source", "id", "provider", "model"):
            assert not re.match(r"\s*[=+\-@＝＋－＠]|[\t\r\n]", row[name])
    assert [_bare(row["id"]) for row in rows] == texts
    assert [_bare(row["model"]) for row in rows] == texts
    assert (opening["balance"], movement["change"], closing["balance"]) == (
        "0.00",
        Credits(-len(texts)).exact,
        Credits(-len(texts)).exact,
    )
    assert [row["cost"] for row in rows] == ["0.000000001"] * len(texts)


def _bare(cell: str) -> str:
    """What a reader takes off: the apostrophe before what a spreadsheet would run."""
    return cell[1:] if re.match(r"'['\s]*[=+\-@＝＋－＠]|''*[\t\r\n]", cell) else cell


def _debit(text: str) -> Debit:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Debit(text, text, at, text, text, Tokens(input=1), PRICE, 0, Credits(1))
