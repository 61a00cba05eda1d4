"""Makes Slack agree with one row: posts the message the first time, edits it ever after, finds it after a lost answer.

A post cannot be made idempotent at Slack. So it is written down before it leaves, and when its answer did not arrive
(or the process died), the message is looked for in the conversation by its metadata. Looking needs a history scope
(``im:history``; ``channels:history`` or ``groups:history`` in channels). Without it the message is posted again, which
is the one case where a person may see it twice.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from bot.clock import Clock
from bot.db.engine import Database
from bot.outbox import store
from bot.outbox.model import SENDING_SECONDS, SKEW, Blocks, Owed, Remedy, remedy
from bot.outbox.pace import Pace
from bot.slack.client import SlackRefused, Untouched

T = TypeVar("T")
logger = logging.getLogger(__name__)

_CHART = "data_visualization"  # a kind of block that not every Slack takes


class Messenger(Protocol):
    """What is asked of Slack, with the errors of ``bot.slack.client``. Each call ends within 10 seconds."""

    async def open_dm(self, user_id: str) -> str: ...

    async def post(self, channel: str, text: str, blocks: Blocks, *, key: str) -> str: ...

    async def update(self, channel: str, ts: str, text: str, blocks: Blocks, *, key: str) -> None: ...

    async def find(self, channel: str, key: str, since: datetime) -> str | None: ...


class LeaseOver(Exception):
    """Too much time went by, or somebody else has the row: saying anything now could undo what they say."""


@dataclass(frozen=True, slots=True)
class Told:
    """Where the message is now."""

    channel: str
    ts: str


class Sender:
    """Writes what a restart must know in transactions of its own; none is open while Slack is asked."""

    def __init__(self, database: Database, slack: Messenger, clock: Clock, pace: Pace) -> None:
        self._database = database
        self._slack = slack
        self._clock = clock
        self._pace = pace

    async def tell(self, owed: Owed) -> Told:
        """Let Slack show the row's content. Raises Slack's errors, and ``LeaseOver``."""
        deadline = self._clock.monotonic() + SENDING_SECONDS
        channel = owed.channel or await self._slack.open_dm(owed.user_id or "")
        ts = owed.ts or await self._lost(owed, channel)
        if ts is not None and await self._edit(owed, channel, ts, deadline):
            return Told(channel, ts)
        return Told(channel, await self._post(owed, channel, deadline))

    async def _lost(self, owed: Owed, channel: str) -> str | None:
        """The message, if an earlier post arrived and its answer did not."""
        if owed.posting_since is None:
            return None
        try:
            ts = await self._slack.find(channel, owed.key, owed.posting_since - SKEW)
        except SlackRefused as refused:
            logger.warning("cannot look whether %s was posted (%s): it may appear twice", owed.key, refused)
            return None
        if ts is not None and not await self._database.write(lambda tx: store.posted(tx, owed, channel, ts)):
            raise LeaseOver
        return ts

    async def _edit(self, owed: Owed, channel: str, ts: str, deadline: float) -> bool:
        """False when there is no message any more that could be edited."""
        try:
            await self._say(owed, partial(self._slack.update, channel, ts, key=owed.key), deadline)
        except SlackRefused as refused:
            if remedy(refused.error) is not Remedy.ANEW:
                raise
            logger.info("%s cannot be edited (%s) and is posted anew", owed.key, refused.error)
            return False
        return True

    async def _post(self, owed: Owed, channel: str, deadline: float) -> str:
        await self._pace.turn(owed.place)
        at = self._clock.now()
        if not await self._database.write(lambda tx: store.posting(tx, owed, channel, at)):
            raise LeaseOver
        try:
            return await self._say(owed, partial(self._slack.post, channel, key=owed.key), deadline)
        except (SlackRefused, Untouched):
            await self._database.write(lambda tx: store.unposted(tx, owed))
            raise

    async def _say(self, owed: Owed, send: Callable[[str, Blocks], Awaitable[T]], deadline: float) -> T:
        """Send text and blocks; when Slack cannot take those, without charts; at last the text, which says it all."""
        without_charts = [block for block in owed.blocks if block.get("type") != _CHART]
        for blocks in [owed.blocks] if without_charts == owed.blocks else [owed.blocks, without_charts]:
            self._in_time(deadline)
            try:
                return await send(owed.text, blocks)
            except SlackRefused as refused:
                if remedy(refused.error) is not Remedy.PLAIN:
                    raise
                logger.error("Slack does not take the blocks of %s, so it goes with fewer: %s", owed.key, refused)  # noqa: TRY400
        self._in_time(deadline)
        return await send(owed.plain, [])

    def _in_time(self, deadline: float) -> None:
        if self._clock.monotonic() > deadline:
            raise LeaseOver
