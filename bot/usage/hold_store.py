"""Holds in the database. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import bindparam, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.upsert import insert_into
from bot.money import Credits
from bot.usage.model import Hold, HoldState
from bot.usage.tables import holds


async def held(tx: AsyncConnection, account_id: str, now: datetime) -> Credits:
    """What is reserved of an account's credits."""
    return Credits(int((await tx.execute(_HELD, {"of_account": account_id, "now": now})).scalar_one()))


async def add(tx: AsyncConnection, hold: Hold) -> bool:
    """False when its request has made another one."""
    values = {
        "id": hold.id,
        "account_id": hold.account_id,
        "request": hold.request,
        "nano": hold.amount.nano,
        "created_at": hold.created_at,
        "expires_at": hold.expires_at,
        "state": hold.state,
    }
    new = insert_into(holds, tx.dialect.name).on_conflict_do_nothing().returning(holds.c.id)
    return (await tx.execute(new, values)).scalar() is not None


async def find(tx: AsyncConnection, *, id: str | None = None, request: str | None = None) -> Hold | None:
    """The hold with this id, or the one that this request made."""
    query, value = (_OF_ID, id) if id is not None else (_OF_REQUEST, request)
    if (row := (await tx.execute(query, {"of": value})).one_or_none()) is None:
        return None
    return Hold(
        id=row.id,
        account_id=row.account_id,
        amount=Credits(row.nano),
        created_at=row.created_at,
        expires_at=row.expires_at,
        state=HoldState(row.state),
        request=row.request,
        spent=None if row.spent_nano is None else Credits(row.spent_nano),
    )


async def close(tx: AsyncConnection, id: str, state: HoldState, now: datetime, spent: Credits) -> bool:
    """Give back what is held. False when it was closed before."""
    closed = {"of": id, "state": state, "closed_at": now, "spent_nano": spent.nano}
    return bool((await tx.execute(_CLOSE, closed)).rowcount)


# Built once: building them takes as long as running them.
_open = holds.c.state == literal(HoldState.OPEN)
_HELD = select(func.coalesce(func.sum(holds.c.nano), 0)).where(
    holds.c.account_id == bindparam("of_account"), _open, holds.c.expires_at > bindparam("now")
)
_OF_ID = select(holds).where(holds.c.id == bindparam("of"))
_OF_REQUEST = select(holds).where(holds.c.request == bindparam("of"))
_CLOSE = update(holds).where(holds.c.id == bindparam("of"), _open)
