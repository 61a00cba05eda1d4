"""From any failure to a person: the button, the form, the mail that arrives once, and the news of it."""

import pytest

from bot.accounts.model import Workspace as Home
from bot.errors import Outage
from bot.sandbox.world import ENTERPRISE, GUEST, MEMBER, OWNER, SECOND_OWNER, TEAM
from bot.slack import names
from bot.support.model import Attach
from bot.support.service import Writing

from ..stage import OpenStage, Stage, buttons, says
from .conftest import initial, mails, noted, number_in, option_of, press_support, support_form, typed, write

SUPPORT = "support@skydeck.ai"


async def test_a_declined_purchase_reaches_a_person(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="declined_later", scopes=["users:read.email"])
    await stage.buy("25")
    await stage.until(lambda: stage.pages())
    await stage.slack.press(OWNER, await stage.said("Pay"), names.CANCEL_PURCHASE)
    card = await stage.said("was cancelled")
    form = await press_support(stage, card)
    assert initial(form) == "About my purchase of $25.00 (cancelled):\n"
    [purchase] = await stage.purchases()

    number = await write(stage, "My card 4242 4242-4242 4242 was declined.\nWhy? <!channel>")

    [mail] = await mails(stage, 1)
    assert (mail.to, mail.sender, mail.reply_to) == ((SUPPORT,), "credits@acme.example", "anna@acme.example")
    assert mail.subject == f"[{number}] Purchase of $25.00: cancelled (Acme Labs)"
    assert mail.body.startswith("My card [card number] was declined.\nWhy? <!channel>\n\nCase\n")
    for known in (
        *("Anna Berg (Slack user U0ANNA)", "answer to   anna@acme.example", "owner of the account", "en-US"),
        *(purchase.id, "$25.00", "visa ending in 0341", "requested", "charging", "checkout", "generic_decline"),
        *(purchase.intent_id, purchase.session_id, "cus_", "the card of a purchase"),
    ):
        assert str(known) in mail.body, known
    assert (await noted(stage, number, "has reached", "anna@acme.example")).edited
    assert len([each for each in stage.letters() if number in each.text]) == 1


async def test_a_card_that_was_declined_leads_there_while_the_purchase_can_still_be_paid(stage: Stage) -> None:
    [customer] = stage.stripe.state.customers
    stage.stripe.save_card(customer["id"], "declined_later", default=True)
    await stage.buy("25")
    declined = "Visa •••• 0341 was declined"

    card = await stage.said(declined, "Pay $25.00")
    await stage.until(lambda: "Contact support" in buttons(stage.slack.modal(OWNER)))
    await press_support(stage, card)
    await write(stage, "Why?")

    [mail] = await mails(stage, 1)
    [request] = [each["request"] for each in stage.stripe.state.events if each["type"].endswith("payment_failed")]
    assert f"last request that failed  {request['id']}\n" in mail.body
    assert "generic_decline" in mail.body
    assert "Purchase of $25.00: checkout" in mail.subject


async def test_a_member_writes_from_a_refusal_and_is_found_in_slack(stage: Stage) -> None:
    await stage.slack.command(MEMBER, stage.slack.channel_named("general").id, "/buy-credits 25")
    said = await stage.whisper(MEMBER)
    [whisper] = [m for c in stage.slack.channels for m in stage.slack.messages(c, MEMBER) if m.ephemeral_to == MEMBER]
    form = await press_support(stage, whisper, MEMBER)
    assert said.startswith("Only an owner of *Acme Labs* can buy credits")
    assert initial(form).startswith("The bot told me: “Only an owner of *Acme Labs* can buy credits.")
    assert [block["block_id"] for block in form.blocks] == [names.SUPPORT_WORDS, names.SUPPORT_ADDRESS]

    number = await write(stage, "I am an owner!", MEMBER)

    [mail] = await mails(stage, 1)
    assert mail.reply_to == ""
    assert mail.subject == f"[{number}] Refused: not_owner (Acme Labs)"
    assert "no mail address is known: look for them in Slack" in mail.body
    assert "not an owner of the account" in mail.body
    assert "Maja Holm (Slack user U0MAJA)" in mail.body
    await noted(stage, number, "look for you here in Slack", user=MEMBER)


async def test_an_address_may_be_typed_where_slack_does_not_tell_it(stage: Stage) -> None:
    await typed(stage)
    ack = await stage.slack.submit(OWNER, **{names.SUPPORT_WORDS: "x", names.SUPPORT_ADDRESS: "a,b@y.example"})
    assert ack.errors == {names.SUPPORT_ADDRESS: "This is not a mail address that we can write to."}

    await write(stage, "x", **{names.SUPPORT_ADDRESS: "anna@home.example"})

    [mail] = await mails(stage, 1)
    assert (mail.reply_to, mail.to) == ("anna@home.example", (SUPPORT,))


async def test_a_copy_goes_to_the_address_that_slack_knows(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(scopes=["users:read.email"])
    form = await typed(stage)
    assert option_of(form, names.SUPPORT_COPY) == ["A copy to anna@acme.example"]
    number = await write(stage, "Hello", **{names.SUPPORT_COPY: ["copy"]})

    first, second = sorted(await mails(stage, 2), key=lambda mail: mail.to)
    assert (first.to, first.reply_to) == (("anna@acme.example",), SUPPORT)
    assert (second.to, second.reply_to) == ((SUPPORT,), "anna@acme.example")
    assert first.body == second.body
    assert first.id != second.id
    await noted(stage, number, "has reached")
    assert len([each for each in stage.letters() if number in each.text]) == 1


async def test_a_second_press_adds_to_the_open_case(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.slack.press(OWNER, await stage.said("Pay"), names.CANCEL_PURCHASE)
    card = await stage.said("was cancelled")
    await press_support(stage, card)
    number = await write(stage, "First")
    await stage.slack.close_view(OWNER, everything=True)
    await stage.wind(2)
    await press_support(stage, card)
    assert await write(stage, "Second") == number
    assert "now belongs to it" in says(stage.slack.modal(OWNER))
    await stage.wind(days=31)
    await press_support(stage, card)
    assert await write(stage, "A month later") != number

    first, second, third = await mails(stage, 3)
    assert first.subject == second.subject
    assert second.follows == second.message["References"] == first.id
    assert third.follows == ""


async def test_what_is_not_ticked_does_not_go_along(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="declined_later")
    await stage.buy("25")
    await stage.said("Pay")
    [purchase] = await stage.purchases()
    form = await typed(stage)
    [line] = option_of(form, names.SUPPORT_PURCHASE)
    assert "$25.00" in line
    await write(stage, "x", **{names.SUPPORT_PURCHASE: purchase.id, names.SUPPORT_ATTACH: ["purchase"]})
    await typed(stage)
    await write(stage, "x")

    about, nothing = await mails(stage, 2)
    assert purchase.id in about.body
    assert str(purchase.session_id) not in about.body
    assert "States" not in about.body
    assert purchase.id not in nothing.body


async def test_a_message_becomes_the_persons_words(stage: Stage) -> None:
    said = await stage.slack.say(MEMBER, stage.home, "Our credits are gone &amp; <@U0ANNA> is away")
    await stage.slack.message_shortcut(MEMBER, said, names.SUPPORT_SHORTCUT)
    form = await support_form(stage, MEMBER)
    assert initial(form) == "Our credits are gone & @U0ANNA is away"
    card = await stage.bought("25")
    await stage.slack.message_shortcut(OWNER, card, names.SUPPORT_SHORTCUT)
    assert initial(await support_form(stage)) == "About my purchase of $25.00 (credited):\n"


async def test_purchases_of_others_are_not_for_members_and_guests(stage: Stage) -> None:
    await stage.bought("25")
    [purchase] = await stage.purchases()
    for user in (MEMBER, GUEST):
        form = await typed(stage, user)
        assert purchase.id not in str(form.view)
    assert purchase.id in str((await typed(stage, SECOND_OWNER)).view)

    forged = Writing("nonce", Home(ENTERPRISE, TEAM), MEMBER, "home", "x", purchase.id, frozenset(Attach))
    await stage.bot.support.write(forged)
    [mail] = await mails(stage, 1)
    assert purchase.id not in mail.body


async def test_it_is_danish_for_danes_and_english_for_support(stage: Stage) -> None:
    form = await typed(stage, SECOND_OWNER)
    assert form.title == "Kontakt support"
    number = await write(stage, "Jeg kan ikke købe", SECOND_OWNER)
    assert "Din sag er" in says(stage.slack.modal(SECOND_OWNER))
    [mail] = await mails(stage, 1)
    assert mail.body.startswith("Jeg kan ikke købe\n\nCase\n")
    assert "da-DK" in mail.body
    await noted(stage, number, "er nået frem til", user=SECOND_OWNER)


async def test_three_cases_an_hour_and_then_a_pause(stage: Stage) -> None:
    for n in range(3):
        await typed(stage)
        await write(stage, f"Case {n}")
    form = await typed(stage)
    assert (await stage.slack.submit(OWNER, form, **{names.SUPPORT_WORDS: "One more"})).ok
    assert "several times within the hour" in says(stage.slack.modal(OWNER))
    await typed(stage, SECOND_OWNER)
    await write(stage, "Another person may", SECOND_OWNER)
    await stage.wind(hours=1, seconds=1)
    await typed(stage)
    await write(stage, "An hour later")

    assert len(await mails(stage, 5)) == 5


async def test_the_same_form_twice_is_one_case(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await typed(stage)
    number = await write(stage, "Hello")
    replayed = await stage.slack.replay()

    assert replayed.ok
    assert number_in(str(replayed.body)) == number
    await mails(stage, 1)


async def test_a_database_that_does_not_answer_leaves_the_words_where_they_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = await typed(stage)

    async def fail(*_: object) -> None:
        raise Outage("database", "away")

    monkeypatch.setattr(stage.bot.support, "write", fail)
    ack = await stage.slack.submit(OWNER, **{names.SUPPORT_WORDS: "All of this"})
    assert SUPPORT in ack.errors[names.SUPPORT_WORDS]
    assert form.state[names.SUPPORT_WORDS][names.SUPPORT_WORDS]["value"] == "All of this"


async def test_every_way_in_opens_the_form(stage: Stage) -> None:
    await stage.slack.open_home(OWNER)
    await press_support(stage, await stage.until(lambda: stage.slack.home(OWNER)))
    await stage.slack.close_view(OWNER)
    await stage.slack.command(OWNER, stage.home, "/buy-credits help")
    await stage.whisper()
    [whisper] = [each for each in stage.slack.messages(stage.home, OWNER) if each.ephemeral_to == OWNER]
    assert initial(await press_support(stage, whisper)) == ""


@pytest.mark.parametrize("trouble", ["outage", "mistake"])
async def test_an_outage_and_a_mistake_of_ours_lead_there_too(
    stage: Stage, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.mistakes_are_expected = True
    error = Exception("ours")
    if trouble == "outage":
        error = Outage("Stripe", "away")

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(stage.bot.purchases, "offer", fail)
    await stage.slack.command(OWNER, stage.home, "/buy-credits")
    said = await stage.whisper()
    [whisper] = [each for each in stage.slack.messages(stage.home, OWNER) if each.ephemeral_to == OWNER]
    assert initial(await press_support(stage, whisper)) == f"The bot told me: “{said}”\n"
    number = await write(stage, "Help")
    [mail] = await mails(stage, 1)
    assert mail.subject.startswith(
        f"[{number}] {'Stripe out of reach' if trouble == 'outage' else 'Mistake of the bot '}"
    )
