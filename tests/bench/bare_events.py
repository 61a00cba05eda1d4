"""The least that takes usage events over HTTP: parses them, stores nothing, says that all is well."""

import asyncio
import os
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from bot.web.server import Server


class Data(msgspec.Struct):
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    input_includes_cached: bool
    cached_input_tokens: int = 0


class CloudEvent(msgspec.Struct):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: Data


_parse = msgspec.json.Decoder(CloudEvent | list[CloudEvent]).decode


async def app(scope: dict[str, Any] | Scope, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    _parse(body)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def main() -> None:
    await Server(app, port=int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
