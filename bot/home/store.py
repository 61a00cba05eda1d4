"""Visits of App Home in the database. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Workspace
from bot.alerts.tables import dead_places, settings
from bot.db.upsert import insert_into
from bot.home.tables import visits
from bot.ledger.tables import balances, entries
from bot.purchases.tables import purchases

_NEWEST = 5  # purchases, of which a change shows


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody opened their Home; ``shown`` is the hash of what was built for them then."""

    workspace: Workspace
    user_id: str
    account_id: str | None
    opened_at: datetime
    built_at: datetime
    shown: str


async def keep(tx: AsyncConnection, visit: Visit) -> None:
    """Remember the latest visit of somebody, and forget nobody else's."""
    who = _who(visit)
    now = {
        "account_id": visit.account_id,
        "opened_at": visit.opened_at,
        "built_at": visit.built_at,
        "shown": visit.shown,
    }
    await tx.execute(
        insert_into(visits, tx.dialect.name)
        .values(**who, **now)
        .on_conflict_do_update(index_elements=list(who), set_=now)
    )


async def forget(tx: AsyncConnection, visit: Visit) -> None:
    await tx.execute(delete(visits).filter_by(**_who(visit)))


async def forget_before(tx: AsyncConnection, at: datetime) -> None:
    await tx.execute(delete(visits).where(visits.c.opened_at < at))


async def outdated(tx: AsyncConnection, since: datetime, now: datetime, stale: datetime, limit: int) -> Sequence[Visit]:
    """Visits since then whose account has changed after they were built; by use alone, where that was before ``stale``.

    One that was built later than now was built before the clock was set back.
    """
    rows = await tx.execute(_outdated(), {"since": since, "now": now, "stale": stale, "most": limit})
    return [
        Visit(
            Workspace(row.enterprise_id, row.team_id),
            row.user_id,
            row.account_id,
            row.opened_at,
            row.built_at,
            row.shown,
        )
        for row in rows
    ]


@cache
def _outdated() -> Select[Any]:
    """The statement, built once: building it takes longer than running it."""
    of_account = visits.c.account_id
    bought = (
        select(purchases.c.updated_at)
        .where(purchases.c.account_id == of_account)
        .order_by(purchases.c.created_at.desc())
        .limit(_NEWEST)
        .correlate(visits)
        .subquery()
    )
    seen = visits.c.built_at
    newest = select(entries).join(balances, balances.c.seq == entries.c.seq)
    changed = or_(
        seen > bindparam("now"),
        and_(
            seen <= bindparam("stale"),
            newest.where(balances.c.account_id == of_account, entries.c.booked_at > seen).exists(),
        ),
        select(bought).where(bought.c.updated_at > seen).exists(),
        select(settings).where(settings.c.account_id == of_account, settings.c.set_at > seen).exists(),
        select(dead_places).where(dead_places.c.account_id == of_account, dead_places.c.since > seen).exists(),
    )
    query = select(visits).where(visits.c.opened_at >= bindparam("since"), changed)
    return query.order_by(seen).limit(bindparam("most"))


def _who(visit: Visit) -> dict[str, str]:
    workspace = visit.workspace
    return {"enterprise_id": workspace.enterprise_id, "team_id": workspace.team_id, "user_id": visit.user_id}
