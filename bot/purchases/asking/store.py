"""Requests and limits in the database. The caller owns the transaction; an answer says whether it won."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.upsert import insert_into
from bot.money import Usd
from bot.purchases.asking.model import Limit, Request, State
from bot.purchases.asking.tables import limits, requests


async def add(tx: AsyncConnection, request: Request) -> bool:
    """Write a new request down. False when its nonce is there already."""
    added = await tx.execute(
        insert_into(requests, tx.dialect.name)
        .values(
            id=request.id,
            nonce=request.nonce,
            account_id=request.account_id,
            asker_id=request.asker_id,
            locale=request.locale,
            asked_cents=request.asked.cents,
            reason=request.reason,
            told=dict(request.told),
            created_at=request.created_at,
            updated_at=request.created_at,
            ends_at=request.ends_at,
            **_answer(request),
        )
        .on_conflict_do_nothing(index_elements=["nonce"])
        .returning(requests.c.id)
    )
    return added.scalar() is not None


async def answer(tx: AsyncConnection, before: Request, after: Request, at: datetime) -> bool:
    """Write the answer if the request still is as it was ``before``. False when somebody else was faster."""
    written = await tx.execute(
        update(requests)
        .where(
            requests.c.id == before.id,
            requests.c.state == before.state,
            requests.c.cents == before.amount.cents,
            requests.c.first_by.is_not_distinct_from(before.first_by),
        )
        .values(updated_at=at, **_answer(after))
    )
    return written.rowcount == 1


async def of_id(tx: AsyncConnection, request_id: str, *, lock: bool = False) -> Request | None:
    return await _one(tx, requests.c.id == request_id, lock=lock)


async def of_nonce(tx: AsyncConnection, nonce: str) -> Request | None:
    return await _one(tx, requests.c.nonce == nonce)


async def open_of(tx: AsyncConnection, account_id: str, asker_id: str) -> Sequence[Request]:
    """What this person has asked for and nobody has answered, the oldest first."""
    mine = (requests.c.account_id == account_id, requests.c.asker_id == asker_id, requests.c.state == State.OPEN)
    return [_request(row) for row in await tx.execute(select(requests).where(*mine).order_by(requests.c.created_at))]


async def due(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[str]:
    """Ids of open requests whose time is over."""
    query = select(requests.c.id).where(requests.c.state == State.OPEN, requests.c.ends_at <= now)
    return list((await tx.execute(query.order_by(requests.c.ends_at).limit(limit))).scalars())


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def limit_of(tx: AsyncConnection, account_id: str) -> Limit | None:
    """None where nobody ever set one."""
    row = (await tx.execute(_LIMIT, {"of_account": account_id})).one_or_none()
    return None if row is None else Limit(None if row.cents is None else Usd(row.cents), row.set_by, row.set_at)


async def set_limit(tx: AsyncConnection, account_id: str, limit: Limit) -> None:
    values = {"cents": limit.amount and limit.amount.cents, "set_by": limit.set_by, "set_at": limit.set_at}
    await tx.execute(
        insert_into(limits, tx.dialect.name)
        .values(account_id=account_id, **values)
        .on_conflict_do_update(index_elements=["account_id"], set_=values)
    )


async def _one(tx: AsyncConnection, condition: Any, *, lock: bool = False) -> Request | None:
    query = select(requests).where(condition)
    row = (await tx.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else _request(row)


def _answer(request: Request) -> dict[str, Any]:
    """The columns that an answer may change."""
    return {
        "cents": request.amount.cents,
        "state": request.state,
        "first_by": request.first_by,
        "decided_by": request.decided_by,
    }


def _request(row: Row[Any]) -> Request:
    return Request(
        id=row.id,
        nonce=row.nonce,
        account_id=row.account_id,
        asker_id=row.asker_id,
        locale=row.locale,
        asked=Usd(row.asked_cents),
        amount=Usd(row.cents),
        reason=row.reason,
        told=row.told,
        created_at=row.created_at,
        ends_at=row.ends_at,
        state=State(row.state),
        first_by=row.first_by,
        decided_by=row.decided_by,
    )


# Built once: building it takes as long as running it.
_LIMIT = select(limits).where(limits.c.account_id == bindparam("of_account"))
