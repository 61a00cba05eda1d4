"""Mails in the database. The caller owns the transaction.

Whatever follows a claim names the lease it was made under, and does nothing when that lease is somebody else's by now.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.leases import Leases
from bot.db.upsert import insert_into
from bot.mail.model import LEASE, LONGEST_WAIT, Attachment, Fate, Mail, Owed, checked
from bot.mail.tables import mails

_row = mails.c


@dataclass(frozen=True, slots=True)
class Lost:
    """A mail that was given up, and what the last attempt met."""

    key: str
    recipient: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many mails are still to be sent, since when the oldest of them waits, and what one of them met."""

    count: int
    oldest: datetime | None
    trouble: str | None


async def owe_mail(tx: AsyncConnection, mail: Mail, at: datetime) -> bool:
    """Let the mail be sent after this transaction, once. False when its key is there already, and nothing changes.

    Raise ``UnusableAddress``.
    """
    mail = checked(mail)
    owed = await tx.execute(
        insert_into(mails, tx.dialect.name)
        .values(
            key=mail.key,
            recipient=mail.to,
            subject=mail.subject,
            body=mail.body,
            reply_to=mail.reply_to,
            follows=mail.follows,
            attachments=[asdict(each) for each in mail.attachments],
            created_at=at,
            due_at=at,
            attempts=0,
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(_row.key)
    )
    return owed.scalar() is not None


async def known(tx: AsyncConnection, keys: Sequence[str]) -> Sequence[str]:
    """Those of the keys under which a mail is owed, or was."""
    return (await tx.execute(select(_row.key).where(_row.key.in_(keys)))).scalars().all()


async def claim(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[Owed]:
    """Take up to so many mails that are due, the longest waiting first, for the time of a lease."""
    taken = await tx.execute(_CLAIM, _leases.moments(now, most=limit))
    return [_owed(row) for row in taken]


async def ended(tx: AsyncConnection, owed: Owed, fate: Fate, at: datetime, trouble: str | None = None) -> bool:
    """This is what became of it. False when somebody else has it by now."""
    return await _change(tx, owed, fate=fate, fate_at=at, lease_until=None, trouble=trouble)


async def put_off(tx: AsyncConnection, owed: Owed, until: datetime, trouble: str) -> bool:
    """It did not work; try again then."""
    return await _change(tx, owed, due_at=until, attempts=_row.attempts + 1, lease_until=None, trouble=trouble)


async def release_leases(tx: AsyncConnection) -> None:
    """Take back all leases. Only where no other process can hold one."""
    await tx.execute(update(mails).where(_row.lease_until.is_not(None)).values(lease_until=None))


async def forget(tx: AsyncConnection, prefix: str) -> bool:
    """Delete the mails whose keys begin like this. False, and nothing happens, while one of them waits."""
    mine = _row.key.startswith(prefix, autoescape=True)
    if (await tx.execute(select(_row.key).where(mine, _row.fate.is_(None)).limit(1))).first():
        return False
    await tx.execute(delete(mails).where(mine))
    return True


async def given_up(tx: AsyncConnection, since: datetime) -> Sequence[Lost]:
    """What was given up since then, newest first."""
    rows = await tx.execute(
        select(_row.key, _row.recipient, _row.trouble)
        .where(_row.fate == Fate.GIVEN_UP, _row.fate_at >= since)
        .order_by(_row.fate_at.desc(), _row.key)
    )
    return [Lost(row.key, row.recipient, row.trouble or "") for row in rows]


async def waiting(tx: AsyncConnection) -> Waiting:
    of_those = (func.count(), func.min(_row.created_at), func.max(_row.trouble))
    return Waiting(*(await tx.execute(select(*of_those).where(_row.fate.is_(None)))).one())


_leases = Leases(_row.due_at, _row.lease_until, lease=LEASE, farthest=LONGEST_WAIT)
_CLAIM = (
    update(mails)
    .where(
        _row.key.in_(
            select(_row.key)
            .where(_row.fate.is_(None), _leases.free)
            .order_by(_row.due_at)
            .limit(bindparam("most", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
    .values(lease_until=bindparam("leased_until"))
    .returning(mails)
)


async def _change(tx: AsyncConnection, owed: Owed, **values: object) -> bool:
    mine = (_row.key == owed.mail.key, _row.lease_until == owed.lease_until)
    return (await tx.execute(update(mails).where(*mine).values(**values))).rowcount == 1


def _owed(row: Row[Any]) -> Owed:
    mail = Mail(
        key=row.key,
        to=row.recipient,
        subject=row.subject,
        body=row.body,
        reply_to=row.reply_to,
        follows=row.follows,
        attachments=[Attachment(**each) for each in row.attachments],
    )
    return Owed(mail, row.created_at, row.attempts, row.lease_until)
