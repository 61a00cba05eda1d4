"""The way into a purchase: the command, the shortcut, the buttons, and what the form shows and understands."""

from dataclasses import replace

import pytest

from bot.sandbox.slack import OpenView
from bot.sandbox.world import OWNER, SECOND_OWNER

from ..stage import OpenStage, Stage, buttons, says

NBSP = "\N{NO-BREAK SPACE}"


def amount_in(form: OpenView) -> str | None:
    """What stands in the field."""
    [written] = [block["amount"]["value"] for block in form.state.values() if "amount" in block]
    return str(written) if written else None


async def test_the_command_opens_a_form_with_everything_a_buyer_wants_to_know(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()

    form = await stage.form()

    assert (form.title, form.view["submit"]["text"], form.view["close"]["text"]) == ("Buy credits", "Buy", "Cancel")
    assert says(form).splitlines() == [
        "*Acme Labs* has *0.00* credits.",
        "$25", "$100", "$500", "$1,000",
        "Amount in US dollars",
        "For example 25",
        "From $1 to $100,000, cents allowed.",
        "Pay with",
        "Visa •••• 4242",
        "Charged as soon as you press the button",
        "Another card",
        "You will pay on Stripe’s page and get an invoice",
        "1 credit costs 1 US dollar. Credits are used up by the language models in GenStudio and cannot be refunded.",
    ]  # fmt: skip
    assert amount_in(form) is None
    assert stage.slack.timeouts == []


async def test_the_balance_in_the_form_is_the_one_of_now(stage: Stage) -> None:
    await stage.bought("1234.56")

    assert "*Acme Labs* has *1,234.56* credits." in says(await stage.form())


@pytest.mark.parametrize("customer", [True, False])
async def test_without_a_saved_card_the_form_says_that_stripes_page_follows(
    open_small_stage: OpenStage, customer: bool
) -> None:
    stage = await open_small_stage(card=None, customer=customer)

    form = await stage.form()

    assert "You will pay on Stripe’s page. You can save your card there for next time." in says(form)
    assert "Pay with" not in says(form)


async def test_the_form_opens_although_stripe_is_silent(stage: Stage) -> None:
    with stage.held_up("GET /v1/customers/*"):
        form = await stage.form("25")

        assert "Your saved card will be charged. If there is none, you will pay on Stripe’s page." in says(form)
        assert (await stage.slack.submit(OWNER)).ok
    await stage.said("credited", "$25.00")


async def test_the_form_opens_although_slack_does_not_say_who_somebody_is(stage: Stage) -> None:
    with stage.held_up("users.info"):
        form = await stage.form("25")
        ack = await stage.slack.submit(OWNER, form)
        assert ack.ok, "the submit is stored though Slack is slow"
    await stage.said("credited", "$25.00")


async def test_an_amount_after_the_command_fills_the_field_in(stage: Stage) -> None:
    for typed, field in (
        ("250", "250"),
        ("$250", "250"),
        ("250.5", "250.50"),
        ("1,234.50", "1,234.50"),
        ("9 usd", "9"),
    ):
        form = await stage.form(typed)

        assert amount_in(form) == field
        assert "warning" not in says(form)


async def test_amounts_are_read_and_written_as_danes_do(stage: Stage) -> None:
    form = await stage.form("1.234,50", user=SECOND_OWNER)

    assert amount_in(form) == "1.234,50"
    assert form.title == "Køb kredit"
    assert "*Acme Labs* har *0,00* kreditter." in says(form)
    assert f"1.000{NBSP}USD" in says(form)
    assert (await stage.slack.submit(SECOND_OWNER)).ok
    await stage.said("Betalt og krediteret", f"1.234,50{NBSP}USD", "*1.234,50*", user=SECOND_OWNER)
    assert stage.charges() == [123450]


@pytest.mark.parametrize(
    ("user", "typed", "sentence"),
    [
        (OWNER, "1.234", "“1.234” could mean $1,234.00 or $1.23. Please write 1,234 or 1.23."),
        (SECOND_OWNER, "1,234", f"“1,234” kan betyde 1.234,00{NBSP}USD eller 1,23{NBSP}USD. Skriv 1.234 eller 1,23."),
    ],
)
async def test_an_amount_that_could_mean_two_things_is_asked_about(
    stage: Stage, user: str, typed: str, sentence: str
) -> None:
    form = await stage.form(typed, user=user)
    assert sentence in says(form)
    assert amount_in(form) == typed

    ack = await stage.slack.submit(user)

    assert list(ack.errors.values()) == [sentence]
    assert await stage.purchases() == []


async def test_rubbish_in_the_field_is_refused_there_and_the_form_stays(stage: Stage) -> None:
    await stage.form()
    for rubbish in ("twenty five", "12abc", "-5", "1e3", "0x10", "12..5", "1,2,3", "٢٥", "½", "5;5", "0"):
        ack = await stage.slack.submit(OWNER, amount=rubbish)

        [error] = ack.errors.values()
        assert "is not an amount that we can read" in error or "The least amount is $1.00" in error
        assert stage.slack.modal(OWNER).errors == ack.errors

    assert await stage.purchases() == []
    assert (await stage.slack.submit(OWNER, amount="25")).ok
    await stage.said("credited")


async def test_rubbish_with_digits_after_the_command_is_shown_back_and_remarked(stage: Stage) -> None:
    for typed in ("12abc", "-5", "1e3", "12..5", "0.001"):
        form = await stage.form(typed)

        assert amount_in(form) == typed
        assert ":warning: “" in says(form)


async def test_amounts_outside_the_limits_are_refused(stage: Stage) -> None:
    too_much = "The greatest amount is $100,000.00. You can buy several times."
    for amount, sentence in (
        ("0.99", "The least amount is $1.00."),
        ("100,000.01", too_much),
        ("999999999999", too_much),
    ):
        assert sentence in says(await stage.form(amount))
        ack = await stage.slack.submit(OWNER)

        assert list(ack.errors.values()) == [sentence]
    assert await stage.purchases() == []


async def test_the_limits_themselves_can_be_bought(stage: Stage) -> None:
    await stage.bought("1")
    await stage.bought("100,000")

    assert stage.charges() == [100, 100_000_00]


async def test_help_is_a_short_answer_for_one_person(stage: Stage) -> None:
    for typed in ("help", "HELP", " ? "):
        await stage.slack.command(OWNER, stage.home, f"/buy-credits {typed}")

        said = await stage.whisper()
        assert said.startswith("*Buy credits for GenStudio*\n`/buy-credits` opens the form")
        assert "`/buy-credits 1,000` fills it in." in said
        assert "support@skydeck.ai" in said
        stage.slack.reload(OWNER)
    assert stage.slack.modal(OWNER) is None
    assert stage.whispers(SECOND_OWNER) == []


async def test_help_comes_in_the_readers_language_once_slack_has_told_it(stage: Stage) -> None:
    await stage.form(user=SECOND_OWNER)
    await stage.slack.command(SECOND_OWNER, stage.home, "/buy-credits hjælp")

    assert (await stage.whisper(SECOND_OWNER)).startswith("*Køb kredit til GenStudio*")


async def test_a_language_that_was_changed_in_slack_is_spoken_from_the_second_command_on(stage: Stage) -> None:
    assert (await stage.form()).title == "Buy credits"
    stage.slack.person(OWNER).locale = "da-DK"
    await stage.wind(30)

    await stage.form()
    await stage.until(lambda: stage.bot.texts_of(OWNER).language == "da")
    assert (await stage.form()).title == "Køb kredit"


async def test_an_unknown_word_is_answered_with_what_is_known(stage: Stage) -> None:
    await stage.slack.command(OWNER, stage.home, "/buy-credits lots of <!channel> & more")

    assert await stage.whisper() == (
        "I do not know “lots of &lt;!channel&gt; &amp; more”. "
        "Try `/buy-credits`, `/buy-credits 250`, `/buy-credits alerts` or `/buy-credits help`."
    )
    assert stage.slack.modal(OWNER) is None


async def test_what_slack_escaped_is_shown_as_it_was_typed(stage: Stage) -> None:
    await stage.slack.command(OWNER, stage.home, "/buy-credits R&amp;D &lt;now&gt;")
    assert "“R&amp;D &lt;now&gt;”" in await stage.whisper()

    form = await stage.form("&lt;25&gt; &amp; more")
    assert "“&lt;25&gt; &amp; more” is not an amount" in says(form)
    assert "<25> & more" in str(form.blocks)  # in the field


async def test_the_global_shortcut_opens_the_same_form(stage: Stage) -> None:
    assert (await stage.slack.shortcut(OWNER, "buy_credits")).ok

    form = await stage.opened()
    assert "*Acme Labs* has *0.00* credits." in says(form)
    assert (await stage.slack.submit(OWNER, amount="25")).ok
    await stage.said("credited")


async def test_a_quick_amount_fills_the_field_in_and_keeps_the_choice_of_card(stage: Stage) -> None:
    form = await stage.form("7")
    stage.slack.fill(form, "pay_with", "Another card")

    await stage.slack.press(OWNER, form, "quick_amount_10000")

    await stage.until(lambda: amount_in(form) == "100")
    assert form.state["payment"]["pay_with"]["selected_option"]["value"] == "checkout"
    await stage.slack.submit(OWNER)
    await stage.said("Pay $100.00 on Stripe’s page")


async def test_one_quick_amount_after_the_other(stage: Stage) -> None:
    form = await stage.form()
    for words, written in (("$25", "25"), ("$1,000", "1,000"), ("$500", "500")):
        await stage.slack.press(OWNER, form, buttons(form)[words]["action_id"])
        await stage.until(lambda written=written: amount_in(form) == written)
    assert (await stage.slack.submit(OWNER)).ok

    await stage.said("credited", "$500.00")


async def test_a_quick_amount_in_a_form_without_a_saved_card(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(customer=False)
    form = await stage.form()

    await stage.slack.press(OWNER, form, "quick_amount_2500")

    await stage.until(lambda: amount_in(form) == "25")
    assert "You will pay on Stripe’s page." in says(form)


async def test_the_field_must_be_filled_in(stage: Stage) -> None:
    await stage.form()

    assert (await stage.slack.submit(OWNER)).errors


async def test_what_an_account_is_called_is_text_and_nothing_else(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda account: replace(account, name="A&B <!channel> *Labs*"))

    assert "A&amp;B &lt;!channel&gt;" in says(await stage.form())
    card = await stage.bought("25")
    assert "<!channel>" not in says(card)


async def test_a_form_that_was_closed_before_stripe_answered_bothers_nobody(stage: Stage) -> None:
    with stage.held_up("GET /v1/customers/*") as gate:
        await stage.slack.command(OWNER, stage.home, "/buy-credits")
        await stage.until(lambda: stage.slack.modal(OWNER))
        await gate.reached.wait()
        await stage.slack.close_view(OWNER)

    await stage.form()
    assert stage.whispers() == []


async def test_a_trigger_that_ran_out_is_not_answered_with_silence(stage: Stage) -> None:
    with stage.held_up("views.open") as gate:
        await stage.slack.command(OWNER, stage.home, "/buy-credits")
        await gate.reached.wait()
        stage.world.clock.wind(seconds=4)

    assert await stage.whisper() == "We could not reach Slack just now. Nothing is lost; please try again in a moment."
