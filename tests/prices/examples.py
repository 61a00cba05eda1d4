"""Prices to test with."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from bot.prices.model import DEAREST, Price

DOLLAR = 10**9  # in nano-credits
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def price(**given: Any) -> Price:
    """2 dollars in, 8 dollars out, half a dollar from the cache, from the new year on."""
    plain = {"provider": "openai", "model": "gpt", "input": 2 * DOLLAR, "output": 8 * DOLLAR, "cached": DOLLAR // 2}
    return Price(**{"id": 0, "effective_at": NEW_YEAR, **plain, **given})


figures = st.integers(0, DEAREST) | st.integers(0, 20 * DOLLAR)
moments = st.datetimes(datetime(1999, 12, 31), datetime(2100, 1, 1), timezones=st.just(UTC))
printable = st.sampled_from("=+-@'\"a;, #|/\\{[æ＝9") | st.characters(codec="utf-8", exclude_categories=("C", "Z"))
names = st.text(printable, min_size=1, max_size=12).map(str.strip).filter(bool)
