"""What an open page hears: a stream of server-sent events with the fragments that changed since it last heard."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from bot.sandbox.slack.feed import Changes

Fragments = Mapping[str, str]
Draw = Callable[[], Coroutine[Any, Any, Fragments]]
LOOK_AGAIN_SECONDS = 1.0  # for what nobody announces: the books
GATHER_SECONDS = 0.02  # changes that come together are sent together


async def events(changes: Changes, user: str, draw: Draw, draw_books: Draw) -> AsyncIterator[str]:
    """Draw, send what is new, wait for a change, and again. Notices for ``user`` go out as they are.

    After a while without any change only the books are drawn again.
    """
    sent: dict[str, str] = {}
    draw_now = draw
    while True:
        fragments = await asyncio.shield(draw_now())  # a window that closes must not break off a reading of the books
        fresh = {name: html for name, html in fragments.items() if sent.get(name) != html}
        sent |= fresh
        yield _event("fragments", fresh) if fresh else ": still here\n\n"
        came = await _news(changes)
        for change in came:
            if change["kind"] == "toast" and change["user"] == user:
                yield _event("toast", change["text"])
        draw_now = draw if came else draw_books


async def _news(changes: Changes) -> list[dict[str, Any]]:
    """Wait for any change; all that have come by then."""
    came: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_AGAIN_SECONDS):
            came.append(await anext(changes))
        await asyncio.sleep(GATHER_SECONDS)
    while not changes.queue.empty():
        came.append(changes.queue.get_nowait())
    return came


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
