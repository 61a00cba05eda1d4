"""Brings the database to the newest shape: all of it in one transaction, or nothing."""

from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import AlreadyRunning, Database
from bot.errors import Unusable
from bot.faultpoint import faultpoint

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x63726564  # names our migrations among PostgreSQL's advisory locks


class Unknown(Unusable):
    """The tables are of no version that this program knows."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(f"{found}: {mend}")
        self.found = found
        self.mend = mend


def newest() -> str:
    """The revision that this program needs."""
    return max(_revisions())


def _revisions() -> set[str]:
    """Those that this program knows. The files of migrations begin with theirs, in order."""
    return {file.name.partition("_")[0] for file in (_SCRIPTS / "versions").glob("*.py")}


async def current(database: Database) -> str | None:
    """The revision that the database has; None for an empty one."""
    async with database.read() as tx:
        return await tx.run_sync(_revision)


async def _has_tables(database: Database) -> bool:
    async with database.read() as tx:
        return bool(await tx.run_sync(lambda connection: inspect(connection).get_table_names()))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


async def is_newest(database: Database) -> bool:
    """Whether nothing is to be migrated. Raise ``Unknown`` where this program cannot do it."""
    has = await current(database)
    if has is None and database.is_sqlite and await _has_tables(database):
        raise Unknown(f"{database} is of another program", "choose another place with DATABASE_URL")
    if has is not None and has not in _revisions():
        found = f"this database is of a newer version ({has}) than this program knows ({newest()})"
        raise Unknown(found, "install the newer program, or go back to a copy")
    return has == newest()


async def upgrade(database: Database) -> None:
    """Bring the database to ``newest``. Any number of processes may try at once: they wait for each other.

    Raise ``Unknown`` as ``is_newest`` does, and ``Unusable`` where a bot is at work on the older tables of a file.
    """
    if database.is_sqlite:
        database.make_file()
    faultpoint("G0")
    if not await is_newest(database):
        await database.write(partial(_upgrade, database))
    faultpoint("G2")


async def prepare(database: Database) -> None:
    """See that the database is at ``newest``: an SQLite file is brought there, what others share is left to them."""
    if database.is_sqlite:
        await upgrade(database)
    elif not await is_newest(database):
        raise Unusable("the database is not of this version: run credits-bot migrate")


async def _upgrade(database: Database, tx: AsyncConnection) -> None:
    if not database.is_sqlite:
        await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if await tx.run_sync(_revision) != newest():  # nobody else has done it meanwhile
        try:
            with database.only_process():
                await tx.run_sync(_run)
        except AlreadyRunning:
            raise Unusable(f"a bot of an older version is at work on {database}: stop it first") from None
    faultpoint("G1")


def _run(connection: Connection) -> None:
    # Alembic takes eight megabytes and a tenth of a second, which a start that has nothing to migrate does without.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
