"""An endpoint that is given headers and body and nothing else: for what is asked thousands of times a second."""

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Direct:
    """ASGI app behind ``BodyLimit``, which hands out the body in one piece. Errors are for whoever is around it."""

    def __init__(self, answer: Callable[[Headers, bytes], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        response = await self._answer(Headers(scope=scope), body)
        await response(scope, receive, send)
