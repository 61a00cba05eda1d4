"""Carries what people do to the bot, over Socket Mode or signed HTTP, with Slack's three seconds and its retries."""

import asyncio
import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

import aiohttp

from bot.sandbox.slack.records import Ack, Delivery, Json, Kind
from bot.sandbox.slack.sockets import NoAnswer, Sockets
from bot.sandbox.slack.state import State

ACK_SECONDS = 3.0
RETRY_AFTER_SECONDS = (0.0, 60.0, 300.0)
RETRY_REASONS = {"operation_timeout": "http_timeout"}


class Deliverer:
    """``request_url`` set: HTTP. Otherwise Socket Mode."""

    def __init__(self, state: State, sockets: Sockets, *, signing_secret: str) -> None:
        self.request_url = ""
        self.signing_secret = signing_secret
        self.sent: list[Delivery] = []
        self.timeouts: list[Delivery] = []
        self._state = state
        self._sockets = sockets
        self._retries: set[asyncio.Task[None]] = set()

    async def ask(self, kind: Kind, payload: Json) -> Ack:
        """Deliver once and wait for the answer. Slack never repeats commands and interactive payloads."""
        return await self._attempt(self._new(kind, payload))

    async def tell(self, payload: Json) -> Ack:
        """Deliver an event. The first try is waited for; up to three more follow by the clock, in the background."""
        delivery = self._new("events_api", payload)
        ack = await self._attempt(delivery)
        if ack.error:
            retry = asyncio.create_task(self._retry(delivery, RETRY_REASONS.get(ack.error, "http_error")))
            self._retries.add(retry)
            retry.add_done_callback(self._retries.discard)
        return ack

    async def again(self, delivery: Delivery) -> Ack:
        """The very same request once more; over HTTP to the byte, the old signature included."""
        return await self._attempt(delivery)

    async def close(self) -> None:
        for retry in list(self._retries):
            retry.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)

    def _new(self, kind: Kind, payload: Json) -> Delivery:
        delivery = Delivery(kind, payload)
        self.sent.append(delivery)
        return delivery

    async def _retry(self, delivery: Delivery, reason: str) -> None:
        for wait in RETRY_AFTER_SECONDS:
            await self._state.clock.sleep(wait)
            ack = await self._attempt(delivery, reason)
            if not ack.error:
                return
            reason = RETRY_REASONS.get(ack.error, "http_error")

    async def _attempt(self, delivery: Delivery, retry_because: str = "") -> Ack:
        delivery.attempts += 1
        ack = Ack(delivery=delivery)
        started = time.monotonic()
        carry = self._post if self.request_url else self._sockets.carry
        try:
            async with asyncio.timeout(ACK_SECONDS):
                ack.body = await carry(delivery, retry_because)
        except TimeoutError:
            ack.error = "operation_timeout"
            self.timeouts.append(delivery)
        except NoAnswer as useless:
            ack.error = useless.code
        ack.seconds = time.monotonic() - started
        return ack

    # --- HTTP

    async def _post(self, delivery: Delivery, retry_reason: str) -> Json:
        if not delivery.body:
            _write(delivery)
        if retry_reason or not delivery.headers:
            self._sign(delivery, retry_reason)
        try:
            async with aiohttp.ClientSession() as session:
                asking = session.post(
                    self.request_url, data=delivery.body, headers=delivery.headers, allow_redirects=False
                )
                async with asking as answer:
                    status, said = answer.status, await answer.text()
        except aiohttp.ClientError as unreachable:
            raise NoAnswer("dispatch_failed") from unreachable
        if status != 200:
            raise NoAnswer("dispatch_failed")
        return _read(delivery, said)

    def _sign(self, delivery: Delivery, retry_reason: str) -> None:
        stamp = str(int(time.time()))
        signed = hmac.new(self.signing_secret.encode(), f"v0:{stamp}:".encode() + delivery.body, hashlib.sha256)
        content = "application/json" if delivery.kind == "events_api" else "application/x-www-form-urlencoded"
        delivery.headers = {
            "Content-Type": content,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={signed.hexdigest()}",
        }
        if retry_reason:
            delivery.headers |= {
                "X-Slack-Retry-Num": str(delivery.attempts - 1),
                "X-Slack-Retry-Reason": retry_reason,
            }


def _write(delivery: Delivery) -> None:
    match delivery.kind:
        case "slash_commands":
            delivery.body = urlencode(delivery.payload).encode()
        case "interactive":
            delivery.body = urlencode({"payload": json.dumps(delivery.payload)}).encode()
        case "events_api":
            delivery.body = json.dumps(delivery.payload).encode()


def _read(delivery: Delivery, answer: str) -> Json:
    """The answer as an object. Slack takes plain text for a command's answer, and nothing but JSON for a form's."""
    if not delivery.wants_answer or not answer.strip():
        return {}
    try:
        body = json.loads(answer)
    except json.JSONDecodeError:
        body = answer
    if isinstance(body, dict):
        return body
    if delivery.kind == "slash_commands":
        return {"text": answer}
    raise NoAnswer("invalid_response")
