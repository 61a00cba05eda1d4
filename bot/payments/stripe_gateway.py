"""The payment gateway on Stripe's API: which calls are made, with which idempotency keys, and what an error means.

An error that leaves us in doubt becomes ``Outage``, and the caller asks again later. Nothing is retried in here: a
second try inside would only make the first answer later, and the caller's questions are safe to repeat.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import stripe

from bot.errors import Outage
from bot.money import Usd
from bot.payments import stripe_answers as answers
from bot.payments import stripe_events as events
from bot.payments.gateway import (
    Cancelled,
    Card,
    CheckoutLink,
    CustomerGone,
    Declined,
    Hint,
    NeedsBuyer,
    Open,
    Order,
    Outcome,
    Paid,
    Portal,
    Processing,
    Reversal,
    Unconfirmed,
)
from bot.payments.stripe_answers import JsonObject
from bot.settings import NEAR

if TYPE_CHECKING:
    from stripe.params.billing_portal import SessionCreateParams as PortalParams
    from stripe.params.checkout import SessionCreateParams

stripe.enable_telemetry = False  # or the SDK may leave a file in the home folder

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 20.0
_PAGE = 100
_CLOCKS_DIFFER = timedelta(days=1)
_CUSTOMER_TRIES = 5
_MISSING = "resource_missing"

# What to open up in an answer, so that one call tells the whole story.
_OF_INTENT = ["latest_charge"]
_OF_INTENTS = ["data.latest_charge"]
_OF_PAGE = ["payment_intent.latest_charge"]
_OF_PAGES = ["data.payment_intent.latest_charge"]
_OF_REVERSALS = ["data.payment_intent"]

# What an unheard answer may have left behind, best first. What is not named here is of no use any more.
_USEFUL_INTENTS = (Paid, Processing, NeedsBuyer, Unconfirmed, Declined)
_USEFUL_PAGES = (Paid, Processing, Open)

_LOCALES = (  # Stripe's list
    "bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hi-IN hr hu id it ja ko lt lv ms mt nb nl pl pt pt-BR ro ru "
    "sk sl sv th tr vi zh zh-HK zh-TW"
)
_LOCALE_OF_TAG = {locale.lower(): locale for locale in _LOCALES.split()} | {
    "es-la": "es-419",
    "hi": "hi-IN",
    "no": "nb",
}

Found = tuple[Outcome, JsonObject]


class _Http(stripe.AIOHTTPClient):
    """Takes less than half the time of the SDK's HTTPXClient for each call, and Bolt brings aiohttp anyway.

    The SDK's own reads the answer and lets go of what holds the connection: an answer that broke off kept it for good,
    and after a hundred of them, all that aiohttp opens at once, Stripe was not asked anything any more.
    """

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        args, kwargs = self._get_request_args_kwargs(method, url, headers, post_data)
        try:
            async with self._session.request(*args, **kwargs) as answer:
                return await answer.read(), answer.status, answer.headers
        except (aiohttp.ClientError, OSError) as error:
            raise stripe.APIConnectionError("no whole answer") from error  # type: ignore[no-untyped-call]


class StripeGateway:
    """``PaymentGateway`` on a Stripe account. ``done_url`` and ``cancelled_url`` are where buyers come back to.

    With ``automatic_tax`` Stripe adds taxes on its page, and only there: it has to know where the buyer is.
    """

    def __init__(
        self,
        *,
        api_key: str,
        api_url: str,
        webhook_secrets: Sequence[str],
        done_url: str,
        cancelled_url: str,
        automatic_tax: bool = False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._live = "_live_" in api_key
        self._webhook_secrets = tuple(webhook_secrets)
        self._done_url = done_url
        self._cancelled_url = cancelled_url
        self._automatic_tax = automatic_tax
        self._http = _Http(timeout=aiohttp.ClientTimeout(total=timeout_seconds), proxy=_proxy_for(api_url))
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_url.rstrip("/")},
            http_client=self._http,
            max_network_retries=0,
        )
        self._stripe = client.v1

    async def aclose(self) -> None:
        """Close the connections to Stripe."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    # ── customers and cards ───────────────────────────────────────────────────────────────────────────────────────

    async def new_customer(self, account_id: str, name: str, slack_team: str, *, instead_of: str | None = None) -> str:
        with _asking():
            customer = await self._nameless_customer(account_id, instead_of)
            try:
                await self._stripe.customers.update_async(
                    customer, {"name": name, "metadata": {"slack_team": slack_team}}
                )
            except stripe.InvalidRequestError as error:
                if error.code != _MISSING or customer == instead_of:
                    raise
                # Made today and deleted today: under its key Stripe would name it until tomorrow.
                return await self.new_customer(account_id, name, slack_team, instead_of=customer)
            return customer

    async def _nameless_customer(self, account_id: str, instead_of: str | None) -> str:
        """Nothing that may change is in this request, or its key would be refused tomorrow.

        Stripe repeats a failure of its own under the same key for a day. Then, and only then, the next key is tried.
        """
        key = f"{account_id}:customer" + (f":after:{instead_of}" if instead_of else "")
        for number in range(_CUSTOMER_TRIES):
            try:
                customer = await self._stripe.customers.create_async(
                    {"metadata": {"account_id": account_id}}, {"idempotency_key": f"{key}:{number}"}
                )
            except stripe.APIError as error:
                if not error.headers or error.headers.get("idempotent-replayed") != "true":
                    raise
            else:
                return customer.id
        raise Outage("Stripe", "every try to make a customer failed today")

    async def has_customer(self, customer: str) -> bool:
        with _asking():
            return await self._customer(customer) is not None

    async def _customer(self, customer: str) -> JsonObject | None:
        """The customer, unless it is gone. Stripe still tells of those it deleted, and of them only that."""
        try:
            found = (await self._stripe.customers.retrieve_async(customer)).to_dict()
        except stripe.InvalidRequestError as error:
            if error.code != _MISSING:
                raise
            return None
        return None if _of(customer, found).get("deleted") else found

    async def saved_card(self, customer: str) -> Card | None:
        if self._automatic_tax:  # charged off the page, a card would be charged without tax
            return None
        with _asking():
            owner = await self._customer(customer)
            if owner is None:
                return None
            default = owner["invoice_settings"]["default_payment_method"]
            saved = self._stripe.customers.payment_methods.list_async(customer, {"type": "card", "limit": _PAGE})
            cards = [answers.card(method) async for method in _all(saved)]  # newest first
            return next((card for card in cards if card.id == default), cards[0] if cards else None)

    # ── the saved card: prepared, confirmed, cancelled by its intent's id ─────────────────────────────────────────

    async def prepare(self, order: Order, attempt: int) -> str:
        """The card is named only when the money is asked for: one that is gone by now is then a plain decline."""
        with _asking(), _somebody(order.customer):
            if attempt and (left := await self._adopt(partial(self._intents, order), self.cancel, _USEFUL_INTENTS)):
                return str(left["id"])
            intent = await self._stripe.payment_intents.create_async(
                {
                    "amount": order.amount.cents,
                    "currency": "usd",
                    "customer": order.customer,
                    "description": order.description,
                    "metadata": _metadata(order),
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                },
                {"idempotency_key": f"{order.id}:intent:{attempt}"},
            )
            return str(_for(order, intent.to_dict())["id"])

    async def confirm(self, intent_id: str, card_id: str) -> Outcome:
        with _asking():
            try:
                intent = await self._stripe.payment_intents.confirm_async(
                    intent_id, {"payment_method": card_id, "off_session": True, "expand": _OF_INTENT}
                )
            except stripe.CardError as error:
                outcome = answers.payment(_of(intent_id, _error_in(error)["payment_intent"]))
                return replace(outcome, request_id=error.request_id) if isinstance(outcome, Declined) else outcome
            except stripe.InvalidRequestError as error:
                return await self._after_refused_confirm(intent_id, error)
            return answers.payment(_of(intent_id, intent.to_dict()))

    async def _after_refused_confirm(self, intent_id: str, error: stripe.InvalidRequestError) -> Outcome:
        """The intent moved on without us; or else the request can never succeed, mostly because the card is gone."""
        outcome = await self.payment(intent_id)
        if not isinstance(outcome, Unconfirmed):
            return outcome
        logger.warning("Stripe refused to charge a card: %s", error.user_message, extra={"intent": intent_id})
        return Declined(error.code or "invalid_request", error.request_id)

    async def payment(self, intent_id: str) -> Outcome:
        with _asking():
            intent = await self._stripe.payment_intents.retrieve_async(intent_id, {"expand": _OF_INTENT})
            return answers.payment(_of(intent_id, intent.to_dict()))

    async def cancel(self, intent_id: str) -> Outcome:
        with _asking():
            try:
                intent = await self._stripe.payment_intents.cancel_async(intent_id, {"expand": _OF_INTENT})
            except stripe.InvalidRequestError:
                outcome = await self.payment(intent_id)
                if isinstance(outcome, Cancelled | Paid | Processing):
                    return outcome
                raise
            return answers.payment(_of(intent_id, intent.to_dict()))

    # ── the checkout page ─────────────────────────────────────────────────────────────────────────────────────────

    async def open_checkout(self, order: Order, attempt: int, locale: str | None) -> CheckoutLink:
        with _asking(), _somebody(order.customer):
            left = attempt and await self._adopt(partial(self._pages, order), self.close_checkout, _USEFUL_PAGES)
            if left:
                return answers.link(left, self._done_url)
            page = await self._stripe.checkout.sessions.create_async(
                self._page(order, locale), {"idempotency_key": f"{order.id}:checkout:{attempt}"}
            )
            return answers.link(_for(order, page.to_dict()), self._done_url)

    def _page(self, order: Order, locale: str | None) -> "SessionCreateParams":
        """``expires_at`` stays Stripe's own 24 hours: with a time in it the same key would mean another request.

        Whether taxes are added is always said: an account at Stripe may have a default of its own.
        """
        return {
            "mode": "payment",
            "customer": order.customer,
            "client_reference_id": order.id,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": order.amount.cents,
                        "product_data": {"name": order.description},
                        "tax_behavior": "exclusive",
                    },
                }
            ],
            "automatic_tax": {"enabled": self._automatic_tax},
            "billing_address_collection": "required",
            "tax_id_collection": {"enabled": True},
            "customer_update": {"address": "auto", "name": "auto"},  # which taxes and tax ids ask for
            "custom_fields": [
                {
                    "key": "purchaseorder",
                    "label": {"type": "custom", "custom": order.reference_label},
                    "type": "text",
                    "optional": True,
                    "text": {"maximum_length": 60},
                }
            ],
            "invoice_creation": {
                "enabled": True,
                "invoice_data": {"description": order.description, "metadata": _metadata(order)},
            },
            "adaptive_pricing": {"enabled": False},  # what is bought is dollars, wherever the buyer is
            "metadata": _metadata(order),
            "payment_intent_data": {"description": order.description, "metadata": _metadata(order)},
            "saved_payment_method_options": {"payment_method_save": "enabled"},
            "submit_type": "pay",
            "locale": _locale(locale),
            "success_url": f"{self._done_url}?session_id={{CHECKOUT_SESSION_ID}}",
            "cancel_url": self._cancelled_url,
        }

    async def checkout(self, session_id: str) -> Outcome:
        with _asking():
            page = await self._stripe.checkout.sessions.retrieve_async(session_id, {"expand": _OF_PAGE})
            return await self._with_invoice(_of(session_id, page.to_dict()))

    async def _with_invoice(self, page: JsonObject) -> Outcome:
        """What became of a page, and where its invoice is. Asked for by itself: money does not wait for a paper."""
        outcome = answers.checkout(page)
        if not isinstance(outcome, Paid) or not (made := page.get("invoice")):
            return outcome
        try:
            invoice = await self._stripe.invoices.retrieve_async(made)
        except stripe.StripeError as error:
            logger.warning("no invoice: %s", _reason(error), extra={"intent": outcome.intent_id})
            return outcome
        return replace(outcome, receipt_url=invoice.hosted_invoice_url or outcome.receipt_url)

    async def close_checkout(self, session_id: str) -> Outcome:
        with _asking():
            try:
                page = await self._stripe.checkout.sessions.expire_async(session_id, {"expand": _OF_PAGE})
            except stripe.InvalidRequestError:
                outcome = await self.checkout(session_id)
                if not isinstance(outcome, Open):
                    return outcome
                raise
            return await self._with_invoice(_of(session_id, page.to_dict()))

    # ── what lost answers left behind ─────────────────────────────────────────────────────────────────────────────

    async def _adopt(
        self,
        look: Callable[[], Awaitable[list[Found]]],
        close: Callable[[str], Awaitable[Outcome]],
        useful: tuple[type[Outcome], ...],
    ) -> JsonObject | None:
        """The best of what is there. The rest is closed; when money was faster than that, look again."""
        while True:
            found = [(outcome, item) for outcome, item in await look() if isinstance(outcome, useful)]
            if not found:
                return None
            best, *others = sorted(found, key=lambda each: useful.index(type(each[0])))
            closed = [await close(item["id"]) for outcome, item in others if not _moved(outcome)]
            if not any(map(_moved, closed)):
                return best[1]

    async def _intents(self, order: Order) -> list[Found]:
        """The order's intents, newest first."""
        listed = self._stripe.payment_intents.list_async(
            {"customer": order.customer, "created": {"gte": _earliest(order)}, "limit": _PAGE, "expand": _OF_INTENTS}
        )
        ours = [item async for item in _all(listed) if item["metadata"].get("purchase_id") == order.id]
        return [(answers.payment(item), item) for item in ours]

    async def _pages(self, order: Order) -> list[Found]:
        """The order's checkout pages, newest first."""
        listed = self._stripe.checkout.sessions.list_async(
            {"customer": order.customer, "created": {"gte": _earliest(order)}, "limit": _PAGE, "expand": _OF_PAGES}
        )
        ours = [item async for item in _all(listed) if item["client_reference_id"] == order.id]
        return [(answers.checkout(item), item) for item in ours]

    async def payment_named(self, hint: Hint) -> Outcome:
        if hint.session_id:
            return await self.checkout(hint.session_id)
        with _asking():
            intent_id = str(hint.intent_id)
            pages = await self._stripe.checkout.sessions.list_async({"payment_intent": intent_id, "limit": 1})
            for page in pages.data:
                return await self.checkout(page.id)
            return await self.payment(intent_id)

    # ── what happened afterwards ──────────────────────────────────────────────────────────────────────────────────

    async def reversals(self, intent_id: str, bought: Usd) -> Sequence[Reversal]:
        with _asking():
            listed = self._stripe.refunds.list_async(
                {"payment_intent": intent_id, "limit": _PAGE, "expand": _OF_REVERSALS}
            )
            refunds = [item async for item in _all(listed)]
            also_listed = self._stripe.disputes.list_async(
                {"payment_intent": intent_id, "limit": _PAGE, "expand": _OF_REVERSALS}
            )
            disputes = [item async for item in _all(also_listed)]
            if not (items := [*refunds, *disputes]):
                return []
            gone = [*map(answers.refund, refunds[::-1]), *map(answers.dispute, disputes[::-1])]  # oldest first
            paid = Usd(items[0]["payment_intent"]["amount_received"])
            return answers.shares(sorted(gone, key=lambda each: each.at), bought, paid)

    # ── what customers look after by themselves ───────────────────────────────────────────────────────────────────

    async def open_portal(self, customer: str, part: Portal, locale: str | None) -> str:
        asked: PortalParams = {"customer": customer, "locale": _locale(locale)}
        if part is Portal.CARD:
            asked["flow_data"] = {"type": "payment_method_update"}
        with _asking(), _somebody(customer):
            return (await self._stripe.billing_portal.sessions.create_async(asked)).url

    async def probe_portal(self) -> bool:
        with _asking():
            known = await self._stripe.billing_portal.configurations.list_async({"is_default": True, "active": True})
            return any(each.active for each in known.data)

    # ── what happens, and whether it is all right ─────────────────────────────────────────────────────────────────

    async def hints(self, since: datetime) -> Sequence[Hint]:
        with _asking():
            listed = self._stripe.events.list_async(
                {"types": events.KINDS, "created": {"gte": int(since.timestamp())}, "limit": _PAGE}
            )
            newest_first = [
                replace(events.hint(event), at=answers.moment(event["created"])) async for event in _all(listed)
            ]
            return newest_first[::-1]

    def read_webhook(self, body: bytes, signature: str) -> Hint:
        return events.notification(body, signature, self._webhook_secrets, live=self._live)

    async def probe(self) -> Mapping[str, str]:
        """Reads some of all that purchases need, so that a right which the key lacks is known before money moves."""
        with _asking():
            balance = (await self._stripe.balance.retrieve_async()).to_dict()
            await asyncio.gather(
                self._stripe.payment_intents.list_async({"limit": 1}),
                self._stripe.checkout.sessions.list_async({"limit": 1}),
                self._stripe.charges.list_async({"limit": 1}),
                self._stripe.refunds.list_async({"limit": 1}),
                self._stripe.disputes.list_async({"limit": 1}),
                self._stripe.events.list_async({"limit": 1}),
            )
            return {"mode": "live" if balance["livemode"] else "test", "account": await self._account()}

    async def _account(self) -> str:
        try:
            return (await self._stripe.accounts.retrieve_current_async()).id
        except stripe.PermissionError:  # restricted keys seldom may, and nothing else needs it
            return "not shown to this key"


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment or the system names for this address, if any; it knows nothing of this machine."""
    address = urlsplit(url)
    host = address.hostname or ""
    return None if host in NEAR or proxy_bypass(host) else getproxies().get(address.scheme)


@contextmanager
def _asking() -> Iterator[None]:
    """Round every question to Stripe: whatever is no answer leaves as ``Outage``. Never says the key."""
    try:
        yield
    except stripe.StripeError as error:
        raise Outage("Stripe", _reason(error), request_id=error.request_id) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Outage("Stripe", f"an answer that makes no sense ({error!r})") from error


@contextmanager
def _somebody(customer: str) -> Iterator[None]:
    """Round what is made for a customer: one that does not exist is told apart from every other refusal."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.code == _MISSING and error.param == "customer":
            raise CustomerGone(customer) from error
        raise


def _reason(error: stripe.StripeError) -> str:
    match error:
        case stripe.APIConnectionError():
            cause = error.__cause__
            found = "no connection" if isinstance(cause, aiohttp.ClientConnectorError) else "no answer"
            return f"{found} ({type(cause).__name__})"
        case stripe.AuthenticationError():
            return "the API key is refused"
        case stripe.PermissionError():
            permission = re.search(r"\brak_\w+", error.user_message or "")
            return f"the API key lacks the permission {permission[0] if permission else 'for this'}"
        case stripe.RateLimitError():
            return "too many requests"
        case stripe.InvalidRequestError() | stripe.IdempotencyError() | stripe.CardError():
            return f"the request is refused: {error.user_message}"
        case _:
            return f"no usable answer (HTTP {error.http_status})"


def _error_in(error: stripe.StripeError) -> JsonObject:
    if not isinstance(error.json_body, dict):
        raise TypeError("an error without its reason")
    return dict(error.json_body["error"])


def _of(ident: str, item: JsonObject) -> JsonObject:
    """What was asked about. Whatever stands between Stripe and us may mix answers up, and money is booked by them."""
    if item["id"] != ident:
        raise ValueError(f"it speaks of {item['id']}")
    return item


def _for(order: Order, made: JsonObject) -> JsonObject:
    """What was made for the order, and nobody else's."""
    if made["metadata"]["purchase_id"] != order.id:
        raise ValueError(f"it speaks of {made['id']}")
    return made


async def _all(listed: Awaitable[stripe.ListObject[Any]]) -> AsyncIterator[JsonObject]:
    """Every object of a list, page by page, as plain JSON."""
    async for item in (await listed).auto_paging_iter():
        yield item.to_dict()


def _moved(outcome: Outcome) -> bool:
    return isinstance(outcome, Paid | Processing)


def _earliest(order: Order) -> int:
    """When the order's objects can have been made at the earliest, even if Stripe's clock is not ours."""
    return int((order.placed_at - _CLOCKS_DIFFER).timestamp())


def _metadata(order: Order) -> dict[str, str]:
    return {
        "purchase_id": order.id,
        "account_id": order.account_id,
        "slack_team": order.slack_team,
        "slack_user": order.slack_user,
    }


def _locale(tag: str | None) -> str:
    """The language of the page, in Stripe's spelling; ``auto`` is whatever the buyer's browser prefers."""
    wanted = (tag or "").replace("_", "-").lower()
    return _LOCALE_OF_TAG.get(wanted) or _LOCALE_OF_TAG.get(wanted.partition("-")[0]) or "auto"
