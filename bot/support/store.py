"""Cases in the database. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Workspace
from bot.db.upsert import insert_into
from bot.support.model import Case, Entry, State
from bot.support.tables import cases, entries


async def add_case(tx: AsyncConnection, case: Case) -> bool:
    """False when another case has this number."""
    added = await tx.execute(
        insert_into(cases, tx.dialect.name)
        .values(
            number=case.number,
            enterprise_id=case.workspace.enterprise_id,
            team_id=case.workspace.team_id,
            account_id=case.account_id,
            purchase_id=case.purchase_id,
            subject=case.subject,
            opened_by=case.opened_by,
            opened_at=case.opened_at,
            open_until=case.open_until,
        )
        .on_conflict_do_nothing(index_elements=["number"])
        .returning(cases.c.number)
    )
    return added.scalar() is not None


async def add_entry(tx: AsyncConnection, entry: Entry) -> None:
    """Raise ``IntegrityError`` when its cause has an entry already."""
    await tx.execute(
        insert(entries).values(
            number=entry.number,
            n=entry.n,
            cause=entry.cause,
            at=entry.at,
            user_id=entry.user_id,
            locale=entry.locale,
            about=entry.about,
            words=entry.words,
            address=entry.address,
            state=entry.state,
        )
    )


async def keep_open(tx: AsyncConnection, number: str, until: datetime) -> None:
    await tx.execute(update(cases).where(cases.c.number == number).values(open_until=until))


async def set_state(tx: AsyncConnection, entry: Entry, state: State) -> None:
    mine = (entries.c.number == entry.number, entries.c.n == entry.n)
    await tx.execute(update(entries).where(*mine).values(state=state))


async def of_number(tx: AsyncConnection, number: str) -> Case | None:
    row = (await tx.execute(select(cases).where(cases.c.number == number))).first()
    return _case(row) if row else None


async def every(tx: AsyncConnection, *, open_at: datetime | None = None) -> Sequence[Case]:
    """All cases, or those that are open then; the newest first."""
    query = select(cases).order_by(cases.c.opened_at.desc(), cases.c.number)
    return [
        _case(row) for row in await tx.execute(query if open_at is None else query.where(cases.c.open_until > open_at))
    ]


async def entries_of(tx: AsyncConnection, number: str) -> Sequence[Entry]:
    """What was written to a case, in order."""
    query = select(entries).where(entries.c.number == number).order_by(entries.c.n)
    return [_entry(row) for row in await tx.execute(query)]


async def erase_words(tx: AsyncConnection, number: str) -> None:
    await tx.execute(update(entries).where(entries.c.number == number).values(words="", address=None))


async def open_about(tx: AsyncConnection, purchase_id: str, now: datetime) -> Case | None:
    """The case that is open about this purchase. Its row is locked: one entry at a time."""
    query = select(cases).where(cases.c.purchase_id == purchase_id, cases.c.open_until > now)
    row = (await tx.execute(query.order_by(cases.c.opened_at.desc()).limit(1).with_for_update())).first()
    return _case(row) if row else None


async def entry(tx: AsyncConnection, number: str, n: int) -> Entry | None:
    row = (await tx.execute(select(entries).where(entries.c.number == number, entries.c.n == n))).first()
    return _entry(row) if row else None


async def entry_caused_by(tx: AsyncConnection, cause: str) -> Entry | None:
    row = (await tx.execute(select(entries).where(entries.c.cause == cause))).first()
    return _entry(row) if row else None


async def count(tx: AsyncConnection, number: str) -> int:
    """How many entries a case has."""
    counted = select(func.count()).select_from(entries).where(entries.c.number == number)
    return (await tx.execute(counted)).scalar_one()


async def written_since(tx: AsyncConnection, user_id: str, since: datetime) -> tuple[int, int]:
    """How many cases this person has opened since then, and how many entries they have written."""
    opened = select(func.count()).select_from(cases).where(cases.c.opened_by == user_id, cases.c.opened_at > since)
    written = select(func.count()).select_from(entries).where(entries.c.user_id == user_id, entries.c.at > since)
    return (await tx.execute(opened)).scalar_one(), (await tx.execute(written)).scalar_one()


def _case(row: Row[Any]) -> Case:
    return Case(
        number=row.number,
        workspace=Workspace(row.enterprise_id, row.team_id),
        account_id=row.account_id,
        purchase_id=row.purchase_id,
        subject=row.subject,
        opened_by=row.opened_by,
        opened_at=row.opened_at,
        open_until=row.open_until,
    )


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        number=row.number,
        n=row.n,
        cause=row.cause,
        at=row.at,
        user_id=row.user_id,
        locale=row.locale,
        about=row.about,
        words=row.words,
        address=row.address,
        state=State(row.state),
    )
