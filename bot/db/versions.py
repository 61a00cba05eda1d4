"""Counts the changes of what processes keep in memory, so that each notices when another has changed it."""

from sqlalchemy import Column, Table, Text, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.columns import Whole, metadata

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
    new = postgresql.insert(versions) if tx.dialect.name == "postgresql" else sqlite.insert(versions)
    await tx.execute(
        new.values(name=name, n=1).on_conflict_do_update(index_elements=["name"], set_={"n": versions.c.n + 1})
    )


_CURRENT = select(versions.c.n).where(versions.c.name == bindparam("of"))
