"""One intent, one charge, one credit: whatever is pressed twice, sent again, or done by two people at once."""

import asyncio

import pytest

from bot.sandbox.slack import deliver
from bot.sandbox.world import OWNER, SECOND_OWNER

from ..stage import OPENING_PAGE, SELLING, OpenStage, Stage, says


@pytest.fixture
def slack_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For floods, whose three seconds of Slack's are a matter of this machine; what is looked at here is the rows."""
    monkeypatch.setattr(deliver, "ACK_SECONDS", 60.0)


async def test_a_double_click_buys_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    form = await stage.form("25")
    submitted = form.view["private_metadata"]

    acks = await asyncio.gather(stage.slack.submit(OWNER, form), stage.slack.submit(OWNER, form))

    assert [ack.error for ack in acks] == ["", ""]
    assert all("$25.00" in str(ack.body) for ack in acks), "the second shows how the first one stands"
    await stage.said("credited")
    assert stage.charges() == [2500]
    assert len(await stage.purchases()) == 1
    assert submitted


async def test_a_form_submitted_again_later_shows_how_its_purchase_stands(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.buy("25")
    submit = stage.slack.deliveries[-1]
    await stage.said("credited")

    ack = await stage.slack.replay(submit)

    assert ack.response_action == "update"
    assert "Paid and credited: $25.00. The new balance is *25.00* credits." in str(ack.body)
    assert stage.charges() == [2500]


async def test_the_same_form_with_another_amount_is_still_the_same_purchase(stage: Stage) -> None:
    await stage.buy("25")
    submit = stage.slack.deliveries[-1]
    await stage.said("credited")
    [block] = [key for key in submit.payload["view"]["state"]["values"] if key.startswith("amount")]
    submit.payload["view"]["state"]["values"][block]["amount"]["value"] = "9999"

    await stage.slack.replay(submit)

    assert [each.amount.cents for each in await stage.purchases()] == [2500]


@pytest.mark.usefixtures("slack_waits")
async def test_one_submit_sixty_times_among_others(open_stage: OpenStage) -> None:
    stage = await open_stage(card=None, webhooks=None)
    submits = []
    with stage.held_up(OPENING_PAGE):
        for number in range(6):
            await stage.slack.submit(OWNER, await stage.form(str(100 + number)))
            submits.append(stage.slack.deliveries[-1])
        again = submits[:1] * 60 + submits[1:] * 8
        acks = await asyncio.gather(*(stage.slack.replay(each) for each in again))
        assert [ack.error for ack in acks if ack.error] == []
        assert stage.slack.timeouts == []
        assert len(await stage.purchases()) == 6

    await stage.became(*["checkout"] * 6)
    assert len(stage.pages()) == 6


async def test_a_command_sent_again_opens_a_form_and_buys_nothing(stage: Stage) -> None:
    await stage.buy("25")
    await stage.said("credited")
    command = next(each for each in stage.slack.deliveries if each.kind == "slash_commands")

    for _ in range(5):
        assert not (await stage.slack.replay(command)).error

    await stage.wind(20)
    assert stage.charges() == [2500]
    assert stage.whispers() == []


async def test_two_tabs_are_two_purchases_and_the_second_is_asked_about(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    first = await stage.form("25")
    stage.slack.views.clear(OWNER)
    second = await stage.form("25")
    stage.slack.views._stacks[OWNER].insert(0, first)

    assert (await stage.slack.submit(OWNER, first)).ok
    ack = await stage.slack.submit(OWNER, second)

    assert ack.response_action == "update"
    assert second.title == "Buy it again?"
    assert "You began a purchase of $25.00" in says(second)
    assert "Do you want to buy $25.00 more?" in says(second)
    await stage.said("credited")
    assert stage.charges() == [2500]


async def test_two_owners_who_buy_the_same_at_once_are_told_of_each_other(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.form("25", user=OWNER)
    await stage.form("25", user=SECOND_OWNER)

    acks = await asyncio.gather(stage.slack.submit(OWNER), stage.slack.submit(SECOND_OWNER))

    assert all(ack.ok for ack in acks)
    titles = sorted(stage.slack.modal(user).title for user in (OWNER, SECOND_OWNER))
    assert titles in (["Buy credits", "Køb igen?"], ["Buy it again?", "Køb kredit"])
    [purchase] = await stage.purchases()
    other = SECOND_OWNER if purchase.buyer_id == OWNER else OWNER
    assert f"<@{purchase.buyer_id}>" in says(stage.slack.modal(other))

    assert (await stage.slack.submit(other)).ok, "yes, that one is meant too"

    await stage.became("settled", "settled")
    assert stage.charges() == [2500, 2500]


async def test_yes_pressed_twice_buys_once_more_and_not_twice(stage: Stage) -> None:
    await stage.bought("25")
    await stage.buy("25")
    await stage.slack.submit(OWNER)
    yes = stage.slack.deliveries[-1]
    for _ in range(5):
        await stage.slack.replay(yes)

    await stage.became("settled", "settled")
    assert stage.charges() == [2500, 2500]


async def test_no_to_buying_again_buys_nothing(stage: Stage) -> None:
    await stage.bought("25")
    await stage.buy("25")
    assert stage.slack.modal(OWNER).title == "Buy it again?"
    await stage.slack.close_view(OWNER)

    await stage.wind(60)
    assert stage.charges() == [2500]


async def test_after_a_minute_or_with_another_amount_nobody_is_asked(stage: Stage) -> None:
    await stage.bought("25")
    await stage.buy("26")
    assert stage.slack.modal(OWNER).title == "Buy credits"
    await stage.wind(61)
    await stage.buy("25")
    assert stage.slack.modal(OWNER).title == "Buy credits"

    await stage.became("settled", "settled", "settled", within=10)


async def test_what_came_to_nothing_does_not_count_as_bought(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    card = await stage.said("Pay $25.00")
    await stage.slack.press(OWNER, card, "cancel_purchase")
    await stage.became("cancelled")

    await stage.buy("25")

    assert stage.slack.modal(OWNER).title == "Buy credits"


async def test_the_saved_way_to_pay_is_kept_when_asked_again(stage: Stage) -> None:
    await stage.bought("25")
    await stage.buy("25", pay_with="Another card")
    await stage.slack.submit(OWNER)

    await stage.became("settled", "checkout")
    assert len(stage.calls("POST", SELLING.split()[1] + "/")) == 1


@pytest.mark.usefixtures("slack_waits")
async def test_many_people_buy_different_things_at_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    forms = []
    for number in range(6):
        user = (OWNER, SECOND_OWNER)[number % 2]
        forms.append((user, await stage.form(str(10 + number), user=user)))
        stage.slack.views._stacks.pop(user, None)
    for user, form in forms:
        stage.slack.views._stacks.setdefault(user, []).append(form)

    acks = await asyncio.gather(*(stage.slack.submit(user, form) for user, form in forms))

    assert [ack.errors or ack.error for ack in acks if not ack.ok] == []
    await stage.became(*["settled"] * 6)
    assert sorted(stage.charges()) == [1000 + 100 * number for number in range(6)]
    assert await stage.balance() == "75.00"
