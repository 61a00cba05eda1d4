"""Workers and crews: rounds go on whatever happens in one, and nothing is left behind at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.clockwork import Clockwork, Crew
from bot.errors import Outage


@pytest.fixture
async def clockwork() -> AsyncIterator[Clockwork]:
    clockwork = Clockwork()
    yield clockwork
    await clockwork.stop()


class Rounds:
    """Work that counts its rounds and does what it was told for each."""

    def __init__(self, *deeds: int | Exception) -> None:
        self.done = 0
        self._deeds = list(deeds)
        self._changed = asyncio.Event()

    async def __call__(self) -> int:
        self.done += 1
        self._changed.set()
        deed = self._deeds.pop(0) if self._deeds else 0
        if isinstance(deed, Exception):
            raise deed
        return deed

    async def reached(self, rounds: int) -> None:
        """So many, and no more."""
        await self.at_least(rounds)
        await _settled()
        assert self.done == rounds

    async def at_least(self, rounds: int) -> None:
        async with asyncio.timeout(5):
            while self.done < rounds:
                self._changed.clear()
                await self._changed.wait()


async def test_a_worker_goes_on_for_as_long_as_there_is_something_to_do(clockwork: Clockwork) -> None:
    work = Rounds(3, 1, 2, 0)
    clockwork.every(3600, "work", work)
    clockwork.start()
    await work.reached(4)


async def test_it_sleeps_until_it_is_nudged(clockwork: Clockwork) -> None:
    work = Rounds()
    worker = clockwork.every(3600, "work", work)
    clockwork.start()
    await work.reached(1)
    worker.nudge()
    worker.nudge()
    await work.reached(2)
    clockwork.wind(3600)
    await work.reached(3)


async def test_what_nobody_waits_for_begins_a_while_after_the_start(clockwork: Clockwork) -> None:
    work, urgent = Rounds(), Rounds()
    clockwork.every(3600, "work", work, begin_after=0.2)
    clockwork.every(3600, "urgent", urgent)
    clockwork.start()
    await urgent.reached(1)
    assert work.done == 0
    await work.reached(1)


async def test_the_first_rounds_are_done_one_after_another(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.clockwork._IN_TURN", 5)
    at_work = most = 0

    async def work() -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.001)
        at_work -= 1
        return 0

    last = Rounds()
    for name in "abcd":
        clockwork.every(3600, name, work)
    clockwork.every(3600, "last", last)
    clockwork.start()
    await last.reached(1)
    assert most == 1


async def test_a_first_round_that_takes_its_time_holds_up_nobody(clockwork: Clockwork) -> None:
    async def hang() -> int:
        await asyncio.Event().wait()
        return 0

    work = Rounds()
    clockwork.every(3600, "hanging", hang)
    clockwork.every(3600, "work", work)
    clockwork.start()
    await work.reached(1)


@pytest.mark.parametrize("turns", range(5))
async def test_a_nudge_just_before_the_end_keeps_nobody_from_ending(turns: int) -> None:
    clockwork = Clockwork()
    worker = clockwork.every(3600, "work", Rounds(), begin_after=20)
    clockwork.start()
    await _settled()
    worker.nudge()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await clockwork.stop()


async def test_it_begins_earlier_when_it_is_nudged(clockwork: Clockwork) -> None:
    work = Rounds()
    clockwork.every(3600, "work", work, begin_after=20).nudge()
    clockwork.start()
    await work.reached(1)


async def test_it_begins_when_a_clock_was_wound_so_far_and_then_as_often_as_ever(clockwork: Clockwork) -> None:
    work = Rounds()
    clockwork.every(3600, "work", work, begin_after=20)
    clockwork.start()
    clockwork.wind(19)
    await work.reached(0)
    clockwork.wind(1)
    await work.reached(1)
    clockwork.wind(3599)
    await work.reached(1)
    clockwork.wind(1)
    await work.reached(2)


async def test_a_nudge_during_a_round_is_not_lost(clockwork: Clockwork) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()
    rounds = 0

    async def work() -> int:
        nonlocal rounds
        rounds += 1
        inside.set()
        await go_on.wait()
        return 0

    worker = clockwork.every(3600, "work", work)
    clockwork.start()
    await inside.wait()
    worker.nudge()
    go_on.set()
    await _settled()
    assert rounds == 2


async def test_the_alarm_wakes_it(clockwork: Clockwork) -> None:
    work = Rounds()
    clockwork.every(0.05, "work", work)
    clockwork.start()
    await work.at_least(4)


async def test_an_alarm_that_does_not_come_is_not_waited_for(clockwork: Clockwork, monkeypatch: Any) -> None:
    """APScheduler's do not for two hours, once the clock was set back by so much."""
    monkeypatch.setattr(clockwork._scheduler, "start", lambda: None)
    work = Rounds()
    clockwork.every(0.1, "work", work)
    clockwork.start()
    await work.at_least(3)


async def test_a_round_that_fails_is_told_and_the_rounds_go_on(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    work = Rounds(LookupError("odd"))
    worker = clockwork.every(3600, "sweeping", work)
    clockwork.start()
    await work.reached(1)
    [record] = _ours(caplog)
    assert (record.levelname, record.getMessage()) == ("ERROR", "a round of sweeping failed")
    assert record.exc_info
    worker.nudge()
    await work.reached(2)


async def test_a_service_that_does_not_answer_is_no_mistake_of_ours(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    work = Rounds(Outage("Stripe", "HTTP 503"))
    worker = clockwork.every(3600, "sweeping", work)
    clockwork.start()
    await work.reached(1)
    [record] = _ours(caplog)
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage() == "sweeping has to wait: Stripe: HTTP 503"
    worker.nudge()
    await work.reached(2)


async def test_a_wound_clock_sets_off_the_alarms_that_time_would_have(clockwork: Clockwork) -> None:
    often, seldom = Rounds(0), Rounds(0)
    clockwork.every(1800, "often", often)
    clockwork.every(3600, "seldom", seldom)
    clockwork.start()
    for seconds, counted in (1000, (1, 1)), (1000, (2, 1)), (1700, (2, 2)), (100, (3, 2)), (86_400, (4, 3)):
        clockwork.wind(seconds)
        await _settled()
        assert (often.done, seldom.done) == counted


async def test_a_slow_worker_holds_up_no_other(clockwork: Clockwork) -> None:
    quick = Rounds(0)

    async def slow() -> int:
        await asyncio.Event().wait()
        return 0

    clockwork.every(3600, "slow", slow)
    worker = clockwork.every(3600, "quick", quick)
    clockwork.start()
    await quick.reached(1)
    worker.nudge()
    await quick.reached(2)


async def test_at_the_end_no_round_is_left_running(clockwork: Clockwork) -> None:
    ended = asyncio.Event()

    async def for_ever() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    clockwork.every(3600, "for ever", for_ever)
    clockwork.start()
    await _settled()
    await clockwork.stop()
    assert ended.is_set()
    await clockwork.stop()  # twice is as good as once


# ── many pieces at a time ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_crew_knows_its_free_hands() -> None:
    crew, go_on = Crew(2), asyncio.Event()

    async def piece() -> None:
        await go_on.wait()

    assert (crew.free, crew.busy) == (2, 0)
    crew.start(piece())
    crew.start(piece())
    assert (crew.free, crew.busy) == (0, 2)
    go_on.set()
    await _settled()
    assert (crew.free, crew.busy) == (2, 0)


async def test_the_first_hand_that_becomes_free_is_told_of_however_its_piece_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crew, told = Crew(2), []
    crew.free_again = lambda: told.append(crew.free)

    async def fail() -> None:
        raise LookupError("odd")

    crew.start(asyncio.sleep(0))
    await _settled()
    assert told == [], "there was another"
    crew.start(fail())
    crew.start(asyncio.sleep(0))
    await _settled()
    assert told == [1]
    [record] = _ours(caplog)
    assert record.getMessage() == "a piece of work failed: odd"
    assert record.exc_info


async def test_a_crew_that_stops_leaves_nothing_running(caplog: pytest.LogCaptureFixture) -> None:
    crew = Crew(5)
    for _ in range(5):
        crew.start(asyncio.sleep(3600))
    await _settled()
    await crew.stop()
    assert crew.busy == 0
    assert _ours(caplog) == []


def _ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "bot.clockwork"]


async def _settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)
