"""Bearer tokens in the database. The caller owns the transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.tokens.model import Bearer, Issued, Scope
from bot.tokens.tables import tokens


async def add(tx: AsyncConnection, bearer: Bearer, hash: str, at: datetime) -> None:
    """Raise ``IntegrityError`` when the name has a token. One that was revoked gives its place to the new one."""
    facts = {"hash": hash, "scopes": " ".join(sorted(bearer.scopes)), "created_at": at, "revoked_at": None}
    revoked = (tokens.c.name == bearer.name) & tokens.c.revoked_at.is_not(None)
    if (await tx.execute(update(tokens).where(revoked).values(facts))).rowcount == 0:
        await tx.execute(insert(tokens).values(name=bearer.name, **facts))


async def revoke(tx: AsyncConnection, name: str, at: datetime) -> bool:
    """False when there is no token of that name in use."""
    in_use = (tokens.c.name == name) & tokens.c.revoked_at.is_(None)
    return (await tx.execute(update(tokens).where(in_use).values(revoked_at=at))).rowcount == 1


async def every(tx: AsyncConnection) -> list[Issued]:
    """All tokens, those that were revoked too, by name."""
    rows = await tx.execute(select(tokens).order_by(tokens.c.name))
    return [Issued(_bearer(row), row.created_at, row.revoked_at) for row in rows]


async def of_hash(tx: AsyncConnection, hash: str) -> Bearer | None:
    """Who the token with this hash belongs to, unless it was revoked."""
    found = await tx.execute(select(tokens).where(tokens.c.hash == hash, tokens.c.revoked_at.is_(None)))
    row = found.one_or_none()
    return None if row is None else _bearer(row)


def _bearer(row: Row[tuple[object, ...]]) -> Bearer:
    scopes: Iterable[str] = row.scopes.split()
    return Bearer(row.name, frozenset(map(Scope, scopes)))
