"""What the rater keeps in memory."""

import pytest

from bot.db.engine import Database
from bot.usage.rating import Rater

from .metered import NOON, furnish, use


async def test_sources_that_come_and_go_are_not_kept_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may name its machine of this hour as the source."""
    monkeypatch.setattr("bot.usage.rating.MOST_KEPT", 10)
    await furnish(database)
    rater = Rater(database)
    terms = await rater.terms()
    numbers: dict[str, int] = {}
    for hour in range(20):
        events = [use(str(n), source=f"pod-{hour * 4 + n}", input=1) for n in range(5)]  # one stays for the next hour
        rows = await rater.rate(events, NOON, terms)
        for event, row in zip(events, rows, strict=True):
            assert numbers.setdefault(event.source, row.source) == row.source
    assert len(set(numbers.values())) == 81
    assert len(rater._sources) <= 15
