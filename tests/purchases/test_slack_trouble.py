"""Slack stumbles, hangs up, forgets and is archived: nothing that was bought or said is lost."""

import asyncio
from typing import Any

import pytest

from bot.sandbox.faults import Kind
from bot.sandbox.world import OWNER

from ..stage import CONFIRMING, OpenStage, Stage, says

HISTORY = {"im:history", "channels:history"}  # optional: lets the bot find a message whose answer was lost
AGAIN = "We could not reach Slack just now. Nothing is lost; please try again in a moment."
TROUBLES: list[Any] = [
    pytest.param(Kind.RATE_LIMITED, {"retry_after": 3}, id="429"),
    pytest.param(Kind.STATUS, {"code": 503}, id="503"),
    pytest.param(Kind.HTML, {}, id="a web page"),
    pytest.param(Kind.CUT_BEFORE, {}, id="cut before"),
    pytest.param(Kind.CUT_AFTER, {}, id="cut after"),
]


@pytest.mark.parametrize(("kind", "options"), TROUBLES)
async def test_every_call_for_the_message_fails_once_and_there_is_one_message(
    open_small_stage: OpenStage, kind: Kind, options: dict[str, Any]
) -> None:
    stage = await open_small_stage()
    stage.slack.scopes |= HISTORY
    for call in ("conversations.open", "chat.postMessage", "chat.postMessage", "chat.update", "conversations.history"):
        stage.faults.arm(call, kind, **options)
    await stage.buy("25")

    await stage.became("settled", within=60, step=2)
    await stage.eventually(lambda: [each for each in stage.cards() if "credited" in each.text], within=300, step=5)
    assert len(stage.faults.hits) >= 3


async def test_a_lost_answer_may_show_a_message_twice_where_the_history_may_not_be_read(stage: Stage) -> None:
    """The one case, and it says the same thing twice rather than nothing."""
    stage.seen_twice = True
    stage.faults.arm("chat.postMessage", Kind.CUT_AFTER)
    await stage.buy("25")

    await stage.became("settled")


async def test_a_form_that_slack_would_not_open_is_answered_with_try_again(stage: Stage) -> None:
    for trouble in TROUBLES:
        kind, options = trouble.values
        stage.faults.arm("views.open", kind, **options)
        await stage.slack.command(OWNER, stage.home, "/buy-credits 25")

        assert await stage.whisper() == AGAIN
        stage.slack.reload(OWNER)

    await stage.form("25")
    assert (await stage.slack.submit(OWNER)).ok
    await stage.said("credited")


async def test_a_form_that_could_not_be_completed_still_buys_with_the_saved_card(stage: Stage) -> None:
    stage.faults.arm("views.update", Kind.STATUS, None, code=503)
    await stage.slack.command(OWNER, stage.home, "/buy-credits 25")
    form = await stage.until(lambda: stage.slack.modal(OWNER))
    await stage.until(lambda: stage.faults.hits)
    assert "Looking up your saved card" in says(form)

    assert (await stage.slack.submit(OWNER, form)).ok

    await stage.said("credited")
    assert stage.charges() == [2500]


async def test_an_archived_channel_keeps_nobody_from_buying(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    stage.slack.archive(stage.home)
    await stage.bought("30")

    [_, second] = reversed(await stage.purchases())
    stage.lost_cards = {f"purchase:{second.id}:channel"}
    assert await stage.balance() == "55.00"


async def test_a_channel_that_the_bot_was_removed_from_keeps_nobody_from_buying(stage: Stage) -> None:
    stage.slack.remove(stage.home, stage.slack.bot_user_id)
    await stage.bought("25")

    [purchase] = await stage.purchases()
    stage.lost_cards = {f"purchase:{purchase.id}:channel"}


async def test_a_channel_archived_in_the_middle_of_a_purchase(stage: Stage) -> None:
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        await stage.until(lambda: stage.cards_in(stage.home))
        stage.slack.archive(stage.home)

    await stage.said("credited")
    [purchase] = await stage.purchases()
    stage.lost_cards = {f"purchase:{purchase.id}:channel"}


async def test_a_message_that_somebody_deleted_is_posted_anew(stage: Stage) -> None:
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        stage.slack.erase(await stage.said("Charging"))

    await stage.eventually(lambda: stage.cards() and "credited" in stage.card().text, within=10, step=1.5)


async def test_a_revoked_token_stops_the_telling_and_not_the_crediting(open_small_stage: OpenStage) -> None:
    """With a token that works again, and a new start, everything is told."""
    stage = await open_small_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        await stage.said("Charging")
        stage.slack.token_trouble = "token_revoked"
    await stage.became("settled")
    await stage.until(lambda: [line for line in stage.interesting() if "token_revoked" in line])
    assert "Charging" in stage.card().text

    stage.slack.token_trouble = ""
    await stage.restart()

    await stage.said("credited")
    assert await stage.balance() == "25.00"


async def test_sockets_may_be_refreshed_all_the_time(stage: Stage) -> None:
    for number in range(3):
        await stage.slack.refresh_sockets()
        await stage.until(lambda: stage.slack.connected)
        await stage.bought(str(25 + number))

    assert stage.charges() == [2500, 2600, 2700]
    assert stage.slack.timeouts == []


async def test_what_happens_while_the_sockets_are_cut_is_told_when_they_are_back(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.slack.cut_sockets()
    await stage.pay()

    await stage.said("credited")
    await stage.until(lambda: stage.slack.connected)
    await stage.form("30")


async def test_everything_is_acknowledged_in_time_while_slack_itself_is_slow(stage: Stage) -> None:
    with stage.held_up("users.info"), stage.held_up("views.*"):
        acks = await asyncio.gather(
            *(stage.slack.command(OWNER, stage.home, "/buy-credits") for _ in range(20)),
            *(stage.slack.shortcut(OWNER, "buy_credits") for _ in range(20)),
        )

    assert [ack.error for ack in acks if ack.error] == []
    assert max(ack.seconds for ack in acks) < 3


async def test_slacks_speed_limit_is_kept(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    stage.slack.strict_rate = True
    for number in range(4):
        await stage.bought(str(25 + number))

    assert not [line for line in stage.interesting() if "asks us to wait" in line]


async def test_an_unknown_command_and_an_unknown_button_are_acknowledged(stage: Stage) -> None:
    stage.slack.commands = None
    ack = await stage.slack.command(OWNER, stage.home, "/buy-kredit")

    assert ack.ok
    assert ack.text == "This command is not known to the bot any more: its Slack manifest is out of date."
    card = await stage.bought("25")
    press = stage.slack.deliveries
    await stage.slack.press(OWNER, card, "follow_link")
    press[-1].payload["actions"][0]["action_id"] = "of_an_older_version"
    assert (await stage.slack.replay(press[-1])).ok


async def test_a_page_that_was_paid_is_credited_while_slack_does_not_answer(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, webhooks=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("users.info", Kind.STATUS, None)
    stage.faults.arm("chat.*", Kind.STATUS, None)
    await stage.wind(minutes=2)

    await stage.pay()

    await stage.became("settled", within=60, step=5)
    assert await stage.balance() == "25.00"
    stage.faults.disarm()
    await stage.eventually(lambda: [each for each in stage.cards() if "credited" in each.text], within=400, step=20)
