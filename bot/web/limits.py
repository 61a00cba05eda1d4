"""The most that is read of a request."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web.problem import Problem

GREATEST_BODY: Final = 256 * 1024
_HEARD_OUT: Final = 16  # times the limit: a client that is cut while it still sends may never read the refusal


class BodyLimit:
    """ASGI middleware that reads the whole body before the app sees the request, and refuses one that is too large.

    Bytes are counted as they come, chunked or not; what the client says of their number is not relied on.
    """

    def __init__(self, app: ASGIApp, *, most: int = GREATEST_BODY) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(receive)
        if body is None:
            refusal = Problem(413, f"At most {self._most} bytes.", headers={"Connection": "close"})
            await refusal(scope, receive, send)
        elif body["type"] == "http.request":
            await self._app(scope, _again(body, receive), send)

    async def _read(self, receive: Receive) -> Message | None:
        """The body as one message, ``None`` when there is too much of it, or the message that the client left."""
        body = bytearray()
        size = 0
        while (message := await receive())["type"] == "http.request":
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= self._most:
                body += chunk
            if not message.get("more_body", False) or size > self._most * _HEARD_OUT:
                whole = {"type": "http.request", "body": bytes(body), "more_body": False}
                return whole if size <= self._most else None
        return message


def _again(body: Message, receive: Receive) -> Receive:
    """A ``receive`` that hands out the body first and then whatever comes next."""
    unread = [body]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay
