"""Migrations on both databases: they make what the code expects, all or nothing, however many try at once."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from bot import faultpoint
from bot.app import Bot  # noqa: F401 - whatever the bot consists of has its tables in the metadata now
from bot.db.columns import metadata
from bot.db.engine import Database
from bot.db.migrate import current, newest, upgrade


class Killed(BaseException):
    """Ends the migration where it stands, past every handler, as a kill would."""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faultpoint.arm(lambda name: None)


@pytest.fixture
async def empty(empty_url: str) -> object:
    database = Database(empty_url)
    yield database
    await database.dispose()


async def test_they_make_exactly_the_tables_that_the_code_describes(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.read() as tx:
        assert await tx.run_sync(differences) == []


async def test_they_make_the_same_checks_as_the_code_describes(database: Database) -> None:
    """What Alembic does not compare."""

    def checks(connection: Connection) -> set[tuple[str, str]]:
        found = inspect(connection)
        return {(table, str(each["name"])) for table in metadata.tables for each in found.get_check_constraints(table)}

    described = {
        (table.name, str(each.name)) for table in metadata.tables.values() for each in table.constraints if each.name
    }
    async with database.read() as tx:
        migrated = await tx.run_sync(checks)
    assert migrated == {(table, name) for table, name in described if name.startswith("ck_")}


async def test_on_sqlite_every_table_is_strict(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL is always strict")
    async with database.read() as tx:
        rows = (await tx.exec_driver_sql("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")).all()
    assert {row.name for row in rows if not row.strict} <= {"alembic_version", "sqlite_schema", "sqlite_sequence"}


async def test_an_empty_database_has_no_version_and_a_new_one_the_newest(empty: Database) -> None:
    assert await current(empty) is None
    await upgrade(empty)
    assert await current(empty) == newest()


async def test_a_second_time_does_nothing(database: Database) -> None:
    await database.write(lambda tx: tx.exec_driver_sql("INSERT INTO cursors VALUES ('kept', 7)"))
    await upgrade(database)
    async with database.read() as tx:
        assert (await tx.exec_driver_sql("SELECT at FROM cursors")).scalar_one() == 7
    assert await current(database) == newest()


async def test_addresses_of_owners_are_kept_where_their_languages_come_to_stand(database: Database) -> None:
    before = (
        "DROP TABLE usage_discards",
        "DROP TABLE alert_owners",
        "CREATE TABLE alert_addresses (user_id TEXT PRIMARY KEY, address TEXT, asked_at BIGINT NOT NULL)",
        "INSERT INTO alert_addresses VALUES ('U1', 'anna@acme.example', 7)",
        "UPDATE alembic_version SET version_num = '0006'",
    )
    for statement in before:
        await database.write(lambda tx, statement=statement: tx.exec_driver_sql(statement))
    await upgrade(database)
    async with database.read() as tx:
        kept = (await tx.exec_driver_sql("SELECT user_id, address, locale, asked_at FROM alert_owners")).all()
    assert kept == [("U1", "anna@acme.example", None, 0)]


@pytest.mark.parametrize("moment", ["G0", "G1"])
async def test_a_migration_that_is_cut_short_leaves_nothing_and_can_be_repeated(empty: Database, moment: str) -> None:
    seen = []

    def kill(name: str) -> None:
        seen.append(name)
        if name == moment:
            raise Killed

    faultpoint.arm(kill)
    with pytest.raises(Killed):
        await upgrade(empty)
    assert seen[-1] == moment
    assert await _tables(empty) == set()
    assert await current(empty) is None

    faultpoint.arm(seen.append)
    await upgrade(empty)
    assert seen[-3:] == ["G0", "G1", "G2"]
    assert set(metadata.tables) <= await _tables(empty)


async def test_two_processes_at_once_make_one_database(empty_url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from bot.db.engine import Database\nfrom bot.db.migrate import current, upgrade\n"
        "async def main():\n"
        "    database = Database(sys.argv[1])\n    await upgrade(database)\n    print(await current(database))\n"
        "    await database.dispose()\n"
        "asyncio.run(main())\n"
    )
    several = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_url, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    printed = [(await each.communicate())[0].decode().strip() for each in several]
    assert printed == [newest()] * 2


async def test_several_tasks_at_once_make_one_database(empty: Database) -> None:
    await asyncio.gather(*(upgrade(empty) for _ in range(3)))
    assert await current(empty) == newest()


async def test_a_new_file_is_for_nobody_else(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'credits.db'}")
        await upgrade(database)
    finally:
        os.umask(umask)
    await database.dispose()
    assert (tmp_path / "credits.db").stat().st_mode & 0o777 == 0o600


async def _tables(database: Database) -> set[str]:
    async with database.read() as tx:
        return set(await tx.run_sync(lambda connection: inspect(connection).get_table_names()))
