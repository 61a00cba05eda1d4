"""SQLite's driver, with fewer errands: each one goes to a thread and back, and costs more than most statements.

SQLAlchemy's own adapter of aiosqlite makes one for the cursor, one for the statement, one for its rows and one for the
end of the cursor, and a last one to roll back what is committed. Here a statement is one, the first of a transaction
begins it, and what has ended is let be.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import EMPTY_DICT


class _Brought(NamedTuple):
    """What a statement brought home beside its rows."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Its cursor in SQLite lives for one errand only."""

    __slots__ = ()

    _adapt_connection: "_Connection"
    _cursor: Any  # the base class reads from it what a cursor knows

    def __init__(self, connection: "_Connection") -> None:
        self._adapt_connection = connection
        self._connection = connection._connection
        self._soft_closed_memoized = EMPTY_DICT
        self._rows = deque()
        self._cursor = _Brought()

    async def _execute_async(self, operation: str, parameters: Any) -> None:
        await self._errand("execute", operation, parameters or ())

    async def _executemany_async(self, operation: str, seq_of_parameters: Any) -> None:
        await self._errand("executemany", operation, seq_of_parameters)

    async def _errand(self, how: str, operation: str, parameters: Any) -> None:
        connection: Any = self._connection
        async with self._adapt_connection._execute_mutex:
            begin = self._adapt_connection.take_begin()
            await connection._execute(self._run, begin, how, operation, parameters)

    def _run(self, begin: str, how: str, operation: str, parameters: Any) -> None:
        connection: Any = self._connection
        if begin:
            connection._conn.execute(begin)
        with closing(getattr(connection._conn, how)(operation, parameters)) as cursor:
            self._rows = deque(cursor.fetchall() if cursor.description else ())
            self._cursor = _Brought(cursor.description, cursor.rowcount, cursor.lastrowid)

    async def _async_soft_close(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        self._rows.clear()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ("_ended", "to_begin")

    _cursor_cls: Any = _Cursor

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self.to_begin = ""  # what begins the transaction, until the first statement has
        self._ended = False  # nothing was asked for since the last transaction was seen to end

    def cursor(self, server_side: bool = False) -> Any:
        self._ended = False
        if server_side and (begin := self.take_begin()):
            self.cursor().execute(begin)
        return super().cursor(server_side)

    def take_begin(self) -> str:
        """What is to be run before the next statement, for whoever will do so."""
        begin, self.to_begin = self.to_begin, ""
        return begin

    def commit(self) -> None:
        self._end(super().commit)

    def rollback(self) -> None:
        self._end(super().rollback)

    def _end(self, end: Callable[[], None]) -> None:
        self.to_begin = ""
        if not self._ended:
            end()
            self._ended = True


class Driver(AsyncAdapt_aiosqlite_dbapi):
    """The ``module`` of an engine."""

    def __init__(self) -> None:
        super().__init__(aiosqlite, sqlite3)

    def connect(self, *where: Any, **how: Any) -> _Connection:
        return _Connection(self, super().connect(*where, **how)._connection)
