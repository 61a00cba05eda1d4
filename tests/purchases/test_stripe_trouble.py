"""Whatever becomes of our questions to Stripe, and of its answers: one charge, one credit, and the right end."""

import asyncio
from typing import Any

import pytest

from bot.sandbox.faults import Kind

from ..stage import CANCELLING, CONFIRMING, OPENING_PAGE, SELLING, OpenStage, Stage, buttons

TROUBLES: list[Any] = [
    pytest.param(Kind.CUT_BEFORE, {}, id="cut before the work"),
    pytest.param(Kind.CUT_AFTER, {}, id="cut after the work"),
    pytest.param(Kind.STATUS, {"code": 500}, id="500"),
    pytest.param(Kind.STATUS, {"code": 500, "stored": True}, id="500 kept under the key"),
    pytest.param(Kind.RATE_LIMITED, {}, id="429"),
    pytest.param(Kind.HTML, {}, id="a web page"),
]


@pytest.mark.parametrize(("kind", "options"), TROUBLES)
async def test_each_question_fails_once_with_a_saved_card(
    open_small_stage: OpenStage, kind: Kind, options: dict[str, Any]
) -> None:
    stage = await open_small_stage()
    form = await stage.form("25")
    for call in (SELLING, CONFIRMING, "GET /v1/payment_intents/*", "GET /v1/payment_intents"):
        stage.faults.arm(call, kind, **options)
    assert (await stage.slack.submit("U0ANNA", form)).ok

    await stage.became("settled", within=300, step=3)
    await stage.said("credited")
    assert stage.charges() == [2500]
    assert len(stage.faults.hits) >= 2


@pytest.mark.parametrize(("kind", "options"), TROUBLES[:4])
async def test_each_question_fails_once_on_the_way_to_the_page_and_back(
    open_small_stage: OpenStage, kind: Kind, options: dict[str, Any]
) -> None:
    stage = await open_small_stage(card="insufficient_funds", webhooks=None)
    form = await stage.form("25")
    for call in (SELLING, CONFIRMING, CANCELLING, OPENING_PAGE, "GET /v1/checkout/sessions/*", "GET /v1/events"):
        stage.faults.arm(call, kind, **options)
    assert (await stage.slack.submit("U0ANNA", form)).ok
    await stage.became("checkout", within=300, step=3)
    [page] = [each for each in stage.pages() if each["status"] == "open"]
    card = await stage.said("there is not enough money on it", "Pay $25.00")
    assert buttons(card)["Pay $25.00"]["url"] == page["url"]

    await stage.stripe.pay(page["id"], "visa", save=False)

    await stage.became("settled", within=120, step=10)
    assert stage.charges() == [2500]
    assert len(stage.faults.hits) >= 5


@pytest.mark.parametrize(("kind", "options"), TROUBLES[:4])
async def test_each_question_fails_once_for_an_account_that_stripe_does_not_know_yet(
    open_small_stage: OpenStage, kind: Kind, options: dict[str, Any]
) -> None:
    stage = await open_small_stage(customer=False)
    for call in ("POST /v1/customers", "POST /v1/customers/*", OPENING_PAGE, "POST /v1/checkout/sessions/*/expire"):
        stage.faults.arm(call, kind, **options)
    await stage.buy("25")

    await stage.became("checkout", within=300, step=3)
    card = await stage.said("Pay $25.00")
    assert len(stage.stripe.state.customers) == 1 or options.get("stored")
    await stage.slack.press("U0ANNA", card, "cancel_purchase")
    await stage.became("cancelled", within=120, step=3)


@pytest.mark.parametrize("fault", [Kind.CUT_AFTER, Kind.CUT_BEFORE])
async def test_thirty_hours_of_silence_after_asking_for_the_money(open_small_stage: OpenStage, fault: Kind) -> None:
    """Money that moved is credited, and money that did not is never asked for so late."""
    stage = await open_small_stage()
    form = await stage.form("25")
    stage.faults.arm(CONFIRMING, fault)
    stage.faults.arm("GET /v1/payment_intents/*", Kind.CUT_BEFORE, None)  # so begins every second try
    await stage.slack.submit("U0ANNA", form)
    await stage.until(lambda: stage.faults.hits)
    stage.faults.arm("* /v1/*", Kind.CUT_BEFORE, None)
    for _ in range(10):
        await stage.wind(hours=3)
    assert await stage.statuses() == ["charging"]
    await stage.said("Charging $25.00")

    stage.faults.disarm()

    if fault is Kind.CUT_AFTER:
        await stage.became("settled", within=900, step=60)
        assert stage.charges() == [2500]
    else:
        await stage.became("cancelled", within=900, step=60)
        await stage.said("It could not be charged within an hour, so we gave up.")
        assert stage.charges() == []


async def test_thirty_hours_of_silence_after_making_the_intent(open_small_stage: OpenStage) -> None:
    """Stripe has forgotten the key by then: the intent is found by its metadata, or nothing is made at all."""
    stage = await open_small_stage()
    form = await stage.form("25")
    stage.faults.arm(SELLING, Kind.CUT_AFTER)
    await stage.slack.submit("U0ANNA", form)
    await stage.until(lambda: stage.faults.hits)
    stage.faults.arm("* /v1/*", Kind.CUT_BEFORE, None)
    for _ in range(10):
        await stage.wind(hours=3)
    stage.faults.disarm()

    await stage.became("cancelled", within=900, step=60)
    assert stage.charges() == []
    assert len(stage.stripe.state.intents) == 1


async def test_half_an_hour_of_silence_and_then_one_charge(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    form = await stage.form("25")
    stage.faults.arm(SELLING, Kind.CUT_AFTER)
    await stage.slack.submit("U0ANNA", form)
    await stage.until(lambda: stage.faults.hits)
    stage.faults.arm("* /v1/*", Kind.CUT_BEFORE, None)
    for _ in range(3):
        await stage.wind(minutes=10)
    stage.faults.disarm()

    await stage.became("settled", within=900, step=60)
    assert stage.charges() == [2500]
    assert len(stage.stripe.state.intents) == 1, "the one that the lost answer left behind"


async def test_a_worker_that_hangs_past_its_lease_is_overtaken(
    open_stage: OpenStage,
) -> None:
    stage = await open_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        for _ in range(3):
            await stage.wind(60)
        await stage.until(lambda: len(stage.faults.hits) >= 2)
        assert "purchase waits" not in stage.log.getvalue(), "the first one gave up before"

    await stage.became("settled", within=120)
    await stage.said("credited")
    assert stage.charges() == [2500]


async def test_a_worker_that_hangs_while_it_makes_the_intent_is_overtaken(open_stage: OpenStage) -> None:
    """The second one finds what the first one made, or waits until it can know."""
    stage = await open_stage()
    with stage.held_up(SELLING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        for _ in range(3):
            await stage.wind(60)
        await stage.until(lambda: len(stage.faults.hits) >= 2)

    await stage.became("settled", within=300, step=5)
    assert stage.charges() == [2500]
    assert "purchase was overtaken" in stage.log.getvalue()


async def test_a_worker_that_hangs_while_it_replaces_a_customer_is_overtaken(open_stage: OpenStage) -> None:
    stage = await open_stage()
    [gone] = [each["id"] for each in stage.stripe.state.customers]
    stage.stripe.customers.delete(gone)
    with stage.held_up("POST /v1/customers") as gate:
        await stage.buy("25")
        await gate.reached.wait()
        for _ in range(3):
            await stage.wind(60)
        await stage.until(lambda: len(stage.faults.hits) >= 2)

    await stage.became("checkout", within=300, step=5)
    await stage.said("Pay $25.00")
    assert len([each for each in stage.stripe.state.customers if not each.get("deleted")]) == 1
    assert len([each for each in stage.pages() if each["status"] == "open"]) == 1
    assert "purchase was overtaken" in stage.log.getvalue()


async def test_a_slow_answer_is_waited_for(stage: Stage) -> None:
    stage.faults.sleep = asyncio.sleep
    stage.faults.arm(SELLING, Kind.HANG, seconds=0.5)
    stage.faults.arm(CONFIRMING, Kind.HANG, seconds=0.5)
    await stage.buy("25")

    await stage.became("settled")
    assert stage.charges() == [2500]
    assert len(stage.stripe.state.intents) == 1


async def test_a_slow_purchase_holds_up_nobody_else(stage: Stage) -> None:
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        stage.faults.disarm()
        await stage.buy("30")
        await stage.until(lambda: stage.charges() == [3000])


async def test_stripe_is_away_while_a_page_waits(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("* /v1/*", Kind.CUT_BEFORE, None)
    await stage.pay()
    for _ in range(10):
        await stage.wind(hours=3)
    await stage.became("checkout")
    stage.faults.disarm()

    await stage.became("settled", within=900, step=60)


async def test_the_clock_jumps_ahead_in_the_middle_of_a_charge(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        await stage.wind(hours=30)

    await stage.became("settled", within=120)
    assert stage.charges() == [2500]
    await stage.bought("30")


@pytest.mark.parametrize(("amount", "currency"), [(999, "usd"), (2600, "usd"), (2500, "eur")])
async def test_another_amount_than_was_asked_is_not_credited_and_looked_into(
    open_small_stage: OpenStage, amount: int, currency: str
) -> None:
    stage = await open_small_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        [intent] = stage.stripe.state.intents
        intent |= {"amount": amount, "currency": currency}

    await stage.said("Money came in for your purchase of $25.00, but not the amount that was asked. Nothing is lost")
    assert await stage.statuses() == ["quarantined"]
    assert await stage.balance() == "0.00"
    assert "'level': 'ERROR'" in "".join(stage.interesting())


async def test_a_revoked_key_charges_nothing_and_loses_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    form = await stage.form("25")
    stage.stripe.api.revoked_keys.add("rk_test_sandbox")
    await stage.slack.submit("U0ANNA", form)
    await stage.became("charging")
    await stage.wind(60)
    stage.stripe.api.revoked_keys.clear()

    await stage.became("settled", within=300, step=30)


async def test_a_bank_that_takes_its_time_and_then_wants_the_buyer_has_said_no(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    with stage.held_up(CONFIRMING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        [intent] = stage.stripe.state.intents
        intent["status"] = "processing"
    await stage.became("processing", within=120)
    wanted = {"type": "card_error", "code": "authentication_required", "message": "Your card needs you."}
    intent |= {"status": "requires_payment_method", "last_payment_error": wanted}

    await stage.became("declined", within=120)
    assert stage.charges() == []


async def test_broken_books_charge_nothing_that_was_on_its_way(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    with stage.held_up(SELLING) as gate:
        await stage.buy("25")
        await gate.reached.wait()
        stage.bot.audit.found("somebody was at the books")

    await stage.said("Buying is paused while we check our books. Nothing was charged.")
    assert await stage.statuses() == ["cancelled"]
    assert stage.charges() == []


async def test_a_purchase_of_no_shape_that_ours_have_holds_up_nothing(open_stage: OpenStage) -> None:
    """Whoever else sells with the same Stripe account writes into its metadata whatever they like."""
    stage = await open_stage(webhooks=None)
    await stage.bought("25")
    stage.stripe.intents.create({"amount": 100, "currency": "usd", "metadata": {"purchase_id": "pur_\0"}})
    stray = [*stage.stripe.state.intents][-1]
    stage.stripe.state.emit("payment_intent.canceled", stray)
    stage.stripe.refund(stage.stripe.succeeded_intents()[0]["id"])

    await stage.became("refunded", within=60)
