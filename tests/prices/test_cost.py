"""What a use costs: vectors worked out by hand, and what holds for every price and every count of tokens."""

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.prices.model import DEAREST, STEEPEST, Markups, Price, PriceList, Tokens, Unpriced, cost

from .examples import DOLLAR, JULY, LATER, NEW_YEAR, NOON, figures, moments, price

OPENAI = price()
ANTHROPIC = price(input=3 * DOLLAR, cached=3 * DOLLAR // 10, written=15 * DOLLAR // 4, output=15 * DOLLAR)
TINY = price(input=1, output=1, cached=None)  # a billionth of a dollar for a million tokens
HALF = price(input=500_000, output=500_000, cached=None)  # half a nano-credit for a token

counts = st.integers(0, 100_000_000)
tokens = st.builds(Tokens, counts, counts, counts, counts)
prices = st.builds(price, input=figures, cached=figures, written=figures, output=figures)
markups = st.integers(0, STEEPEST)


@pytest.mark.parametrize(
    ("of", "used", "markup", "nano"),
    [
        # 1,000 x 2.00 + 200 x 0.50 + 500 x 8.00 = 6,100 dollars per million = 0.0061 dollars
        (OPENAI, Tokens(input=1000, cached=200, output=500), 0, 6_100_000),
        (OPENAI, Tokens(input=1000, cached=200, output=500, reasoning=400), 0, 6_100_000),  # a part of the output
        (OPENAI, Tokens(input=1000, cached=200, output=500), 1250, 6_862_500),  # 12.5 % more: 6,100,000 x 1.125
        # 100 x 3.00 + 2,000 x 0.30 + 500 x 3.75 + 50 x 15.00 = 300 + 600 + 1,875 + 750 = 3,525 dollars per million
        (ANTHROPIC, Tokens(input=100, cached=2000, written=500, output=50), 0, 3_525_000),
        (ANTHROPIC, Tokens(input=100, cached=2000, written=500, output=50), 3333, 4_699_883),  # 4,699,882.5 rounded up
        (TINY, Tokens(input=1), 0, 1),
        (TINY, Tokens(input=1_000_000), 0, 1),
        (TINY, Tokens(input=1_000_001), 0, 2),
        (HALF, Tokens(input=1, output=1), 0, 1),  # two halves are one: rounded once, not for each kind
        (HALF, Tokens(input=1), 10_000, 1),  # doubled first, then rounded
        (HALF, Tokens(input=3), 0, 2),
        (OPENAI, Tokens(), STEEPEST, 0),
        # 4 x 100,000,000 tokens x 10,000 dollars per million x 11 = 44 million dollars
        (
            price(input=DEAREST, cached=DEAREST, written=DEAREST, output=DEAREST),
            Tokens(10**8, 10**8, 10**8, 10**8),
            STEEPEST,
            44_000_000 * DOLLAR,
        ),
    ],
)
def test_a_cost_is_what_it_is_by_hand(of: Price, used: Tokens, markup: int, nano: int) -> None:
    assert cost(of, used, markup) == nano


def test_tokens_of_a_kind_that_has_no_price_are_not_free() -> None:
    assert cost(TINY, Tokens(input=1, cached=1), 0) is Unpriced.NO_CACHED_PRICE
    assert cost(OPENAI, Tokens(input=1, written=1), 0) is Unpriced.NO_WRITTEN_PRICE
    assert cost(replace(OPENAI, cached=0), Tokens(cached=1), 0) == 0, "a price of nothing is a price"


@given(prices, tokens, markups)
def test_a_cost_is_the_exact_one_rounded_up_once(of: Price, used: Tokens, markup: int) -> None:
    pairs = zip(of.figures, (used.input, used.cached, used.written, used.output), strict=True)
    exact = sum(Fraction((figure or 0) * count, 10**6) for figure, count in pairs) * Fraction(10_000 + markup, 10_000)
    assert cost(of, used, markup) == ceil(exact)


@given(prices, tokens, tokens, markups, markups)
def test_more_tokens_never_cost_less(of: Price, used: Tokens, more: Tokens, markup: int, extra: int) -> None:
    both = Tokens(
        used.input + more.input, used.cached + more.cached, used.written + more.written, used.output + more.output
    )
    assert _nano(of, used, markup) <= _nano(of, both, markup) <= _nano(of, both, markup + extra)
    assert _nano(of, both, markup) <= _nano(of, used, markup) + _nano(of, more, markup), "and no more than apart"


@given(prices, tokens, markups)
def test_no_use_of_what_has_a_price_is_free(of: Price, used: Tokens, markup: int) -> None:
    pairs = zip(of.figures, (used.input, used.cached, used.written, used.output), strict=True)
    assert (_nano(of, used, markup) == 0) is all(not figure or not count for figure, count in pairs)


# ── which price holds when ────────────────────────────────────────────────────────────────────────────────────────


def test_a_price_holds_from_its_moment_to_the_next_one() -> None:
    first, second = price(), price(effective_at=JULY, input=3 * DOLLAR, expires_at=NOON)
    listed = PriceList([second, first, price(model="other")])
    tick = timedelta(microseconds=1)
    assert listed.at("openai", "gpt", NEW_YEAR - tick) is None
    assert listed.at("openai", "gpt", NEW_YEAR) == first
    assert listed.at("openai", "gpt", JULY - tick) == first
    assert listed.at("openai", "gpt", JULY) == second
    assert listed.at("openai", "gpt", NOON - tick) == second
    assert listed.at("openai", "gpt", NOON) is None
    assert listed.at("openai", "nobody's", NOON) is None
    assert [each.model for each in listed.holding(JULY)] == ["gpt", "other"]
    assert listed.holding(NEW_YEAR - tick) == []


def test_what_has_expired_does_not_bring_the_one_before_back() -> None:
    listed = PriceList([price(), price(effective_at=JULY, expires_at=JULY)])
    assert listed.at("openai", "gpt", LATER) is None


def test_the_markup_of_the_account_comes_before_that_of_its_plan() -> None:
    held = Markups(
        [
            ("plan:essential", NEW_YEAR, 2000),
            ("account:acme", JULY, 500),
            ("account:acme", NOON, 0),
            ("account:essential", NEW_YEAR, 9),
        ]
    )
    assert held.at("acme", "essential", NEW_YEAR - timedelta(days=1)) == 0
    assert held.at("acme", "essential", NEW_YEAR) == 2000
    assert held.at("acme", "essential", JULY) == 500
    assert held.at("acme", "essential", LATER) == 0, "none of one's own is a markup too"
    assert held.at("other", "essential", LATER) == 2000
    assert held.at("other", "advanced", LATER) == 0


@given(st.lists(moments, unique=True), moments)
def test_the_newest_that_has_begun_holds(starts: list[datetime], moment: datetime) -> None:
    begun = [start for start in starts if start <= moment]
    held = PriceList(price(effective_at=start) for start in starts).at("openai", "gpt", moment)
    assert (held and held.effective_at) == max(begun, default=None)
    points = Markups(("plan:essential", start, n) for n, start in enumerate(starts, 1)).at("acme", "essential", moment)
    assert points == (starts.index(max(begun)) + 1 if begun else 0)


def _nano(of: Price, used: Tokens, markup: int) -> int:
    found = cost(of, used, markup)
    assert isinstance(found, int)
    return found
