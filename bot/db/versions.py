"""Counts the changes of what processes keep in memory, so that each notices when another has changed it."""

from functools import cache, partial

from sqlalchemy import Column, Executable, Table, Text, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.columns import Whole, metadata
from bot.db.engine import Database
from bot.db.upsert import insert_into

versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("n", Whole, nullable=False),
    sqlite_strict=True,
)

TERMS = "terms"  # prices, markups, and what an account may do with them


async def current(tx: AsyncConnection, name: str) -> int:
    """How often it was changed so far."""
    return (await tx.execute(_CURRENT, {"of": name})).scalar() or 0


async def changed(tx: AsyncConnection, name: str) -> None:
    """Note, in the transaction that changes it, that memories of it are old from its commit on."""
    await tx.execute(_changing(tx.dialect.name), {"name": name, "n": 1})


async def try_writing(database: Database) -> None:
    """Write something of which nobody has a memory. Raises ``Outage``, as on a full disk, where reading goes on."""
    await database.write(partial(changed, name="nothing"))
    database.is_doubted = False


@cache
def _changing(dialect: str) -> Executable:
    """Built once: building it again takes as long as running it."""
    more = {"n": versions.c.n + 1}
    return insert_into(versions, dialect).on_conflict_do_update(index_elements=["name"], set_=more)


_CURRENT = select(versions.c.n).where(versions.c.name == bindparam("of"))
