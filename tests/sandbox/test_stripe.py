"""The sandbox's Stripe, asked by the real SDK over loopback."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stripe import params as sdk
from stripe.params import billing_portal, checkout

from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Kind
from bot.sandbox.stripe import Buyer, Endpoint, Outcome, StripeAccount, specs
from bot.sandbox.stripe.cards import CARDS
from bot.sandbox.stripe.params import Hash, Many
from bot.web.server import Server

stripe.enable_telemetry = False

SECRET = "whsec_sandbox"
BACK = "https://bot.example/back"
CONFIRM = "POST /v1/payment_intents/*/confirm"


class Shop:
    """A served Stripe, a clock to wind, and the SDK that talks to it."""

    def __init__(self, account: StripeAccount, clock: WindableClock, client: stripe.StripeClient) -> None:
        self.stripe = account
        self.clock = clock
        self.client = client
        self.v1 = client.v1

    async def customer(self) -> str:
        made = await self.v1.customers.create_async({"email": "ann@acme.example", "name": "Ann"})
        return made.id

    async def intent(self, customer: str, amount: int = 2500, /, *, key: str = "", **more: Any) -> stripe.PaymentIntent:
        asked: Any = {"amount": amount, "currency": "usd", "customer": customer} | more
        return await self.v1.payment_intents.create_async(asked, {"idempotency_key": key} if key else {})

    async def confirm(self, intent: str, method: str, key: str = "", **more: Any) -> stripe.PaymentIntent:
        asked: Any = {"payment_method": method, "off_session": True, "return_url": BACK} | more
        return await self.v1.payment_intents.confirm_async(intent, asked, {"idempotency_key": key} if key else {})

    async def session(self, customer: str, amount: int = 2500, /, **more: Any) -> stripe.checkout.Session:
        asked: Any = {
            "mode": "payment",
            "customer": customer,
            "line_items": [
                {
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": amount,
                        "product_data": {"name": "AI credits", "description": "25.00 credits"},
                    },
                    "quantity": 1,
                }
            ],
            "client_reference_id": "pur_1",
            "metadata": {"purchase_id": "pur_1"},
            "payment_intent_data": {"metadata": {"purchase_id": "pur_1"}, "description": "25 credits"},
            "saved_payment_method_options": {"payment_method_save": "enabled"},
            "success_url": "https://bot.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://bot.example/cancelled",
        } | more
        return await self.v1.checkout.sessions.create_async(asked)

    async def saved(self, customer: str) -> list[stripe.PaymentMethod]:
        return (await self.v1.customers.payment_methods.list_async(customer, {"type": "card"})).data

    async def kinds(self) -> list[str]:
        """Types of all events, oldest first."""
        return [event.type for event in reversed((await self.v1.events.list_async({"limit": 100})).data)]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    clock = WindableClock()
    account = StripeAccount(clock)
    server = Server(account.app)
    await server.start()
    account.base_url = server.url
    client = sdk_client(server.url)
    try:
        yield Shop(account, clock, client)
    finally:
        await account.close()
        await server.stop()


def sdk_client(url: str, key: str = "rk_test_sandbox", retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(
        key, base_addresses={"api": url}, http_client=stripe.HTTPXClient(), max_network_retries=retries
    )


@contextlib.contextmanager
def refused(kind: type[stripe.StripeError], code: str | None = None) -> Iterator[pytest.ExceptionInfo[Any]]:
    with pytest.raises(kind) as caught:
        yield caught
    if code is not None:
        assert caught.value.error is not None
        assert caught.value.error.to_dict().get("code") == code, caught.value


# Paying off session


async def test_an_intent_is_created_then_confirmed_and_money_moves_once(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    intent = await shop.intent(ann, metadata={"purchase_id": "pur_1"})
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", None)

    paid = await shop.confirm(intent.id, card, expand=["latest_charge.refunds"])

    assert (paid.status, paid.amount_received, paid.metadata["purchase_id"]) == ("succeeded", 2500, "pur_1")
    charge: Any = paid.latest_charge
    assert charge.payment_method_details.card.to_dict()["brand"] == "visa"
    assert charge.payment_method_details.card.last4 == "4242"
    assert charge.receipt_url.startswith(shop.stripe.base_url)
    assert (charge.disputed, charge.amount_refunded, charge.refunds.data) == (False, 0, [])
    assert len(shop.stripe.charges_made()) == 1
    with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state") as error:
        await shop.confirm(intent.id, card)
    assert error.value.error.payment_intent.status == "succeeded"
    with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
        await shop.v1.payment_intents.cancel_async(intent.id)
    assert len(shop.stripe.charges_made()) == len(shop.stripe.succeeded_intents()) == 1


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("declined", "card_declined", "generic_decline"),
        ("insufficient_funds", "card_declined", "insufficient_funds"),
        ("expired", "expired_card", None),
        ("wrong_cvc", "incorrect_cvc", None),
        ("processing_error", "processing_error", None),
        ("authentication_required", "authentication_required", "authentication_required"),
        ("three_d_secure_2", "authentication_required", "authentication_required"),
        ("authentication_once", "authentication_required", "authentication_required"),
    ],
)
async def test_a_refused_card_is_a_402_with_the_intent_inside(
    shop: Shop, card: str, code: str, decline_code: str | None
) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)

    with refused(stripe.CardError, code) as error:
        await shop.confirm(intent.id, shop.stripe.save_card(ann, card))

    assert error.value.http_status == 402
    details = error.value.error.to_dict()
    assert details.get("decline_code") == decline_code
    assert details["payment_intent"]["id"] == intent.id
    assert details["payment_intent"]["status"] == "requires_payment_method"
    assert details["payment_intent"]["last_payment_error"]["code"] == code
    assert shop.stripe.charges_made() == []
    assert (await shop.v1.charges.retrieve_async(details["charge"])).failure_code == code


async def test_after_a_decline_the_same_intent_can_be_paid_with_another_card(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    with refused(stripe.CardError):
        await shop.confirm(intent.id, shop.stripe.save_card(ann, "declined"))

    assert (await shop.confirm(intent.id, shop.stripe.save_card(ann))).status == "succeeded"
    assert len(shop.stripe.charges_made()) == 1


async def test_a_buyer_who_is_there_is_asked_by_the_bank(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann, "authentication_required")
    intent = await shop.intent(ann)

    asked = await shop.confirm(intent.id, card, off_session=False)

    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    page = str(asked.next_action.redirect_to_url.url)
    async with httpx.AsyncClient() as browser:
        assert "Is it you?" in (await browser.get(page)).text
        back = await browser.post(page, data={"answer": "complete"})
    assert back.headers["location"].startswith(f"{BACK}?payment_intent={intent.id}")
    assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"


async def test_a_bank_that_does_not_recognise_the_buyer_leaves_nothing_paid(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    await shop.confirm(intent.id, shop.stripe.save_card(ann, "authentication_required"), off_session=False)

    shop.stripe.authenticate(intent.id, ok=False)

    failed = await shop.v1.payment_intents.retrieve_async(intent.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"


async def test_a_cancelled_intent_stays_cancelled(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)

    cancelled = await shop.v1.payment_intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})

    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
    for _ in range(2):
        with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
            await shop.confirm(intent.id, shop.stripe.save_card(ann))
    with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
        await shop.v1.payment_intents.cancel_async(intent.id)


async def test_a_bank_debit_takes_its_time_and_may_fail_in_the_end(shop: Shop) -> None:
    ann = await shop.customer()
    account = shop.stripe.save_card(ann, "bank_debit")
    first, second = await shop.intent(ann), await shop.intent(ann)
    for intent in (first, second):
        assert (await shop.confirm(intent.id, account)).status == "processing"
        with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
            await shop.v1.payment_intents.cancel_async(intent.id)
        with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
            await shop.confirm(intent.id, account)
    assert shop.stripe.charges_made() == []

    shop.stripe.finish_processing(first.id)
    shop.stripe.finish_processing(second.id, ok=False)

    assert (await shop.v1.payment_intents.retrieve_async(first.id)).status == "succeeded"
    assert (await shop.v1.payment_intents.retrieve_async(second.id)).status == "requires_payment_method"
    assert [charge["payment_intent"] for charge in shop.stripe.charges_made()] == [first.id]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 49}, "amount_too_small"),
        ({"amount": 100_000_000}, "amount_too_large"),
        ({"amount": 0}, "parameter_invalid_integer"),
        ({"amount": "12.5"}, "parameter_invalid_integer"),
        ({"currency": "xyz"}, None),
        ({"customer": "cus_nobody"}, "resource_missing"),
        ({"payment_method": "pm_nothing"}, "resource_missing"),
        ({"payment_method_types": ["card"]}, "parameter_unknown"),
        ({"ammount": 5}, "parameter_unknown"),
        ({"automatic_payment_methods": {"enabledd": True}}, "parameter_unknown"),
        ({"automatic_payment_methods": {"allow_redirects": "never"}}, "parameter_missing"),
        ({"customer": ""}, "parameter_invalid_empty"),
        ({"receipt_email": "ann"}, "email_invalid"),
        ({"off_session": True}, None),
        ({"metadata": {"k": "v" * 501}}, None),
    ],
)
async def test_an_intent_that_stripe_would_refuse_is_refused(
    shop: Shop, change: dict[str, Any], code: str | None
) -> None:
    ann = await shop.customer()
    with refused(stripe.InvalidRequestError, code):
        await shop.intent(ann, **change)
    assert len(shop.stripe.state.intents) == 0


async def test_an_intent_can_be_changed_until_it_is_paid(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    intent = await shop.intent(ann, metadata={"a": "1"})
    asked: Any = {"amount": 3000, "payment_method": card, "metadata": {"b": "2"}}
    changed = await shop.v1.payment_intents.update_async(intent.id, asked)
    assert (changed.status, changed.amount) == ("requires_confirmation", 3000)
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}

    paid = await shop.v1.payment_intents.confirm_async(intent.id, {"return_url": BACK})
    assert paid.amount_received == 3000
    with refused(stripe.InvalidRequestError, "payment_intent_unexpected_state"):
        await shop.v1.payment_intents.update_async(intent.id, {"amount": 1000})
    await shop.v1.payment_intents.update_async(intent.id, {"metadata": {"c": "3"}})


async def test_one_call_may_create_and_confirm(shop: Shop) -> None:
    ann = await shop.customer()
    more: Any = {"confirm": True, "off_session": True, "return_url": BACK}
    paid = await shop.intent(ann, payment_method=shop.stripe.save_card(ann), **more)
    assert paid.status == "succeeded"
    with refused(stripe.CardError, "authentication_required"):
        await shop.intent(ann, payment_method=shop.stripe.save_card(ann, "authentication_required"), **more)
    assert [intent["status"] for intent in shop.stripe.state.intents] == ["succeeded", "requires_payment_method"]


async def test_redirecting_ways_to_pay_need_an_address_to_come_back_to(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    with refused(stripe.InvalidRequestError) as error:
        await shop.v1.payment_intents.confirm_async((await shop.intent(ann)).id, {"payment_method": card})
    assert "return_url" in str(error.value)

    for more in (
        {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}},
        {"allowed_payment_method_types": ["card"]},
    ):
        intent = await shop.intent(ann, **more)
        asked: Any = {"payment_method": card, "off_session": True}
        assert (await shop.v1.payment_intents.confirm_async(intent.id, asked)).status == "succeeded"


# Cards


async def test_cards_belong_to_customers(shop: Shop) -> None:
    ann, bob = await shop.customer(), await shop.customer()
    attached = await shop.v1.payment_methods.attach_async("pm_card_visa", {"customer": ann})
    assert [method.id for method in await shop.saved(ann)] == [attached.id]
    assert await shop.saved(bob) == []

    with refused(stripe.InvalidRequestError):
        await shop.confirm((await shop.intent(bob)).id, attached.id)
    with refused(stripe.CardError, "card_declined"):
        await shop.v1.payment_methods.attach_async("pm_card_chargeDeclined", {"customer": ann})

    await shop.v1.payment_methods.detach_async(attached.id)
    assert await shop.saved(ann) == []
    with refused(stripe.InvalidRequestError):
        await shop.confirm((await shop.intent(ann)).id, attached.id)


async def test_a_default_card_is_remembered_and_forgotten_with_the_card(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann, default=True)
    asked: Any = {"expand": ["invoice_settings.default_payment_method"]}
    customer = await shop.v1.customers.retrieve_async(ann, asked)
    assert customer.invoice_settings is not None
    default: Any = customer.invoice_settings.default_payment_method
    assert default.card.last4 == "4242"

    await shop.v1.payment_methods.detach_async(card)
    customer = await shop.v1.customers.retrieve_async(ann)
    assert customer.invoice_settings is not None
    assert customer.invoice_settings.default_payment_method is None


async def test_a_deleted_customer_can_be_read_but_not_used(shop: Shop) -> None:
    ann = await shop.customer()
    await shop.v1.customers.delete_async(ann)

    assert (await shop.v1.customers.retrieve_async(ann)).deleted is True
    with refused(stripe.InvalidRequestError, "resource_missing"):
        await shop.intent(ann)
    assert (await shop.v1.customers.list_async({"email": "ann@acme.example"})).data == []


async def test_only_test_cards_are_taken(shop: Shop) -> None:
    asked: Any = {"type": "card", "card": {"number": "4111111111111111", "exp_month": 1, "exp_year": 2040, "cvc": "1"}}
    with refused(stripe.CardError, "card_declined"):
        await shop.v1.payment_methods.create_async(asked)
    asked["card"]["number"] = "4000002500003155"
    assert (await shop.v1.payment_methods.create_async(asked)).type == "card"


async def test_a_customer_who_is_gone_cannot_pay(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann)
    await shop.v1.customers.delete_async(ann)
    assert (await shop.stripe.pay(session.id, save=True)).outcome is Outcome.DECLINED


async def test_metadata_is_merged_and_unset_by_empty_values(shop: Shop) -> None:
    ann = await shop.customer()
    await shop.v1.customers.update_async(ann, {"metadata": {"a": "1", "b": "2"}})
    changed = await shop.v1.customers.update_async(ann, {"metadata": {"a": "", "c": "3", "2026": "4"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"b": "2", "c": "3", "2026": "4"}


# Idempotency


async def test_the_same_key_gives_the_same_answer(shop: Shop) -> None:
    ann = await shop.customer()
    first = await shop.intent(ann, key="pur_1")
    again = await shop.intent(ann, key="pur_1")

    assert first.id == again.id
    assert len(shop.stripe.state.intents) == 1
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert [call.replayed for call in shop.stripe.calls if call.path == "/v1/payment_intents"] == [False, True]


async def test_many_at_once_charge_once(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    first = await shop.intent(ann)
    answers = await asyncio.gather(*(shop.confirm(first.id, card, key="c1") for _ in range(8)))
    assert {answer.status for answer in answers} == {"succeeded"}

    second = await shop.intent(ann)
    outcomes = await asyncio.gather(*(shop.confirm(second.id, card) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, stripe.InvalidRequestError) for outcome in outcomes) == 7
    assert len(shop.stripe.charges_made()) == 2


async def test_the_same_key_with_other_parameters_is_an_error(shop: Shop) -> None:
    ann = await shop.customer()
    await shop.intent(ann, key="pur_1")
    with refused(stripe.IdempotencyError) as error:
        await shop.intent(ann, 9900, key="pur_1")
    assert error.value.http_status == 400
    with refused(stripe.IdempotencyError):
        await shop.v1.customers.create_async({}, {"idempotency_key": "pur_1"})
    assert len(shop.stripe.state.intents) == 1


async def test_a_decline_is_replayed_even_when_the_card_would_work_by_now(shop: Shop) -> None:
    ann = await shop.customer()
    bad = shop.stripe.save_card(ann, "declined")
    intent = await shop.intent(ann)
    for _ in range(2):
        with refused(stripe.CardError, "card_declined"):
            await shop.confirm(intent.id, bad, key="c1")
    assert len(shop.stripe.state.charges) == 1


async def test_a_request_with_wrong_parameters_leaves_its_key_free(shop: Shop) -> None:
    ann = await shop.customer()
    with refused(stripe.InvalidRequestError, "parameter_unknown"):
        await shop.intent(ann, key="pur_1", colour="red")
    assert (await shop.intent(ann, key="pur_1")).amount == 2500


async def test_a_key_in_flight_is_a_conflict(shop: Shop) -> None:
    ann = await shop.customer()
    shop.stripe.faults.arm("POST /v1/payment_intents", Kind.HANG, seconds=0.3)
    first = asyncio.create_task(shop.intent(ann, key="pur_1"))
    await asyncio.sleep(0.1)
    with refused(stripe.APIError, "idempotency_key_in_use") as error:
        await shop.intent(ann, key="pur_1")
    assert error.value.http_status == 409

    assert (await first).id == (await shop.intent(ann, key="pur_1")).id


async def test_a_stored_500_is_replayed_and_another_key_works(shop: Shop) -> None:
    ann = await shop.customer()
    shop.stripe.faults.arm("POST /v1/payment_intents", Kind.STATUS, code=500, stored=True)
    for _ in range(3):
        with refused(stripe.APIError) as error:
            await shop.intent(ann, key="pur_1")
        assert error.value.http_status == 500
    assert len(shop.stripe.faults.hits) == 1
    assert (await shop.intent(ann, key="pur_1b")).status == "requires_payment_method"


async def test_keys_are_forgotten_after_a_day(shop: Shop) -> None:
    ann = await shop.customer()
    first = await shop.intent(ann, key="pur_1")
    shop.clock.wind(hours=23, minutes=59)
    assert (await shop.intent(ann, key="pur_1")).id == first.id
    shop.clock.wind(minutes=2)
    assert (await shop.intent(ann, key="pur_1")).id != first.id


# Faults


async def test_a_connection_cut_before_the_work_leaves_nothing_behind(shop: Shop) -> None:
    ann = await shop.customer()
    shop.stripe.faults.arm("POST /v1/payment_intents", Kind.CUT_BEFORE)
    with refused(stripe.APIConnectionError):
        await shop.intent(ann, key="pur_1")
    assert len(shop.stripe.state.intents) == 0
    await shop.intent(ann, key="pur_1")


async def test_a_connection_cut_after_the_work_leaves_the_charge(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    intent = await shop.intent(ann)
    shop.stripe.faults.arm(CONFIRM, Kind.CUT_AFTER)
    with refused(stripe.APIConnectionError):
        await shop.confirm(intent.id, card, key="c1")
    assert len(shop.stripe.charges_made()) == 1

    again = await shop.confirm(intent.id, card, key="c1")
    assert again.status == "succeeded"
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert len(shop.stripe.charges_made()) == 1


async def test_the_sdk_itself_survives_a_lost_answer(shop: Shop) -> None:
    client = sdk_client(shop.stripe.base_url, retries=2)
    shop.stripe.faults.arm("POST /v1/customers", Kind.CUT_AFTER)
    shop.stripe.faults.arm("POST /v1/customers", Kind.STATUS, code=503)
    await client.v1.customers.create_async({"name": "Ann"})
    assert len(shop.stripe.state.customers) == 1


async def test_rate_limits_are_told_and_not_stored(shop: Shop) -> None:
    ann = await shop.customer()
    shop.stripe.faults.arm("POST /v1/payment_intents", Kind.RATE_LIMITED)
    with refused(stripe.RateLimitError):
        await shop.intent(ann, key="pur_1")
    await shop.intent(ann, key="pur_1")


async def test_a_web_page_instead_of_an_answer_is_an_error(shop: Shop) -> None:
    shop.stripe.faults.arm("GET /v1/balance", Kind.HTML)
    with pytest.raises(stripe.APIError):
        await shop.v1.balance.retrieve_async()


async def test_a_client_that_gave_up_waiting_may_have_been_charged(shop: Shop) -> None:
    ann = await shop.customer()
    card = shop.stripe.save_card(ann)
    intent = await shop.intent(ann)
    shop.stripe.faults.arm(CONFIRM, Kind.HANG, seconds=0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shop.confirm(intent.id, card), 0.05)
    assert shop.stripe.charges_made() == []
    await asyncio.sleep(0.3)
    assert len(shop.stripe.charges_made()) == 1


# Keys and addresses


@pytest.mark.parametrize("key", ["sk_live_real", "nonsense", "pk_test_public"])
async def test_a_wrong_key_is_401(shop: Shop, key: str) -> None:
    with refused(stripe.AuthenticationError):
        await sdk_client(shop.stripe.base_url, key).v1.balance.retrieve_async()


async def test_a_revoked_or_too_restricted_key_is_told_so(shop: Shop) -> None:
    shop.stripe.api.denied.append("GET /v1/events*")
    with refused(stripe.PermissionError):
        await shop.v1.events.list_async()
    shop.stripe.api.revoked_keys.add("rk_test_sandbox")
    with refused(stripe.AuthenticationError):
        await shop.v1.balance.retrieve_async()


async def test_the_account_and_its_balance_can_be_read(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    await shop.confirm(intent.id, shop.stripe.save_card(ann))
    shop.stripe.refund(intent.id, 500)

    account = await shop.v1.accounts.retrieve_current_async()
    balance = await shop.v1.balance.retrieve_async()
    assert account.charges_enabled is True
    assert balance.available[0].amount == 2000


async def test_unknown_addresses_ids_and_expansions_are_refused(shop: Shop) -> None:
    with refused(stripe.InvalidRequestError):
        await shop.v1.products.list_async()
    with refused(stripe.InvalidRequestError, "resource_missing") as error:
        await shop.v1.payment_intents.retrieve_async("pi_unknown")
    assert error.value.http_status == 404
    ann = await shop.customer()
    for path in ("shoe_size", "metadata", "email"):
        with refused(stripe.InvalidRequestError):
            await shop.v1.customers.retrieve_async(ann, {"expand": [path]})
    async with httpx.AsyncClient(base_url=shop.stripe.base_url) as raw:
        assert (await raw.get("/v1/balance")).status_code == 401
        answer = await raw.post(
            "/v1/customers", json={"name": "Ann"}, headers={"Authorization": "Bearer sk_test_sandbox"}
        )
    assert answer.status_code == 400


async def test_lists_come_newest_first_by_the_page(shop: Shop) -> None:
    ann = await shop.customer()
    made = []
    for _ in range(5):
        made.append((await shop.intent(ann)).id)
        shop.clock.wind(60)
    await shop.intent(await shop.customer())
    newest = made[::-1]

    page = await shop.v1.payment_intents.list_async({"customer": ann, "limit": 2})
    assert ([intent.id for intent in page.data], page.has_more) == (newest[:2], True)
    page = await shop.v1.payment_intents.list_async({"customer": ann, "limit": 3, "starting_after": newest[1]})
    assert ([intent.id for intent in page.data], page.has_more) == (newest[2:], False)
    page = await shop.v1.payment_intents.list_async({"customer": ann, "ending_before": newest[2]})
    assert [intent.id for intent in page.data] == newest[:2]
    since = (await shop.v1.payment_intents.retrieve_async(newest[1])).created
    page = await shop.v1.payment_intents.list_async({"customer": ann, "created": {"gt": since}})
    assert [intent.id for intent in page.data] == newest[:1]
    with refused(stripe.InvalidRequestError, "parameter_invalid_integer"):
        await shop.v1.payment_intents.list_async({"limit": 101})
    found = [i.id async for i in (await shop.v1.payment_intents.list_async({"limit": 1})).auto_paging_iter()]
    assert found[1:] == newest


# Checkout


async def test_checkout_makes_its_intent_when_it_is_paid(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann)
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert session.url == f"{shop.stripe.base_url}/pay/{session.id}"
    assert len(shop.stripe.state.intents) == 0

    payment = await shop.stripe.pay(session.id, save=False)

    assert payment.outcome is Outcome.PAID
    assert payment.redirect == f"https://bot.example/done?session={session.id}"
    asked: Any = {"expand": ["payment_intent.latest_charge", "line_items"]}
    done = await shop.v1.checkout.sessions.retrieve_async(session.id, asked)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    intent: Any = done.payment_intent
    assert (intent.status, intent.metadata["purchase_id"], intent.amount) == ("succeeded", "pur_1", 2500)
    assert intent.latest_charge.paid is True
    assert done.line_items is not None
    assert done.line_items.data[0].description == "AI credits"
    assert (await shop.stripe.pay(session.id)).outcome is Outcome.CLOSED
    assert len(shop.stripe.charges_made()) == 1
    assert await shop.saved(ann) == []


async def test_a_card_is_saved_only_when_ticked(shop: Shop) -> None:
    ann = await shop.customer()
    await shop.stripe.pay((await shop.session(ann)).id, save=True)
    never = await shop.session(ann, saved_payment_method_options={"payment_method_save": "disabled"})
    await shop.stripe.pay(never.id, "mastercard", save=True)

    (card,) = await shop.saved(ann)
    assert card.card is not None
    assert (card.card.last4, card.allow_redisplay) == ("4242", "always")
    intent = await shop.intent(ann)
    assert (await shop.confirm(intent.id, card.id)).status == "succeeded"


async def test_a_card_set_up_for_later_needs_its_owner_once(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann, payment_intent_data={"setup_future_usage": "off_session"})
    await shop.stripe.pay(session.id, "authentication_once", save=True)
    (card,) = await shop.saved(ann)
    assert (await shop.confirm((await shop.intent(ann)).id, card.id)).status == "succeeded"


async def test_a_decline_leaves_the_page_open_and_the_intent_is_used_again(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann)
    first = await shop.stripe.pay(session.id, "insufficient_funds")
    assert (first.outcome, first.message) == (Outcome.DECLINED, "Your card has insufficient funds.")
    wrong = await shop.stripe.pay(session.id, "authentication_required", authenticate=False)
    assert wrong.outcome is Outcome.DECLINED
    last = await shop.stripe.pay(session.id, "authentication_required")
    assert last.outcome is Outcome.PAID
    assert first.intent == wrong.intent == last.intent


async def test_an_expired_page_takes_no_money(shop: Shop) -> None:
    ann = await shop.customer()
    asked, wound = await shop.session(ann), await shop.session(ann)
    begun = await shop.stripe.pay(asked.id, "authentication_required", authenticate=None)
    assert begun.outcome is Outcome.CHALLENGE
    assert begun.intent is not None
    with refused(stripe.InvalidRequestError):
        await shop.v1.payment_intents.cancel_async(begun.intent)
    with refused(stripe.InvalidRequestError):
        await shop.v1.payment_intents.confirm_async(begun.intent, {"payment_method": "pm_card_visa"})

    assert (await shop.v1.checkout.sessions.expire_async(asked.id)).status == "expired"
    with pytest.raises(Exception, match="nothing is asked"):
        shop.stripe.authenticate(begun.intent)
    assert (await shop.v1.payment_intents.retrieve_async(begun.intent)).status == "canceled"
    shop.clock.wind(hours=24, seconds=1)
    assert (await shop.stripe.pay(wound.id)).outcome is Outcome.CLOSED
    assert (await shop.v1.checkout.sessions.retrieve_async(wound.id)).status == "expired"
    with refused(stripe.InvalidRequestError):
        await shop.v1.checkout.sessions.expire_async(wound.id)
    assert shop.stripe.charges_made() == []
    assert (await shop.kinds()).count("checkout.session.expired") == 2


async def test_a_bank_debit_completes_the_page_before_it_is_paid(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann)
    payment = await shop.stripe.pay(session.id, "bank_debit")
    assert payment.outcome is Outcome.PROCESSING
    done = await shop.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status) == ("complete", "unpaid")

    shop.stripe.finish_processing(str(payment.intent))
    done = await shop.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status) == ("complete", "paid")
    assert (await shop.kinds())[-1] == "checkout.session.async_payment_succeeded"


async def test_a_bank_debit_that_fails_leaves_the_page_closed(shop: Shop) -> None:
    session = await shop.session(await shop.customer())
    payment = await shop.stripe.pay(session.id, "bank_debit")

    shop.stripe.finish_processing(str(payment.intent), ok=False)

    done = await shop.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status) == ("complete", "unpaid")
    assert (await shop.kinds())[-1] == "checkout.session.async_payment_failed"
    assert shop.stripe.charges_made() == []


async def test_a_session_is_found_by_its_intent_and_its_customer(shop: Shop) -> None:
    ann = await shop.customer()
    session, other = await shop.session(ann), await shop.session(await shop.customer())
    payment = await shop.stripe.pay(session.id)
    by_intent = await shop.v1.checkout.sessions.list_async({"payment_intent": str(payment.intent)})
    assert [found.id for found in by_intent.data] == [session.id]
    by_status = await shop.v1.checkout.sessions.list_async({"status": "open"})
    assert [found.id for found in by_status.data] == [other.id]


async def test_an_invoice_is_made_when_asked_for(shop: Shop) -> None:
    session = await shop.session(await shop.customer(), invoice_creation={"enabled": True})
    await shop.stripe.pay(session.id)
    done = await shop.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["invoice"]})
    invoice: Any = done.invoice
    assert (invoice.status, invoice.total) == ("paid", 2500)


FIELD = {"key": "po", "label": {"type": "custom", "custom": "PO"}, "type": "text", "optional": True}
UPDATES = {"address": "auto", "name": "auto"}
LINE = {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "AI credits"}}
TAXED: dict[str, Any] = {
    "automatic_tax": {"enabled": True},
    "billing_address_collection": "required",
    "customer_update": UPDATES,
    "line_items": [{"price_data": LINE | {"tax_behavior": "exclusive"}, "quantity": 1}],
    "tax_id_collection": {"enabled": True},
}


@pytest.mark.parametrize(
    ("buyer", "tax"),
    [
        (Buyer("Ann", "Nygade 1", "1164", "København", "DK"), 625),
        (Buyer("Acme", "Nygade 1", "1164", "København", "DK", "DK12345678"), 0),
        (Buyer("Ann", "1 Main Street", "94107", "San Francisco", "US"), 0),
    ],
    ids=["at home", "a business in Europe", "elsewhere"],
)
async def test_taxes_are_those_of_where_the_buyer_is(shop: Shop, buyer: Buyer, tax: int) -> None:
    ann = await shop.customer()
    session = await shop.session(ann, **TAXED)
    assert (session.amount_total, session.automatic_tax.status) == (2500, "requires_location_inputs")
    await shop.stripe.pay(session.id, buyer=buyer)

    done: Any = await shop.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.amount_subtotal, done.total_details.amount_tax, done.amount_total) == (2500, tax, 2500 + tax)
    assert [charge["amount"] for charge in shop.stripe.charges_made()] == [2500 + tax]
    assert [each.value for each in (await shop.v1.customers.tax_ids.list_async(ann)).data] == [
        each for each in [buyer.tax_id] if each
    ]
    known: Any = await shop.v1.customers.retrieve_async(ann)
    assert (known.name, known.address.country) == (buyer.name, buyer.country)

    again = await shop.session(ann, **TAXED)
    assert again.amount_total == (3125 if buyer.country == "DK" else 2500), "the address is known by now"


async def test_a_page_takes_no_payment_before_it_knows_what_it_asks_for(shop: Shop, browser: httpx.AsyncClient) -> None:
    asked = TAXED | {"custom_fields": [FIELD | {"optional": False, "text": {"maximum_length": 5}}]}
    session = await shop.session(await shop.customer(), **asked)
    typed = {"number": "4242 4242 4242 4242", "name": "Ann", "line1": "Nygade 1", "country": "DK"}
    for change, problem in (
        ({"name": ""}, "Your billing address is incomplete."),
        ({"tax_id": "nonsense"}, "Your tax ID is not valid."),
        ({}, "PO is required."),
        ({"field-po": "123456"}, "PO is too long."),
    ):
        page = await browser.post(str(session.url), data=typed | change, follow_redirects=True)
        assert problem in page.text
    assert shop.stripe.charges_made() == []
    await browser.post(str(session.url), data=typed | {"field-po": "PO-7"})
    assert [charge["amount"] for charge in shop.stripe.charges_made()] == [3125]
    done: Any = await shop.v1.checkout.sessions.retrieve_async(session.id)
    assert done.custom_fields[0].text.value == "PO-7"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tax_id_collection": {"enabled": True}}, None),
        (TAXED | {"customer_update": {"name": "auto"}}, "customer_tax_location_invalid"),
        (TAXED | {"line_items": [{"price_data": LINE, "quantity": 1}]}, None),
        ({"customer_update": UPDATES, "customer": None}, None),
        ({"custom_fields": [FIELD | {"key": "purchase_order"}]}, None),
        ({"custom_fields": [FIELD] * 4}, None),
        ({"payment_method_types": ["card"]}, "parameter_unknown"),
        ({"success_url": None}, "parameter_missing"),
        ({"cancel_url": "javascript:alert(1)"}, "url_invalid"),
        ({"line_items": []}, "parameter_missing"),
        ({"mode": "donation"}, None),
        ({"customer": "cus_nobody"}, "resource_missing"),
        ({"customer_email": "ann@acme.example"}, None),
        ({"expires_at": 1}, None),
        ({"payment_intent_data": {"colour": "red"}}, "parameter_unknown"),
        ({"client_reference_id": "x" * 201}, None),
        ({"line_items": [{"quantity": 1}]}, "parameter_missing"),
    ],
)
async def test_a_session_that_stripe_would_refuse_is_refused(
    shop: Shop, change: dict[str, Any], code: str | None
) -> None:
    ann = await shop.customer()
    with refused(stripe.InvalidRequestError, code):
        await shop.session(ann, **change)
    for amount in (49, 100_000_000):
        with refused(stripe.InvalidRequestError):
            await shop.session(ann, amount)
    assert len(shop.stripe.state.sessions) == 0


# Money going back


async def test_refunds_add_up_and_stop_at_the_charge(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    with refused(stripe.InvalidRequestError):
        await shop.v1.refunds.create_async({"payment_intent": intent.id})
    await shop.confirm(intent.id, shop.stripe.save_card(ann))

    part = await shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1000})
    assert (part.status, part.amount) == ("succeeded", 1000)
    with refused(stripe.InvalidRequestError):
        await shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1501})
    shop.stripe.refund(intent.id)
    with refused(stripe.InvalidRequestError, "charge_already_refunded"):
        await shop.v1.refunds.create_async({"payment_intent": intent.id})

    listed = await shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in listed.data] == [1500, 1000]
    asked: Any = {"expand": ["latest_charge.refunds"]}
    charge: Any = (await shop.v1.payment_intents.retrieve_async(intent.id, asked)).latest_charge
    assert (charge.amount_refunded, charge.refunded, len(charge.refunds.data)) == (2500, True, 2)

    shop.stripe.fail_refund(part.id)
    assert (await shop.v1.charges.retrieve_async(charge.id)).amount_refunded == 1500
    assert (await shop.v1.refunds.retrieve_async(part.id)).status == "failed"


@pytest.mark.parametrize("won", [True, False])
async def test_a_dispute_is_opened_and_closed(shop: Shop, won: bool) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    await shop.confirm(intent.id, shop.stripe.save_card(ann))

    opened = shop.stripe.dispute(intent.id)

    with pytest.raises(Exception, match="disputed already"):
        shop.stripe.dispute(intent.id)
    charge = str((await shop.v1.payment_intents.retrieve_async(intent.id)).latest_charge)
    assert (await shop.v1.charges.retrieve_async(charge)).disputed is True
    with refused(stripe.InvalidRequestError, "charge_disputed"):
        await shop.v1.refunds.create_async({"charge": charge})
    shop.stripe.close_dispute(opened["id"], won=won)
    (dispute,) = (await shop.v1.disputes.list_async({"payment_intent": intent.id})).data
    assert (dispute.status, dispute.amount) == ("won" if won else "lost", 2500)
    assert ("charge.dispute.funds_reinstated" in await shop.kinds()) is won


async def test_one_test_card_is_disputed_at_once(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann)
    await shop.confirm(intent.id, shop.stripe.save_card(ann, "disputed"))
    assert len((await shop.v1.disputes.list_async({"payment_intent": intent.id})).data) == 1


# Events and webhooks


async def test_every_change_is_an_event_newest_first(shop: Shop) -> None:
    ann = await shop.customer()
    session = await shop.session(ann)
    await shop.stripe.pay(session.id, "declined")
    payment = await shop.stripe.pay(session.id)
    refund = shop.stripe.refund(str(payment.intent), 100)

    assert await shop.kinds() == [
        "customer.created",
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.succeeded",
        "payment_method.attached",
        "checkout.session.completed",
        "refund.created",
        "charge.refunded",
    ]
    newest: Any = (await shop.v1.events.list_async({"types": ["refund.*", "checkout.session.completed"]})).data
    assert [event.type for event in newest] == ["refund.created", "checkout.session.completed"]
    assert newest[0].data.object.id == refund["id"]
    assert newest[1].data.object.payment_intent == payment.intent
    again = await shop.v1.events.retrieve_async(newest[0].id)
    assert again.id == newest[0].id
    page = await shop.v1.events.list_async({"ending_before": newest[1].id})
    assert [event.type for event in page.data] == ["charge.refunded", "refund.created"]
    with refused(stripe.InvalidRequestError):
        await shop.v1.events.list_async({"type": "charge.failed", "types": ["charge.failed"]})


async def test_an_event_shows_how_things_were_then_and_who_asked(shop: Shop) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann, key="pur_1")
    await shop.confirm(intent.id, shop.stripe.save_card(ann))
    (event,) = (await shop.v1.events.list_async({"type": "payment_intent.created"})).data
    shown: Any = event.data.object
    assert shown["status"] == "requires_payment_method"
    assert event.request is not None
    assert event.request.idempotency_key == "pur_1"


async def test_events_reach_back_thirty_days(shop: Shop) -> None:
    await shop.customer()
    shop.clock.wind(days=29)
    (event,) = (await shop.v1.events.list_async()).data
    shop.clock.wind(days=2)
    assert (await shop.v1.events.list_async()).data == []
    with refused(stripe.InvalidRequestError, "resource_missing"):
        await shop.v1.events.retrieve_async(event.id)


class Inbox:
    """Somebody's webhook endpoint."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.status = 200
        self._more = asyncio.Condition()
        self.server = Server(Starlette(routes=[Route("/hook", self.take, methods=["POST"])]))

    async def take(self, request: Request) -> Response:
        async with self._more:
            self.got.append((await request.body(), request.headers["stripe-signature"]))
            self._more.notify_all()
        return Response(status_code=self.status)

    async def came(self, count: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: len(self.got) >= count)

    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.got]


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    box = Inbox()
    await box.server.start()
    try:
        yield box
    finally:
        await box.server.stop()


async def test_webhooks_are_signed_as_the_sdk_checks_them(shop: Shop, inbox: Inbox) -> None:
    shop.stripe.webhooks.endpoints.append(Endpoint(f"{inbox.server.url}/hook", SECRET))
    shop.clock.wind(days=3)  # signatures keep real time
    ann = await shop.customer()
    await shop.stripe.webhooks.settled()

    ((body, signature),) = inbox.got
    event: Any = shop.client.construct_event(body, signature, SECRET)
    assert (event.type, event.data.object.id) == ("customer.created", ann)
    with pytest.raises(stripe.SignatureVerificationError):
        shop.client.construct_event(body + b" ", signature, SECRET)


async def test_thin_events_carry_only_what_to_read(shop: Shop, inbox: Inbox) -> None:
    ann = await shop.customer()
    shop.stripe.webhooks.endpoints.append(Endpoint(f"{inbox.server.url}/hook", SECRET, thin=True))
    intent = await shop.intent(ann, key="pur_1")
    await shop.stripe.webhooks.settled()

    ((body, signature),) = inbox.got
    notice: Any = shop.client.parse_event_notification(body, signature, SECRET)
    assert notice.type == "v1.payment_intent.created"
    assert (notice.related_object.id, notice.related_object.type) == (intent.id, "payment_intent")
    assert notice.related_object.url == f"/v1/payment_intents/{intent.id}"
    async with httpx.AsyncClient(base_url=shop.stripe.base_url) as raw:
        read = await raw.get(f"/v2/core/events/{notice.id}", headers={"Authorization": "Bearer sk_test_sandbox"})
    assert read.json()["snapshot_event"].startswith("evt_")


async def test_webhooks_can_be_held_shuffled_repeated_and_lost(shop: Shop, inbox: Inbox) -> None:
    hooks = shop.stripe.webhooks
    hooks.endpoints.append(Endpoint(f"{inbox.server.url}/hook", SECRET))
    hooks.hold()
    ann = await shop.customer()
    intent = await shop.intent(ann)
    await shop.confirm(intent.id, shop.stripe.save_card(ann))
    assert inbox.got == []
    in_order = [event["type"] for event in hooks.held]

    await hooks.release(shuffle=7, repeat=5)
    assert sorted(inbox.kinds()) == sorted(in_order * 5)
    assert inbox.kinds() != in_order * 5

    hooks.silence()
    await shop.customer()
    await hooks.release()
    assert len(inbox.got) == len(in_order) * 5
    await shop.customer()
    await hooks.settled()
    assert len(inbox.got) == len(in_order) * 5 + 1


async def test_an_endpoint_gets_the_kinds_that_were_chosen_for_it(shop: Shop, inbox: Inbox) -> None:
    chosen = Endpoint(f"{inbox.server.url}/hook", SECRET, kinds={"payment_intent.created"})
    shop.stripe.webhooks.endpoints.append(chosen)
    await shop.intent(await shop.customer())
    await shop.stripe.webhooks.settled()

    assert inbox.kinds() == ["payment_intent.created"]


async def test_a_webhook_that_failed_comes_again_later(shop: Shop, inbox: Inbox) -> None:
    shop.stripe.webhooks.endpoints.append(Endpoint(f"{inbox.server.url}/hook", SECRET))
    inbox.status = 500
    await shop.customer()
    await shop.stripe.webhooks.settled()
    inbox.status = 200
    await asyncio.sleep(0)
    shop.clock.wind(seconds=6)
    async with asyncio.timeout(5):
        await inbox.came(2)
    first, second = inbox.got
    assert json.loads(first[0])["id"] == json.loads(second[0])["id"]
    assert shop.stripe.webhooks.deliveries[0].status == 500


# The pages


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_the_checkout_page_takes_a_test_card(shop: Shop, browser: httpx.AsyncClient) -> None:
    session = await shop.session(await shop.customer(), 123_456)
    page = await browser.get(str(session.url))
    assert page.status_code == 200
    assert "$1,234.56" in page.text
    assert "AI credits" in page.text
    assert "http" not in page.text.replace(shop.stripe.base_url, "").replace("https://bot.example/cancelled", "")

    declined = await browser.post(str(session.url), data={"number": "4000 0000 0000 9995"}, follow_redirects=True)
    assert "Your card has insufficient funds." in declined.text
    real = await browser.post(str(session.url), data={"number": "4111 1111 1111 1111"}, follow_redirects=True)
    assert "never takes a real card" in real.text
    assert "4111" not in real.text
    paid = await browser.post(str(session.url), data={"number": "4242 4242 4242 4242", "save": "yes"})
    assert paid.headers["location"] == f"https://bot.example/done?session={session.id}"
    assert "already made" in (await browser.get(str(session.url))).text

    (card,) = await shop.saved(str(session.customer))
    again = await shop.session(str(session.customer))
    assert card.id in (await browser.get(str(again.url))).text
    paid = await browser.post(str(again.url), data={"saved": card.id})
    assert paid.status_code == 303
    assert len(shop.stripe.charges_made()) == 2


async def test_the_checkout_page_leads_through_the_banks_question(shop: Shop, browser: httpx.AsyncClient) -> None:
    session = await shop.session(await shop.customer())
    asked = await browser.post(str(session.url), data={"number": "4000002760003184"})
    question = asked.headers["location"]
    assert "$25.00" in (await browser.get(question)).text
    failed = await browser.post(question, data={"answer": "fail"}, follow_redirects=True)
    assert "unable to authenticate" in failed.text
    asked = await browser.post(str(session.url), data={"number": "4000002760003184"})
    done = await browser.post(asked.headers["location"], data={"answer": "complete"})
    assert done.headers["location"] == f"https://bot.example/done?session={session.id}"
    for late in (browser.get(question), browser.post(question, data={"answer": "complete"})):
        assert (await late).headers["location"] == f"/pay/{session.id}"
    assert "already made" in (await browser.get(question, follow_redirects=True)).text
    assert (await browser.get(f"{shop.stripe.base_url}/pay/challenges/pi_nothing")).status_code == 404


@pytest.mark.parametrize("number", ["4000000000000002", "4000002760003184", "1234"])
async def test_whoever_could_not_pay_finds_the_page_as_they_left_it_and_again_when_they_load_it_anew(
    shop: Shop, browser: httpx.AsyncClient, number: str
) -> None:
    session = await shop.session(await shop.customer(), custom_fields=[FIELD])
    typed = {"number": number, "save": "yes", "field-po": "PO-778"}
    answer = await browser.post(str(session.url), data=typed)
    if "/challenges/" in (question := answer.headers["location"]):
        answer = await browser.post(question, data={"answer": "fail"})

    assert answer.status_code == 303
    assert str(answer.url.join(answer.headers["location"])) == session.url
    for _ in range(2):
        page = (await browser.get(str(session.url))).text
        assert 'role="alert"' in page
        assert 'value="PO-778"' in page
        assert re.search(r'name="save"[^>]* checked', page)


async def test_pages_that_are_over_say_so(shop: Shop, browser: httpx.AsyncClient) -> None:
    session = await shop.session(await shop.customer())
    shop.clock.wind(hours=25)
    assert "has expired" in (await browser.get(str(session.url))).text
    paid = await browser.post(str(session.url), data={"number": "4242424242424242"}, follow_redirects=True)
    assert "has expired" in paid.text
    assert (await browser.get(f"{shop.stripe.base_url}/pay/cs_test_nothing")).status_code == 404
    assert shop.stripe.charges_made() == []


async def test_what_a_merchant_writes_is_text_on_the_page(shop: Shop, browser: httpx.AsyncClient) -> None:
    session = await shop.session(
        await shop.customer(), custom_text={"submit": {"message": "<script>alert(1)</script>"}}
    )
    assert "<script>alert" not in (await browser.get(str(session.url))).text


async def test_the_receipt_shows_what_was_paid(shop: Shop, browser: httpx.AsyncClient) -> None:
    ann = await shop.customer()
    intent = await shop.intent(ann, description="25 credits")
    await shop.confirm(intent.id, shop.stripe.save_card(ann, "mastercard"))
    (charge,) = shop.stripe.charges_made()
    receipt = (await browser.get(charge["receipt_url"])).text
    for fact in ("$25.00", "Mastercard •••• 4444", "25 credits", intent.id):
        assert fact in receipt


async def test_saved_cards_are_managed_in_the_portal(shop: Shop, browser: httpx.AsyncClient) -> None:
    ann = await shop.customer()
    asked: Any = {"customer": ann, "return_url": BACK}
    portal = await shop.v1.billing_portal.sessions.create_async(asked)
    assert (await browser.get(portal.url)).status_code == 200
    await browser.post(portal.url, data={"add": "visa"})
    (card,) = await shop.saved(ann)
    assert "•••• 4242" in (await browser.get(portal.url)).text
    await browser.post(portal.url, data={"remove": card.id})
    assert await shop.saved(ann) == []


async def test_whoever_comes_to_change_a_card_pays_with_the_new_one(shop: Shop, browser: httpx.AsyncClient) -> None:
    ann = await shop.customer()
    shop.stripe.save_card(ann, "visa", default=True)
    asked: Any = {"customer": ann, "flow_data": {"type": "payment_method_update"}}
    portal = await shop.v1.billing_portal.sessions.create_async(asked)
    await browser.post(portal.url, data={"add": "mastercard"})

    [new, _] = await shop.saved(ann)
    known: Any = await shop.v1.customers.retrieve_async(ann)
    assert known.invoice_settings.default_payment_method == new.id


async def test_a_portal_link_ends_unfollowed_after_minutes_and_unused_after_an_hour(
    shop: Shop, browser: httpx.AsyncClient
) -> None:
    asked: Any = {"customer": await shop.customer()}
    first, second = [await shop.v1.billing_portal.sessions.create_async(asked) for _ in range(2)]
    assert (await browser.get(first.url)).status_code == 200
    shop.clock.wind(minutes=6)
    assert [(await browser.get(each.url)).status_code for each in (first, second)] == [200, 404]
    shop.clock.wind(minutes=61)
    assert (await browser.get(first.url)).status_code == 404


async def test_the_portal_opens_once_somebody_has_saved_its_settings(shop: Shop) -> None:
    asked: Any = {"customer": await shop.customer()}
    shop.stripe.portal.configured = False
    with refused(stripe.InvalidRequestError):
        await shop.v1.billing_portal.sessions.create_async(asked)
    assert (await shop.v1.billing_portal.configurations.list_async()).data == []


# Against the SDK's own description of the API

SPECS = [
    (specs.CUSTOMER_CREATE, sdk.CustomerCreateParams),
    (specs.CUSTOMER_UPDATE, sdk.CustomerUpdateParams),
    (specs.CUSTOMER_LIST, sdk.CustomerListParams),
    (specs.CUSTOMER_METHODS, sdk.CustomerPaymentMethodListParams),
    (specs.METHOD_CREATE, sdk.PaymentMethodCreateParams),
    (specs.METHOD_UPDATE, sdk.PaymentMethodUpdateParams),
    (specs.METHOD_ATTACH, sdk.PaymentMethodAttachParams),
    (specs.METHOD_LIST, sdk.PaymentMethodListParams),
    (specs.INTENT_CREATE, sdk.PaymentIntentCreateParams),
    (specs.INTENT_UPDATE, sdk.PaymentIntentUpdateParams),
    (specs.INTENT_CONFIRM, sdk.PaymentIntentConfirmParams),
    (specs.INTENT_CANCEL, sdk.PaymentIntentCancelParams),
    (specs.INTENT_LIST, sdk.PaymentIntentListParams),
    (specs.SESSION_CREATE, checkout.SessionCreateParams),
    (specs.SESSION_LIST, checkout.SessionListParams),
    (specs.REFUND_CREATE, sdk.RefundCreateParams),
    (specs.REFUND_LIST, sdk.RefundListParams),
    (specs.DISPUTE_LIST, sdk.DisputeListParams),
    (specs.CHARGE_LIST, sdk.ChargeListParams),
    (specs.EVENT_LIST, sdk.EventListParams),
    (specs.PORTAL_CREATE, billing_portal.SessionCreateParams),
    (specs.PORTAL_CONFIGURATION_LIST, billing_portal.ConfigurationListParams),
]


@pytest.mark.parametrize(("spec", "described"), SPECS, ids=lambda item: getattr(item, "__name__", ""))
def test_every_parameter_exists_in_the_api_version_of_the_sdk(spec: Hash, described: type) -> None:
    assert unheard_of(spec, described) == []


def unheard_of(spec: Hash, described: type) -> list[str]:
    """Names in our spec that the SDK's typed parameters do not have."""
    found = []
    for name, field in spec.fields.items():
        hint = repr(described.__annotations__.get(name, ""))
        inner = field.item if isinstance(field, Many) else field
        if not hint.strip("'"):
            found.append(name)
        elif isinstance(inner, Hash):
            module = sys.modules[described.__module__]
            (group,) = (cls for cls in re.findall(r"\w+Params\w+", hint) if hasattr(module, cls))
            found += [f"{name}[{deeper}]" for deeper in unheard_of(inner, getattr(module, group))]
    return found


def test_every_test_card_has_its_own_name_number_and_alias() -> None:
    for attribute in ("name", "number", "alias"):
        assert len({getattr(card, attribute) for card in CARDS}) == len(CARDS)
