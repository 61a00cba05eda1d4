"""The insert that can say what is to happen where the row is there already."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(table: Table, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Each database has a class of its own for what both write alike. ``dialect`` is a transaction's, by its name."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
