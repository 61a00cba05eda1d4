"""A world for the outbox: a database, the sandbox's Slack, and a clock on which waiting takes no time."""

import asyncio
from dataclasses import dataclass

from bot.db.engine import Database
from bot.outbox import store
from bot.outbox.model import Channel, Message, User
from bot.outbox.service import Outbox
from bot.sandbox.clock import WindableClock
from bot.sandbox.slack import Message as Posted
from bot.sandbox.slack import Workspace
from bot.slack.client import SlackClient

OWNER = "U0ADA"


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
