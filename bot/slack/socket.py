"""Socket Mode: two connections, so that one is always up, and a watchdog that slack_sdk lacks."""

import asyncio
import logging

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp

logger = logging.getLogger(__name__)

_CONNECTIONS = 2
_LOOK_EVERY = 1.0  # seconds
_PATIENCE = 5.0  # seconds for one attempt to connect
_RED_AFTER = 15.0  # seconds without any connection


class SocketMode:
    """Keeps connections to Slack open for as long as it runs. Made within a running event loop."""

    def __init__(self, app: AsyncApp, app_token: str) -> None:
        self._handlers = [AsyncSocketModeHandler(app, app_token) for _ in range(_CONNECTIONS)]
        for handler in self._handlers:  # slack_sdk would try a dead address for ever: the watchdog connects
            handler.client.default_auto_reconnect_enabled = handler.client.auto_reconnect_enabled = False
        self._watch: asyncio.Task[None] | None = None
        self._down_since: float | None = None

    async def start(self) -> None:
        """Connect in the background: a Slack that does not answer must not keep the bot from starting."""
        self._watch = asyncio.create_task(self._keep_connected(), name="socket mode")

    async def stop(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for handler in self._handlers:
            await handler.client.close()  # type: ignore[no-untyped-call]

    async def trouble(self) -> str | None:
        """For readiness: what is wrong, if anything."""
        down = self._down_since
        if down is None or asyncio.get_running_loop().time() - down < _RED_AFTER:
            return None
        return "no Socket Mode connection to Slack: check SLACK_APP_TOKEN and the way to Slack"

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        self._down_since = loop.time()
        while True:
            await asyncio.gather(*(self._look_at(handler) for handler in self._handlers))
            up = any([await handler.client.is_connected() for handler in self._handlers])
            self._down_since = None if up else self._down_since or loop.time()
            await asyncio.sleep(_LOOK_EVERY)

    async def _look_at(self, handler: AsyncSocketModeHandler) -> None:
        if await handler.client.is_connected():
            return
        handler.client.wss_uri = None
        try:
            async with asyncio.timeout(_PATIENCE):
                await handler.client.connect_to_new_endpoint()
        except Exception as error:  # noqa: BLE001 - the boundary of the connection: whatever it was, try again
            logger.warning("Socket Mode connection failed: %s", type(error).__name__)
