"""Socket Mode: two connections, so that one is always up, and a watchdog that slack_sdk lacks."""

import asyncio
import logging

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.clock import Clock
from bot.errors import Outage
from bot.slack.client import SlackRefused, failure

logger = logging.getLogger(__name__)

_CONNECTIONS = 2
_LOOK_EVERY = 1.0  # seconds
_PATIENCE = 5.0  # seconds for one attempt to connect
_LONGEST_PAUSE = 15.0  # seconds between attempts while Slack refuses: it counts how often it is asked
_RED_AFTER = 15.0  # seconds without any connection


class _Line:
    """One connection, which is looked at again and again."""

    def __init__(self, app: AsyncApp, app_token: str, clock: Clock) -> None:
        self._clock = clock
        self.client = AsyncSocketModeHandler(app, app_token, ping_interval=_PATIENCE).client
        # slack_sdk would try a dead address for ever: the watchdog connects
        self.client.default_auto_reconnect_enabled = self.client.auto_reconnect_enabled = False
        self._connect_anew = self.client.connect_to_new_endpoint
        self.client.connect_to_new_endpoint = self._renew  # type: ignore[method-assign]
        self._one_at_a_time = asyncio.Lock()
        self.fault = ""  # why the last attempt to connect failed
        self._failures = 0
        self._not_before = 0.0

    async def look(self) -> bool:
        """Whether it is up; if it is not, try to connect, at longer and longer intervals."""
        if await self.client.is_connected():
            self._failures = 0
        elif self._clock.monotonic() >= self._not_before:
            async with self._one_at_a_time:
                await self._connect()
            self._not_before = self._clock.monotonic() + min(_LOOK_EVERY * 2**self._failures, _LONGEST_PAUSE)
        return bool(await self.client.is_connected())

    async def _renew(self, force: bool = False) -> None:
        """Slack wants this connection to end. slack_sdk would wait for the next one as long as that takes.

        Told twice, it would make two of them, and read only one: the other half of what Slack sends would be lost.
        """
        old = self.client.current_session
        async with self._one_at_a_time:
            if self.client.current_session is old:
                await self._connect(force=force)

    async def _connect(self, *, force: bool = False) -> None:
        self.client.wss_uri = None
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._connect_anew(force=force)
        except Exception as error:  # noqa: BLE001 - the boundary of the connection: whatever it was, try again
            self._failures = min(self._failures + 1, 10)
            self.fault = _sentence(error)
            logger.warning(self.fault)


class SocketMode:
    """Keeps connections to Slack open for as long as it runs. Made within a running event loop."""

    def __init__(self, app: AsyncApp, app_token: str, clock: Clock) -> None:
        self._clock = clock
        self._lines = [_Line(app, app_token, clock) for _ in range(_CONNECTIONS)]
        self._watch: asyncio.Task[None] | None = None
        self._was_up = False
        self._down_since: float | None = clock.monotonic()

    async def start(self) -> None:
        """Connect in the background: a Slack that does not answer must not keep the bot from starting."""
        self._watch = asyncio.create_task(self._keep_connected(), name="socket mode")

    async def stop(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for line in self._lines:
            await line.client.close()  # type: ignore[no-untyped-call]

    async def trouble(self) -> str | None:
        """For readiness: what is wrong, if anything."""
        if self._down_since is None:
            return None
        if self._clock.monotonic() - self._down_since < _RED_AFTER:
            return None if self._was_up else "starting: not connected to Slack yet"
        return next((line.fault for line in self._lines if line.fault), _unconnected("no answer"))

    async def _keep_connected(self) -> None:
        self._down_since = self._clock.monotonic()
        while True:
            up = any(await asyncio.gather(*(line.look() for line in self._lines)))
            self._was_up = self._was_up or up
            self._down_since = None if up else self._down_since or self._clock.monotonic()
            await self._clock.sleep(_LOOK_EVERY)


def _sentence(error: Exception) -> str:
    """Why there is no connection, and what to do about it."""
    told = failure(error.response) if isinstance(error, SlackApiError) else error
    if isinstance(told, SlackRefused):
        return f"Slack refuses SLACK_APP_TOKEN ({told}): credits-bot doctor says how to mend it"
    return _unconnected(told.reason if isinstance(told, Outage) else type(told).__name__)


def _unconnected(why: str) -> str:
    return f"no Socket Mode connection to Slack ({why}): check SLACK_APP_TOKEN and the way to Slack"
