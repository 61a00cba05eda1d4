"""News of what changed in the sandbox's Slack, for the page and for tests. No listener can delay another."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_AGAIN_SECONDS = 0.05


class Changes(AsyncIterator[dict[str, Any]]):
    """One listener's view of the news, from the moment it was made. Forgotten when nobody holds it any more."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __aiter__(self) -> "Changes":
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await self.queue.get()


class Feed:
    def __init__(self) -> None:
        self._listeners: weakref.WeakSet[Changes] = weakref.WeakSet()

    def publish(self, kind: str, **facts: Any) -> None:
        for listener in list(self._listeners):
            listener.queue.put_nowait({"kind": kind, **facts})

    def listen(self) -> Changes:
        listener = Changes()
        self._listeners.add(listener)
        return listener

    async def until(self, predicate: Callable[[], T], timeout: float) -> T:
        """The first truthy answer of ``predicate``. Asked after every change, and often, for what changes elsewhere."""
        changes = self.listen()
        async with asyncio.timeout(timeout):
            while not (found := predicate()):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                        await anext(changes)
        return found
