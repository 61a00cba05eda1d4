"""Reading and writing on both databases: one writer at a time, honest snapshots, and outages that are told as such."""

import asyncio
import os
import random
import sqlite3
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import AlreadyRunning, Database
from bot.db.migrate import upgrade
from bot.errors import Outage

GONE = "postgresql+psycopg://bot:geheim@127.0.0.1:9/credits"  # port 9: nobody listens


@pytest.fixture
async def counted(database: Database) -> Database:
    """A database with a counter at zero."""
    await _sql(database, "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
    await _sql(database, "INSERT INTO counter VALUES (1, 0), (2, 0)")
    return database


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """An SQLite file with all tables."""
    database = Database(_url(tmp_path / "credits.db"))
    await upgrade(database)
    await database.dispose()
    return tmp_path / "credits.db"


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_only_what_is_read_at_length_may_take_longer_than_people_wait(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no limit on the time of a statement")
    for at_length, expected in ((True, {"0"}), (False, {"15s", "30s"})):
        async with database.read(at_length=at_length) as tx:
            limits = ("statement_timeout", "idle_in_transaction_session_timeout")
            assert {(await tx.exec_driver_sql(f"SHOW {limit}")).scalar_one() for limit in limits} == expected


async def test_the_connection_that_was_used_last_is_used_next(database: Database) -> None:
    async def used() -> int:
        async with database.read() as tx:
            await tx.exec_driver_sql("SELECT 1")
            return id((await tx.get_raw_connection()).driver_connection)

    assert len(set(await asyncio.gather(*(used() for _ in range(3))))) == 3
    assert len({await used() for _ in range(6)}) == 1


async def test_a_connection_that_waits_for_a_busier_hour_is_kept_alive(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("no network is between a program and its file")
    async with database.read() as tx:
        driver: Any = (await tx.get_raw_connection()).driver_connection
        assert driver.info.get_parameters()["keepalives_idle"] == "30"


# ── one writer at a time ──────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_read_and_then_written_is_not_lost_on_sqlite(counted: Database) -> None:
    if not counted.is_sqlite:
        pytest.skip("PostgreSQL's writers lock the rows they read: see the ledger")

    async def count(tx: AsyncConnection) -> None:
        n = (await tx.exec_driver_sql("SELECT n FROM counter WHERE id = 1")).scalar_one()
        await asyncio.sleep(0)
        await tx.exec_driver_sql(f"UPDATE counter SET n = {n + 1} WHERE id = 1")

    await asyncio.gather(*(counted.write(count) for _ in range(100)))
    assert await _counter(counted) == 100


async def test_what_fails_leaves_nothing(counted: Database) -> None:
    async def fail(tx: AsyncConnection) -> None:
        await tx.exec_driver_sql("UPDATE counter SET n = 7")
        raise LookupError

    with pytest.raises(LookupError):
        await counted.write(fail)
    assert await _counter(counted) == 0


async def test_a_reader_sees_one_moment(counted: Database) -> None:
    async with counted.read() as tx:
        before = (await tx.exec_driver_sql("SELECT n FROM counter WHERE id = 1")).scalar_one()
        await _sql(counted, "UPDATE counter SET n = 7")
        after = (await tx.exec_driver_sql("SELECT n FROM counter WHERE id = 1")).scalar_one()
    assert (before, after) == (0, 0)
    assert await _counter(counted) == 7


async def test_a_reader_cannot_write(counted: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        async with counted.read() as tx:
            await tx.exec_driver_sql("UPDATE counter SET n = 7")
    assert await _counter(counted) == 0
    await _sql(counted, "UPDATE counter SET n = 8")  # and the connection is as good as new for a writer
    assert await _counter(counted) == 8


async def test_a_reader_waits_for_no_writer(counted: Database) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def slowly(tx: AsyncConnection) -> None:
        await tx.exec_driver_sql("UPDATE counter SET n = 7")
        inside.set()
        await leave.wait()

    writing = asyncio.create_task(counted.write(slowly))
    await inside.wait()
    async with asyncio.timeout(10):
        assert await _counter(counted) == 0
    leave.set()
    await writing
    assert await _counter(counted) == 7


async def test_a_cancelled_write_lets_the_next_one_in(counted: Database) -> None:
    inside = asyncio.Event()

    async def for_ever(tx: AsyncConnection) -> None:
        await tx.exec_driver_sql("UPDATE counter SET n = 7")
        inside.set()
        await asyncio.Event().wait()

    for _ in range(3):
        inside.clear()
        writing = asyncio.create_task(counted.write(for_ever))
        await inside.wait()
        waiting = asyncio.create_task(counted.write(for_ever))  # one more, cancelled while it waits its turn
        await asyncio.sleep(0)
        waiting.cancel()
        writing.cancel()
        await asyncio.gather(writing, waiting, return_exceptions=True)
    async with asyncio.timeout(10):
        await _sql(counted, "UPDATE counter SET n = n + 1")
    assert await _counter(counted) == 1


async def test_writes_cancelled_at_any_moment_are_whole_or_nothing(counted: Database) -> None:
    """A cancelled call may have committed; it never leaves half, and never keeps the next one out."""
    dice = random.Random(7)

    async def both(tx: AsyncConnection) -> None:
        await tx.exec_driver_sql("UPDATE counter SET n = n + 1 WHERE id = 1")
        await tx.exec_driver_sql("UPDATE counter SET n = n + 1 WHERE id = 2")

    for _ in range(60):
        writing = asyncio.create_task(counted.write(both))
        for _ in range(dice.randrange(40)):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert await _counter(counted) == await _counter(counted, 2)
    async with asyncio.timeout(10):
        await counted.write(both)


# ── PostgreSQL asks for the whole transaction again ───────────────────────────────────────────────────────────────


@pytest.mark.deadlocks
async def test_a_deadlock_is_tried_again_from_the_start(counted: Database) -> None:
    if counted.is_sqlite:
        pytest.skip("one writer cannot wait for itself")
    met = asyncio.Barrier(2)
    rounds = {1: 0, 2: 0}

    async def cross(tx: AsyncConnection, first: int) -> None:
        rounds[first] += 1
        await tx.exec_driver_sql(f"UPDATE counter SET n = n + 1 WHERE id = {first}")
        if rounds[first] == 1:
            await met.wait()  # each now holds what the other wants
        await tx.exec_driver_sql(f"UPDATE counter SET n = n + 1 WHERE id = {3 - first}")

    await asyncio.gather(counted.write(lambda tx: cross(tx, 1)), counted.write(lambda tx: cross(tx, 2)))
    assert sum(rounds.values()) == 3
    assert (await _counter(counted), await _counter(counted, 2)) == (2, 2)


async def test_what_is_tried_again_ends(counted: Database) -> None:
    if counted.is_sqlite:
        pytest.skip("PostgreSQL's own")
    tries = 0

    async def never(tx: AsyncConnection) -> None:
        nonlocal tries
        tries += 1
        await tx.exec_driver_sql("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")

    with pytest.raises(Outage):
        await counted.write(never)
    assert tries == 5


# ── what is no answer, and what is a mistake of ours ──────────────────────────────────────────────────────────────


async def test_a_database_that_is_not_there_is_an_outage() -> None:
    database = Database(GONE)
    for asked in (_sql(database, "SELECT 1"), _counter(database)):
        with pytest.raises(Outage) as told:
            await asked
        assert told.value.service == "database"
        assert "geheim" not in str(told.value)
    await database.dispose()


class _Silence:
    """Stands between a bot and PostgreSQL, and at a word forgets every connection that it has, without ending it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._talks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_unix_connection(self._socket)
        for source, target in ((reader, questions), (answers, writer)):
            self._talks.add(asyncio.create_task(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while said := await source.read(65536):
            target.write(said)
        target.close()

    def fall(self) -> None:
        for each in self._talks:
            each.cancel()


async def test_a_server_that_falls_silent_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no server")
    monkeypatch.setattr("bot.db.postgres.Connection.patience", 0.3)
    silence = _Silence(f"{database.url.query['host']}/.s.PGSQL.5432")
    between = await asyncio.start_server(silence.take, "127.0.0.1", 0)
    through = database.url.set(host="127.0.0.1", port=between.sockets[0].getsockname()[1], query={})
    away = Database(through.render_as_string(hide_password=False), pool=2, patience=10)
    async with away.read() as first, away.read() as second:
        for each in (first, second):
            await each.exec_driver_sql("SELECT 1")
        silence.fall()
        asked = (each.exec_driver_sql("SELECT 1") for each in (first, second))
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, OperationalError)
            assert "no answer in time" in str(answer)

    async with away.read() as third:
        assert (await third.exec_driver_sql("SELECT 1")).scalar_one() == 1
    await away.dispose()
    between.close()


async def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "credits.db").write_bytes(b"not a database " * 1000)
    database = Database(_url(tmp_path / "credits.db"))
    for asked in (_sql(database, "SELECT 1"), _counter(database)):
        with pytest.raises(Outage, match="not a database"):
            await asked
    await database.dispose()


async def test_a_folder_that_cannot_be_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(_url(tmp_path / "file" / "credits.db"))
    with pytest.raises(Outage):
        await upgrade(database)
    with pytest.raises(Outage):
        await _sql(database, "SELECT 1")
    with pytest.raises(Outage), database.only_process():
        pass
    await database.dispose()


async def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A misspelt address must not become an empty set of books."""
    database = Database(_url(tmp_path / "mispelt" / "credits.db"))
    with pytest.raises(Outage, match="there is no folder"), database.only_process():
        pass
    assert not (tmp_path / "mispelt").exists()
    await database.dispose()


async def test_a_database_that_somebody_keeps_locked_is_an_outage_and_then_works_again(file: Path) -> None:
    database = Database(_url(file), patience=0.2)
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Outage, match="locked"):
            await _sql(database, "UPDATE accounts SET name = 'x'")
        other.execute("COMMIT")
    await _sql(database, "UPDATE accounts SET name = 'x'")
    await database.dispose()


async def test_no_connection_left_is_an_outage(database_url: str) -> None:
    database = Database(database_url, pool=1, patience=0.1)
    await upgrade(database)
    async with database.read():
        with pytest.raises(Outage):
            await _counter(database)
    await database.dispose()


async def test_a_mistake_of_ours_is_no_outage(counted: Database) -> None:
    with pytest.raises(IntegrityError):
        await _sql(counted, "INSERT INTO counter VALUES (1, 1)")


async def test_what_was_written_does_not_show_in_an_error(counted: Database) -> None:
    with pytest.raises(IntegrityError) as told:
        await counted.write(lambda tx: tx.exec_driver_sql(_insert(counted), (1, 4711)))
    assert "4711" not in str(told.value)


# ── several processes on one file ─────────────────────────────────────────────────────────────────────────────────


async def test_the_files_are_for_nobody_else(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        database = Database(_url(tmp_path / "credits.db"))
        with database.only_process():
            await upgrade(database)
            await _sql(database, "UPDATE accounts SET name = 'x'")
            modes = {each.name: oct(each.stat().st_mode & 0o777) for each in tmp_path.iterdir()}  # noqa: ASYNC240
    finally:
        os.umask(umask)
    await database.dispose()
    assert {"credits.db", "credits.db-wal", "credits.db-shm", "credits.db.lock", "credits.db.run.lock"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}


async def test_a_new_file_has_small_pages_and_one_with_large_ones_keeps_them(tmp_path: Path) -> None:
    """What small ones are good for: ``python -m tests.bench growth``."""
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE before (n)")
        connection.execute("DROP TABLE before")
    for file, size in ((old, 4096), (tmp_path / "new.db", 1024)):
        database = Database(_url(file))
        await upgrade(database)
        async with database.read() as tx:
            assert (await tx.exec_driver_sql("PRAGMA page_size")).scalar_one() == size
        await database.dispose()


async def test_a_second_bot_on_one_file_is_refused_and_let_in_when_the_first_is_gone(file: Path) -> None:
    mine = Database(_url(file))
    other = """
        with Database(url).only_process():
            print("in", flush=True)
    """
    with mine.only_process():
        told = await _process(other, file)
        assert told.endswith(f"another bot is already at work on {file}")
    assert await _process(other, file) == "in"
    await mine.dispose()


async def test_a_killed_bot_keeps_nobody_out(file: Path) -> None:
    hold = """
        with Database(url).only_process():
            print("in", flush=True)
            time.sleep(60)
    """
    killed = await _start(hold, file)
    assert await _line(killed) == "in"
    mine = Database(_url(file))
    with pytest.raises(AlreadyRunning), mine.only_process():
        pass
    killed.kill()
    await killed.wait()
    with mine.only_process():
        pass
    await mine.dispose()


async def test_two_processes_never_write_in_the_same_moment(file: Path, tmp_path: Path) -> None:
    """As when credits-bot adds an account while the bot runs: old SQLites can damage a file that two write to."""
    diary = tmp_path / "diary"
    await_rounds = """
        async def main():
            database = Database(url)
            async def work(tx):
                with open(diary, "a") as file: file.write("in\\n")
                n = (await tx.exec_driver_sql("SELECT at FROM cursors WHERE name = 'n'")).scalar()
                await asyncio.sleep(0.001)
                await tx.exec_driver_sql("DELETE FROM cursors")
                await tx.exec_driver_sql(f"INSERT INTO cursors VALUES ('n', {(n or 0) + 1})")
                with open(diary, "a") as file: file.write("out\\n")
            for _ in range(25):
                await database.write(work)
            await database.dispose()
        asyncio.run(main())
    """
    both = [await _start(await_rounds, file, diary) for _ in range(2)]
    assert [await each.wait() for each in both] == [0, 0]

    lines = diary.read_text().split()
    assert lines == ["in", "out"] * 50
    with sqlite3.connect(file) as reader:
        assert reader.execute("SELECT at FROM cursors").fetchall() == [(50,)]


async def test_the_lock_outlives_the_commit_so_that_nobody_meets_a_checkpoint(file: Path) -> None:
    """While one process is in a transaction, another one does not even begin: its patience ends, not SQLite's."""
    mine, inside, leave = Database(_url(file)), asyncio.Event(), asyncio.Event()

    async def slowly(tx: AsyncConnection) -> None:
        inside.set()
        await leave.wait()

    writing = asyncio.create_task(mine.write(slowly))
    await inside.wait()
    told = await _process(
        """
        async def main():
            try:
                await Database(url, patience=0.1).write(lambda tx: tx.exec_driver_sql("DELETE FROM cursors"))
            except Outage as outage:
                print(outage)
        asyncio.run(main())
        """,
        file,
    )
    leave.set()
    await writing
    await mine.dispose()
    assert told == f"database: another process keeps {file} locked"


async def test_a_lock_that_somebody_removed_still_keeps_writers_apart(file: Path) -> None:
    mine, other = Database(_url(file), patience=0.1), Database(_url(file))
    inside, leave = asyncio.Event(), asyncio.Event()

    async def slowly(tx: AsyncConnection) -> None:
        inside.set()
        await leave.wait()

    await _sql(mine, "DELETE FROM cursors")
    file.with_name("credits.db.lock").unlink()
    writing = asyncio.create_task(other.write(slowly))
    await inside.wait()
    with pytest.raises(Outage, match="another process keeps"):
        await _sql(mine, "DELETE FROM cursors")
    leave.set()
    await writing
    await _sql(mine, "DELETE FROM cursors")
    await mine.dispose()
    await other.dispose()


def _url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def _insert(database: Database) -> str:
    return f"INSERT INTO counter VALUES {'(?, ?)' if database.is_sqlite else '(%s, %s)'}"


async def _sql(database: Database, statement: str) -> None:
    await database.write(lambda tx: tx.exec_driver_sql(statement))


async def _counter(database: Database, which: int = 1) -> int:
    async with database.read() as tx:
        return int((await tx.exec_driver_sql(f"SELECT n FROM counter WHERE id = {which}")).scalar_one())


async def _start(program: str, file: Path, diary: Path | None = None) -> asyncio.subprocess.Process:
    """Another process that runs ``program``, which knows ``url`` and ``diary``."""
    begin = "import asyncio, time\nfrom bot.db.engine import Database\nfrom bot.errors import Outage\n"
    known = f"url, diary = {_url(file)!r}, {str(diary)!r}\n"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        begin + known + textwrap.dedent(program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def _process(program: str, file: Path) -> str:
    """The last line that it printed."""
    process = await _start(program, file)
    printed, _ = await process.communicate()
    return printed.decode().strip().splitlines()[-1]
