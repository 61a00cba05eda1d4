"""The insert that can say what is to happen where the row is there already."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_into(table: Table, tx: AsyncConnection) -> postgresql.Insert | sqlite.Insert:
    """For the database of this transaction: each has a class of its own for what both write alike."""
    return insert_in(tx.dialect.name, table)


def insert_in(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """For statements that are built once for each dialect, by its name."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
