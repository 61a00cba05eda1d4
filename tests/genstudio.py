"""A program that uses models and tells the bot: the events that it sends, and its way to the bot's API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx

from bot.sandbox.world import ACCOUNT
from bot.usage import wire

Json = dict[str, Any]

PROVIDER, MODEL = "openai", "gpt"
PRICE = ("2", "8", "0.5", "2.5")  # dollars per million tokens: input, output, cached input, cache write
ONE_CREDIT = {"input_tokens": 250_000, "output_tokens": 62_500, "input_includes_cached": True}  # at this price


def use(id: str, account: str = ACCOUNT, *, at: datetime | None = None, **told: Any) -> Json:
    """An event. It costs one credit unless it is told otherwise: ``source``, ``subject``, or what is in its data."""
    outside = {name: told.pop(name) for name in ("source", "type") if name in told}
    event = {"specversion": "1.0", "id": id, "source": "genstudio", "type": "llm.use", "subject": account, **outside}
    event["data"] = {"provider": PROVIDER, "model": MODEL, **ONE_CREDIT, **told}
    return event | ({"time": at.isoformat()} if at else {})


class Program:
    """Something with a bearer token, or without. Answers are httpx's."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.token = token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, verify=False, timeout=60)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        return await self._client.request(method, f"/api/v1/{path}", **how)

    async def send(self, *events: Json) -> httpx.Response:
        """One event by itself, or several as a batch."""
        kind, body = (wire.SINGLE, events[0]) if len(events) == 1 else (wire.BATCH, events)
        return await self.ask("POST", "events", json=body, headers={"Content-Type": kind})

    async def balance(self, account: str = ACCOUNT) -> Json:
        answer = await self.ask("GET", f"accounts/{account}/balance")
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told

    async def has(self, account: str = ACCOUNT) -> str:
        """The balance, to the last digit."""
        return str((await self.balance(account))["settled"])

    async def hold(self, key: str | None = None, **wanted: Any) -> httpx.Response:
        """Ask for a hold of one credit, or of what is wanted."""
        headers = {"Idempotency-Key": key} if key else {}
        asked = {"account": ACCOUNT, **(wanted or {"credits": "1"})}
        return await self.ask("POST", "holds", json=asked, headers=headers)

    async def settle(self, hold: str, *events: Json) -> httpx.Response:
        return await self.ask("POST", f"holds/{hold}/settle", json=list(events))

    async def release(self, hold: str) -> httpx.Response:
        return await self.ask("DELETE", f"holds/{hold}")


def errors(answer: httpx.Response) -> Sequence[tuple[int | None, str]]:
    """Index and reason of each event that an answer finds fault with."""
    assert answer.headers["content-type"] == "application/problem+json"
    return [(each["index"], each["reason"]) for each in answer.json()["errors"]]
