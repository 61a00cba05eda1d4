"""Purchases in the database. The caller owns the transaction; a move says whether it won."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, and_, bindparam, case, func, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Workspace
from bot.db.columns import Instant
from bot.db.leases import Leases
from bot.money import Credits, Usd
from bot.payments.gateway import Card, Hint
from bot.purchases.model import CREDITED, FARTHEST_LOOK, LEASE, LIVE, PayWith, Purchase, Status
from bot.purchases.tables import cursors, log, purchases, reversals


async def add(tx: AsyncConnection, purchase: Purchase) -> bool:
    """Write a new purchase down. False when its nonce is there already."""
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    added = await tx.execute(
        dialect.insert(purchases)
        .values(
            id=purchase.id,
            nonce=purchase.nonce,
            account_id=purchase.account_id,
            enterprise_id=purchase.workspace.enterprise_id,
            team_id=purchase.workspace.team_id,
            buyer_id=purchase.buyer_id,
            locale=purchase.locale,
            cents=purchase.amount.cents,
            status=purchase.status,
            pay_with=purchase.pay_with,
            card_id=purchase.card and purchase.card.id,
            card_brand=purchase.card and purchase.card.brand,
            card_last4=purchase.card and purchase.card.last4,
            attempts=0,
            failures=0,
            reversed_cents=0,
            created_at=purchase.created_at,
            updated_at=purchase.updated_at,
            check_at=purchase.check_at,
        )
        .on_conflict_do_nothing(index_elements=["nonce"])
        .returning(purchases.c.id)
    )
    if added.scalar() is None:
        return False
    await _log(tx, purchase.id, purchase.status, None, purchase.created_at)
    return True


async def of_id(tx: AsyncConnection, purchase_id: str, *, lock: bool = False) -> Purchase | None:
    return await _one(tx, purchases.c.id == purchase_id, lock=lock)


async def of_nonce(tx: AsyncConnection, nonce: str) -> Purchase | None:
    return await _one(tx, purchases.c.nonce == nonce)


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
    return [_purchase(row) for row in await tx.execute(select(purchases).order_by(purchases.c.id.desc()).limit(limit))]


async def last_bought(tx: AsyncConnection, account_id: str) -> Usd | None:
    """The amount of the account's latest purchase that was credited."""
    query = select(purchases.c.cents).where(purchases.c.account_id == account_id, purchases.c.status == Status.SETTLED)
    cents = (await tx.execute(query.order_by(purchases.c.created_at.desc()).limit(1))).scalar()
    return None if cents is None else Usd(cents)


async def of_status(tx: AsyncConnection, statuses: Collection[Status]) -> Sequence[Purchase]:
    rows = await tx.execute(select(purchases).where(purchases.c.status.in_(statuses)).order_by(purchases.c.created_at))
    return [_purchase(row) for row in rows]


async def in_trouble(tx: AsyncConnection, unknown_since: datetime) -> Sequence[Purchase]:
    """Those that were paid with another amount, and those that nobody has known about since then. Both by an index."""
    quarantined = purchases.c.status == literal(Status.QUARANTINED, Text, literal_execute=True)
    unknown = and_(
        purchases.c.check_at.is_not(None),
        purchases.c.status.in_([Status.REQUESTED, Status.CHARGING]),
        purchases.c.created_at < unknown_since,
    )
    rows = [
        *await tx.execute(select(purchases).where(quarantined)),
        *await tx.execute(select(purchases).where(unknown)),
    ]
    return [_purchase(row) for row in rows]


async def twin(tx: AsyncConnection, account_id: str, amount: Usd, since: datetime) -> Purchase | None:
    """The newest purchase of the same amount for the account since then that took money or still may."""
    return await _one(
        tx,
        and_(
            purchases.c.account_id == account_id,
            purchases.c.cents == amount.cents,
            purchases.c.created_at >= since,
            purchases.c.status.in_([*LIVE, Status.SETTLED]),
        ),
    )


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
    hinted = purchases.c.check_at != claimed.check_at
    released = await tx.execute(
        update(purchases)
        .where(purchases.c.id == claimed.id, purchases.c.lease_until == claimed.lease_until)
        .values(
            lease_until=None,
            failures=failures,
            request_id=request_id or purchases.c.request_id,
            check_at=case((hinted, purchases.c.check_at), else_=bindparam("next", check_at, Instant)),
        )
        .returning(purchases.c.check_at)
    )
    next_look: datetime | None = released.scalar_one_or_none()
    return next_look


async def release_all(tx: AsyncConnection, now: datetime) -> None:
    """Give back every lease, and look at once at what was held: for the start of the only process."""
    held = purchases.c.lease_until.is_not(None)
    await tx.execute(update(purchases).where(held).values(lease_until=None, check_at=now))


async def look_at_all(tx: AsyncConnection, now: datetime) -> int:
    """Make every live purchase due at once. How many there are."""
    due = update(purchases).where(purchases.c.status.in_(LIVE)).values(check_at=now).returning(purchases.c.id)
    return len((await tx.execute(due)).all())


async def heed(tx: AsyncConnection, now: datetime, hint: Hint) -> Purchase | None:
    """Make the purchase that a hint speaks of due at once, unless it is paid and that is no news; and return it."""
    known = [
        column == value
        for column, value in (
            (purchases.c.id, hint.purchase_id),
            (purchases.c.intent_id, hint.intent_id),
            (purchases.c.session_id, hint.session_id),
        )
        if value is not None
    ]
    if not known:
        return None
    over = [] if hint.reversal else CREDITED
    check_at = case((purchases.c.status.in_(over), purchases.c.check_at), else_=bindparam("now", now, Instant))
    heeded = update(purchases).where(or_(*known)).values(check_at=check_at).returning(purchases)
    found = (await tx.execute(heeded)).first()
    return _purchase(found) if found else None


async def change(tx: AsyncConnection, purchase: Purchase, at: datetime, **columns: Any) -> Purchase | None:
    """Write columns while status and lease still are the purchase's, and return it so. None: somebody was faster."""
    changed = await tx.execute(
        update(purchases)
        .where(
            purchases.c.id == purchase.id,
            purchases.c.status == purchase.status,
            purchases.c.lease_until.is_not_distinct_from(purchase.lease_until),
        )
        .values(updated_at=at, **columns)
        .returning(purchases)
    )
    row = changed.first()
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


async def set_reversed(tx: AsyncConnection, reversal_id: str, purchase_id: str, amount: Usd, n: int) -> None:
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    now = {"cents": amount.cents, "n": n}
    await tx.execute(
        dialect.insert(reversals)
        .values(id=reversal_id, purchase_id=purchase_id, **now)
        .on_conflict_do_update(index_elements=["id"], set_=now)
    )


async def cursor(tx: AsyncConnection, name: str) -> datetime | None:
    return (await tx.execute(select(cursors.c.at).where(cursors.c.name == name))).scalar()


async def set_cursor(tx: AsyncConnection, name: str, at: datetime) -> None:
    dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
    await tx.execute(
        dialect.insert(cursors).values(name=name, at=at).on_conflict_do_update(index_elements=["name"], set_={"at": at})
    )


async def _one(tx: AsyncConnection, condition: Any, *, lock: bool = False) -> Purchase | None:
    query = _NEWEST.where(condition)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return _purchase(row) if row else None


async def _log(tx: AsyncConnection, purchase_id: str, status: Status, note: str | None, at: datetime) -> None:
    now = {"of_purchase": purchase_id, "moved_at": at, "moved_to": status, "because": note}
    await tx.execute(_LOG, now)


# Built once: building them again takes as long as running them.
_NEWEST = select(purchases).order_by(purchases.c.created_at.desc()).limit(1)
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
