"""What an open page hears: a stream of server-sent events with the fragments that changed since it last heard."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from bot.sandbox.slack.feed import Changes

Fragments = Mapping[str, str]
LOOK_AGAIN_SECONDS = 1.0  # for what nobody announces: the books
GATHER_SECONDS = 0.02  # changes that come together are sent together


async def events(changes: Changes, user: str, draw: Callable[[], Coroutine[Any, Any, Fragments]]) -> AsyncIterator[str]:
    """Draw, send what is new, wait for a change, and again. Notices for ``user`` go out as they are."""
    sent: dict[str, str] = {}
    while True:
        fragments = await asyncio.shield(draw())  # a window that closes must not break off a reading of the books
        fresh = {name: html for name, html in fragments.items() if sent.get(name) != html}
        sent |= fresh
        yield _event("fragments", fresh) if fresh else ": still here\n\n"
        for notice in await _notices(changes, user):
            yield _event("toast", notice)


async def _notices(changes: Changes, user: str) -> list[str]:
    """Wait for any change; of all that have come by then, the notices for this person."""
    came: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        came.append(await asyncio.wait_for(anext(changes), LOOK_AGAIN_SECONDS))
        await asyncio.sleep(GATHER_SECONDS)
    while not changes.queue.empty():
        came.append(changes.queue.get_nowait())
    return [change["text"] for change in came if change["kind"] == "toast" and change["user"] == user]


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
