"""The outbox through its front door: messages are owed, bots die or freeze, in the end Slack shows what it ought to.

What Slack itself can do to it is in ``test_slack_trouble.py``.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, text, update

from bot import faultpoint
from bot.db.engine import Database
from bot.errors import Outage
from bot.outbox import service, store
from bot.outbox.model import LEASE, LONGEST_WAIT, Channel, Owed, User, backoff
from bot.outbox.service import MOST_PLACES_AT_ONCE, Outbox
from bot.outbox.tables import outbox as table
from bot.sandbox.faults import Kind

from .world import OWNER, POST, Calls, Killed, World, stop, until

# --- one living message


async def test_a_message_is_posted_once_and_edited_ever_after(world: World) -> None:
    await world.owe("pur_1", "Charging")
    assert await world.outbox.deliver() == 1
    [message] = world.shown()
    assert (message.text, message.blocks[0]["text"]["text"]) == ("Charging", "*Charging*")
    assert not message.unfurl_links
    assert not message.unfurl_media

    await world.owe("pur_1", "Paid")
    assert await world.outbox.deliver() == 1
    [edited] = world.shown()
    assert (edited.ts, edited.text, edited.blocks[0]["text"]["text"]) == (message.ts, "Paid", "*Paid*")
    assert await world.outbox.deliver() == 0


async def test_changes_that_come_quickly_melt_into_one(world: World) -> None:
    calls = Calls(world.slack)
    for words in ("Charging", "Waiting for the bank", "Paid"):
        await world.owe("pur_1", words)

    await Outbox(world.database, calls, world.clock).deliver()

    assert world.texts() == ["Paid"]
    assert calls.made == [f"open_dm {OWNER}", "post Paid"]


async def test_the_same_content_again_is_nothing_to_tell(world: World) -> None:
    await world.owe("pur_1", "Paid")
    await world.outbox.deliver()
    await world.owe("pur_1", "Paid")

    assert await world.outbox.deliver() == 0
    assert not world.shown()[0].edited


async def test_what_changes_while_it_is_sent_is_sent_again(world: World) -> None:
    async def change(call: str) -> None:
        if call == "post Charging":
            await world.owe("pur_1", "Paid")

    calls = Calls(world.slack, after=change)
    await world.owe("pur_1", "Charging")
    await Outbox(world.database, calls, world.clock).deliver()

    assert calls.made == [f"open_dm {OWNER}", "post Charging", "update Paid"]


async def test_a_channel_gets_its_own_message(world: World) -> None:
    place = world.workspace.add_channel("billing", [world.workspace.bot_user_id])
    await world.owe("pur_1:buyer", "Paid")
    await world.owe("pur_1:channel", "Ada bought credits", Channel(place.id))
    await world.outbox.deliver()

    assert world.texts() == ["Paid"]
    assert [message.text for message in world.workspace.messages(place.id)] == ["Ada bought credits"]


async def test_nothing_is_kept_open_in_the_database_while_slack_is_asked(world: World) -> None:
    """SQLite has one writer: this would wait for ever if the outbox kept a transaction open."""

    async def write(call: str) -> None:
        async with asyncio.timeout(2):
            await world.owe("pur_2", f"{len(calls.made)}", Channel("C0NOWHERE"))

    calls = Calls(world.slack, before=write)
    await world.owe("pur_1", "Charging")
    world.workspace.faults.arm(POST, Kind.CUT_AFTER)
    await Outbox(world.database, calls, world.clock).deliver()
    assert len(calls.made) > 1


# --- trying again


async def test_failures_are_tried_again_ever_more_slowly(world: World) -> None:
    world.workspace.faults.arm(POST, Kind.STATUS, times=None, code=503)
    await world.owe("pur_1", "Paid")
    tries = []
    for second in range(16):
        await world.outbox.deliver()
        if len(world.workspace.faults.hits) > len(tries):
            tries.append(second)
        world.clock.wind(1)
    assert tries == [0, 1, 3, 7, 15]

    world.workspace.faults.disarm()
    await world.deliver_all()
    assert world.texts() == ["Paid"]


async def test_news_does_not_wait_for_the_next_try_of_what_is_old(world: World) -> None:
    world.workspace.faults.arm(POST, Kind.CUT_BEFORE)
    await world.owe("pur_1", "Charging")
    assert await world.outbox.deliver() == 0
    assert await world.outbox.deliver() == 0, "put off"

    await world.owe("pur_1", "Paid")
    assert await world.outbox.deliver() == 1


def test_the_waits_double_up_to_five_minutes() -> None:
    assert [backoff(n, 0.0).total_seconds() for n in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert backoff(1_000_000, 0.0) == LONGEST_WAIT
    assert backoff(3, 1.0) == timedelta(seconds=4)


# --- each place by itself


async def test_places_are_served_at_once_but_each_hears_one_thing_at_a_time(world: World) -> None:
    for person in range(30):
        world.workspace.add_person(f"U{person:04}", f"person{person}")
        for message in range(2):
            await world.owe(f"pur_{person}_{message}", f"Paid {message}", User(f"U{person:04}"))
    all_that_may = asyncio.Event()

    async def wait_for_others(call: str) -> None:
        if calls.most_at_once == MOST_PLACES_AT_ONCE:
            all_that_may.set()
        await all_that_may.wait()
        await asyncio.sleep(0.01)  # one more would be seen

    calls = Calls(world.slack, before=wait_for_others)
    async with asyncio.timeout(30):
        await Outbox(world.database, calls, world.clock).deliver()

    assert all(len(world.texts(f"U{person:04}")) == 2 for person in range(30))
    assert calls.most_in_one_channel == 1
    assert calls.most_at_once == MOST_PLACES_AT_ONCE


async def test_a_place_hears_one_thing_at_a_time_however_many_ask_for_delivery(world: World) -> None:
    for number in range(4):
        await world.owe(f"pur_{number}", f"Paid {number}")
    calls = Calls(world.slack, before=lambda call: asyncio.sleep(0.01))
    outbox = Outbox(world.database, calls, world.clock)
    assert sum(await asyncio.gather(*(outbox.deliver() for _ in range(3)))) == 4

    assert calls.most_in_one_channel == 1
    assert world.texts() == [f"Paid {number}" for number in range(4)]


# --- death and other processes


@pytest.mark.parametrize("point", ["K13", "K14"])
async def test_a_bot_that_is_killed_finishes_its_message_when_it_is_back(world: World, point: str) -> None:
    world.workspace.scopes.add("im:history")
    for words in ("Charging", "Paid"):
        await world.owe("pur_1", words)
        kill_at(point)
        with pytest.raises(Killed):
            await world.outbox.deliver()
        faultpoint.arm(lambda name: None)
        await world.restart()
        await world.deliver_all()

    assert world.texts() == ["Paid"]


async def test_two_processes_on_one_database_tell_slack_once(world: World) -> None:
    other = world.another_bot()
    for person in range(12):
        world.workspace.add_person(f"U{person:04}", f"person{person}")
        await world.owe(f"pur_{person}", "Paid", User(f"U{person:04}"))
    assert sum(await asyncio.gather(world.outbox.deliver(), other.deliver())) == 12

    assert all(world.texts(f"U{person:04}") == ["Paid"] for person in range(12))


async def test_a_process_whose_clock_is_behind_leaves_alone_what_another_one_has_in_hand(world: World) -> None:
    await world.owe("pur_1", "Paid")
    now = world.clock.now()
    claimed = [await _claim(world, at) for at in (now, now - timedelta(microseconds=1), now - timedelta(seconds=20))]
    assert [each is not None for each in claimed] == [True, False, False]


async def _claim(world: World, at: datetime) -> Owed | None:
    return await world.database.write(partial(store.claim, place=OWNER, now=at))


async def test_a_process_that_was_frozen_and_edits_too_late_is_corrected(world: World) -> None:
    await world.owe("pur_1", "Charging")
    await world.outbox.deliver()

    async def freeze(call: str) -> None:
        calls.before = None
        world.clock.wind(LEASE.total_seconds() + 1)
        await world.owe("pur_1", "Paid")
        assert await world.outbox.deliver() == 1

    calls = Calls(world.slack, before=freeze)
    await world.owe("pur_1", "Waiting for the bank")
    frozen = Outbox(world.database, calls, world.clock)
    await frozen.deliver()

    assert calls.made == ["update Waiting for the bank", "update Paid"]
    assert world.texts() == ["Paid"]


async def test_a_process_that_was_frozen_before_its_post_does_not_post(world: World) -> None:
    async def freeze(call: str) -> None:
        calls.before = None
        world.clock.wind(LEASE.total_seconds() + 1)
        assert await world.outbox.deliver() == 1

    calls = Calls(world.slack, before=freeze)
    await world.owe("pur_1", "Paid")
    await Outbox(world.database, calls, world.clock).deliver()

    assert calls.made == [f"open_dm {OWNER}"]
    assert world.texts() == ["Paid"]


async def test_a_sending_that_took_longer_than_its_lease_begins_again(world: World) -> None:
    """Somebody else may have begun by now, whom the rest of it could cross."""

    async def freeze(call: str) -> None:
        calls.before = None
        world.clock.wind(LEASE.total_seconds() + 1)

    calls = Calls(world.slack, before=freeze)
    await world.owe("pur_1", "Paid")
    await Outbox(world.database, calls, world.clock).deliver()

    assert [call.split()[0] for call in calls.made] == ["open_dm", "find", "post"]
    assert world.texts() == ["Paid"]


async def test_a_message_that_moves_while_it_is_sent_ends_in_its_new_place(world: World) -> None:
    place = world.workspace.add_channel("billing", [world.workspace.bot_user_id])

    async def move(call: str) -> None:
        if len(calls.made) == 2:
            await world.owe("pur_1", "Paid", Channel(place.id))

    calls = Calls(world.slack, after=move)
    await world.owe("pur_1", "Paid")
    await Outbox(world.database, calls, world.clock).deliver()

    assert [message.text for message in world.workspace.messages(place.id)] == ["Paid"]


async def test_a_clock_that_was_set_back_does_not_hold_messages_up(world: World) -> None:
    far = world.clock.now() + timedelta(hours=2)
    await world.owe("pur_1", "Paid")
    await world.database.write(lambda tx: tx.execute(update(table).values(due_at=far, lease_until=far)))

    assert await world.outbox.deliver() == 1


# --- the loop


@pytest.mark.parametrize(("every", "nudged"), [(3600, True), (0.3, False)])
async def test_running_it_delivers_at_a_nudge_and_sooner_or_later_without_one(
    world: World, monkeypatch: pytest.MonkeyPatch, every: float, nudged: bool
) -> None:
    monkeypatch.setattr(service, "POLL_SECONDS", every)
    running = asyncio.create_task(world.outbox.run())
    await asyncio.sleep(0.05)
    await world.owe("pur_1", "Charging")
    if nudged:
        world.outbox.nudge()
    await world.workspace.until(lambda: world.texts() == ["Charging"])
    await stop(running)


@pytest.mark.parametrize("how", ["owed together", "another meanwhile", "changed meanwhile"])
async def test_what_follows_in_the_same_place_follows_without_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(service, "POLL_SECONDS", 60)

    async def meanwhile(call: str) -> None:
        if how != "owed together" and call == "post Charging":
            await world.owe("pur_2" if how == "another meanwhile" else "pur_1", "Paid")
            outbox.nudge()

    outbox = Outbox(world.database, Calls(world.slack, after=meanwhile), world.clock)
    await world.owe("pur_1", "Charging")
    if how == "owed together":
        await world.owe("pur_2", "Paid")
    running = asyncio.create_task(outbox.run())

    shown = ["Paid"] if how == "changed meanwhile" else ["Charging", "Paid"]
    await world.workspace.until(lambda: world.texts() == shown)
    await stop(running)


async def test_after_a_lone_message_nobody_looks_for_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "POLL_SECONDS", 60)
    looks = []

    async def look(*given: Any, **how: Any) -> Any:
        looks.append(await places_due(*given, **how))
        return looks[-1]

    places_due = store.places_due
    monkeypatch.setattr(store, "places_due", look)
    await world.owe("pur_1", "Charging")
    running = asyncio.create_task(world.outbox.run())
    while (await world.waiting()).count:  # noqa: ASYNC110 - there is nothing to be told by
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    await stop(running)

    assert looks == [[(OWNER, 1)]]


async def test_stopping_lets_what_is_being_sent_arrive_and_begins_nothing_new(world: World) -> None:
    world.workspace.faults.arm(POST, Kind.HANG, seconds=0.2)
    await world.owe("pur_1", "Paid")
    await world.owe("pur_2", "Paid too")
    running = asyncio.create_task(world.outbox.run())
    await until(lambda: bool(world.workspace.faults.hits))
    await stop(running)

    assert world.texts() == ["Paid"]
    assert (await world.waiting()).count == 1
    assert await world.outbox.deliver() == 0, "it has stopped"
    assert await world.another_bot().deliver() == 1
    assert world.texts() == ["Paid", "Paid too"]


async def test_it_goes_on_after_whatever_went_wrong(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no thread can be had for a moment."""
    read = world.database.read

    def fail() -> Any:
        monkeypatch.setattr(world.database, "read", read)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(world.database, "read", fail)
    running = asyncio.create_task(world.outbox.run())
    await until(lambda: "a round of the outbox failed" in caplog.text)
    await world.owe("pur_1", "Paid")

    await world.workspace.until(lambda: world.texts() == ["Paid"])
    await stop(running)


async def test_it_goes_on_when_the_database_is_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.database.write(lambda tx: tx.execute(text("ALTER TABLE outbox RENAME TO away")))
    running = asyncio.create_task(world.outbox.run())
    await until(lambda: "cannot reach the database" in caplog.text)
    await world.database.write(lambda tx: tx.execute(text("ALTER TABLE away RENAME TO outbox")))
    await world.owe("pur_1", "Paid")

    await world.workspace.until(lambda: world.texts() == ["Paid"])
    await stop(running)


async def test_a_message_is_not_told_twice_because_the_database_was_away_when_it_had_been_told(world: World) -> None:
    database = Faltering(world.database.url.render_as_string(hide_password=False))

    async def falter(call: str) -> None:
        database.failures = 3 if call.startswith("post") else 0

    calls = Calls(world.slack, after=falter)
    await world.owe("pur_1", "Paid")
    assert await Outbox(database, calls, world.clock, jitter=lambda: 0.0).deliver() == 1
    await database.dispose()

    await world.deliver_all()
    assert database.failures == 0
    assert world.texts() == ["Paid"]


# --- what others may know


async def test_health_sees_how_many_wait_and_since_when(world: World) -> None:
    assert await world.waiting() == store.Waiting(0, None)
    world.workspace.faults.arm(POST, Kind.CUT_BEFORE, times=None)
    owed_at = world.clock.now()
    await world.owe("pur_1", "Paid")
    world.clock.wind(60)
    await world.owe("pur_2", "Paid")
    await world.outbox.deliver()

    waiting = await world.waiting()
    assert waiting.count == 2
    assert waiting.oldest is not None
    assert timedelta(0) <= waiting.oldest - owed_at < timedelta(seconds=5)


async def test_what_is_due_is_found_through_its_index(world: World) -> None:
    asked: list[tuple[str, object]] = []
    async with world.database.read() as tx:
        connection = tx.sync_connection
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        await store.places_due(tx, world.clock.now(), besides=["U1", "U2"], limit=5)
        [(sql, values)] = asked
        if not world.database.is_sqlite:  # it scans small tables where it may
            await tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if world.database.is_sqlite else "EXPLAIN"
        plan = (await tx.exec_driver_sql(f"{explain} {sql}", values)).all()
    assert any("ix_outbox_due" in str(step) for step in plan), plan


# --- tools


class Faltering(Database):
    """A database that does not answer the next ``failures`` writes."""

    failures = 0

    async def write(self, work):
        if self.failures:
            self.failures -= 1
            raise Outage("database", "away")
        return await super().write(work)


def kill_at(point: str) -> None:
    def die(name: str) -> None:
        if name == point:
            raise Killed(name)

    faultpoint.arm(die)
