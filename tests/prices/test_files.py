"""Prices as people write them: what is written can be read again, and what is wrong is named where it stands."""

import csv
import io
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.prices import files, proposed
from bot.prices.files import BadRows, dollars, moment, read
from bot.prices.model import Price, with_ends

from .examples import DOLLAR, JULY, NEW_YEAR, NOON, figures, moments, names, price

HEADER = "provider,model,input,cached_input,cache_write,output,effective_date,expired_date\n"
ROW = {"provider": "openai", "model": "gpt", "input": "2", "output": "8", "effective_date": "2026-01-01"}


def swapped(price: Price) -> Price:
    """From its end to its beginning, which came later."""
    assert price.expires_at is not None
    return replace(price, effective_at=price.expires_at, expires_at=price.effective_at)


some_prices = st.lists(
    st.builds(
        price,
        provider=names,
        model=names,
        input=figures,
        cached=st.none() | figures,
        written=st.none() | figures,
        output=figures,
        effective_at=moments,
        expires_at=st.none() | moments,
    ).map(lambda each: each if each.flaw is None else swapped(each)),
    max_size=6,
    unique_by=lambda each: (each.provider, each.model, each.effective_at),
)


def prices_of(content: str | bytes) -> list[Price]:
    return [each for _, each in read(content if isinstance(content, bytes) else content.encode())]


def problems_of(content: str | bytes) -> list[tuple[str, str]]:
    with pytest.raises(BadRows) as refused:
        prices_of(content)
    return list(refused.value.problems)


# ── there and back ────────────────────────────────────────────────────────────────────────────────────────────────


@given(some_prices)
@example([price(model="=1+1"), price(model="'=1+1"), price(model="'a"), price(provider="#", model='"')])
def test_what_is_exported_is_imported_as_it_was(prices: list[Price]) -> None:
    for content in (files.to_csv(prices), files.to_json(prices)):
        assert with_ends(prices_of(content)) == with_ends(prices)


def test_an_end_that_only_the_next_price_makes_is_not_imported_as_one() -> None:
    prices = [price(), price(effective_at=JULY, input=1), price(model="other", expires_at=JULY)]
    assert files.to_csv(prices) == HEADER + (
        "openai,gpt,2.00,0.50,,8.00,2026-01-01,2026-07-01\n"
        "openai,gpt,0.000000001,0.50,,8.00,2026-07-01,\n"
        "openai,other,2.00,0.50,,8.00,2026-01-01,2026-07-01\n"
    )
    assert prices_of(files.to_csv(prices)) == prices_of(files.to_json(prices)) == prices


@given(some_prices)
def test_no_spreadsheet_finds_a_formula(prices: list[Price]) -> None:
    cells = [cell for row in csv.reader(io.StringIO(files.to_csv(prices), newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))]


def test_json_has_decimals_as_text_and_nothing_where_there_is_nothing() -> None:
    assert json.loads(files.to_json([price(cached=None, effective_at=NOON)])) == [
        {
            "provider": "openai",
            "model": "gpt",
            "input": "2.00",
            "cached_input": None,
            "cache_write": None,
            "output": "8.00",
            "effective_date": "2026-11-03T12:00:00Z",
            "expired_date": None,
        }
    ]


# ── as people write them ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        "provider,model,input,output,effective_date\nopenai,gpt,2,8,2026-01-01\n",
        "effective_date,output,input,model,provider\n2026-01-01,8.00,2.000000000,gpt,openai",
        "\ufeff# as agreed\n#, 2026\n\nprovider,model,input,output,effective_date\r\nopenai,gpt,2,8,2026-01-01\r\n",
        HEADER + 'openai,"gpt",2,,,8,2026-01-01T01:00:00+01:00,\n',
        json.dumps([ROW]),
        '\n [{"provider": "openai", "model": "gpt", "input": 2, "output": 8.0, "effective_date": "2026-01-01"}]',
        json.dumps([{**ROW, "cached_input": None, "cache_write": "", "expired_date": None}]),
    ],
)
def test_a_table_is_read_however_it_is_written(content: str) -> None:
    assert prices_of(content) == [price(cached=None)]


@pytest.mark.parametrize("content", [HEADER, "[]"])
def test_a_table_may_be_empty(content: str) -> None:
    assert prices_of(content) == []


@pytest.mark.parametrize(
    ("written", "nano"),
    [("0", 0), ("2.5", 2_500_000_000), ("0.000000001", 1), ("10000", 10_000 * DOLLAR), ("007.10", 7_100_000_000)],
)
def test_dollars_are_read_exactly(written: str, nano: int) -> None:
    assert dollars(written) == nano


@pytest.mark.parametrize(
    "written",
    [
        "",
        "-1",
        "+1",
        "1e3",
        "1,5",
        "1.",
        ".5",
        "1.0000000000",
        "NaN",
        "Infinity",
        "0x1",
        "1_0",
        "٣",
        "２",
        "100000",
        " 1",
    ],
)
def test_what_are_no_dollars_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no price"):
        dollars(written)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2026-07-01", JULY),
        ("2026-11-03T12:00:00Z", NOON),
        ("2026-11-03 13:00:00.000000+01:00", NOON),
        ("2026-11-03T06:30:00.25-05:30", NOON + timedelta(milliseconds=250)),
    ],
)
def test_a_moment_is_read_in_utc(written: str, read_as: datetime) -> None:
    assert moment(written) == read_as
    assert moment(written).tzinfo is UTC


@pytest.mark.parametrize(
    "written",
    [
        *("", "today", "2026-13-01", "2026-02-30", "20260101", "2026-W01-1", "1.7.2026", "2026-07-01T12:00:00"),
        *("2026-07-01T24:00:00Z", "2026-07-01T12:00:60Z", "2026-07-01T12:00:00.1234567Z", "0001-01-01T00:00:00+01:00"),
        *("２026-07-01", "2026-07-01Z", "2026-07-01T12:00:00+25:00", "2026-07-00T24:00:00Z"),
    ],
)
def test_what_is_no_moment_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        moment(written)


# ── what is wrong is named ────────────────────────────────────────────────────────────────────────────────────────


def test_every_bad_row_is_named_by_its_line_and_its_reason() -> None:
    found = problems_of(
        "# a comment\n"
        + HEADER
        + "openai,good,1,,,1,2026-01-01,\n"
        + "openai,a,1e5,,,1,2026-01-01,\n"
        + "openai,b,1,,,1,yesterday,\n"
        + "\n"
        + ",c,1,,,1,2026-01-01,\n"
        + "openai, d,1,,,1,2026-01-01,\n"
        + "openai,e,1,,,10001,2026-01-01,\n"
        + "openai,f,1,,,1,2026-01-01,2025-01-01\n"
        + "openai,g,1\n"
        + "openai,h,1,,,1,2026-01-01,,surplus\n"
    )
    assert [where for where, _ in found] == [f"line {n}" for n in (4, 5, 7, 8, 9, 10, 11, 12)]
    reasons = [reason for _, reason in found]
    named = [
        "input: '1e5'",
        "effective_date: 'yesterday'",
        "provider",
        "spaces",
        "10,000",
        "before it begins",
        "output",
    ]
    assert [part for part, reason in zip(named, reasons, strict=False) if part not in reason] == []
    assert reasons[-1].startswith("there is no column ''")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({**ROW, "input": True}, "input must be text or a number"),
        ({**ROW, "input": ["2"]}, "input must be text or a number"),
        ({**ROW, "input": {"usd": 2}}, "input must be text or a number"),
        ({**ROW, "input": float("nan")}, "input: 'NaN'"),
        ({**ROW, "input": 1e22}, "input: '1e+22'"),
        ({**ROW, "input": 10**4000}, "input: '1000"),
        ({**ROW, "cached": "1"}, "there is no column 'cached'"),
        ({**ROW, "model": "\ud800"}, "model must be"),
        ({**ROW, "model": "a\x00b"}, "model must be"),
        ({**ROW, "output": None}, "output is missing"),
        ({}, "there is no provider"),
        ([], "there is no provider"),
        ("openai", "there is no provider"),
        (None, "there is no provider"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_every_bad_object_of_a_list_is_named(row: Any, named: str) -> None:
    found = problems_of(json.dumps([ROW, row, {**ROW, "model": "other"}, row]))
    assert [where for where, _ in found] == ["row 2", "row 4"]
    assert all(reason.startswith(named) for _, reason in found), found


@pytest.mark.parametrize(
    ("content", "where", "named"),
    [
        ("", "file", "empty"),
        ("# nothing\n", "file", "empty"),
        (b"\xff\xfe", "file", "UTF-8"),
        ("provider,model,input,output\n", "line 1", "there is no effective_date"),
        (HEADER.replace("cache_write", "cached_input"), "line 1", "cached_input stands there twice"),
        ("#\n" + HEADER.replace("cache_write", "cache-write"), "line 2", "there is no column 'cache-write'"),
        (HEADER + 'openai,"gpt', "line 2", "this is no CSV"),
        (HEADER + "x" * 200_000, "line 2", "this is no CSV"),
        ('[{"provider":\n,}]', "line 2", "this is no JSON"),
        ("{}", "file", "this is no list"),
        ('[{"provider": "a", "provider": "b"}]', "row 1", "provider stands there twice"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_a_file_that_is_no_table_is_refused(content: str | bytes, where: str, named: str) -> None:
    [(found, reason)] = problems_of(content)
    assert found == where
    assert named in reason


def test_a_file_that_is_nested_deeper_than_python_may_read_is_refused() -> None:
    """In which words depends on how deep this Python reads: its version has a say in that, and its stack."""
    for content in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '[{"provider":' * 50_000 + "1" + "}]" * 50_000):
        assert len(problems_of(content)) == 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"[\x00]")
@example(HEADER.encode() + b"\x00,\x00\n")
def test_rubbish_is_refused_and_nothing_else_happens(content: bytes) -> None:
    for given_ in (content, HEADER.encode() + content, b"[" + content):
        with suppress(BadRows):
            assert all(each.flaw is None for each in prices_of(given_))


# ── the table that comes with the bot ─────────────────────────────────────────────────────────────────────────────


def test_the_starting_table_has_well_known_models_from_this_year_on() -> None:
    table = files.starting_table()
    assert {each.provider for each in table} == {"openai", "anthropic", "google", "mistral"}
    assert {each.effective_at for each in table} == {NEW_YEAR}
    assert {each.id for each in table} == {0}
    assert all(each.input and each.output and each.expires_at is None for each in table)
    assert all(each.written for each in table if each.provider == "anthropic")
    assert len({(each.provider, each.model) for each in table}) == len(table) == 14


def test_the_starting_table_is_what_it_says_it_was_taken_from() -> None:
    source = Path(files.__file__).with_name("start.csv").read_text().splitlines()[0]
    if f"genai-prices {version('genai-prices')} " not in source:
        pytest.skip("another version of genai-prices is installed: its prices may be others")
    table = files.starting_table()
    proposal = proposed.propose(
        sorted({each.provider for each in table}), [each.model for each in table], table[0].effective_at
    )
    taken = {(each.price.provider, each.price.model): each.price for each in proposal.offers}
    assert [taken[each.provider, each.model] for each in table] == table


def test_dates_stay_moments_that_the_database_can_hold() -> None:
    for written in ("0001-01-01", "9999-12-31"):
        assert prices_of(json.dumps([{**ROW, "effective_date": written}])) == [
            replace(price(cached=None), effective_at=moment(written))
        ]
