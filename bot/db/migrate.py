"""Brings the database to the newest shape: all of it in one transaction, or nothing."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.faultpoint import faultpoint

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x63726564  # names our migrations among PostgreSQL's advisory locks


def newest() -> str:
    """The revision that this program needs. The files of migrations begin with theirs, in order."""
    return max(file.name.partition("_")[0] for file in (_SCRIPTS / "versions").glob("*.py"))


async def current(database: Database) -> str | None:
    """The revision that the database has; None for an empty one."""
    async with database.read() as tx:
        return await tx.run_sync(_revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


async def upgrade(database: Database) -> None:
    """Bring the database to ``newest``. Any number of processes may try at once: they wait for each other."""
    if database.is_sqlite:
        database.make_file()
    faultpoint("G0")
    if await current(database) != newest():
        await database.write(_upgrade)
    faultpoint("G2")


async def _upgrade(tx: AsyncConnection) -> None:
    if tx.dialect.name == "postgresql":
        await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    await tx.run_sync(_run)
    faultpoint("G1")


def _run(connection: Connection) -> None:
    # Alembic takes eight megabytes and a tenth of a second, which a start that has nothing to migrate does without.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
