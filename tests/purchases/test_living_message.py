"""One message per purchase and place: it lives with the purchase, is edited in place, and ends in its final words."""

from dataclasses import replace

import pytest

from bot.sandbox.slack import Message
from bot.sandbox.world import OWNER, SECOND_OWNER

from ..stage import CONFIRMING, SELLING, OpenStage, Stage, buttons, says

NBSP = "\N{NO-BREAK SPACE}"


async def in_channel(stage: Stage, *words: str) -> Message:
    """The newest card in the account's channel, once it says all these words."""
    card: Message = await stage.until(
        lambda: (cards := stage.cards_in(stage.home)) and all(word in cards[-1].text for word in words) and cards[-1]
    )
    return card


async def test_one_message_tells_the_whole_story(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        charging = await stage.said(
            "Charging $25.00 to Visa •••• 4242. The transaction might take a moment; the balance is updated shortly."
        )
        assert (await in_channel(stage)).text == f"<@{OWNER}> is buying $25.00 of credits."
        assert buttons(charging) == {}
        await gate.reached.wait()

    settled = await stage.said(":white_check_mark: Paid and credited: $25.00. The new balance is *25.00* credits.")

    assert settled.ts == charging.ts
    assert settled.edited
    assert len(stage.cards()) == 1
    told = await in_channel(stage, "bought")
    assert told.text == (f":white_check_mark: <@{OWNER}> bought $25.00 of credits. The new balance is *25.00* credits.")
    assert len(stage.cards_in(stage.home)) == 1


async def test_text_and_blocks_say_the_same_and_a_footer_says_where_to_turn(stage: Stage) -> None:
    card = await stage.bought("25")

    [purchase] = await stage.purchases()
    first, button, footer = says(card).splitlines()
    assert first == card.text, "phones read the text, desktops the blocks"
    assert button == "Receipt"
    assert footer.startswith(f"<!date^{int(purchase.created_at.timestamp())}^{{date_short_pretty}} {{time}}|")
    assert footer.endswith(f"Acme Labs · {purchase.id} · Trouble? support@skydeck.ai")


async def test_buttons_that_lead_nowhere_any_more_are_gone(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    waiting = await stage.said("Pay $25.00")
    assert list(buttons(waiting)) == ["Pay $25.00", "Cancel the purchase"]

    await stage.pay()

    settled = await stage.said("credited")
    assert settled.ts == waiting.ts
    assert list(buttons(settled)) == ["Receipt"]
    assert stage.page["id"] not in str(settled.blocks)


async def test_the_receipt_is_the_one_of_the_charge(stage: Stage) -> None:
    card = await stage.bought("25")

    [charge] = stage.stripe.charges_made()
    assert buttons(card)["Receipt"]["url"] == charge["receipt_url"]
    pressed = await stage.slack.press(OWNER, card, "follow_link")
    assert pressed.ok, "Slack reports presses of links too, and wants them acknowledged"


async def test_the_channel_sees_no_link_to_pay_by(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")

    told = await in_channel(stage, "is buying")
    assert buttons(told) == {}
    assert "http" not in str(told.blocks)


async def test_the_channel_learns_that_nothing_came_of_it(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.wind(hours=25)

    await in_channel(stage, f"The purchase of $25.00 by <@{OWNER}> was not completed. Nothing was charged.")


async def test_each_reads_their_own_language(open_small_stage: OpenStage) -> None:
    """The buyer the one that Slack knows of them, the channel the account's."""
    stage = await open_small_stage(change=lambda account: replace(account, language="da"))

    await stage.bought("1234.50", OWNER)
    assert "$1,234.50" in stage.card(OWNER).text
    await in_channel(stage, f"<@{OWNER}> har købt kredit for 1.234,50{NBSP}USD.")

    await stage.bought("5", SECOND_OWNER)
    assert stage.card(SECOND_OWNER).text == (
        f":white_check_mark: Betalt og krediteret: 5,00{NBSP}USD. Den nye kreditbalance er *1.239,50*."
    )


async def test_every_purchase_has_a_message_of_its_own(stage: Stage) -> None:
    first = await stage.bought("25")
    words = first.text
    second = await stage.bought("30")

    assert second.ts != first.ts
    assert (first.text, len(stage.cards())) == (words, 2)


async def test_an_account_without_a_channel_tells_the_buyer_alone(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda account: replace(account, channel=None))
    await stage.bought()

    [purchase] = await stage.purchases()
    stage.lost_cards = {f"purchase:{purchase.id}:channel"}
    assert stage.cards_in(stage.home) == []


async def test_the_submitted_form_goes_on_telling_how_the_purchase_stands(stage: Stage) -> None:
    with stage.held_up(SELLING):
        await stage.buy("25")
        shown = says(stage.slack.modal(OWNER))
        assert "Charging $25.00 to Visa •••• 4242." in shown
        assert "You can close this. How it ends is told in your messages with this app." in shown

    await stage.until(lambda: "Paid and credited: $25.00" in says(stage.slack.modal(OWNER)))


async def test_nobody_is_bothered_who_closed_the_submitted_form(stage: Stage) -> None:
    with stage.held_up(SELLING):
        await stage.buy("25")
        await stage.slack.close_view(OWNER)

    await stage.said("credited")
    await stage.until(lambda: not stage.bot._crew.busy)
    assert stage.slack.modal(OWNER) is None


@pytest.mark.parametrize("card", ["visa", None])
async def test_a_purchase_that_a_restart_interrupts_ends_in_the_same_message(
    open_small_stage: OpenStage, card: str | None
) -> None:
    stage = await open_small_stage(card=card)
    if card:
        with stage.held_up(CONFIRMING) as gate:
            await stage.buy("25")
            await gate.reached.wait()
            begun = await stage.said("Charging $25.00")
            await stage.stop()
        await stage.start()
    else:
        await stage.buy("25")
        begun = await stage.said("Pay $25.00")
        await stage.stop()
        await stage.pay()
        await stage.start()

    await stage.became("settled", within=120)
    assert (await stage.said("credited")).ts == begun.ts
    assert stage.charges() == [2500]
