"""The outbox in the database. The caller owns the transaction.

Whatever follows a claim names the lease it was made under, and does nothing when that lease is somebody else's by now.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Executable, Integer, and_, bindparam, case, delete, func, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.leases import Leases
from bot.db.upsert import insert_into
from bot.outbox.model import LEASE, LONGEST_WAIT, TOKEN_REFUSED, Channel, Message, Owed, User
from bot.outbox.tables import outbox

_row = outbox.c
_place = func.coalesce(_row.user_id, _row.channel)
_pending = and_(_row.version > _row.delivered, _row.dead.is_(None))


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that cannot be delivered; ``reason`` is Slack's error code."""

    key: str
    place: str
    reason: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many messages Slack does not show as they ought to be, and since when the oldest of them waits."""

    count: int
    oldest: datetime | None


async def owe(tx: AsyncConnection, message: Message, at: datetime) -> None:
    """Let the message look like this from now on. The same content again changes nothing.

    What was buried stays so, unless the message now goes somewhere else; there it is posted anew.
    """
    user = message.to.id if isinstance(message.to, User) else None
    owed = {
        "key": message.key,
        "user_id": user,
        "channel": None if user else message.to.id,
        "text": message.text,
        "blocks": message.blocks,
        "version": 1,
        "delivered": 0,
        "due_at": at,
        "attempts": 0,
        "created_at": at,
        "updated_at": at,
    }
    await tx.execute(_owing(tx.dialect.name), owed)


@cache
def _owing(dialect: str) -> Executable:
    """The statement of ``owe``, built once: building it takes as long as running it."""
    new = insert_into(outbox, dialect)
    moved = or_(
        _row.user_id.is_distinct_from(new.excluded.user_id),
        and_(new.excluded.user_id.is_(None), _row.channel.is_distinct_from(new.excluded.channel)),
    )
    of_a_place = (_row.ts, _row.posting_since, _row.lease_until, _row.dead)
    return new.on_conflict_do_update(
        index_elements=[_row.key],
        set_={
            "user_id": new.excluded.user_id,
            "channel": case((moved, new.excluded.channel), else_=_row.channel),
            **{column.name: case((moved, null()), else_=column) for column in of_a_place},
            "text": new.excluded.text,
            "blocks": new.excluded.blocks,
            "version": _row.version + 1,
            "due_at": new.excluded.due_at,
            "updated_at": new.excluded.updated_at,
        },
        where=or_(moved, _row.text != new.excluded.text, _row.blocks != new.excluded.blocks),
    )


async def places_due(
    tx: AsyncConnection, now: datetime, *, besides: Collection[str], limit: int
) -> Sequence[tuple[str, int]]:
    """Users and channels that something is due for, those that wait longest first, and how many messages each."""
    due = await tx.execute(_PLACES_DUE, _leases.moments(now, besides=besides, most=limit))
    return [(place, count) for place, count in due]


async def claim(tx: AsyncConnection, place: str, now: datetime) -> Owed | None:
    """Take the row of this place that is due longest, for the time of a lease."""
    row = (await tx.execute(_CLAIM, _leases.moments(now, place=place))).one_or_none()
    return None if row is None else Owed(*row)


# Statements are built once: building them takes as long as running them.
_leases = Leases(_row.due_at, _row.lease_until, lease=LEASE, farthest=LONGEST_WAIT)
_due = and_(_pending, _leases.free)
_PLACES_DUE = (
    select(_place, func.count())
    .where(_due, _place.not_in(bindparam("besides", expanding=True)))
    .group_by(_place)
    .order_by(func.min(_row.due_at))
    .limit(bindparam("most", type_=Integer))
)
_CLAIM = (
    update(outbox)
    .where(
        _row.key
        == select(_row.key)
        .where(_due, _place == bindparam("place"))
        .order_by(_row.due_at, _row.created_at, _row.key)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(lease_until=bindparam("leased_until"))
    .returning(
        _row.key,
        _row.user_id,
        _row.channel,
        _row.ts,
        _row.text,
        _row.blocks,
        _row.version,
        _row.posting_since,
        _row.attempts,
        _row.lease_until,
    )
)


_CHANGE = update(outbox).where(_row.key == bindparam("of_key"), _row.lease_until == bindparam("under_lease"))
_RELEASE_LEASES = update(outbox).where(_row.lease_until.is_not(None)).values(lease_until=None)
_REVIVE = update(outbox).where(_row.dead.in_(TOKEN_REFUSED)).values(dead=None, attempts=0, due_at=bindparam("at"))
_DEAD = (
    select(_row.key, _place, _row.dead, _row.updated_at)
    .where(_row.dead.is_not(None), _row.version > _row.delivered)
    .order_by(_row.updated_at.desc(), _row.key)
)


async def posting(tx: AsyncConnection, owed: Owed, channel: str, at: datetime) -> bool:
    """Write down that a post is about to leave. False when the lease is lost, and it must not."""
    since = owed.posting_since or at  # an earlier post may still turn up
    return await _change(tx, owed, channel=channel, ts=None, posting_since=since)


async def unposted(tx: AsyncConnection, owed: Owed) -> bool:
    """The post came to nothing, for certain."""
    return await _change(tx, owed, posting_since=None)


async def posted(tx: AsyncConnection, owed: Owed, channel: str, ts: str) -> bool:
    """The message exists, with some content or other."""
    return await _change(tx, owed, channel=channel, ts=ts, posting_since=None)


async def delivered(tx: AsyncConnection, owed: Owed, channel: str, ts: str) -> bool:
    """Slack shows what was claimed. If the lease was lost, somebody may have shown something newer: once more."""
    if await _change(
        tx,
        owed,
        channel=channel,
        ts=ts,
        posting_since=None,
        delivered=owed.version,
        attempts=0,
        lease_until=None,
    ):
        return True
    await tx.execute(update(outbox).where(_row.key == owed.key).values(version=_row.version + 1))
    return False


async def put_off(tx: AsyncConnection, owed: Owed, until: datetime) -> bool:
    """It did not work; try again then."""
    return await _change(tx, owed, due_at=until, attempts=owed.attempts + 1, lease_until=None)


async def bury(tx: AsyncConnection, owed: Owed, reason: str, at: datetime) -> bool:
    """It will never work."""
    return await _change(tx, owed, dead=reason, updated_at=at, lease_until=None)


async def release_leases(tx: AsyncConnection) -> None:
    """Take back all leases. Only where no other process can hold one."""
    await tx.execute(_RELEASE_LEASES)


async def revive(tx: AsyncConnection, at: datetime) -> int:
    """Try again what was buried because the bot itself was not let in. Returns how many."""
    return (await tx.execute(_REVIVE, {"at": at})).rowcount


async def forget(tx: AsyncConnection, prefix: str) -> bool:
    """Delete the messages whose keys begin like this; Slack keeps them. False, and nothing happens, while one waits."""
    mine = _row.key.startswith(prefix, autoescape=True)
    if (await tx.execute(select(_row.key).where(mine, _pending).limit(1))).first():
        return False
    await tx.execute(delete(outbox).where(mine))
    return True


async def dead(tx: AsyncConnection) -> Sequence[Dead]:
    """What was given up and is still owed, newest first."""
    return [Dead(*row) for row in await tx.execute(_DEAD)]


async def numbered(tx: AsyncConnection, prefix: str) -> Sequence[Message]:
    """The messages whose keys are this and a number that begins with 0 to 8, as they ought to look."""
    query = select(_row.key, _row.user_id, _row.channel, _row.text, _row.blocks)
    within = _row.key.between(f"{prefix}0", f"{prefix}9")  # signs are in another order in each database, digits are not
    rows = await tx.execute(query.where(within, _row.key.startswith(prefix, autoescape=True)).order_by(_row.key))
    return [Message(key, User(user) if user else Channel(channel), *said) for key, user, channel, *said in rows]


async def never_posted(tx: AsyncConnection, keys: Sequence[str]) -> Sequence[str]:
    """Those of the messages that nobody has ever seen."""
    return (await tx.execute(select(_row.key).where(_row.key.in_(keys), _row.ts.is_(None)))).scalars().all()


async def waiting(tx: AsyncConnection) -> Waiting:
    counted = (await tx.execute(select(func.count(), func.min(_row.updated_at)).where(_pending))).one()
    return Waiting(*counted)


async def _change(tx: AsyncConnection, owed: Owed, **values: object) -> bool:
    changed = await tx.execute(_CHANGE, {"of_key": owed.key, "under_lease": owed.lease_until, **values})
    return changed.rowcount == 1
