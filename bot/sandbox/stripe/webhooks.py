"""Webhook deliveries: signed, tried again for three days, and under a test's thumb (held, shuffled, repeated, lost)."""

import asyncio
import hmac
import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

import aiohttp

from bot.clock import Clock
from bot.sandbox.stripe.errors import JsonObject

MINUTE, HOUR = 60.0, 3600.0
RETRY_AFTER = (5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 12 * HOUR, 12 * HOUR, 12 * HOUR, 12 * HOUR)
ANSWER_WITHIN = 10.0

_ADDRESSES = {
    "charge": "/v1/charges",
    "checkout.session": "/v1/checkout/sessions",
    "customer": "/v1/customers",
    "dispute": "/v1/disputes",
    "invoice": "/v1/invoices",
    "payment_intent": "/v1/payment_intents",
    "payment_method": "/v1/payment_methods",
    "refund": "/v1/refunds",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go: all, or the ``kinds`` chosen. ``thin`` ones get only the id and address of what changed."""

    url: str
    secret: str
    thin: bool = False
    kinds: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answered or failed attempt; ``status`` is 0 when nobody answered."""

    event: str
    kind: str
    url: str
    status: int


class Webhooks:
    """Sends each event to the endpoints of its kind, in the background. ``endpoints`` may be changed at any time."""

    def __init__(self, clock: Clock, endpoints: Iterable[Endpoint] = ()) -> None:
        self.endpoints = list(endpoints)
        self.held: list[JsonObject] = []
        self.deliveries: list[Delivery] = []
        self._clock = clock
        self._holding = False
        self._silent = False
        self._first_tries: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def hold(self) -> None:
        """Keep new events back until ``release``."""
        self._holding = True

    def silence(self) -> None:
        """Lose every event from now on, until ``release``."""
        self._silent = True

    async def release(self, *, shuffle: int | None = None, repeat: int = 1) -> None:
        """Send what was held, each event ``repeat`` times, in an order drawn from the seed ``shuffle``, all at once.

        Returns when every first attempt is answered. Later events go out as they come.
        """
        waiting = [event for event in self.held for _ in range(repeat)]
        self.held.clear()
        self._holding = self._silent = False
        if shuffle is not None:
            Random(shuffle).shuffle(waiting)  # noqa: S311 - an order, not a secret
        for event in waiting:
            self._send(event)
        await self.settled()

    async def settled(self) -> None:
        """Wait until no first attempt is under way."""
        while self._first_tries:
            await asyncio.wait(set(self._first_tries))

    async def close(self) -> None:
        """Give up every delivery."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def on_event(self, event: JsonObject) -> None:
        if self._silent:
            return
        if self._holding:
            self.held.append(event)
        else:
            self._send(event)

    def _send(self, event: JsonObject) -> None:
        for endpoint in self.endpoints:
            if endpoint.kinds is not None and event["type"] not in endpoint.kinds:
                continue
            task = asyncio.create_task(self._first_try(event, endpoint))
            for group in (self._tasks, self._first_tries):
                group.add(task)
                task.add_done_callback(group.discard)

    async def _first_try(self, event: JsonObject, endpoint: Endpoint) -> None:
        event["pending_webhooks"] += 1
        if await self._deliver(event, endpoint):
            event["pending_webhooks"] -= 1
            return
        task = asyncio.create_task(self._try_again(event, endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try_again(self, event: JsonObject, endpoint: Endpoint) -> None:
        for seconds in RETRY_AFTER:
            await self._clock.sleep(seconds)
            if await self._deliver(event, endpoint):
                event["pending_webhooks"] -= 1
                return

    async def _deliver(self, event: JsonObject, endpoint: Endpoint) -> bool:
        body = json.dumps(thin(event) if endpoint.thin else event, indent=2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, endpoint.secret),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN))
        try:
            async with self._session.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        self.deliveries.append(Delivery(event["id"], event["type"], endpoint.url, status))
        return 200 <= status < 300


def sign(body: str, secret: str, at: int | None = None) -> str:
    """The ``Stripe-Signature`` header. Always by the machine's own clock, because the receiver checks against it."""
    moment = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{moment}.{body}".encode(), sha256).hexdigest()
    return f"t={moment},v1={digest}"


def thin(event: JsonObject) -> JsonObject:
    """The small form of an event: what changed, and where to read it."""
    item = event["data"]["object"]
    cause = event["request"]
    return {
        "id": thin_id(event["id"]),
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": datetime.fromtimestamp(event["created"], UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "livemode": False,
        "context": None,
        "reason": {"type": "request", "request": cause} if cause["id"] and cause["idempotency_key"] else None,
        "related_object": {
            "id": item["id"],
            "type": item["object"],
            "url": f"{_ADDRESSES[item['object']]}/{item['id']}",
        },
        "snapshot_event": event["id"],
    }


def thin_id(event_id: str) -> str:
    """The thin event of a snapshot event has its own id."""
    return event_id.replace("evt_", "evt_test_", 1)
