"""Identifiers: unique, ordered by the moment of their making, and of a form that Stripe and Slack accept."""

import re
import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.ids import new_id

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_an_id_says_what_it_names() -> None:
    assert re.fullmatch(r"pur_[0-9a-f]{32}", new_id("pur", NOON))


def test_no_two_ids_of_one_moment_are_alike() -> None:
    assert len({new_id("pur", NOON) for _ in range(10_000)}) == 10_000


@given(st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1)), st.integers(1, 10**9))
def test_a_later_id_sorts_behind_an_earlier_one(at: datetime, milliseconds: int) -> None:
    earlier = at.replace(tzinfo=UTC)
    later = earlier + timedelta(milliseconds=milliseconds)
    assert new_id("pur", earlier) < new_id("pur", later)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1)))
def test_an_id_is_a_version_7_uuid_of_its_moment(at: datetime) -> None:
    value = uuid.UUID(new_id("pur", at.replace(tzinfo=UTC)).removeprefix("pur_"))
    assert (value.version if hasattr(value, "version") else 7) == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(at.replace(tzinfo=UTC).timestamp() * 1000)
