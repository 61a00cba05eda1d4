"""The network of the simulation: the SDKs' requests go straight into the sandbox's Stripe and Slack, or into trouble.

What the other side does, it does in a task of its own: it goes on when the bot gives up waiting, or dies.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import stripe
from slack_sdk.web.async_client import AsyncWebClient
from starlette.types import ASGIApp, Message

from bot.sandbox.faults import RUBBISH
from bot.slack.client import TIMEOUT_SECONDS, SlackClient

from .loop import OWNER, outside
from .odds import Trouble

STRIPE_PATIENCE = 20.0
NEVER_CONNECTED = ConnectionRefusedError("nobody listens")


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


async def request(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """What an ASGI app answers, without any socket."""
    status, told, parts = 0, {}, []
    heard = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(heard, None) or {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, told
        if message["type"] == "http.response.start":
            status = message["status"]
            told = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("sandbox", 1),
        "server": ("sandbox", 80),
    }
    await app(scope, receive, send)
    return Answer(status, b"".join(parts), told)


class Lost(Exception):
    """No answer. ``connected`` is false when the call certainly never got through."""

    def __init__(self, *, connected: bool) -> None:
        super().__init__("no answer")
        self.connected = connected


class Line(Protocol):
    """A process of the bot, as its wires see it."""

    async def step(self) -> None: ...

    async def awake(self) -> None: ...

    def may_freeze(self) -> None: ...

    def trouble(self, where: str, call: str) -> Trouble | None: ...

    def seconds(self, least: float, most: float) -> float: ...

    def hang(self, where: str) -> tuple[float, float]: ...

    async def at_stripe(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, sent: float, stored: bool
    ) -> Answer: ...

    async def at_slack(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


async def ask(line: Line, where: str, call: str, work: Callable[[bool], Awaitable[Answer]], patience: float) -> Answer:
    """Send a call and wait for its answer, in the weather of the moment."""
    trouble = line.trouble(where, call)
    await line.step()
    there, back = line.seconds(0.005, 0.4), line.seconds(0.005, 0.4)
    if trouble is Trouble.HANG:
        there, back = line.hang(where)
    reply = outside(_other_side(trouble, work, there, back))
    try:
        async with asyncio.timeout(patience):
            answer = await asyncio.shield(reply)
    except TimeoutError:
        raise Lost(connected=True) from None
    finally:
        reply.add_done_callback(_heard)
    line.may_freeze()
    await line.awake()
    await line.step()
    return answer


def _heard(reply: asyncio.Task[Answer]) -> None:
    """An answer that came too late is nobody's business."""
    if not reply.cancelled():
        reply.exception()


async def _other_side(
    trouble: Trouble | None, work: Callable[[bool], Awaitable[Answer]], there: float, back: float
) -> Answer:
    await asyncio.sleep(there)
    match trouble:
        case Trouble.CUT_BEFORE:
            raise Lost(connected=False)
        case Trouble.FAILED:
            answer = Answer(503, b'{"error": {"type": "api_error", "message": "out of order"}}')
        case Trouble.SLOW_DOWN:
            answer = Answer(429, b'{"ok": false, "error": "ratelimited"}', {"retry-after": "3"})
        case Trouble.RUBBISH:
            answer = Answer(200, RUBBISH.encode(), {"content-type": "text/html"})
        case _:
            answer = await work(trouble is Trouble.STORED)
    await asyncio.sleep(back)
    if trouble is Trouble.CUT_AFTER:
        raise Lost(connected=True)
    return answer


class StripeWire(stripe.HTTPClient):
    """Under Stripe's SDK: the requests of whichever process is asking."""

    name = "leaping"

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        line: Line = OWNER.get()
        body, sent = (post_data or "").encode(), asyncio.get_running_loop().time()

        async def work(stored: bool) -> Answer:
            return await line.at_stripe(method.upper(), url, headers, body, sent=sent, stored=stored)

        try:
            answer = await ask(line, "stripe", f"{method.upper()} {urlsplit(url).path}", work, STRIPE_PATIENCE)
        except Lost as lost:
            raise stripe.APIConnectionError("no answer") from lost  # type: ignore[no-untyped-call]
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        """Nothing is open."""


class _SlackWire(AsyncWebClient):
    """Under slack_sdk: as the SDK's own sending, on no socket."""

    async def _request(self, *, http_verb: str, api_url: str, req_args: dict[str, Any]) -> dict[str, Any]:
        line: Line = OWNER.get()
        given = {key: value for part in ("params", "data", "json") for key, value in (req_args.get(part) or {}).items()}
        headers = {name: str(value) for name, value in req_args["headers"].items()}
        headers["Content-Type"] = "application/json"
        method = api_url.rpartition("/")[2]
        body = json.dumps(given).encode()

        async def work(_: bool) -> Answer:
            return await line.at_slack(method, headers, body)

        try:
            answer = await ask(line, "slack", method, work, float(TIMEOUT_SECONDS))
        except Lost as lost:
            if lost.connected:
                raise aiohttp.ServerDisconnectedError from lost
            raise aiohttp.ClientConnectorError(None, NEVER_CONNECTED) from lost  # type: ignore[arg-type]
        data = json.loads(answer.body)
        return {"data": data, "headers": answer.headers, "status_code": answer.status}


class LeapingSlack(SlackClient):
    """The bot's own client, on that wire."""

    def __init__(self, token: str) -> None:
        super().__init__(token, "https://slack.invalid/api/")
        self._web = _SlackWire(token, base_url="https://slack.invalid/api/", retry_handlers=[])
