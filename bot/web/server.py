"""Serves an ASGI app inside the running event loop, and stops without waiting for streams that never end."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bot.errors import Unusable

GRACE_SECONDS: Final = 0.5
GREATEST_HEAD: Final = 64 * 1024
UNFINISHED_SECONDS: Final = 30.0  # that a request may take to arrive
_NEAREST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - whoever listens everywhere is reached here


class CannotListen(Unusable):
    """The address cannot be listened on. Says which and why. ``taken``: because somebody does so already."""

    def __init__(self, host: str, port: int, chosen_by: str, error: OSError) -> None:
        super().__init__(f"cannot listen on {host}:{port} ({chosen_by}): {error.strerror}")
        self.taken = error.errno == errno.EADDRINUSE


class Server:
    """One listening address. ``url`` is known once ``start`` has returned; it keeps its port for another start.

    ``chosen_by`` says what to change where the address cannot be had.
    """

    def __init__(
        self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0, *, chosen_by: str = "HOST and PORT"
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._chosen_by = chosen_by
        self._inner: _Inner | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches the server."""
        host = _NEAREST.get(self._host, self._host)
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen and answer. Raise ``CannotListen`` when the port is taken."""
        listener = listen(self._host, self._port, self._chosen_by)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._run,
            interface="asgi3",
            http=_Bounded,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nothing here asks who the client is
            server_header=False,
            timeout_keep_alive=75,  # longer than clients keep theirs, so that no request meets a closing door
        )
        config.load()
        self._inner = _Inner(config)
        self._serving = asyncio.create_task(self._inner.serve(sockets=[listener]))
        up = asyncio.create_task(self._inner.up.wait())
        await asyncio.wait([up, self._serving], return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            up.cancel()
            await self._serving  # says why it ended

    async def stop(self) -> None:
        """Let answers finish for half a second, then cut whatever is still open. Stopping twice is allowed."""
        if self._inner is not None and self._serving is not None:
            self._inner.leave()
            await self._serving
            self._inner = self._serving = None

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; work that is cancelled because the server stops ends without a traceback in the log."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if self._inner is not None and not self._inner.should_exit:
                raise


class _Bounded(HttpToolsProtocol):
    """HTTP by httptools, which is several times quicker than h11 but would read a head of any size, for any time.

    uvicorn waits for the rest of a request without limit, and a thousand that never end are all that a process can
    hold open: Slack, Stripe and the database were out of reach with them.
    """

    _head = 0  # bytes of headers so far
    _unread = 0  # bytes since the parser last found something
    _found = False
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_the_end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_the_end(self) -> None:
        self._expect_nothing()
        self._limit = self.loop.call_later(UNFINISHED_SECONDS, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._limit:
            self._limit.cancel()

    def data_received(self, data: bytes) -> None:
        self._found = False
        super().data_received(data)
        self._unread = 0 if self._found else self._unread + len(data)
        if max(self._head, self._unread) > GREATEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        self._found = True
        self._head = 0
        self._expect_the_end()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._expect_nothing()
        super().on_message_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._found = True
        self._head += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head > GREATEST_HEAD:
            raise ValueError("the head is too large")  # httptools makes it a bad request
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._found = True
        super().on_body(body)


class _Inner(uvicorn.Server):
    """uvicorn without its signal handlers, since the process around us decides what Ctrl+C means, nor its pauses."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        self.up.set()
        while not await self.on_tick(0):  # keeps the Date header right
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._emptied(GRACE_SECONDS):
            await self._cut()

    async def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for _ in range(10):  # work that will not be cancelled is left behind: stopping never hangs
            if await self._emptied(0.05):
                return
            for task in list(self.server_state.tasks):
                task.cancel()

    async def _emptied(self, seconds: float) -> bool:
        """Whether every connection and every request is gone before that many seconds are."""
        end = asyncio.get_running_loop().time() + seconds
        while self.server_state.connections or self.server_state.tasks:
            if asyncio.get_running_loop().time() >= end:
                return False
            await asyncio.sleep(0.005)
        return True


def listen(host: str, port: int, chosen_by: str) -> socket.socket:
    """Raise ``CannotListen``."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise CannotListen(host, port, chosen_by, error) from None
    # asyncio does this only for sockets it has made itself; without it every answer waits 40 ms for Nagle.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
