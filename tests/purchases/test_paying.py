"""How a purchase is paid: by the saved card inside Slack, or on Stripe's page through one link, never by both."""

import pytest

from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message
from bot.sandbox.world import MEMBER, OWNER, SECOND_OWNER

from ..stage import CANCELLING, OPENING_PAGE, SELLING, OpenStage, Stage, buttons, says

NOT_SAVED = "You will pay on Stripe’s page. You can save your card there for next time."


def link(card: Message) -> str:
    """The one address that a card leads to."""
    [url] = [button["url"] for button in buttons(card).values() if "url" in button]
    return str(url)


# ── the saved card ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_saved_card_is_charged_in_slack(open_stage: OpenStage) -> None:
    stage = await open_stage()

    card = await stage.bought("25")

    assert card.text == ":white_check_mark: Paid and credited: $25.00. The new balance is *25.00* credits."
    assert stage.charges() == [2500]
    assert await stage.balance() == "25.00"
    assert stage.pages() == []
    [intent] = stage.stripe.succeeded_intents()
    [purchase] = await stage.purchases()
    assert intent["metadata"] == {
        "purchase_id": purchase.id,
        "account_id": "acme",
        "slack_team": "T0ACME",
        "slack_user": OWNER,
    }
    assert intent["description"] == "AI credits for Acme Labs"


async def test_the_card_is_charged_in_two_steps(stage: Stage) -> None:
    await stage.bought("25")

    asked = stage.calls("POST", "/v1/payment_intents")
    [intent] = stage.stripe.succeeded_intents()
    assert asked == ["POST /v1/payment_intents", f"POST /v1/payment_intents/{intent['id']}/confirm"]


async def test_balances_add_up(stage: Stage) -> None:
    await stage.bought("10.10")
    card = await stage.bought("20.20")

    assert "*30.30*" in card.text


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ("declined", "Visa •••• 0002 was declined and the bank gave no reason. Nothing was charged."),
        ("insufficient_funds", "Visa •••• 9995 was declined: there is not enough money on it. Nothing was charged."),
    ],
)
async def test_a_declined_card_is_told_in_plain_words_and_leads_to_one_link(
    open_small_stage: OpenStage, saved: str, words: str
) -> None:
    stage = await open_small_stage(card=saved)
    await stage.buy("25")

    card = await stage.said(f"{words} Pay $25.00 on Stripe’s page to complete your purchase.")

    assert list(buttons(card)) == ["Pay $25.00", "Cancel the purchase", "Contact support"]
    assert link(card) == stage.page["url"]
    assert not card.unfurl_links
    assert not card.unfurl_media
    assert stage.charges() == []
    await stage.pay("visa")
    await stage.said("Paid and credited: $25.00", "*25.00*")
    assert stage.charges() == [2500]


async def test_the_old_intent_is_closed_before_another_way_to_pay_is_opened(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="insufficient_funds")
    await stage.buy("25")
    await stage.said("Pay $25.00 on Stripe’s page")

    [intent] = stage.stripe.state.intents
    asked = stage.calls("POST", "/v1/")
    assert asked == [
        "POST /v1/payment_intents",
        f"POST /v1/payment_intents/{intent['id']}/confirm",
        f"POST /v1/payment_intents/{intent['id']}/cancel",
        "POST /v1/checkout/sessions",
    ]
    assert intent["status"] == "canceled"


async def test_no_page_is_opened_as_long_as_the_old_intent_is_not_known_to_be_closed(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage(card="insufficient_funds")
    stage.faults.arm(CANCELLING, Kind.STATUS, None, code=500)
    await stage.buy("25")
    await stage.until(lambda: len(stage.faults.hits) > 0)
    await stage.wind(10)

    assert stage.pages() == []
    stage.faults.disarm()
    await stage.became("checkout", within=120)


async def test_a_bank_that_wants_the_buyer_is_satisfied_on_stripes_page(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="authentication_required")
    await stage.buy("25")

    card = await stage.said(
        "Your bank wants you to confirm the payment by Visa •••• 3184. Nothing was charged yet. "
        "Confirm the payment of $25.00 on Stripe’s page to complete your purchase."
    )
    assert list(buttons(card)) == ["Confirm and pay $25.00", "Cancel the purchase", "Contact support"]
    [intent] = stage.stripe.state.intents
    assert intent["status"] == "canceled"

    await stage.pay("authentication_required", authenticate=False)
    assert stage.page["status"] == "open"
    await stage.pay("authentication_required", authenticate=True)
    await stage.said("Paid and credited: $25.00")
    assert stage.charges() == [2500]


async def test_a_card_that_was_removed_at_stripe_meanwhile_leads_to_the_page(stage: Stage) -> None:
    await stage.form("25")
    for method in list(stage.stripe.state.methods):
        stage.stripe.customers.detach(method["id"])

    assert (await stage.slack.submit(OWNER)).ok

    await stage.said("Visa •••• 4242 is not saved at Stripe any more. Nothing was charged. Pay $25.00")
    await stage.pay("visa")
    await stage.said("credited")


# ── Stripe's page ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["deleted", "deleted with the form open", "of another Stripe account"])
async def test_in_place_of_a_customer_that_is_gone_at_stripe_another_is_made_at_once(
    open_small_stage: OpenStage, how: str
) -> None:
    stage = await open_small_stage()
    [gone] = [each["id"] for each in stage.stripe.state.customers]
    if how == "of another Stripe account":
        gone = "cus_elsewhere"
        await stage.change(customer=gone)
    elif how == "deleted":
        stage.stripe.customers.delete(gone)
    form = await stage.form()
    if how == "deleted with the form open":
        assert "4242" in says(form)
        stage.stripe.customers.delete(gone)
    else:
        assert "4242" not in says(form)
    await stage.slack.submit(OWNER, amount="25")

    await stage.said("Pay $25.00")
    assert len(stage.pages()) == 1
    await stage.pay(save=True)
    await stage.said("credited")
    assert stage.charges() == [2500]
    assert any(gone in line and "the customer is gone" in line for line in stage.interesting())

    await stage.wind(minutes=2)
    await stage.bought("30")
    made = [each["id"] for each in stage.stripe.state.customers if not each.get("deleted")]
    assert len(made) == (2 if how == "of another Stripe account" else 1)


@pytest.mark.parametrize("customer", [True, False])
async def test_without_a_saved_card_the_purchase_is_paid_on_stripes_page(
    open_small_stage: OpenStage, customer: bool
) -> None:
    stage = await open_small_stage(card=None, customer=customer)
    await stage.buy("1,234.50")
    card = await stage.said("Pay $1,234.50 on Stripe’s page to complete your purchase. The link works for 24 hours.")

    assert link(card) == stage.page["url"]
    assert not card.unfurl_links
    assert not card.unfurl_media
    [purchase] = await stage.purchases()
    assert stage.page["client_reference_id"] == purchase.id
    assert stage.page["metadata"]["purchase_id"] == purchase.id
    assert stage.calls(SELLING) == []
    assert (await stage.pay("visa")).outcome.value == "paid"
    settled = await stage.said("Paid and credited: $1,234.50", "*1,234.50*")
    assert link(settled) == stage.stripe.state.invoices.newest_first()[0]["hosted_invoice_url"]
    assert stage.stripe.succeeded_intents()[0]["metadata"]["purchase_id"] == purchase.id


async def test_a_card_saved_on_the_page_is_charged_in_slack_the_next_time(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(customer=False)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.pay("mastercard", save=True)
    await stage.said("credited", "$25.00")
    await stage.wind(2)

    assert "Mastercard •••• 4444" in says(await stage.form("30"))
    await stage.slack.submit(OWNER)

    await stage.said("credited", "$30.00")
    assert len(stage.pages()) == 1
    assert stage.charges() == [2500, 3000]


async def test_a_card_that_was_not_ticked_is_not_kept(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(customer=False)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.pay("visa", save=False)
    await stage.said("credited")

    assert NOT_SAVED in says(await stage.form("30"))


async def test_declines_on_the_page_stay_on_the_page(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    for card in ("declined", "insufficient_funds"):
        assert (await stage.pay(card)).outcome.value == "the bank said no"
        await stage.wind(20)
        await stage.became("checkout")

    await stage.pay("visa")

    await stage.said("credited")
    assert stage.charges() == [2500]


async def test_the_buyer_may_choose_another_card_although_one_is_saved(stage: Stage) -> None:
    await stage.buy("25", pay_with="Another card")

    await stage.said("Pay $25.00 on Stripe’s page")
    assert stage.calls(SELLING + "/") == []
    await stage.pay("mastercard")
    await stage.said("credited")


async def test_a_link_that_nobody_used_runs_out(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")

    await stage.wind(hours=25)

    card = await stage.said("The link to pay $25.00 has expired. Nothing was charged.")
    assert list(buttons(card)) == ["Try again", "Contact support"]
    assert await stage.statuses() == ["expired"]
    assert stage.charges() == []


async def test_try_again_opens_the_form_with_the_same_amount(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("33.30")
    await stage.said("Pay $33.30")
    await stage.wind(hours=25)
    card = await stage.said("has expired")

    await stage.slack.press(OWNER, card, buttons(card)["Try again"]["action_id"])
    form = await stage.opened()

    assert "33.30" in [block["amount"]["value"] for block in form.state.values() if "amount" in block]
    await stage.slack.submit(OWNER)
    await stage.until(lambda: len(stage.cards()) == 2)
    assert stage.cards()[0].text == card.text, "the old message stays as it ended"


# ── cancelling ────────────────────────────────────────────────────────────────────────────────────────────────────


async def cancel(stage: Stage, user: str = OWNER) -> None:
    card = stage.card()
    await stage.slack.press(user, card, buttons(card)["Cancel the purchase"]["action_id"])


async def test_a_purchase_that_waits_can_be_cancelled(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")

    await cancel(stage)

    card = await stage.said("The purchase of $25.00 was cancelled. Nothing was charged.")
    assert list(buttons(card)) == ["Try again", "Contact support"]
    assert stage.page["status"] == "expired"
    assert (await stage.pay()).outcome.value == "the page takes no payments any more"
    assert stage.charges() == []


async def test_whoever_pays_before_the_page_is_closed_has_paid(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    with stage.held_up("POST /v1/checkout/sessions/*/expire") as gate:
        await cancel(stage)
        await gate.reached.wait()
        await stage.pay()

    await stage.said("Paid and credited: $25.00")
    assert stage.charges() == [2500]
    assert await stage.statuses() == ["settled"]


async def test_a_cancel_that_comes_while_the_page_is_being_made_is_kept(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="insufficient_funds")
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("POST /v1/checkout/sessions/*/expire", Kind.CUT_AFTER)

    await cancel(stage)

    await stage.became("cancelled", within=60)
    await stage.said("was cancelled. Nothing was charged.")


async def test_cancelling_twice_or_too_late_changes_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await cancel(stage)
    await stage.said("was cancelled")
    pressed = stage.slack.deliveries[-1]
    for _ in range(5):
        assert not (await stage.slack.replay(pressed)).error

    assert await stage.statuses() == ["cancelled"]


async def test_the_button_of_a_settled_purchase_cancels_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    card = await stage.said("Pay $25.00")
    with stage.held_up("chat.update"):
        await stage.pay()
        await stage.became("settled")
        assert "Cancel the purchase" in buttons(card)
        await cancel(stage)

    await stage.said("credited")
    assert await stage.balance() == "25.00"


async def test_only_an_owner_or_the_buyer_can_cancel(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await cancel(stage)
    await stage.said("was cancelled")
    await stage.wind(2)
    await stage.buy("26")
    await stage.said("Pay $26.00")
    [_, mine] = reversed(await stage.purchases())

    forged = stage.slack.deliveries
    pressed = next(each for each in reversed(forged) if "cancel_purchase" in str(each.payload.get("actions")))
    busy = stage.bot._crew.busy
    for user in (MEMBER, "U0NOBODY"):
        pressed.payload["user"]["id"] = user
        pressed.payload["actions"][0]["value"] = mine.id
        await stage.slack.replay(pressed)
        await stage.until(lambda: stage.bot._crew.busy <= busy)
    assert [each.cancelled_by for each in await stage.purchases()] == [None, OWNER]

    pressed.payload["user"]["id"] = SECOND_OWNER
    await stage.slack.replay(pressed)
    await stage.became("cancelled", "cancelled")


# ── banks that take their time ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("webhooks", ["snapshot", None])
async def test_a_bank_debit_waits_for_the_bank_and_is_credited(
    open_small_stage: OpenStage, webhooks: str | None
) -> None:
    stage = await open_small_stage(card=None, webhooks=webhooks)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.pay("bank_debit")

    await stage.became("processing", within=60)
    card = await stage.said("Your payment of $25.00 is on its way and waits for the bank. That can take some business")
    assert buttons(card) == {}
    assert await stage.balance() == "0.00"
    await stage.wind(days=3)
    await stage.became("processing")

    stage.stripe.finish_processing(stage.page["payment_intent"])
    await stage.became("settled", within=60)
    await stage.said("credited")
    assert await stage.balance() == "25.00"


@pytest.mark.parametrize("webhooks", ["snapshot", None])
async def test_a_bank_debit_that_comes_back_is_told(open_small_stage: OpenStage, webhooks: str | None) -> None:
    stage = await open_small_stage(card=None, webhooks=webhooks)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.pay("bank_debit")
    await stage.became("processing", within=60)

    stage.stripe.finish_processing(stage.page["payment_intent"], ok=False)

    await stage.became("declined", within=60)
    card = await stage.said(
        "The payment of $25.00 was declined. Nothing was credited. You can try again with another card."
    )
    assert list(buttons(card)) == ["Try again", "Contact support"]
    assert await stage.balance() == "0.00"


async def test_the_second_way_to_pay_survives_a_lost_answer(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="declined")
    stage.faults.arm(OPENING_PAGE, Kind.CUT_AFTER)
    await stage.buy("25")

    await stage.became("checkout", within=60)
    assert len(stage.pages()) == 1
    await stage.pay()
    await stage.said("credited")
