"""What Slack does to the outbox: it fails, is slow, refuses, forgets. That has nothing to do with the database."""

import asyncio
import logging

import pytest

from bot.outbox import service, store
from bot.outbox.model import Blocks, Channel, Message, User
from bot.outbox.service import MOST_PLACES_AT_ONCE, Outbox
from bot.sandbox.faults import Kind

from .world import OWNER, POST, UPDATE, Calls, World, section, stop, until


@pytest.fixture
def database_url(small_url: str) -> str:
    return small_url


@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.STATUS, Kind.HTML, Kind.RATE_LIMITED])
@pytest.mark.parametrize("call", ["conversations.open", POST, UPDATE])
async def test_a_failing_slack_delays_a_message_and_loses_none(world: World, call: str, kind: Kind) -> None:
    world.workspace.scopes.add("im:history")
    world.workspace.faults.arm(call, kind, times=2)
    for words in ("Charging", "Paid"):
        await world.owe("pur_1", words)
        await world.deliver_all()

    assert world.texts() == ["Paid"]
    assert len(world.workspace.faults.hits) == 2


async def test_a_place_that_is_told_to_wait_waits_and_the_others_do_not(world: World) -> None:
    world.workspace.add_person("U0BEN", "ben")
    world.workspace.faults.arm(POST, Kind.RATE_LIMITED, retry_after=20)
    await world.owe("pur_1", "Paid")
    await world.outbox.deliver()
    await world.owe("pur_2", "Paid too")
    await world.owe("pur_3", "Paid as well", User("U0BEN"))
    await world.outbox.deliver()
    assert (world.texts(), world.texts("U0BEN")) == ([], ["Paid as well"])

    world.clock.wind(19)
    assert await world.outbox.deliver() == 0
    world.clock.wind(1)
    assert await world.outbox.deliver() == 2
    assert sorted(world.texts()) == ["Paid", "Paid too"]


async def test_a_lost_answer_is_looked_for_before_anything_is_posted_again(world: World) -> None:
    world.workspace.scopes.add("im:history")
    world.workspace.faults.arm(POST, Kind.CUT_AFTER)
    await world.owe("pur_1", "Charging")
    await world.outbox.deliver()
    await world.owe("pur_1", "Paid")
    await world.deliver_all()

    assert world.texts() == ["Paid"]


async def test_without_the_history_scope_a_lost_answer_is_the_one_case_of_a_message_seen_twice(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.workspace.faults.arm(POST, Kind.CUT_AFTER)
    await world.owe("pur_1", "Charging")
    await world.deliver_all()
    await world.owe("pur_1", "Paid")
    await world.deliver_all()

    assert world.texts() == ["Charging", "Paid"]
    assert "it may appear twice" in caplog.text


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.STATUS])
async def test_a_post_that_certainly_did_not_happen_is_not_looked_for(world: World, kind: Kind) -> None:
    world.workspace.faults.arm(POST, kind, code=200, body={"ok": False, "error": "message_limit_exceeded"})
    calls = Calls(world.slack)
    world.outbox = Outbox(world.database, calls, world.clock)
    await world.owe("pur_1", "Paid")
    await world.deliver_all()

    assert [call.split()[0] for call in calls.made] == ["open_dm", "post", "post"]


async def test_a_channel_that_was_archived_is_given_up_and_said_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    place = world.workspace.add_channel("billing", [world.workspace.bot_user_id])
    await world.owe("pur_1", "Charging", Channel(place.id))
    await world.outbox.deliver()
    world.workspace.archive(place.id)
    await world.owe("pur_1", "Paid", Channel(place.id))
    await world.outbox.deliver()

    assert await world.dead() == [f"pur_1 to {place.id}: is_archived"]
    assert "pur_1 cannot be delivered" in caplog.text
    assert (await world.waiting()).count == 0

    await world.owe("pur_1", "Paid, and more", Channel(place.id))
    assert await world.outbox.deliver() == 0, "what is buried stays so"

    await world.owe("pur_1", "Paid, and more")
    await world.outbox.deliver()
    assert world.texts() == ["Paid, and more"], "unless it goes somewhere else"
    assert await world.dead() == []


async def test_each_place_that_is_gone_is_given_up_after_one_try(world: World) -> None:
    workspace = world.workspace
    workspace.add_person("U0GONE", "gone", deleted=True)
    workspace.add_person("U0BOT", "robot", is_bot=True)
    stranger = workspace.add_channel("secret", private=True)
    outside = workspace.add_channel("outside")
    for key, to in enumerate(
        (User("U0GONE"), User("U0BOT"), User("U0NOBODY"), Channel(stranger.id), Channel(outside.id))
    ):
        await world.owe(f"pur_{key}", "Paid", to)
    await world.outbox.deliver()

    reasons = {line.rpartition(": ")[2] for line in await world.dead()}
    assert reasons == {"user_disabled", "cannot_dm_bot", "user_not_found", "channel_not_found", "not_in_channel"}
    assert (await world.waiting()).count == 0


async def test_what_a_revoked_token_stopped_is_sent_when_the_bot_starts_with_a_better_one(world: World) -> None:
    world.workspace.token_trouble = "token_revoked"
    await world.owe("pur_1", "Paid")
    await world.outbox.deliver()
    assert await world.dead() == [f"pur_1 to {OWNER}: token_revoked"]

    world.workspace.token_trouble = ""
    running = asyncio.create_task(world.another_bot().run())
    await world.workspace.until(lambda: world.texts() == ["Paid"])
    await stop(running)
    assert await world.dead() == []


async def test_a_message_that_somebody_deleted_is_posted_anew(world: World) -> None:
    await world.owe("pur_1", "Charging")
    await world.outbox.deliver()
    world.workspace.erase(world.shown()[0])
    await world.owe("pur_1", "Paid")
    await world.outbox.deliver()

    assert world.texts() == ["Paid"]


async def test_a_message_too_old_to_be_edited_is_posted_anew(world: World) -> None:
    await world.owe("pur_1", "Charging")
    await world.outbox.deliver()
    world.workspace.faults.arm(UPDATE, Kind.STATUS, code=200, body={"ok": False, "error": "edit_window_closed"})
    world.workspace.faults.arm(POST, Kind.CUT_AFTER)
    world.workspace.scopes.add("im:history")
    await world.owe("pur_1", "Paid")
    await world.deliver_all()

    assert world.texts() == ["Charging", "Paid"]


async def test_blocks_that_slack_does_not_take_are_left_out_and_the_text_goes_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def owe(words: str, blocks: Blocks) -> None:
        message = Message("pur_1", User(OWNER), words, blocks)
        await world.database.write(lambda tx: store.owe(tx, message, world.clock.now()))
        assert await world.outbox.deliver() == 1

    def shown() -> tuple[str, int]:
        [message] = world.shown()
        return message.text, len(message.blocks)

    await owe("Charging", [{"type": "chart_of_the_future"}])
    assert shown() == ("Charging", 0)
    await owe("Paid", section("*Paid*"))
    assert shown() == ("Paid", 1)
    await owe("Refunded", [{"type": "chart_of_the_future"}])
    assert shown() == ("Refunded", 0)
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 2
    assert "chart_of_the_future" in caplog.text


async def test_a_text_that_is_too_long_even_alone_is_cut(world: World) -> None:
    await world.owe("pur_1", "x" * 50_000)
    await world.outbox.deliver()

    [message] = world.shown()
    assert len(message.text) == 4_000
    assert message.text.endswith("x…")


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
async def test_a_message_with_nothing_in_it_is_given_up(world: World) -> None:
    await world.database.write(lambda tx: store.owe(tx, Message("pur_1", User(OWNER), "", []), world.clock.now()))
    await world.outbox.deliver()

    assert await world.dead() == [f"pur_1 to {OWNER}: no_text"]


async def test_posts_in_one_place_are_a_second_apart_and_edits_are_not(world: World) -> None:
    world.workspace.strict_rate = True
    began = world.clock.monotonic()
    for number in range(7):
        await world.owe(f"pur_{number}", f"Paid {number}")
    await world.outbox.deliver()
    took = world.clock.monotonic() - began
    assert 6 <= took < 9

    for number in range(7):
        await world.owe(f"pur_{number}", f"Refunded {number}")
    await world.outbox.deliver()
    assert world.clock.monotonic() - began - took < 3
    assert world.texts() == [f"Refunded {number}" for number in range(7)]


async def test_a_place_in_trouble_does_not_hold_up_the_others(world: World) -> None:
    world.workspace.add_person("U0BEN", "ben")
    goes_on = asyncio.Event()

    async def hang(seconds: float) -> None:
        await goes_on.wait()

    world.workspace.faults.sleep = hang
    world.workspace.faults.arm("conversations.open", Kind.HANG)
    await world.owe("pur_1", "Slow")
    running = asyncio.create_task(world.outbox.run())
    await until(lambda: bool(world.workspace.faults.hits))
    await world.owe("pur_2", "Quick", User("U0BEN"))
    world.outbox.nudge()

    await world.workspace.until(lambda: world.texts("U0BEN") == ["Quick"])
    assert world.texts() == []
    goes_on.set()
    await world.workspace.until(lambda: world.texts() == ["Slow"])
    await stop(running)


async def test_more_places_than_can_be_served_at_once_follow_without_a_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "POLL_SECONDS", 60)
    people = [f"U{number:04}" for number in range(2 * MOST_PLACES_AT_ONCE + 1)]
    for person in people:
        world.workspace.add_person(person, person.lower())
        await world.owe(f"pur_{person}", "Paid", User(person))
    running = asyncio.create_task(world.outbox.run())

    await world.workspace.until(lambda: all(world.texts(person) == ["Paid"] for person in people))
    await stop(running)


async def test_a_bug_is_logged_with_its_traceback_and_the_others_are_served(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def stumble(call: str) -> None:
        if OWNER in call:
            raise KeyError("a bug")

    world.workspace.add_person("U0BEN", "ben")
    calls = Calls(world.slack, after=stumble)
    running = asyncio.create_task(Outbox(world.database, calls, world.clock).run())
    await world.owe("pur_1", "Paid")
    await world.owe("pur_2", "Paid too", User("U0BEN"))

    await world.workspace.until(lambda: world.texts("U0BEN") == ["Paid too"])
    await until(lambda: any(record.exc_info and "a bug" in str(record.exc_info[1]) for record in caplog.records))
    assert not running.done()
    await stop(running)
