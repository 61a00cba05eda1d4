"""The Stripe gateway through the real SDK, over loopback, to the sandbox's Stripe and all its faults."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.errors import Outage
from bot.money import Usd
from bot.payments import stripe_answers as answers
from bot.payments.gateway import (
    Cancelled,
    Card,
    CheckoutLink,
    CustomerGone,
    Declined,
    Expired,
    ForeignHint,
    Hint,
    NeedsBuyer,
    Open,
    Order,
    Paid,
    Portal,
    Processing,
    Unconfirmed,
)
from bot.payments.stripe_gateway import StripeGateway
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Kind
from bot.sandbox.stripe import Buyer, StripeAccount
from bot.sandbox.stripe.webhooks import sign, thin
from bot.web.server import Server

KEY = "sk_test_verysecret"
SECRET, NEXT_SECRET = "whsec_now", "whsec_soon"
DONE = "https://bot.example/checkout/done"
CREATE, CONFIRM = "POST /v1/payment_intents", "POST /v1/payment_intents/*/confirm"
OPEN_PAGE = "POST /v1/checkout/sessions"


@pytest.fixture
def clock() -> WindableClock:
    return WindableClock()


@pytest.fixture
async def stripe(clock: WindableClock) -> AsyncIterator[StripeAccount]:
    account = StripeAccount(clock)
    server = Server(account.app)
    await server.start()
    account.base_url = server.url
    yield account
    await account.close()
    await server.stop()


@pytest.fixture
async def connect(stripe: StripeAccount) -> AsyncIterator[Callable[..., StripeGateway]]:
    """Makes gateways to this Stripe, with another key or patience where a test asks for it."""
    made: list[StripeGateway] = []

    def connected(**changes: Any) -> StripeGateway:
        usual: dict[str, Any] = {
            "api_key": KEY,
            "api_url": stripe.base_url,
            "webhook_secrets": [SECRET, NEXT_SECRET],
            "done_url": DONE,
            "cancelled_url": "https://bot.example/checkout/cancelled",
        }
        made.append(StripeGateway(**(usual | changes)))
        return made[-1]

    yield connected
    for gateway in made:
        await gateway.aclose()


@pytest.fixture
def gateway(connect: Callable[..., StripeGateway]) -> StripeGateway:
    return connect()


@pytest.fixture
async def order(gateway: StripeGateway, clock: WindableClock) -> Order:
    customer = await gateway.new_customer("acme", "Acme Labs", "T1")
    return Order("pur_1", "acme", customer, Usd.dollars(25), "25 credits for Acme Labs", "T1", "U1", clock.now())


@pytest.fixture
def visa(stripe: StripeAccount, order: Order) -> str:
    return stripe.save_card(order.customer, "visa")


def intents(stripe: StripeAccount, status: str = "") -> list[str]:
    return [item["id"] for item in stripe.state.intents if status in {"", item["status"]}]


# ── customers and cards ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_customer_is_made_once_a_day_whatever_their_name_is_by_now(
    gateway: StripeGateway, stripe: StripeAccount
) -> None:
    first = await gateway.new_customer("acme", "Acme", "T1")
    assert await gateway.new_customer("acme", "Acme Labs", "T1") == first
    assert await gateway.new_customer("globex", "Globex", "T1") != first
    customer = stripe.state.customers.get(first)
    assert customer["name"] == "Acme Labs"
    assert customer["metadata"] == {"account_id": "acme", "slack_team": "T1"}


async def test_a_customer_whose_answer_was_lost_is_the_same_customer(
    gateway: StripeGateway, stripe: StripeAccount
) -> None:
    stripe.faults.arm("POST /v1/customers", Kind.CUT_AFTER)
    with pytest.raises(Outage):
        await gateway.new_customer("acme", "Acme", "T1")
    await gateway.new_customer("acme", "Acme", "T1")
    assert len(stripe.state.customers) == 1


async def test_a_failure_that_stripe_keeps_repeating_does_not_lock_an_account_out_for_a_day(
    gateway: StripeGateway, stripe: StripeAccount
) -> None:
    stripe.faults.arm("POST /v1/customers", Kind.STATUS, stored=True)
    with pytest.raises(Outage):
        await gateway.new_customer("acme", "Acme", "T1")
    second = await gateway.new_customer("acme", "Acme", "T1")
    assert await gateway.new_customer("acme", "Acme", "T1") == second


@pytest.mark.parametrize("how", ["deleted", "never there"])
async def test_a_customer_that_is_gone_is_told_apart_from_silence(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, how: str
) -> None:
    assert await gateway.has_customer(order.customer)
    if how == "deleted":
        stripe.customers.delete(order.customer)
    else:
        order = replace(order, customer="cus_nobody")

    assert not await gateway.has_customer(order.customer)
    assert await gateway.saved_card(order.customer) is None
    for attempt in (0, 1):
        with pytest.raises(CustomerGone, match=order.customer):
            await gateway.prepare(order, attempt)
        with pytest.raises(CustomerGone, match=order.customer):
            await gateway.open_checkout(order, attempt, None)


async def test_a_refusal_of_something_else_says_nothing_of_the_customer(gateway: StripeGateway, order: Order) -> None:
    with pytest.raises(Outage) as refused:
        await gateway.prepare(replace(order, amount=Usd(1)), 0)
    assert not isinstance(refused.value, CustomerGone)


async def test_in_place_of_a_customer_that_is_gone_one_other_is_made(
    gateway: StripeGateway, stripe: StripeAccount
) -> None:
    first = await gateway.new_customer("acme", "Acme", "T1")
    stripe.customers.delete(first)
    second = await gateway.new_customer("acme", "Acme", "T1", instead_of=first)
    assert second != first
    assert await gateway.new_customer("acme", "Acme", "T1", instead_of=first) == second
    assert await gateway.new_customer("acme", "Acme", "T1") == second, "though its key still names the first"
    stripe.customers.delete(second)
    assert await gateway.has_customer(await gateway.new_customer("acme", "Acme", "T1", instead_of=first))


async def test_the_default_card_is_charged_else_the_newest(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    assert await gateway.saved_card(order.customer) is None
    first = stripe.save_card(order.customer, "visa")
    assert await gateway.saved_card(order.customer) == Card(first, "visa", "4242")
    second = stripe.save_card(order.customer, "mastercard")
    assert await gateway.saved_card(order.customer) == Card(second, "mastercard", "4444")
    stripe.customers.update(order.customer, {"invoice_settings": {"default_payment_method": first}})
    assert await gateway.saved_card(order.customer) == Card(first, "visa", "4242")


async def test_a_bank_account_is_no_card_and_a_deleted_customer_has_none(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    stripe.save_card(order.customer, "bank_debit", default=True)
    assert await gateway.saved_card(order.customer) is None
    stripe.customers.delete(order.customer)
    assert await gateway.saved_card(order.customer) is None


# ── making a payment ready ────────────────────────────────────────────────────────────────────────────────────────


async def test_preparing_takes_no_money_and_says_whose_purchase_it_is(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    intent = stripe.state.intents.get(ident)
    assert (intent["amount"], intent["currency"], intent["customer"]) == (2500, "usd", order.customer)
    assert intent["description"] == "25 credits for Acme Labs"
    assert intent["metadata"] == {
        "purchase_id": "pur_1",
        "account_id": "acme",
        "slack_team": "T1",
        "slack_user": "U1",
    }
    assert await gateway.payment(ident) == Unconfirmed(ident)
    assert stripe.charges_made() == []


async def test_one_attempt_is_one_intent(gateway: StripeGateway, stripe: StripeAccount, order: Order) -> None:
    assert await gateway.prepare(order, 0) == await gateway.prepare(order, 0)
    assert len(intents(stripe)) == 1


@pytest.mark.parametrize("hours", [0, 30], ids=["at once", "after Stripe forgot the key"])
async def test_an_intent_whose_answer_was_lost_is_found_again(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order, visa: str, hours: int
) -> None:
    stripe.faults.arm(CREATE, Kind.CUT_AFTER)
    with pytest.raises(Outage):
        await gateway.prepare(order, 0)
    clock.wind(hours=hours)
    assert [await gateway.prepare(order, 1)] == intents(stripe)


@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.STATUS, Kind.RATE_LIMITED, Kind.HTML])
async def test_an_intent_that_was_never_made_is_made_at_the_next_attempt(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str, kind: Kind
) -> None:
    stripe.faults.arm(CREATE, kind, stored=kind is Kind.STATUS)
    with pytest.raises(Outage):
        await gateway.prepare(order, 0)
    assert [await gateway.prepare(order, 1)] == intents(stripe)


async def test_a_paid_intent_is_adopted_and_idle_doubles_are_closed(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    paid = await gateway.prepare(order, 0)
    await gateway.confirm(paid, visa)
    double = stripe.intents.new({"amount": 2500, "currency": "usd", "customer": order.customer} | _ours(order))
    foreign = await gateway.prepare(replace(order, id="pur_2"), 0)

    assert await gateway.prepare(order, 1) == paid
    assert await gateway.payment(double["id"]) == Cancelled()
    assert await gateway.payment(foreign) == Unconfirmed(foreign)


async def test_a_cancelled_intent_is_not_adopted(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    old = await gateway.prepare(order, 0)
    assert await gateway.cancel(old) == Cancelled()
    assert await gateway.prepare(order, 1) != old


async def test_an_intent_is_found_behind_hundreds_of_others(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    first = await gateway.prepare(order, 0)
    for _ in range(230):
        stripe.intents.new({"amount": 100, "currency": "usd", "customer": order.customer})
    assert await gateway.prepare(order, 1) == first


# ── taking the money ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_good_card_pays_once_however_often_it_is_asked(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    paid = await gateway.confirm(ident, visa)
    assert isinstance(paid, Paid)
    assert (paid.intent_id, paid.amount, paid.currency) == (ident, Usd.dollars(25), "usd")
    assert abs(paid.paid_at - clock.now()) < timedelta(seconds=5)
    assert paid.receipt_url == stripe.charges_made()[0]["receipt_url"]

    assert await gateway.confirm(ident, visa) == paid
    assert await gateway.payment(ident) == paid
    assert await gateway.cancel(ident) == paid
    assert len(stripe.charges_made()) == 1


@pytest.mark.parametrize(
    ("card", "outcome"),
    [
        ("declined_later", Declined("generic_decline")),
        ("insufficient_funds", Declined("insufficient_funds")),
        ("lost", Declined("lost_card")),
        ("expired", Declined("expired_card")),
        ("wrong_cvc", Declined("incorrect_cvc")),
        ("processing_error", Declined("processing_error")),
        ("authentication_required", NeedsBuyer()),
        ("three_d_secure_2", NeedsBuyer()),
        ("authentication_once", NeedsBuyer()),
    ],
)
async def test_a_refused_card_is_an_outcome_now_and_later(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, card: str, outcome: object
) -> None:
    method = stripe.save_card(order.customer, card)
    ident = await gateway.prepare(order, 0)
    assert await gateway.confirm(ident, method) == outcome
    assert await gateway.payment(ident) == outcome
    assert await gateway.cancel(ident) == Cancelled()
    assert stripe.charges_made() == []


async def test_a_card_that_is_gone_or_somebody_elses_is_a_decline(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    stripe.customers.detach(visa)
    refused = await gateway.confirm(ident, visa)
    assert refused == Declined("invalid_request")
    assert (refused.request_id or "").startswith("req_")
    assert await gateway.confirm(ident, "pm_never_was") == Declined("resource_missing")
    stranger = await gateway.new_customer("globex", "Globex", "T1")
    assert isinstance(await gateway.confirm(ident, stripe.save_card(stranger, "visa")), Declined)
    assert stripe.charges_made() == []


async def test_a_cancelled_intent_takes_no_money_any_more(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    assert await gateway.cancel(ident) == Cancelled()
    assert await gateway.cancel(ident) == Cancelled()
    assert await gateway.confirm(ident, visa) == Cancelled()
    assert stripe.charges_made() == []


@pytest.mark.parametrize("ok", [True, False])
async def test_a_bank_that_takes_days_is_waited_for(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, ok: bool
) -> None:
    debit = stripe.save_card(order.customer, "bank_debit")
    ident = await gateway.prepare(order, 0)
    assert await gateway.confirm(ident, debit) == Processing(ident)
    assert await gateway.confirm(ident, debit) == Processing(ident)
    assert await gateway.cancel(ident) == Processing(ident)
    stripe.finish_processing(ident, ok=ok)
    late = await gateway.payment(ident)
    assert isinstance(late, Paid) if ok else late == Declined("payment_method_bank_debit_failed")


@pytest.mark.parametrize(
    ("kind", "charged"),
    [
        (Kind.CUT_BEFORE, False),
        (Kind.CUT_AFTER, True),
        (Kind.STATUS, False),
        (Kind.RATE_LIMITED, False),
        (Kind.HTML, False),
    ],
)
async def test_a_lost_confirmation_is_asked_about_and_never_charged_twice(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str, kind: Kind, charged: bool
) -> None:
    ident = await gateway.prepare(order, 0)
    stripe.faults.arm(CONFIRM, kind)
    with pytest.raises(Outage):
        await gateway.confirm(ident, visa)
    assert isinstance(await gateway.payment(ident), Paid if charged else Unconfirmed)
    assert isinstance(await gateway.confirm(ident, visa), Paid)
    assert len(stripe.charges_made()) == 1


async def test_a_stored_failure_does_not_stand_in_the_way_of_the_next_confirmation(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    stripe.faults.arm(CONFIRM, Kind.STATUS, stored=True)
    with pytest.raises(Outage):
        await gateway.confirm(ident, visa)
    assert isinstance(await gateway.confirm(ident, visa), Paid)


async def test_silence_is_given_up_on_and_what_came_of_it_is_seen_later(
    connect: Callable[..., StripeGateway], gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    stripe.faults.arm(CONFIRM, Kind.HANG, seconds=0.6)
    began = time.monotonic()
    with pytest.raises(Outage, match=r"no answer \(TimeoutError\)"):
        await connect(timeout_seconds=0.2).confirm(ident, visa)
    assert time.monotonic() - began < 0.5
    assert isinstance(await gateway.confirm(ident, visa), Paid)
    assert len(stripe.charges_made()) == 1


# ── trouble, whichever call it strikes ────────────────────────────────────────────────────────────────────────────

CALLS: dict[str, Callable[[StripeGateway, Order], Awaitable[object]]] = {
    "new_customer": lambda gateway, _: gateway.new_customer("new", "New", "T1"),
    "has_customer": lambda gateway, order: gateway.has_customer(order.customer),
    "saved_card": lambda gateway, order: gateway.saved_card(order.customer),
    "prepare": lambda gateway, order: gateway.prepare(order, 0),
    "prepare again": lambda gateway, order: gateway.prepare(order, 1),
    "confirm": lambda gateway, _: gateway.confirm("pi_any", "pm_card_visa"),
    "payment": lambda gateway, _: gateway.payment("pi_any"),
    "cancel": lambda gateway, _: gateway.cancel("pi_any"),
    "open_checkout": lambda gateway, order: gateway.open_checkout(order, 0, None),
    "open_checkout again": lambda gateway, order: gateway.open_checkout(order, 1, None),
    "checkout": lambda gateway, _: gateway.checkout("cs_any"),
    "close_checkout": lambda gateway, _: gateway.close_checkout("cs_any"),
    "open_portal": lambda gateway, order: gateway.open_portal(order.customer, Portal.CARD, None),
    "probe_portal": lambda gateway, _: gateway.probe_portal(),
    "reversals": lambda gateway, _: gateway.reversals("pi_any", Usd(2500)),
    "hints": lambda gateway, order: gateway.hints(order.placed_at),
    "probe": lambda gateway, _: gateway.probe(),
}


NONSENSE = [
    *((200, body) for body in ("{}", "[]", "null", "7", '{"object": "list", "data": 5}')),
    *((code, '{"error": {}}') for code in (400, 402, 403, 409, 500)),
    (402, '{"error": "no"}'),
    (402, "null"),
]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_no_trouble_escapes_as_anything_but_an_outage(
    connect: Callable[..., StripeGateway],
    gateway: StripeGateway,
    stripe: StripeAccount,
    order: Order,
    call: Callable[[StripeGateway, Order], Awaitable[object]],
) -> None:
    for kind in (Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.STATUS, Kind.RATE_LIMITED, Kind.HTML):
        stripe.faults.arm("*", kind, None)
        with pytest.raises(Outage):
            await call(gateway, order)
        stripe.faults.disarm()
    for code, body in NONSENSE:
        stripe.faults.arm("*", Kind.STATUS, None, code=code, body=body)
        with pytest.raises(Outage):
            await call(gateway, order)
        stripe.faults.disarm()
    with pytest.raises(Outage, match="the API key is refused") as refused:
        await call(connect(api_key="sk_test_no-such-key"), order)
    assert "no-such-key" not in str(refused.value)


async def test_an_outage_says_which_request_to_ask_stripe_about(gateway: StripeGateway) -> None:
    with pytest.raises(Outage, match="No such payment_intent: 'pi_unknown'") as outage:
        await gateway.payment("pi_unknown")
    assert (outage.value.request_id or "").startswith("req_")


async def test_nobody_at_home_is_an_outage(connect: Callable[..., StripeGateway]) -> None:
    with pytest.raises(Outage, match="no connection"):
        await connect(api_url="http://127.0.0.1:9").payment("pi_any")


@asynccontextmanager
async def somebody(answer: bytes, *, silent: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Who takes every request, says this, and hangs up or falls silent. Their address, and what they were asked."""
    heard: list[bytes] = []
    talks: list[asyncio.Task[None] | None] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        heard.append(await reader.readline())
        while await reader.readline() > b"\r\n":
            pass
        writer.write(answer)
        await writer.drain()
        if silent:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
        async with asyncio.timeout(5):  # nobody keeps a connection whose answer they gave up
            await asyncio.gather(*filter(None, talks))
    finally:
        server.close()


_BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"


@pytest.mark.parametrize("silent", [False, True])
async def test_an_answer_that_breaks_off_is_an_outage(connect: Callable[..., StripeGateway], silent: bool) -> None:
    async with somebody(_BEGUN, silent=silent) as (url, _):
        with pytest.raises(Outage, match="no answer"):
            await connect(api_url=url, timeout_seconds=0.3).payment("pi_any")


async def test_who_no_longer_waits_for_an_answer_hangs_up(connect: Callable[..., StripeGateway]) -> None:
    async with somebody(_BEGUN, silent=True) as (url, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connect(api_url=url).payment("pi_any")


async def test_stripe_is_asked_through_the_proxy_that_the_environment_names(
    connect: Callable[..., StripeGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with somebody(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as (proxy, heard):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "inside.example")
        with pytest.raises(Outage, match="502"):
            await connect(api_url="http://stripe.example").payment("pi_any")
        for direct in ("http://inside.example", "http://127.0.0.1:9", "http://localhost:9"):
            with pytest.raises(Outage, match="no connection"):
                await connect(api_url=direct).payment("pi_any")
    [asked] = heard
    assert asked.startswith(b"GET http://stripe.example/v1/payment_intents/pi_any")


MIXED_UP: dict[str, Callable[[StripeGateway, Order, str, str], Awaitable[object]]] = {
    "GET /v1/customers/*": lambda gateway, order, *_: gateway.saved_card(order.customer),
    "POST /v1/payment_intents": lambda gateway, order, *_: gateway.prepare(replace(order, id="pur_2"), 0),
    "POST /v1/payment_intents/*/confirm": lambda gateway, _, intent, __: gateway.confirm(intent, "pm_card_visa"),
    "GET /v1/payment_intents/*": lambda gateway, _, intent, __: gateway.payment(intent),
    "POST /v1/payment_intents/*/cancel": lambda gateway, _, intent, __: gateway.cancel(intent),
    "POST /v1/checkout/sessions": lambda gateway, order, *_: gateway.open_checkout(replace(order, id="pur_2"), 0, None),
    "GET /v1/checkout/sessions/*": lambda gateway, _, __, page: gateway.checkout(page),
    "POST /v1/checkout/sessions/*/expire": lambda gateway, _, __, page: gateway.close_checkout(page),
}


@pytest.mark.parametrize("request_line", MIXED_UP)
async def test_an_answer_about_something_else_is_no_answer(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str, request_line: str
) -> None:
    """As of a proxy that mixes answers up: Stripe's to another question, with everything in it that is asked for."""
    ident = await gateway.prepare(replace(order, id="pur_9"), 0)
    page = (await gateway.open_checkout(replace(order, id="pur_9"), 0, None)).session_id
    paid = stripe.state.intents.get(await gateway.prepare(order, 0))
    await gateway.confirm(paid["id"], visa)
    other: dict[str, Any] = {
        "customers": await gateway.new_customer("other", "Other", "T1"),
        "payment_intents": paid | {"latest_charge": stripe.charges_made()[0]},
        "checkout": stripe.state.sessions.get((await gateway.open_checkout(order, 0, None)).session_id),
    }
    other["customers"] = stripe.state.customers.get(other["customers"])
    stripe.faults.arm(request_line, Kind.STATUS, code=200, body=other[request_line.split("/")[2]])
    with pytest.raises(Outage, match="it speaks of "):
        await MIXED_UP[request_line](gateway, order, ident, page)


# ── the checkout page ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_page_sells_this_order_and_can_save_the_card(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order
) -> None:
    link = await gateway.open_checkout(order, 0, "da-DK")
    page = stripe.state.sessions.get(link.session_id)
    assert link.url == page["url"]
    assert timedelta(hours=23) < link.expires_at - clock.now() <= timedelta(hours=24)
    assert (page["amount_total"], page["currency"], page["locale"]) == (2500, "usd", "da")
    assert page["client_reference_id"] == "pur_1"
    assert page["metadata"]["purchase_id"] == "pur_1"
    assert page["success_url"] == DONE + "?session_id={CHECKOUT_SESSION_ID}"
    assert await gateway.checkout(link.session_id) == Open()

    payment = await stripe.pay(link.session_id, save=True)
    assert payment.redirect == f"{DONE}?session_id={link.session_id}"
    paid = await gateway.checkout(link.session_id)
    assert isinstance(paid, Paid)
    assert (paid.intent_id, paid.amount) == (payment.intent, Usd.dollars(25))
    assert stripe.state.intents.get(paid.intent_id)["metadata"]["purchase_id"] == "pur_1"
    assert await gateway.saved_card(order.customer) is not None


LOCALES = {
    None: "auto",
    "": "auto",
    "tlh": "auto",
    "en-US": "en",
    "en-GB": "en-GB",
    "pt_BR": "pt-BR",
    "es-LA": "es-419",
    "es_419": "es-419",
    "no": "nb",
    "hi-IN": "hi-IN",
    "zh-TW": "zh-TW",
    "zh-CN": "zh",
}


async def test_the_page_speaks_the_buyers_language_where_stripe_can(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    links = {tag: await gateway.open_checkout(replace(order, id=f"pur_{tag}"), 0, tag) for tag in LOCALES}
    shown = {tag: stripe.state.sessions.get(link.session_id)["locale"] for tag, link in links.items()}
    assert shown == LOCALES


async def test_a_declined_card_leaves_the_page_open_for_another(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    await stripe.pay(link.session_id, "declined")
    assert await gateway.checkout(link.session_id) == Open()
    asked = await stripe.pay(link.session_id, "authentication_required", authenticate=None)
    assert await gateway.checkout(link.session_id) == Open()
    assert await gateway.payment(str(asked.intent)) == NeedsBuyer()
    stripe.authenticate(str(asked.intent))
    assert isinstance(await gateway.checkout(link.session_id), Paid)


@pytest.mark.parametrize("ok", [True, False])
async def test_a_page_paid_by_bank_debit_is_waited_for(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, ok: bool
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    intent = str((await stripe.pay(link.session_id, "bank_debit")).intent)
    assert await gateway.checkout(link.session_id) == Processing(intent)
    assert await gateway.close_checkout(link.session_id) == Processing(intent)
    stripe.finish_processing(intent, ok=ok)
    late = await gateway.checkout(link.session_id)
    assert isinstance(late, Paid) if ok else late == Declined("payment_method_bank_debit_failed")
    assert await gateway.close_checkout(link.session_id) == late


async def test_a_page_closes_by_itself_or_when_told(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order
) -> None:
    told = await gateway.open_checkout(order, 0, None)
    await stripe.pay(told.session_id, "declined")
    assert await gateway.close_checkout(told.session_id) == Expired()
    assert await gateway.close_checkout(told.session_id) == Expired()
    alone = await gateway.open_checkout(replace(order, id="pur_2"), 0, None)
    clock.wind(hours=25)
    assert await gateway.checkout(alone.session_id) == Expired()


async def test_a_page_that_was_paid_cannot_be_closed_any_more(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    await stripe.pay(link.session_id)
    assert isinstance(await gateway.close_checkout(link.session_id), Paid)


async def test_the_intent_of_a_page_is_not_cancelled_behind_its_back(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    intent = str((await stripe.pay(link.session_id, "declined")).intent)
    with pytest.raises(Outage, match="Expire the session instead"):
        await gateway.cancel(intent)


async def test_a_page_whose_answer_was_lost_is_found_again(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order
) -> None:
    stripe.faults.arm(OPEN_PAGE, Kind.CUT_AFTER)
    with pytest.raises(Outage):
        await gateway.open_checkout(order, 0, None)
    again = await gateway.open_checkout(order, 1, None)
    assert await gateway.open_checkout(order, 2, "da") == again
    assert [page["id"] for page in stripe.state.sessions] == [again.session_id]
    clock.wind(hours=25)
    later = await gateway.open_checkout(order, 3, None)
    assert later.session_id != again.session_id
    assert await gateway.checkout(later.session_id) == Open()


async def test_a_page_that_was_paid_meanwhile_is_adopted_and_the_others_are_closed(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    spare = _second_page(stripe, link)
    foreign = await gateway.open_checkout(replace(order, id="pur_2"), 0, None)
    await stripe.pay(link.session_id)

    adopted = await gateway.open_checkout(order, 1, None)
    assert adopted.session_id == link.session_id
    assert adopted.url == f"{DONE}?session_id={link.session_id}"
    assert isinstance(await gateway.checkout(adopted.session_id), Paid)
    assert await gateway.checkout(spare) == Expired()
    assert await gateway.checkout(foreign.session_id) == Open()


async def test_of_two_open_pages_one_stays_open(gateway: StripeGateway, stripe: StripeAccount, order: Order) -> None:
    link = await gateway.open_checkout(order, 0, None)
    spare = _second_page(stripe, link)
    adopted = await gateway.open_checkout(order, 1, None)
    assert adopted.session_id == spare, "the newest"
    assert await gateway.checkout(link.session_id) == Expired()


async def test_a_page_that_is_paid_while_it_is_being_closed_wins(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await gateway.open_checkout(order, 0, None)
    spare = _second_page(stripe, link)
    close = gateway.close_checkout

    async def buyer_is_faster(session_id: str) -> object:
        if session_id == link.session_id:
            await stripe.pay(session_id)
        return await close(session_id)

    monkeypatch.setattr(gateway, "close_checkout", buyer_is_faster)
    assert (await gateway.open_checkout(order, 1, None)).session_id == link.session_id
    assert await gateway.checkout(spare) == Expired()
    assert len(stripe.charges_made()) == 1


# ── taxes and papers ──────────────────────────────────────────────────────────────────────────────────────────────

DANE = Buyer("Acme ApS", "Nygade 1", "1164", "København", "DK", fields={"purchaseorder": "PO-7"})


async def test_a_page_collects_what_an_invoice_needs_and_the_invoice_is_the_receipt(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    link = await gateway.open_checkout(replace(order, reference_label="Ordrenummer"), 0, "da-DK")
    await stripe.pay(link.session_id, buyer=replace(DANE, tax_id="DK12345678"))

    paid = await gateway.checkout(link.session_id)
    [invoice] = stripe.state.invoices
    assert isinstance(paid, Paid)
    assert (paid.amount, paid.receipt_url) == (order.amount, invoice["hosted_invoice_url"])
    assert (invoice["total"], invoice["customer_name"]) == (2500, "Acme ApS")
    assert invoice["customer_tax_ids"] == [{"type": "eu_vat", "value": "DK12345678"}]
    assert stripe.state.customers.get(order.customer)["address"]["city"] == "København"
    [field] = stripe.state.sessions.get(link.session_id)["custom_fields"]
    assert (field["label"]["custom"], field["text"]["value"]) == ("Ordrenummer", "PO-7")


async def test_money_does_not_wait_for_an_invoice_that_the_key_may_not_read(
    connect: Callable[..., StripeGateway], stripe: StripeAccount, order: Order
) -> None:
    gateway = connect(api_key="rk_test_restricted")
    stripe.api.denied.append("GET /v1/invoices/*")
    link = await gateway.open_checkout(order, 0, None)
    await stripe.pay(link.session_id)

    paid = await gateway.checkout(link.session_id)
    assert isinstance(paid, Paid)
    assert paid.receipt_url == stripe.charges_made()[0]["receipt_url"]


async def test_tax_is_paid_on_top_and_is_no_part_of_what_was_bought(
    connect: Callable[..., StripeGateway], stripe: StripeAccount, order: Order, visa: str
) -> None:
    gateway = connect(automatic_tax=True)
    assert await gateway.saved_card(order.customer) is None, "only the page knows where the buyer is"
    link = await gateway.open_checkout(order, 0, None)
    payment = await stripe.pay(link.session_id, buyer=DANE)

    assert [charge["amount"] for charge in stripe.charges_made()] == [3125]
    paid = await gateway.checkout(link.session_id)
    assert isinstance(paid, Paid)
    assert paid.amount == order.amount

    for part in (1, 1042, 333):
        stripe.refund(str(payment.intent), part)
    gone = [each.amount.cents for each in await gateway.reversals(str(payment.intent), order.amount)]
    assert gone == [0, 834, 266]
    stripe.refund(str(payment.intent))
    gone = [each.amount.cents for each in await gateway.reversals(str(payment.intent), order.amount)]
    assert sum(gone) == 2500, "all of the payment is all that was bought"


async def test_an_account_that_adds_taxes_by_itself_does_not_add_them_here(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    await gateway.open_checkout(order, 0, None)
    assert stripe.calls[-1].params["automatic_tax"] == {"enabled": "false"}


# ── what customers look after by themselves ───────────────────────────────────────────────────────────────────────


async def test_the_portal_is_a_page_for_one_customer_in_their_language(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    card = await gateway.open_portal(order.customer, Portal.CARD, "da-DK")
    invoices = await gateway.open_portal(order.customer, Portal.INVOICES, None)
    newest, first = stripe.state.portals.newest_first()
    assert (card, invoices) == (first["url"], newest["url"])
    assert (first["customer"], first["locale"], first["flow"]["type"]) == (
        order.customer,
        "da",
        "payment_method_update",
    )
    assert newest["flow"] is None

    stripe.customers.delete(order.customer)
    with pytest.raises(CustomerGone):
        await gateway.open_portal(order.customer, Portal.CARD, None)


async def test_a_portal_that_nobody_set_up_is_told_apart(
    gateway: StripeGateway, stripe: StripeAccount, order: Order
) -> None:
    assert await gateway.probe_portal()
    stripe.portal.configured = False
    assert not await gateway.probe_portal()
    with pytest.raises(Outage, match="saving your customer portal settings"):
        await gateway.open_portal(order.customer, Portal.CARD, None)


# ── what happened afterwards ──────────────────────────────────────────────────────────────────────────────────────


async def test_refunds_and_disputes_are_told_as_they_now_stand(
    gateway: StripeGateway, stripe: StripeAccount, order: Order, visa: str
) -> None:
    ident = await gateway.prepare(order, 0)
    await gateway.confirm(ident, visa)
    assert await gateway.reversals(ident, order.amount) == []

    part, failed = stripe.refund(ident, 500), stripe.refund(ident, 300)
    stripe.fail_refund(failed["id"])
    dispute = stripe.dispute(ident)
    found = {each.id: each for each in await gateway.reversals(ident, order.amount)}
    assert (found[part["id"]].kind, found[part["id"]].amount, found[part["id"]].open) == ("refund", Usd(500), False)
    assert found[failed["id"]].amount == Usd(0)
    assert (found[dispute["id"]].kind, found[dispute["id"]].amount) == ("dispute", Usd(2000))
    assert found[dispute["id"]].open

    stripe.close_dispute(dispute["id"], won=True)
    won = {each.id: each for each in await gateway.reversals(ident, order.amount)}[dispute["id"]]
    assert (won.amount, won.open) == (Usd(0), False)


@pytest.mark.parametrize(
    ("status", "cents", "undecided"),
    [
        ("needs_response", 700, True),
        ("under_review", 700, True),
        ("appeal_needs_response", 700, True),
        ("appeal_under_review", 700, True),
        ("lost", 700, False),
        ("won", 0, False),
        ("prevented", 0, False),
        ("warning_needs_response", 0, False),
        ("warning_under_review", 0, False),
        ("warning_closed", 0, False),
    ],
)
def test_what_a_dispute_holds_depends_on_its_status(status: str, cents: int, undecided: bool) -> None:
    read = answers.dispute({"id": "du_1", "amount": 700, "currency": "usd", "status": status, "created": 1})
    assert (read.amount, read.open) == (Usd(cents), undecided)


def test_what_a_bank_holds_in_another_currency_is_not_guessed() -> None:
    dispute = {"id": "du_1", "amount": 700, "currency": "dkk", "status": "lost", "created": 1}
    with pytest.raises(ValueError, match="a dispute in 'dkk'"):
        answers.dispute(dispute)
    assert answers.dispute(dispute | {"status": "won"}).amount == Usd(0)


@pytest.mark.parametrize(
    ("status", "cents"),
    [("succeeded", 700), ("pending", 700), ("requires_action", 700), ("failed", 0), ("canceled", 0)],
)
def test_a_refund_counts_until_it_fails(status: str, cents: int) -> None:
    assert answers.refund({"id": "re_1", "amount": 700, "status": status, "created": 1}).amount == Usd(cents)


@pytest.mark.parametrize("read", [answers.refund, answers.dispute])
def test_a_status_that_nobody_knows_is_not_guessed(read: Callable[[answers.JsonObject], object]) -> None:
    with pytest.raises(ValueError, match="unknown status 'new'"):
        read({"id": "x", "amount": 700, "status": "new", "created": 1})


async def test_events_tell_oldest_first_what_to_look_into(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order, visa: str
) -> None:
    clock.wind(minutes=5)
    since = clock.now()
    ident = await gateway.prepare(order, 0)
    await gateway.confirm(ident, visa)
    link = await gateway.open_checkout(replace(order, id="pur_2"), 0, None)
    paid = await stripe.pay(link.session_id)
    stripe.refund(ident)

    told = [(hint.kind, hint.purchase_id, hint.intent_id, hint.session_id) for hint in await gateway.hints(since)]
    assert told == [
        ("payment_intent.succeeded", "pur_1", ident, None),
        ("payment_intent.succeeded", "pur_2", paid.intent, None),
        ("checkout.session.completed", "pur_2", paid.intent, link.session_id),
        ("refund.created", None, ident, None),
        ("charge.refunded", "pur_1", ident, None),
    ]
    clock.wind(minutes=5)
    assert await gateway.hints(clock.now()) == []


async def test_hundreds_of_events_are_all_told(
    gateway: StripeGateway, stripe: StripeAccount, clock: WindableClock, order: Order
) -> None:
    for _ in range(230):
        intent = stripe.intents.new({"amount": 100, "currency": "usd", "customer": order.customer})
        stripe.intents.call_off(intent, None)
    hints = await gateway.hints(order.placed_at)
    assert [hint.intent_id for hint in hints] == intents(stripe)


# ── webhooks ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def offline() -> StripeGateway:
    """Webhooks are read without asking anybody."""
    return StripeGateway(
        api_key=KEY,
        api_url="http://127.0.0.1:9",
        webhook_secrets=[SECRET, NEXT_SECRET],
        done_url=DONE,
        cancelled_url=DONE,
    )


@pytest.fixture
async def event(gateway: StripeGateway, stripe: StripeAccount, order: Order) -> dict[str, Any]:
    """The completion of a checkout page."""
    link = await gateway.open_checkout(order, 0, None)
    await stripe.pay(link.session_id)
    return stripe.state.recent_events()[0]


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
async def test_both_kinds_of_webhooks_are_read_with_either_secret(
    gateway: StripeGateway, event: dict[str, Any], secret: str
) -> None:
    item = event["data"]["object"]
    assert _deliver(gateway, event, secret) == Hint(
        event["id"], "checkout.session.completed", "pur_1", item["payment_intent"], item["id"]
    )
    small = thin(event)
    assert _deliver(gateway, small, secret) == Hint(small["id"], "checkout.session.completed", session_id=item["id"])


BESIDE_THE_POINT = ("customer.", "payment_method.", "invoice.", "payment_intent.created", "charge.succeeded")


async def test_every_event_of_a_whole_story_can_be_read(
    gateway: StripeGateway, stripe: StripeAccount, event: dict[str, Any]
) -> None:
    intent = event["data"]["object"]["payment_intent"]
    stripe.refund(intent, 100)
    stripe.close_dispute(stripe.dispute(intent)["id"], won=False)
    for each in stripe.state.recent_events():
        whole, small = _deliver(gateway, each, SECRET), _deliver(gateway, thin(each), SECRET)
        assert whole.kind == small.kind == each["type"]
        assert bool(whole) is not each["type"].startswith(BESIDE_THE_POINT), each["type"]
        assert whole.reversal is each["type"].startswith(("charge.refund", "refund.", "charge.dispute.")), each["type"]


BODY = b'{"object": "event"}'


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "t=",
        "t=,v1=",
        "v1=00",
        "t=now,v1=00",
        "t=1",
        "=,=,=",
        "t=99999999999999999999999999,v1=00",
        f"t={int(time.time())}",
        f"t={int(time.time())},v1=",
        f"t={int(time.time())},v1=é",
        f"t={int(time.time())},v1=\udc80",
        f"t={int(time.time())},v0=00,v1",
        f"t={int(time.time())},{sign(BODY.decode(), SECRET)}",
        "t=\u0661,v1=00",
        sign(BODY.decode(), "whsec_forged"),
        sign(BODY.decode(), ""),
        sign(BODY.decode() + " ", SECRET),
        sign(BODY.decode(), SECRET).replace("v1=", "v0="),
        sign(BODY.decode(), SECRET, int(time.time()) - 301),
        sign(BODY.decode(), SECRET, int(time.time()) + 400),
    ],
    ids=itertools.count(),  # names with the time in them would differ from process to process
)
def test_a_signature_that_is_wrong_in_any_way_is_foreign(offline: StripeGateway, signature: str) -> None:
    with pytest.raises(ForeignHint):
        offline.read_webhook(BODY, signature)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "7",
        "{}",
        "{",
        '"event"',
        "[" * 100_000,
        '{"livemode": false}',
        '{"livemode": false, "object": "event", "id": "evt_1", "type": "x"}',
        '{"livemode": false, "object": "event", "id": "evt_1", "type": "x", "data": {"object": []}}',
        '{"livemode": false, "object": "v2.core.event", "id": "evt_1", "type": "x", "related_object": null}',
    ],
)
def test_a_signed_body_that_is_no_event_is_foreign(offline: StripeGateway, body: str) -> None:
    with pytest.raises(ForeignHint):
        offline.read_webhook(body.encode(), sign(body, SECRET))


def test_bytes_that_are_no_text_are_foreign(offline: StripeGateway) -> None:
    with pytest.raises(ForeignHint):
        offline.read_webhook(b"\xff\xfe{}", sign("{}", SECRET))


async def test_a_webhook_of_the_other_mode_or_of_another_account_is_foreign(
    connect: Callable[..., StripeGateway], gateway: StripeGateway, event: dict[str, Any]
) -> None:
    for changes in ({"livemode": True}, {"livemode": None}, {"account": "acct_other"}):
        with pytest.raises(ForeignHint):
            _deliver(gateway, event | changes, SECRET)
    live = connect(api_key="rk_live_secret")
    with pytest.raises(ForeignHint):
        _deliver(live, event, SECRET)
    assert _deliver(live, event | {"livemode": True}, SECRET)


async def test_without_a_secret_every_webhook_is_foreign(
    connect: Callable[..., StripeGateway], event: dict[str, Any]
) -> None:
    for secrets in ([], [""]):
        with pytest.raises(ForeignHint):
            _deliver(connect(webhook_secrets=secrets), event, "")


# ── for the doctor ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_doctor_learns_mode_and_account(
    connect: Callable[..., StripeGateway], stripe: StripeAccount, gateway: StripeGateway
) -> None:
    assert await gateway.probe() == {"mode": "test", "account": "acct_sandbox"}
    restricted = connect(api_key="rk_test_narrow")
    stripe.api.denied.append("GET /v1/account")
    assert await restricted.probe() == {"mode": "test", "account": "not shown to this key"}
    stripe.api.denied.append("GET /v1/balance")
    with pytest.raises(Outage, match="the API key lacks the permission"):
        await restricted.probe()


@pytest.mark.parametrize("what", ["payment_intents", "checkout/sessions", "charges", "refunds", "disputes", "events"])
async def test_the_doctor_learns_of_each_right_that_the_key_lacks(
    connect: Callable[..., StripeGateway], stripe: StripeAccount, what: str
) -> None:
    stripe.api.denied.append(f"GET /v1/{what}")
    with pytest.raises(Outage, match="the API key lacks the permission"):
        await connect(api_key="rk_test_narrow").probe()


async def test_the_missing_permission_is_named(gateway: StripeGateway, stripe: StripeAccount) -> None:
    message = "The provided key 'rk_test_*' lacks access. Having the 'rak_balance_read' permission would allow it."
    body = {"error": {"type": "invalid_request_error", "message": message}}
    stripe.faults.arm("GET /v1/balance", Kind.STATUS, code=403, body=body)
    with pytest.raises(Outage, match="rak_balance_read") as outage:
        await gateway.probe()
    assert "rk_test" not in str(outage.value)


def _ours(order: Order) -> dict[str, Any]:
    return {"metadata": {"purchase_id": order.id}}


def _second_page(stripe: StripeAccount, link: CheckoutLink) -> str:
    """Another open page for the same order, as a forgotten key could leave behind."""
    created = next(call for call in stripe.calls if f"{call.method} {call.path}" == OPEN_PAGE)
    asked = created.params | {"line_items": [{"price_data": _price(created.params), "quantity": 1}]}
    return str(stripe.checkout.create(asked)["id"])


def _price(params: dict[str, Any]) -> dict[str, Any]:
    price: dict[str, Any] = params["line_items"][0]["price_data"]
    return price | {"unit_amount": int(price["unit_amount"])}


def _deliver(gateway: StripeGateway, event: dict[str, Any], secret: str) -> Hint:
    body = json.dumps(event)
    return gateway.read_webhook(body.encode(), sign(body, secret))
