"""A world for the outbox: a database, the sandbox's Slack, and a clock on which waiting takes no time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from bot.db.engine import Database
from bot.outbox import store
from bot.outbox.model import Blocks, Channel, Message, User
from bot.outbox.service import Outbox
from bot.sandbox.clock import WindableClock
from bot.sandbox.slack import Message as Posted
from bot.sandbox.slack import Workspace
from bot.slack.client import SlackClient

OWNER = "U0ADA"
POST = "chat.postMessage"
UPDATE = "chat.update"


class HastyClock(WindableClock):
    """Whoever sleeps on it wakes at once, and that much later."""

    async def sleep(self, seconds: float) -> None:
        self.wind(seconds)
        await asyncio.sleep(0)


class Killed(BaseException):
    """The process is gone: nobody catches this."""


def section(text: str) -> list[dict[str, object]]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]


@dataclass
class World:
    database: Database
    workspace: Workspace
    clock: WindableClock
    slack: SlackClient
    outbox: Outbox

    def another_bot(self) -> Outbox:
        """The outbox of a process that was started anew, or of a second one."""
        return Outbox(self.database, self.slack, self.clock, jitter=lambda: 0.0)

    async def owe(self, key: str, text: str, to: User | Channel | None = None) -> None:
        message = Message(key, to or User(OWNER), text, section(f"*{text}*"))
        await self.database.write(lambda tx: store.owe(tx, message, self.clock.now()))

    async def restart(self) -> None:
        """The process dies, another one starts. It takes back all leases, on PostgreSQL too: nobody else is alive."""
        threads = [task for task in asyncio.all_tasks() if task.get_name().startswith("outbox ")]
        for thread in threads:
            thread.cancel()
        await asyncio.gather(*threads, return_exceptions=True)
        self.outbox = self.another_bot()
        await self.database.write(store.release_leases)

    async def deliver_all(self) -> None:
        """Wind the clock until nothing waits."""
        for _ in range(60):
            await self.outbox.deliver()
            if not (await self.waiting()).count:
                return
            self.clock.wind(minutes=5)
        raise AssertionError("something waits for ever")

    async def waiting(self) -> store.Waiting:
        async with self.database.read() as tx:
            return await store.waiting(tx)

    async def dead(self) -> list[str]:
        async with self.database.read() as tx:
            return [f"{one.key} to {one.place}: {one.reason}" for one in await store.dead(tx)]

    def shown(self, user: str = OWNER) -> list[Posted]:
        """What stands in the user's conversation with the bot."""
        return self.workspace.messages(self.workspace.dm(user))

    def texts(self, user: str = OWNER) -> list[str]:
        return [message.text for message in self.shown(user)]


class Calls:
    """A messenger that notes what is asked of the one behind it, with something happening before or after."""

    def __init__(
        self,
        slack: SlackClient,
        *,
        before: Callable[[str], Awaitable[None]] | None = None,
        after: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.slack, self.before, self.after = slack, before, after
        self.made: list[str] = []
        self.most_at_once = 0
        self.most_in_one_channel = 0
        self._now: list[str] = []

    async def open_dm(self, user_id: str) -> str:
        return await self._through(user_id, f"open_dm {user_id}", self.slack.open_dm(user_id))

    async def post(self, channel: str, text: str, blocks: Blocks, *, key: str) -> str:
        return await self._through(channel, f"post {text}", self.slack.post(channel, text, blocks, key=key))

    async def update(self, channel: str, ts: str, text: str, blocks: Blocks, *, key: str) -> None:
        return await self._through(channel, f"update {text}", self.slack.update(channel, ts, text, blocks, key=key))

    async def find(self, channel: str, key: str, since: object) -> str | None:
        return await self._through(channel, "find", self.slack.find(channel, key, since))

    async def _through(self, channel, name, call):
        self.made.append(name)
        self._now.append(channel)
        self.most_at_once = max(self.most_at_once, len(self._now))
        self.most_in_one_channel = max(self.most_in_one_channel, self._now.count(channel))
        try:
            if self.before is not None:
                await self.before(name)
            answer = await call
            if self.after is not None:
                await self.after(name)
            return answer
        finally:
            self._now.remove(channel)


async def stop(running: asyncio.Task[None]) -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.005)
