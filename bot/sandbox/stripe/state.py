"""Everything the sandbox's Stripe remembers: objects in the shape the API shows them, and an event for every change."""

import copy
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from bot.clock import Clock
from bot.sandbox.stripe.errors import JsonObject, no_such

API_VERSION = "2026-10-28.endive"
EVENTS_REACH_BACK = timedelta(days=30)
_ALPHABET = string.ascii_letters + string.digits


class Shelf:
    """Objects of one kind, in the order of their making."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, JsonObject] = {}

    def __iter__(self) -> Iterator[JsonObject]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, ident: object) -> bool:
        return ident in self._items

    def add(self, item: JsonObject) -> JsonObject:
        self._items[item["id"]] = item
        return item

    def get(self, ident: str, param: str = "id") -> JsonObject:
        """The object itself, not a copy. ``param`` names where the id stood, for the refusal."""
        if ident not in self._items:
            raise no_such(self.kind, ident, param)
        return self._items[ident]

    def newest_first(self) -> list[JsonObject]:
        return list(reversed(self._items.values()))


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request behind a change; empty when a person or the clock did it."""

    request_id: str | None = None
    key: str | None = None


class State:
    """The shelves, and the one way to tell the world that something on them changed."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self.clock = clock
        self.base_url = ""
        self.cause = Cause()
        self.watchers: list[Callable[[JsonObject], None]] = []
        self.customers = Shelf("customer")
        self.methods = Shelf("PaymentMethod")
        self.intents = Shelf("payment_intent")
        self.charges = Shelf("charge")
        self.refunds = Shelf("refund")
        self.disputes = Shelf("dispute")
        self.sessions = Shelf("checkout.session")
        self.invoices = Shelf("invoice")
        self.portals = Shelf("billing_portal.session")
        self.tax_ids = Shelf("tax_id")
        self.events = Shelf("event")
        self._random = random

    def new_id(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=length))}"

    def now(self) -> int:
        """The clock in Unix seconds, as Stripe counts."""
        return int(self.clock.now().timestamp())

    def emit(self, kind: str, item: JsonObject, *, before: JsonObject | None = None, at: int | None = None) -> None:
        """Record that ``item`` changed: a copy of how it looks now, and for updates how it looked before."""
        data: JsonObject = {"object": copy.deepcopy(item)}
        if before is not None:
            data["previous_attributes"] = before
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now() if at is None else at,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.cause.request_id, "idempotency_key": self.cause.key},
            "type": kind,
        }
        self.events.add(event)
        for watcher in self.watchers:
            watcher(event)

    def recent_events(self) -> list[JsonObject]:
        """Newest first; older ones than 30 days cannot be had any more."""
        oldest = self.now() - int(EVENTS_REACH_BACK.total_seconds())
        return [event for event in self.events.newest_first() if event["created"] >= oldest]


def merged(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Metadata after an update: new values win, empty ones unset, nothing at all unsets everything."""
    if not new:
        return {}
    return {key: value for key, value in (old | new).items() if value}
