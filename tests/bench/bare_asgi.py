"""The least that answers a slash command: checks the signature, acknowledges, opens a ready-made form."""

import asyncio
import hashlib
import hmac
import json
import os
import time
from urllib.parse import parse_qs

import aiohttp
from starlette.types import Receive, Scope, Send

from bot.web.server import Server

SECRET = os.environ["SLACK_SIGNING_SECRET"].encode()
OPEN_VIEW = f"{os.environ['SLACK_API_URL']}views.open"
TOKEN = {"Authorization": f"Bearer {os.environ['SLACK_BOT_TOKEN']}"}


class BareApp:
    """An ASGI app for one path."""

    def __init__(self, session: aiohttp.ClientSession, form: object) -> None:
        self._session = session
        self._form = form
        self._opening: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status = 200 if _signed(dict(scope["headers"]), body) else 401
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        if status == 200:
            opening = asyncio.create_task(self._open(body))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, body: bytes) -> None:
        trigger_id = parse_qs(body.decode())["trigger_id"][0]
        asked = {"trigger_id": trigger_id, "view": self._form}
        async with self._session.post(OPEN_VIEW, json=asked, headers=TOKEN) as answer:
            await answer.read()


def _signed(headers: dict[bytes, bytes], body: bytes) -> bool:
    timestamp = headers.get(b"x-slack-request-timestamp", b"0")
    right = hmac.new(SECRET, b"v0:" + timestamp + b":" + body, hashlib.sha256).hexdigest()
    recent = abs(time.time() - int(timestamp)) <= 300
    return recent and hmac.compare_digest(f"v0={right}".encode(), headers.get(b"x-slack-signature", b""))


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        server = Server(BareApp(session, json.loads(os.environ["FORM"])), port=int(os.environ["PORT"]))
        await server.start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
