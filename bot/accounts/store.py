"""Accounts in the database. The caller owns the transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Account, AtZero, Plan, Workspace
from bot.accounts.tables import accounts, owners
from bot.db import versions
from bot.money import Credits


async def add(tx: AsyncConnection, account: Account, at: datetime) -> None:
    """Raise ``IntegrityError`` when the id or the workspace is taken."""
    await tx.execute(_ADD, {"id": account.id, "created_at": at, **_columns(account)})
    await _set_owners(tx, account)
    await versions.changed(tx, versions.TERMS)


async def replace(tx: AsyncConnection, account: Account) -> None:
    """Write the account as it now is."""
    await tx.execute(update(accounts).where(accounts.c.id == account.id).values(**_columns(account)))
    await tx.execute(delete(owners).where(owners.c.account_id == account.id))
    await _set_owners(tx, account)
    await versions.changed(tx, versions.TERMS)


async def set_customer(tx: AsyncConnection, account_id: str, customer: str, *, instead_of: str | None = None) -> None:
    """Remember the customer at Stripe, unless there is one already that is not ``instead_of``."""
    still = accounts.c.customer.is_not_distinct_from(instead_of)
    await tx.execute(update(accounts).where(accounts.c.id == account_id, still).values(customer=customer))


async def of_id(tx: AsyncConnection, account_id: str) -> Account | None:
    found = await _found(tx, _OF_ID, of_id=account_id)
    return found[0] if found else None


async def of_workspace(tx: AsyncConnection, workspace: Workspace, *, lock: bool = False) -> Account | None:
    """The account of a workspace; one that was added without its organisation is found by its team alone."""
    query = _OF_WORKSPACE_LOCKED if lock else _OF_WORKSPACE
    found = await _found(tx, query, enterprise=workspace.enterprise_id, team=workspace.team_id)
    return max(found, key=lambda account: account.workspace.enterprise_id, default=None)


async def terms(tx: AsyncConnection, account_ids: Collection[str]) -> Sequence[tuple[str, Plan, Credits]]:
    """Plan and overdraft of those of these accounts that exist."""
    found: list[tuple[str, Plan, Credits]] = []
    wanted = sorted(account_ids)
    for first in range(0, len(wanted), 1_000):
        rows = await tx.execute(_TERMS, {"of": wanted[first : first + 1_000]})
        found += [(row.id, Plan(row.plan), Credits(row.overdraft_nano)) for row in rows]
    return found


async def every(tx: AsyncConnection) -> Sequence[Account]:
    return await _found(tx, _WITH_OWNERS)


async def _found(tx: AsyncConnection, query: Select[Any], **of: object) -> list[Account]:
    rows = await tx.execute(query, of)
    found: dict[str, Account] = {}
    people: dict[str, set[str]] = {}
    for row in rows:
        people.setdefault(row.id, set()).update({row.user_id} if row.user_id else ())
        found[row.id] = Account(
            id=row.id,
            name=row.name,
            plan=Plan(row.plan),
            workspace=Workspace(row.enterprise_id, row.team_id),
            owners=frozenset(people[row.id]),
            channel=row.channel,
            language=row.language,
            customer=row.customer,
            at_zero=AtZero(row.at_zero),
            overdraft=Credits(row.overdraft_nano),
            trial_ends_at=row.trial_ends_at,
        )
    return list(found.values())


# Built once: building them again takes as long as running them.
_WITH_OWNERS = (
    select(accounts, owners.c.user_id)
    .outerjoin(owners, owners.c.account_id == accounts.c.id)
    .order_by(accounts.c.id, owners.c.user_id)
)
_TERMS = select(accounts.c.id, accounts.c.plan, accounts.c.overdraft_nano).where(
    accounts.c.id.in_(bindparam("of", expanding=True))
)
_ADD, _ADD_OWNERS = insert(accounts), insert(owners)
_OF_ID = _WITH_OWNERS.where(accounts.c.id == bindparam("of_id"))
_OF_WORKSPACE = _WITH_OWNERS.where(
    accounts.c.enterprise_id.in_([bindparam("enterprise"), ""]), accounts.c.team_id == bindparam("team")
)
_OF_WORKSPACE_LOCKED = _OF_WORKSPACE.with_for_update(of=accounts)


async def _set_owners(tx: AsyncConnection, account: Account) -> None:
    if account.owners:
        await tx.execute(_ADD_OWNERS, [{"account_id": account.id, "user_id": user} for user in sorted(account.owners)])


def _columns(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "plan": account.plan,
        "enterprise_id": account.workspace.enterprise_id,
        "team_id": account.workspace.team_id,
        "channel": account.channel,
        "language": account.language,
        "customer": account.customer,
        "at_zero": account.at_zero,
        "overdraft_nano": account.overdraft.nano,
        "trial_ends_at": account.trial_ends_at,
    }
