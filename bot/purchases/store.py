"""Purchases in the database. The caller owns the transaction; a move says whether it won."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, Row, Select, Text, and_, bindparam, case, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Workspace
from bot.db.columns import Instant
from bot.db.leases import Leases
from bot.db.upsert import insert_into
from bot.money import Credits, Usd
from bot.payments.gateway import Card, Hint
from bot.purchases.model import CREDITED, FAILED_FOR_LONG, FARTHEST_LOOK, LEASE, LIVE, PayWith, Purchase, Status
from bot.purchases.tables import cursors, log, purchases, reversals


async def add(tx: AsyncConnection, purchase: Purchase) -> bool:
    """Write a new purchase down. False when its nonce is there already."""
    row = {
        "id": purchase.id,
        "nonce": purchase.nonce,
        "account_id": purchase.account_id,
        "enterprise_id": purchase.workspace.enterprise_id,
        "team_id": purchase.workspace.team_id,
        "buyer_id": purchase.buyer_id,
        "locale": purchase.locale,
        "cents": purchase.amount.cents,
        "status": purchase.status,
        "pay_with": purchase.pay_with,
        "card_id": purchase.card and purchase.card.id,
        "card_brand": purchase.card and purchase.card.brand,
        "card_last4": purchase.card and purchase.card.last4,
        "attempts": 0,
        "failures": 0,
        "reversed_cents": 0,
        "created_at": purchase.created_at,
        "updated_at": purchase.updated_at,
        "check_at": purchase.check_at,
    }
    added = await tx.execute(_adding(tx.dialect.name), row)
    if added.scalar() is None:
        return False
    await _log(tx, purchase.id, purchase.status, None, purchase.created_at)
    return True


async def of_id(tx: AsyncConnection, purchase_id: str, *, lock: bool = False) -> Purchase | None:
    return await _one(tx, _OF_ID_LOCKED if lock else _OF_ID, of_id=purchase_id)


async def of_nonce(tx: AsyncConnection, nonce: str) -> Purchase | None:
    return await _one(tx, _OF_NONCE, of_nonce=nonce)


async def of_account(tx: AsyncConnection, account_id: str, *, limit: int) -> Sequence[Purchase]:
    """The newest purchases first."""
    rows = await tx.execute(
        select(purchases)
        .where(purchases.c.account_id == account_id)
        .order_by(purchases.c.created_at.desc())
        .limit(limit)
    )
    return [_purchase(row) for row in rows]


async def newest(tx: AsyncConnection, limit: int) -> Sequence[Purchase]:
    """The newest purchases of all accounts, newest first."""
    return [_purchase(row) for row in await tx.execute(_NEWEST, {"most": limit})]


async def last_bought(tx: AsyncConnection, account_id: str) -> Usd | None:
    """The amount of the account's latest purchase that was credited."""
    cents = (await tx.execute(_LAST_BOUGHT, {"of_account": account_id})).scalar()
    return None if cents is None else Usd(cents)


async def of_status(tx: AsyncConnection, statuses: Collection[Status]) -> Sequence[Purchase]:
    return [_purchase(row) for row in await tx.execute(_OF_STATUS, {"of": list(statuses)})]


async def in_trouble(tx: AsyncConnection, unknown_since: datetime) -> Sequence[Purchase]:
    """Those paid with another amount, those nobody has known about since then, and those long asked about in vain.

    All by an index.
    """
    quarantined = purchases.c.status == literal(Status.QUARANTINED, Text, literal_execute=True)
    unknown = and_(purchases.c.status.in_([Status.REQUESTED, Status.CHARGING]), purchases.c.created_at < unknown_since)
    in_vain = purchases.c.failures >= FAILED_FOR_LONG
    rows = [
        *await tx.execute(select(purchases).where(quarantined)),
        *await tx.execute(select(purchases).where(purchases.c.check_at.is_not(None), or_(unknown, in_vain))),
    ]
    return [_purchase(row) for row in rows]


async def twin(tx: AsyncConnection, account_id: str, amount: Usd, since: datetime) -> Purchase | None:
    """The newest purchase of the same amount for the account since then that took money or still may."""
    return await _one(tx, _TWIN, of_account=account_id, of_cents=amount.cents, since=since)


async def claim(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[Purchase]:
    """Lease up to ``limit`` due purchases to this worker, the longest waiting first."""
    claimed = await tx.execute(_CLAIM, _leases.moments(now, most=limit))
    return [_purchase(row) for row in claimed]


async def release(
    tx: AsyncConnection,
    claimed: Purchase,
    *,
    check_at: datetime | None,
    failures: int,
    request_id: str | None = None,
) -> datetime | None:
    """Give the lease back and say when to look again; at once if a hint came while the lease was held.

    ``request_id`` is of a request that failed. Return the time of the next look. Nothing happens when the lease ran out
    and is somebody else's by now.
    """
    released = {
        "of_id": claimed.id,
        "under_lease": claimed.lease_until,
        "claimed_at": claimed.check_at,
        "next": check_at,
        "failed": failures,
        "failed_request": request_id,
    }
    next_look: datetime | None = (await tx.execute(_RELEASE, released)).scalar_one_or_none()
    return next_look


async def release_all(tx: AsyncConnection, now: datetime) -> None:
    """Give back every lease, and look at once at what was held: for the start of the only process."""
    await tx.execute(_RELEASE_ALL, {"now": now})


async def look_at_all(tx: AsyncConnection, now: datetime) -> int:
    """Make every live purchase due at once. How many there are."""
    due = update(purchases).where(purchases.c.status.in_(LIVE)).values(check_at=now).returning(purchases.c.id)
    return len((await tx.execute(due)).all())


async def look_at_credited(tx: AsyncConnection, now: datetime, since: datetime) -> None:
    """Make every purchase due that was credited, and bought since then: something may have gone back of it."""
    bought = and_(purchases.c.status.in_(CREDITED), purchases.c.created_at >= since)
    await tx.execute(update(purchases).where(bought).values(check_at=now))


async def heed(tx: AsyncConnection, now: datetime, hint: Hint) -> Purchase | None:
    """Make the purchase that a hint speaks of due at once, unless it is paid and that is no news; and return it."""
    of = {"of_id": hint.purchase_id, "of_intent": hint.intent_id, "of_session": hint.session_id}
    if not any(of.values()):
        return None
    over = [] if hint.reversal else list(CREDITED)
    found = (await tx.execute(_HEED, {**of, "over": over, "now": now})).first()
    return _purchase(found) if found else None


async def change(tx: AsyncConnection, purchase: Purchase, at: datetime, **columns: Any) -> Purchase | None:
    """Write columns while status and lease still are the purchase's, and return it so. None: somebody was faster."""
    of = {"of_id": purchase.id, "of_status": purchase.status, "under_lease": purchase.lease_until}
    row = (await tx.execute(_CHANGE, {**of, "updated_at": at, **columns})).first()
    return _purchase(row) if row else None


async def move(
    tx: AsyncConnection, purchase: Purchase, status: Status, at: datetime, *, note: str | None = None, **columns: Any
) -> Purchase | None:
    """Move to ``status`` if the row still has the purchase's, and return it so. None when somebody moved it first."""
    moved = await change(tx, purchase, at, status=status, **columns)
    if moved:
        await _log(tx, purchase.id, status, note, at)
    return moved


async def history(tx: AsyncConnection, purchase_id: str) -> Sequence[tuple[datetime, Status, str | None]]:
    """Each state the purchase went through: when, which, why."""
    rows = await tx.execute(select(log).where(log.c.purchase_id == purchase_id).order_by(log.c.n))
    return [(row.at, Status(row.status), row.note) for row in rows]


async def reversed_so_far(tx: AsyncConnection, reversal_id: str) -> tuple[Usd, int]:
    """What a refund or a dispute has taken from the ledger so far, and in how many entries."""
    row = (await tx.execute(select(reversals).where(reversals.c.id == reversal_id))).first()
    return (Usd(row.cents), row.n) if row else (Usd(0), 0)


async def every_reversal(tx: AsyncConnection) -> Sequence[tuple[str, str, Usd]]:
    """Each refund and dispute, of which purchase, and what it has taken from the ledger so far."""
    rows = await tx.execute(select(reversals.c.id, reversals.c.purchase_id, reversals.c.cents))
    return [(row.id, row.purchase_id, Usd(row.cents)) for row in rows]


async def set_reversed(tx: AsyncConnection, reversal_id: str, purchase_id: str, amount: Usd, n: int) -> None:
    now = {"cents": amount.cents, "n": n}
    await tx.execute(
        insert_into(reversals, tx.dialect.name)
        .values(id=reversal_id, purchase_id=purchase_id, **now)
        .on_conflict_do_update(index_elements=["id"], set_=now)
    )


async def cursor(tx: AsyncConnection, name: str) -> datetime | None:
    return (await tx.execute(_CURSOR, {"of_name": name})).scalar()


async def set_cursor(tx: AsyncConnection, name: str, at: datetime) -> None:
    await tx.execute(
        insert_into(cursors, tx.dialect.name)
        .values(name=name, at=at)
        .on_conflict_do_update(index_elements=["name"], set_={"at": at})
    )


async def _one(tx: AsyncConnection, query: Select[Any], **of: object) -> Purchase | None:
    row = (await tx.execute(query, of)).first()
    return _purchase(row) if row else None


async def _log(tx: AsyncConnection, purchase_id: str, status: Status, note: str | None, at: datetime) -> None:
    now = {"of_purchase": purchase_id, "moved_at": at, "moved_to": status, "because": note}
    await tx.execute(_LOG, now)


# Built once: building them again takes as long as running them.
_row = purchases.c
_OF_ID = select(purchases).where(_row.id == bindparam("of_id"))
_OF_ID_LOCKED = _OF_ID.with_for_update()
_OF_NONCE = select(purchases).where(_row.nonce == bindparam("of_nonce"))
_OF_STATUS = select(purchases).where(_row.status.in_(bindparam("of", expanding=True))).order_by(_row.created_at)
_NEWEST = select(purchases).order_by(_row.id.desc()).limit(bindparam("most"))
_TWIN = (
    select(purchases)
    .where(
        _row.account_id == bindparam("of_account"),
        _row.cents == bindparam("of_cents"),
        _row.created_at >= bindparam("since"),
        _row.status.in_([*LIVE, Status.SETTLED]),
    )
    .order_by(_row.created_at.desc())
    .limit(1)
)
_LAST_BOUGHT = (
    select(_row.cents)
    .where(_row.account_id == bindparam("of_account"), _row.status == Status.SETTLED)
    .order_by(_row.created_at.desc())
    .limit(1)
)
_CHANGE = (
    update(purchases)
    .where(
        _row.id == bindparam("of_id"),
        _row.status == bindparam("of_status"),
        _row.lease_until.is_not_distinct_from(bindparam("under_lease")),
    )
    .returning(purchases)
)
_HEED = (
    update(purchases)
    .where(
        or_(
            _row.id == bindparam("of_id"),
            _row.intent_id == bindparam("of_intent"),
            _row.session_id == bindparam("of_session"),
        )
    )
    .values(
        check_at=case(
            (_row.status.in_(bindparam("over", expanding=True)), _row.check_at), else_=bindparam("now", type_=Instant)
        )
    )
    .returning(purchases)
)
_RELEASE = (
    update(purchases)
    .where(_row.id == bindparam("of_id"), _row.lease_until == bindparam("under_lease"))
    .values(
        lease_until=None,
        failures=bindparam("failed"),
        request_id=func.coalesce(bindparam("failed_request", type_=Text), _row.request_id),
        check_at=case(
            (_row.check_at != bindparam("claimed_at"), _row.check_at), else_=bindparam("next", type_=Instant)
        ),
    )
    .returning(_row.check_at)
)
_RELEASE_ALL = (
    update(purchases).where(_row.lease_until.is_not(None)).values(lease_until=None, check_at=bindparam("now"))
)
_CURSOR = select(cursors.c.at).where(cursors.c.name == bindparam("of_name"))
_leases = Leases(purchases.c.check_at, purchases.c.lease_until, lease=LEASE, farthest=FARTHEST_LOOK)
_CLAIM = (
    update(purchases)
    .where(
        purchases.c.id.in_(
            select(purchases.c.id)
            .where(_leases.free)
            .order_by(purchases.c.check_at)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(lease_until=bindparam("leased_until"), check_at=bindparam("leased_until"))
    .returning(purchases)
)
_LOG = insert(log).values(
    purchase_id=bindparam("of_purchase"),
    n=select(func.count() + 1).where(log.c.purchase_id == bindparam("of_purchase")).scalar_subquery(),
    at=bindparam("moved_at"),
    status=bindparam("moved_to"),
    note=bindparam("because"),
)


@cache
def _adding(dialect: str) -> Executable:
    return insert_into(purchases, dialect).on_conflict_do_nothing(index_elements=["nonce"]).returning(_row.id)


def _purchase(row: Row[Any]) -> Purchase:
    return Purchase(
        id=row.id,
        nonce=row.nonce,
        account_id=row.account_id,
        workspace=Workspace(row.enterprise_id, row.team_id),
        buyer_id=row.buyer_id,
        locale=row.locale,
        amount=Usd(row.cents),
        status=Status(row.status),
        pay_with=PayWith(row.pay_with),
        created_at=row.created_at,
        updated_at=row.updated_at,
        check_at=row.check_at,
        lease_until=row.lease_until,
        card=Card(row.card_id, row.card_brand, row.card_last4) if row.card_id else None,
        intent_id=row.intent_id,
        session_id=row.session_id,
        checkout_url=row.checkout_url,
        attempts=row.attempts,
        failures=row.failures,
        reason=row.reason,
        cancelled_by=row.cancelled_by,
        receipt_url=row.receipt_url,
        request_id=row.request_id,
        balance=None if row.balance_nano is None else Credits(row.balance_nano),
        reversed=Usd(row.reversed_cents),
    )
