"""SQLite for the simulation: aiosqlite and SQLAlchemy's dialect as they are, without the thread between them.

Every statement is run where it is called for, with a pause before and after it. There a process may die: before the
statement was run, or after it without hearing of it.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database

from .loop import OWNER

T = TypeVar("T")


class Process(Protocol):
    """What the database asks of the process that uses it."""

    async def step(self) -> None:
        """A moment at which the process may die."""
        ...

    async def awake(self) -> None:
        """Return once the process runs; never when it is dead."""
        ...

    def trouble_with_database(self, moment: str) -> None:
        """Raise ``Outage`` when the database does not answer ``before`` or ``after`` its work."""
        ...


class _AtOnce:
    """The queue to aiosqlite's thread, as if the thread had been faster."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except Exception as error:
            if future is None:
                raise
            future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


_WORTH_A_PAUSE = {"execute", "executemany", "commit"}


class _Connection(aiosqlite.Connection):
    def __init__(self, path: str) -> None:
        super().__init__(lambda: sqlite3.connect(path, isolation_level=None), 64)
        self._tx = _AtOnce()  # type: ignore[assignment]

    def __await__(self) -> Any:
        return self._connect().__await__()

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if args and args[0] == "PRAGMA synchronous = FULL":
            args = ("PRAGMA synchronous = OFF", *args[1:])  # processes die here, machines do not
        process: Process | None = OWNER.get()
        if process is None or fn.__name__ not in _WORTH_A_PAUSE:
            return fn(*args, **kwargs)
        await process.step()
        result = fn(*args, **kwargs)
        await process.step()
        return result


class Dialect(SQLiteDialect_aiosqlite):
    """All of them share what they compiled: a world is over sooner than its statements would be compiled."""

    driver = "leaping"
    supports_statement_cache = True

    def connect(self, *args: Any, **params: Any) -> Any:
        return super().connect(*args, async_creator_fn=lambda path, **_: _Connection(path), **params)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


registry.impls["sqlite.leaping"] = lambda: Dialect
_compiled: dict[Any, Any] = {}


class SharedDatabase(Database):
    """One of several processes' doors to one file. ``alone`` is held by whoever writes.

    With ``replicas`` it passes for PostgreSQL: leases are not taken back when one of them starts.
    """

    def __init__(self, file: Path, process: Process | None, alone: asyncio.Lock, *, replicas: bool) -> None:
        super().__init__(f"sqlite+leaping:///{file}")
        for engine in (self._writer, self._reader):
            engine.sync_engine._compiled_cache = _compiled
        self._process = process
        self._turn = alone
        self.is_sqlite = not replicas

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._turn:
            yield

    @asynccontextmanager
    async def read(self, *, at_length: bool = False) -> AsyncIterator[AsyncConnection]:
        if self._process:
            await self._process.awake()
            self._process.trouble_with_database("before")
        async with super().read() as tx:
            yield tx
        if self._process:
            await self._process.awake()

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if self._process is None:
            return await super().write(work)
        await self._process.awake()
        self._process.trouble_with_database("before")
        result = await super().write(work)
        self._process.trouble_with_database("after")
        await self._process.awake()
        return result
