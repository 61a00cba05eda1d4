"""Webhooks are hints: they may come twice, late, in any order, from anybody or never, and one payment is one credit."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bot.payments.stripe_events import KINDS
from bot.sandbox.faults import Kind
from bot.sandbox.stripe.webhooks import sign
from bot.sandbox.world import WEBHOOK_SECRET

from ..stage import OPENING_PAGE, OpenStage, Stage


async def waiting(stage: Stage, amount: str = "25") -> Stage:
    """A purchase waits on Stripe's page."""
    await stage.buy(amount)
    await stage.said(f"Pay ${amount}.00")
    return stage


async def deliver(stage: Stage, event: dict[str, Any], *, secret: str = WEBHOOK_SECRET, at: int | None = None) -> int:
    """Send one notification by hand; the status of the answer."""
    body = json.dumps(event)
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{stage.bot.server.url}/stripe/webhook", content=body, headers={"Stripe-Signature": sign(body, secret, at)}
        )
    return answer.status_code


async def test_without_any_webhook_a_payment_is_credited_within_a_minute(open_stage: OpenStage) -> None:
    stage = await waiting(await open_stage(card=None, webhooks=None))
    await stage.wind(minutes=20)
    await stage.pay()
    assert await stage.statuses() == ["checkout"]

    await stage.became("settled", within=60, step=20)
    assert await stage.balance() == "25.00"


async def test_a_page_that_is_paid_hours_later_is_credited_within_a_minute_too(open_small_stage: OpenStage) -> None:
    """Pages are asked about seldom by then; Stripe's list of events tells."""
    stage = await waiting(await open_small_stage(card=None, webhooks=None))
    asked = len(stage.calls("GET", "/v1/checkout/sessions/"))
    await stage.wind(hours=20)
    await stage.until(lambda: len(stage.calls("GET", "/v1/checkout/sessions/")) > asked)
    await stage.pay()

    await stage.became("settled", within=60, step=15)


async def test_a_fresh_page_is_asked_about_itself_when_the_list_of_events_is_not_to_be_had(
    open_small_stage: OpenStage,
) -> None:
    stage = await waiting(await open_small_stage(card=None, webhooks=None))
    stage.faults.arm("GET /v1/events", Kind.STATUS, None, code=500)
    asked = len(stage.calls("GET", "/v1/checkout/sessions/"))
    await stage.wind(minutes=20)
    await stage.until(lambda: len(stage.calls("GET", "/v1/checkout/sessions/")) > asked)
    await stage.pay()

    await stage.became("settled", within=60)


async def test_webhooks_make_it_faster(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None))
    await stage.pay()

    await stage.became("settled")
    assert {each.status for each in stage.stripe.webhooks.deliveries} == {200}


async def test_thin_webhooks_do_too(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None, webhooks="thin"))
    await stage.pay()

    await stage.became("settled")
    assert {each.status for each in stage.stripe.webhooks.deliveries} == {200}


@pytest.mark.parametrize("seed", [1, 2])
async def test_webhooks_five_times_each_in_any_order_make_one_credit(open_stage: OpenStage, seed: int) -> None:
    stage = await waiting(await open_stage(card=None))
    stage.stripe.webhooks.hold()
    await stage.pay()
    await stage.stripe.webhooks.release(shuffle=seed, repeat=5)

    await stage.became("settled")
    assert await stage.balance() == "25.00"
    await stage.said("credited", "*25.00*")
    assert len(stage.cards()) == 1


async def test_webhooks_that_come_after_polling_has_settled_change_nothing(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None))
    stage.stripe.webhooks.hold()
    await stage.pay()
    await stage.became("settled", within=60)
    told = (await stage.said("credited")).text

    await stage.wind(days=2)
    await stage.stripe.webhooks.release(shuffle=7, repeat=3)

    await stage.became("settled")
    assert await stage.balance() == "25.00"
    assert stage.card().text == told


async def test_a_webhook_may_know_of_a_page_before_we_do(open_small_stage: OpenStage) -> None:
    """The answer with the page's address is lost, the buyer pays, and Stripe tells first."""
    stage = await open_small_stage(card=None)
    stage.faults.arm(OPENING_PAGE, Kind.CUT_AFTER)
    await stage.buy("25")
    await stage.until(lambda: stage.pages())
    await stage.pay()

    await stage.became("settled", within=60, step=5)
    await stage.said("credited")
    assert stage.charges() == [2500]


async def test_lost_webhooks_lose_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    stage.stripe.webhooks.silence()
    await waiting(stage)
    await stage.pay()

    await stage.became("settled", within=60)


async def test_a_notification_that_is_rightly_signed_is_looked_into(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None))
    event: dict[str, Any] = {}
    stage.stripe.watch(lambda each: event.update(each) if each["type"] == "checkout.session.completed" else None)
    stage.stripe.webhooks.silence()
    await stage.pay()

    assert await deliver(stage, event) == 200
    await stage.became("settled")


async def test_forged_old_and_foreign_notifications_are_refused(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None))
    events: list[dict[str, Any]] = []
    stage.stripe.watch(events.append)
    stage.stripe.webhooks.silence()
    await stage.pay()
    event = next(each for each in events if each["type"] == "checkout.session.completed")
    now = int(time.time())

    assert await deliver(stage, event, secret="whsec_somebody_else") == 400
    assert await deliver(stage, event, at=now - 3600) == 400
    assert await deliver(stage, event, at=now + 3600) == 400
    assert await deliver(stage, {**event, "livemode": True}) == 400
    assert await deliver(stage, {**event, "account": "acct_other"}) == 400
    assert await deliver(stage, {"anything": "else"}) == 400
    async with httpx.AsyncClient() as client:
        address = f"{stage.bot.server.url}/stripe/webhook"
        assert (await client.post(address, content=b"{}")).status_code == 400
        assert (
            await client.post(address, content=b"\xff", headers={"Stripe-Signature": "t=1,v1=x"})
        ).status_code == 400
    assert await stage.statuses() == ["checkout"], "nobody even looked"

    assert await deliver(stage, event) == 200
    await stage.became("settled")


async def test_a_flood_of_forged_notifications_is_counted_and_not_written_down_one_by_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.purchases.webhook._QUIET_SECONDS", 1.0)
    for _ in range(10):
        assert await deliver(stage, {}, secret="whsec_somebody_else") == 400
    await asyncio.sleep(1.0)
    assert await deliver(stage, {}, secret="whsec_somebody_else") == 400

    lines = [json.loads(line) for line in stage.log.getvalue().splitlines()]
    told = [line["times"] for line in lines if line["message"].startswith("webhook refused")]
    assert (told[0], sum(told)) == (1, 11)
    assert len(told) < 11


async def test_what_a_notification_claims_is_not_believed(open_small_stage: OpenStage) -> None:
    """Rightly signed, and wrong: the page is looked at, and nobody has paid."""
    stage = await waiting(await open_small_stage(card=None, webhooks=None))
    page = stage.page | {"status": "complete", "payment_status": "paid"}
    event = {
        "id": "evt_1", "object": "event", "type": "checkout.session.completed", "livemode": False,
        "data": {"object": page},
    }  # fmt: skip
    before = len(stage.calls("GET", "/v1/checkout/sessions/"))

    assert await deliver(stage, event) == 200

    await stage.until(lambda: len(stage.calls("GET", "/v1/checkout/sessions/")) > before)
    await stage.became("checkout")
    assert await stage.balance() == "0.00"


async def test_other_business_with_the_same_stripe_account_is_none_of_ours(stage: Stage) -> None:
    intent = stage.stripe.intents.create({"amount": 700, "currency": "usd", "metadata": {}})
    stage.stripe.intents.confirm(intent["id"], {"payment_method": "pm_card_visa", "return_url": "https://example.com"})
    await stage.stripe.webhooks.settled()
    await stage.wind(minutes=1)

    assert {each.status for each in stage.stripe.webhooks.deliveries} == {200}
    assert await stage.purchases() == []
    assert await stage.balance() == "0.00"


async def test_other_kinds_of_events_are_answered_and_lead_nowhere(stage: Stage) -> None:
    """At Stripe somebody may have chosen more than the README does."""
    await stage.bought("20")
    await stage.stripe.webhooks.settled()
    assert [each.kind for each in stage.stripe.webhooks.deliveries] == ["payment_intent.succeeded"]

    stage.stripe.webhooks.endpoints = [replace(each, kinds=None) for each in stage.stripe.webhooks.endpoints]
    await stage.bought("25")
    await stage.stripe.webhooks.settled()

    others = [each for each in stage.stripe.webhooks.deliveries if each.kind not in KINDS]
    assert len(others) >= 2
    assert {each.status for each in others} == {200}
    assert stage.log.getvalue().count("about nothing that matters here") == len(others)


async def test_both_secrets_are_good_while_one_replaces_the_other(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, stripe_webhook_secret=f"whsec_next, {WEBHOOK_SECRET}")
    await waiting(stage)
    await stage.pay()

    await stage.became("settled")
    assert {each.status for each in stage.stripe.webhooks.deliveries} == {200}


async def test_the_page_that_buyers_come_back_to_settles_too(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, webhooks=None)
    await waiting(stage)
    await stage.pay()

    async with httpx.AsyncClient() as client:
        done = await client.get(f"{stage.bot.server.url}/checkout/done", params={"session_id": stage.page["id"]})

    assert done.status_code == 200
    assert "Thank you" in done.text
    await stage.became("settled")


async def test_coming_back_with_a_made_up_page_does_nothing(open_small_stage: OpenStage) -> None:
    stage = await waiting(await open_small_stage(card=None, webhooks=None))

    async with httpx.AsyncClient() as client:
        for invented in ("cs_test_nobody", "", "'; DROP TABLE purchases", "x" * 5000):
            done = await client.get(f"{stage.bot.server.url}/checkout/done", params={"session_id": invented})
            assert done.status_code < 500

    await stage.became("checkout")


async def test_what_is_told_of_a_purchase_while_it_is_looked_into_is_looked_into_next(stage: Stage) -> None:
    await stage.bought("25")
    await stage.stripe.webhooks.settled()
    stage.bot.clockwork._scheduler.pause()  # no alarm helps
    [paid] = stage.stripe.succeeded_intents()
    with stage.held_up("GET /v1/disputes") as gate:
        stage.stripe.refund(paid["id"], 300)
        await gate.reached.wait()  # by then the refunds are read: there is one
        stage.stripe.refund(paid["id"], 200)
        await stage.stripe.webhooks.settled()

    await stage.said("$5.00 was refunded")


async def test_of_what_is_paid_and_told_stripe_is_asked_nothing_more(open_small_stage: OpenStage) -> None:
    """Stripe's answer to the charge also says that nothing has gone back, and later events would say that it did."""
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.stripe.webhooks.settled()
    asked = stage.calls("GET", "/v1/events")
    await stage.eventually(lambda: len(stage.calls("GET", "/v1/events")) > len(asked) + 1, within=80)
    for event in stage.stripe.state.events:
        assert await deliver(stage, event) == 200
    await stage.calm()

    for kind in ("refunds", "disputes", "payment_intents"):
        assert not stage.calls("GET", f"/v1/{kind}")
