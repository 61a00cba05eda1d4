"""The forecast: what it says of accounts whose future is plain, when it is silent, and what holds of every account."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.forecast import HORIZON, RunOut, run_out
from bot.money import NANO_PER_CREDIT
from tests.bench.forecasting import COVERED, FOR_CHOOSING, KINDS, back_test

from ..conftest import examples

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONDON, TOKYO = ZoneInfo("Europe/London"), ZoneInfo("Asia/Tokyo")
MONDAY = datetime(2026, 6, 1, tzinfo=UTC)  # 1 a.m. in London
ZONES = (
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "America/Asuncion",
    "Atlantic/Azores",
    "Europe/London",
    "Europe/Copenhagen",
    "Africa/Cairo",  # midnight is what is left out
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Auckland",
)
CHANGES = (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 10, 1, tzinfo=UTC))


def flat(days: int, credits_an_hour: int = 1, until: datetime = MONDAY) -> dict[datetime, int]:
    return {until - n * HOUR: credits_an_hour * NANO_PER_CREDIT for n in range(1, days * 24 + 1)}


def of_weekdays(weeks: int, until: datetime = MONDAY, zone: ZoneInfo = LONDON) -> dict[datetime, int]:
    """Ten credits an hour from nine to five, Monday to Friday."""
    hours = (until - n * HOUR for n in range(1, weeks * 7 * 24 + 1))
    local = ((hour, hour.astimezone(zone)) for hour in hours)
    return {at: 10 * NANO_PER_CREDIT for at, here in local if here.weekday() < 5 and 9 <= here.hour < 17}


def forecast(
    history: dict[datetime, int], credits_left: int, now: datetime = MONDAY, zone: ZoneInfo = LONDON
) -> RunOut:
    found = run_out(history, credits_left * NANO_PER_CREDIT, now, zone)
    assert found is not None
    return found


def ordered(found: RunOut) -> bool:
    return found.early <= found.likely <= (found.late or found.likely)


def test_an_even_pace_runs_out_when_division_says() -> None:
    found = forecast(flat(56), 24 * 10)
    assert abs(found.likely - (MONDAY + 10 * DAY)) < DAY
    assert found.early < MONDAY + 10 * DAY < (found.late or MONDAY)
    assert found.per_day == pytest.approx(24 * NANO_PER_CREDIT, rel=0.05)


def test_a_weekend_without_use_is_foreseen() -> None:
    """On a Friday afternoon two days' worth lasts beyond the weekend: to Tuesday, and not to Sunday."""
    friday = MONDAY - 3 * DAY + 17 * HOUR
    found = forecast(of_weekdays(8, until=friday), 2 * 80, friday)
    assert found.likely.astimezone(LONDON).strftime("%A") in ("Monday", "Tuesday")
    assert found.early > friday + 2 * DAY


def test_the_moment_lies_in_the_hours_of_use() -> None:
    found = forecast(of_weekdays(8, zone=TOKYO), 40, zone=TOKYO)
    assert 9 <= found.likely.astimezone(TOKYO).hour < 17


def test_growth_brings_the_end_nearer() -> None:
    growing = {hour: round(nano * (1.1 ** ((hour - MONDAY) / (7 * DAY)))) for hour, nano in flat(56).items()}
    found = forecast(growing, 24 * 28)
    assert found.likely < MONDAY + 26 * DAY
    assert found.per_day == pytest.approx(24 * NANO_PER_CREDIT, rel=0.12)


def test_recent_weeks_weigh_more() -> None:
    long_ago = flat(56) | flat(7, credits_an_hour=2, until=MONDAY - 49 * DAY)
    of_late = flat(56) | flat(7, credits_an_hour=2)
    assert forecast(of_late, 240).per_day > 1.2 * forecast(long_ago, 240).per_day


def test_scatter_and_short_acquaintance_widen_the_range() -> None:
    random = Random(1)
    uneven = {hour: round(nano * random.expovariate(1)) for hour, nano in flat(56).items() if random.random() < 0.1}

    def width(history: dict[datetime, int]) -> timedelta:
        found = forecast(history, 100)
        return (found.late or MONDAY + HORIZON) - found.early

    assert width(uneven) > 1.5 * width(flat(56))
    assert width(flat(4)) > 1.5 * width(flat(56))


@pytest.mark.parametrize(
    "history",
    [
        {},
        dict(list(flat(3).items())[:-1]),
        flat(60, until=MONDAY - 15 * DAY),
        dict.fromkeys(flat(20), 0),
    ],
    ids=["none", "an hour short of three days", "silent for a fortnight", "free"],
)
def test_it_is_silent_with_too_little_to_go_by(history: dict[datetime, int]) -> None:
    assert run_out(history, NANO_PER_CREDIT, MONDAY, LONDON) is None


def test_it_speaks_after_three_days() -> None:
    assert forecast(flat(3), 24).likely > MONDAY


def test_the_hour_that_is_not_over_is_not_taken_for_a_whole_one() -> None:
    now = MONDAY + timedelta(minutes=3)
    assert run_out(flat(20) | {MONDAY: 1}, 10**12, now, LONDON) == run_out(flat(20), 10**12, now, LONDON)


def test_nothing_left_runs_out_now() -> None:
    found = forecast(flat(10), 0)
    assert found.early == found.likely == found.late == MONDAY
    assert forecast(flat(10), -5).likely == MONDAY


def test_nothing_is_said_beyond_the_horizon() -> None:
    found = forecast(flat(56), 24 * 4000)
    assert (found.early, found.likely, found.late) == (MONDAY + HORIZON, MONDAY + HORIZON, None)


histories = st.lists(st.integers(0, 10**12) | st.just(0), min_size=72, max_size=600)
moments = st.builds(
    lambda around, minutes: around + timedelta(minutes=minutes), st.sampled_from(CHANGES), st.integers(0, 60 * 24 * 60)
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
balances = st.integers(-(10**12), 10**15)


def hourly(nano: Sequence[int], now: datetime, times: int = 1) -> dict[datetime, int]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    return {hour - n * HOUR: each * times for n, each in enumerate(nano, 1) if each}


@given(histories, balances, moments, zones)
def test_the_range_is_in_order_across_changes_of_the_clocks(
    nano: list[int], balance: int, now: datetime, zone: ZoneInfo
) -> None:
    if (found := run_out(hourly(nano, now), balance, now, zone)) is not None:
        assert now <= found.early
        assert ordered(found)
        assert (found.late or found.likely) <= now + HORIZON
        assert found.per_day >= 0


@given(histories, balances, st.integers(0, 10**14), moments, zones)
def test_more_credits_never_run_out_earlier(
    nano: list[int], balance: int, more: int, now: datetime, zone: ZoneInfo
) -> None:
    history = hourly(nano, now)
    less, greater = run_out(history, balance, now, zone), run_out(history, balance + more, now, zone)
    if less is not None and greater is not None:
        assert less.early <= greater.early
        assert less.likely <= greater.likely
        assert (less.late or now + HORIZON) <= (greater.late or now + HORIZON)


@given(histories, balances, moments, zones)
def test_twice_the_spend_and_twice_the_credits_are_the_same_time(
    nano: list[int], balance: int, now: datetime, zone: ZoneInfo
) -> None:
    once, twice = (run_out(hourly(nano, now, times), balance * times, now, zone) for times in (1, 2))
    if once is not None and twice is not None:
        assert (once.early, once.likely, once.late) == (twice.early, twice.likely, twice.late)
        assert abs(twice.per_day - 2 * once.per_day) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_range_has_the_true_moment_in_it(kind: str) -> None:
    """A small back-test; the large one, with its table, is ``python -m tests.bench forecasting``."""
    assert back_test(kind, FOR_CHOOSING[: examples(30)]).share_covered >= COVERED - 0.1
