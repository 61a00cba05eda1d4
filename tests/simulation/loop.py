"""An event loop on which nobody ever waits: when everybody sleeps, the time leaps to whoever wakes first."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Owner(Protocol):
    """Whose death takes tasks along: a process of the bot."""

    tasks: dict[asyncio.Task[Any], None]


OWNER: contextvars.ContextVar[Any] = contextvars.ContextVar("owner", default=None)
"""The process that the running code belongs to; None for everybody outside of the bot."""


class Stuck(Exception):
    """Everybody waits for somebody, and no time that passes will change that."""


class _Leaps(selectors.SelectSelector):
    """Looks at no file. What would be a wait moves the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []


class LeapingLoop(asyncio.SelectorEventLoop):
    """Deterministic as long as the code on it is: no clock, no socket and no thread has a say."""

    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)
        self._clock_resolution = 1e-6  # or rounding lets a timer wait for itself
        self.set_task_factory(_owned)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._leaps.now


def _owned(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T],
    *,
    context: contextvars.Context | None = None,
    **others: Any,
) -> asyncio.Task[T]:
    task = asyncio.Task(coroutine, loop=loop, context=context, **others)
    owner: Owner | None = context.get(OWNER) if context is not None else OWNER.get()
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(lambda done: owner.tasks.pop(done, None))
    return task


def outside(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task of nobody's, which goes on when the process that caused it dies."""
    return asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())


def inside(owner: Owner, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task of this process."""
    context = contextvars.copy_context()
    context.run(OWNER.set, owner)
    return asyncio.get_running_loop().create_task(coroutine, context=context)


def leap(play: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(play())
