"""Alerts in the database. The caller owns the transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, delete, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Person, Workspace
from bot.accounts.tables import accounts, owners
from bot.alerts.model import Episode
from bot.alerts.rules import DEFAULTS, Level, Rules
from bot.alerts.tables import dead_places, episodes, known_owners, looks, settings
from bot.db.engine import must
from bot.db.upsert import insert_into
from bot.db.versions import current, versions
from bot.ledger.tables import balances, entries

_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
_PRICES: Final = "alert_prices"  # names how many have been heeded, among the versions


@dataclass(frozen=True, slots=True)
class SetUp:
    """When and where an account is warned. Nobody set up what is by default."""

    rules: Rules = DEFAULTS
    channels: Sequence[str] | None = None  # None: nobody has chosen
    digest_at: datetime | None = None  # when the next one is due; None where nobody wants them
    set_by: str | None = None
    set_at: datetime | None = None


async def set_up_of(tx: AsyncConnection, account_id: str) -> SetUp:
    """What was set up. Where nobody did, the time zone is that of the first owner whose own is known; else UTC."""
    row = (await tx.execute(select(settings).where(settings.c.account_id == account_id))).one_or_none()
    if row is None:
        zone = await _zone_of_owners(tx, account_id)
        return SetUp(replace(DEFAULTS, time_zone=zone) if zone else DEFAULTS)
    return SetUp(Rules.of_json(row.rules), row.channels, row.digest_at, row.set_by, row.set_at)


async def set_up(tx: AsyncConnection, account_id: str, wanted: SetUp) -> None:
    """Replace what was set up. Places that were dead get another chance, and the account is looked at now.

    The account's balance is held still, or a look that goes on meanwhile would put off the next one.
    """
    values = {
        "rules": wanted.rules.as_json(),
        "channels": list(wanted.channels or ()),
        "digest_at": wanted.digest_at,
        "set_by": wanted.set_by,
        "set_at": wanted.set_at,
    }
    await tx.execute(
        insert_into(settings, tx.dialect.name)
        .values(account_id=account_id, **values)
        .on_conflict_do_update(index_elements=["account_id"], set_=values)
    )
    await tx.execute(delete(dead_places).where(dead_places.c.account_id == account_id))
    await look_again(tx, account_id, must(wanted.set_at))


# ── episodes ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def open_episodes(tx: AsyncConnection, account_id: str) -> Sequence[Episode]:
    query = select(episodes).where(episodes.c.account_id == account_id, episodes.c.closed_at.is_(None))
    return [_episode(row) for row in await tx.execute(query.order_by(episodes.c.id))]


async def episode(tx: AsyncConnection, episode_id: str) -> tuple[str, Episode] | None:
    """The account that it is about, and the episode."""
    row = (await tx.execute(select(episodes).where(episodes.c.id == episode_id))).one_or_none()
    return (row.account_id, _episode(row)) if row else None


async def keep(tx: AsyncConnection, account_id: str, changed: Iterable[Episode]) -> None:
    """Store episodes as they now are."""
    for each in changed:
        values = asdict(each)
        await tx.execute(
            insert_into(episodes, tx.dialect.name)
            .values(account_id=account_id, **values)
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )


def _episode(row: Any) -> Episode:
    values = row._asdict()
    del values["account_id"]
    under = values.pop("under")
    return Episode(**values | {"level": Level(row.level), "under": under and Level(under)})


# ── when to look ──────────────────────────────────────────────────────────────────────────────────────────────────


async def due(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[str]:
    """Accounts whose time has come, the longest due first."""
    return (await tx.execute(_DUE, {"now": now, "most": limit})).scalars().all()


async def heed_prices(tx: AsyncConnection, begun: int, now: datetime) -> None:
    """Let the time have come of every account that time may warn, once for so many prices and markups."""
    new = insert_into(versions, tx.dialect.name).values(name=_PRICES, n=begun)
    first = await tx.execute(
        new.on_conflict_do_update(index_elements=["name"], set_={"n": begun}, where=versions.c.n < begun).returning(
            versions.c.n
        )
    )
    if first.scalar() is not None:
        await tx.execute(update(looks).where(looks.c.due_at > now).values(due_at=now))


async def prices_heeded(tx: AsyncConnection) -> int:
    """How many prices and markups had begun when that was done the last time."""
    return await current(tx, _PRICES)


async def never_looked_at(tx: AsyncConnection, limit: int) -> Sequence[str]:
    """Accounts that nobody has looked at since they were added."""
    query = (
        select(accounts.c.id)
        .outerjoin(looks, looks.c.account_id == accounts.c.id)
        .where(looks.c.account_id.is_(None))
        .limit(limit)
    )
    return (await tx.execute(query)).scalars().all()


async def out_of_bounds(tx: AsyncConnection, limit: int) -> Sequence[str]:
    """Accounts whose balance has left its bounds: looked at by now, if nothing was missed."""
    left = (balances.c.nano <= balances.c.low) | (balances.c.nano >= balances.c.high)
    return (await tx.execute(select(balances.c.account_id).where(left).limit(limit))).scalars().all()


async def never_again(tx: AsyncConnection, limit: int) -> Sequence[str]:
    """Accounts that nobody would look at again though an episode of theirs is open, snoozed or not. By its index."""
    query = (
        select(episodes.c.account_id)
        .distinct()
        .outerjoin(looks, looks.c.account_id == episodes.c.account_id)
        .where(episodes.c.closed_at.is_(None), looks.c.due_at.is_(None))
        .limit(limit)
    )
    return (await tx.execute(query)).scalars().all()


async def look_again(tx: AsyncConnection, account_id: str, due_at: datetime | None) -> None:
    """Look at the account then; or, without a time, when its balance leaves its bounds."""
    await tx.execute(
        insert_into(looks, tx.dialect.name)
        .values(account_id=account_id, due_at=due_at)
        .on_conflict_do_update(index_elements=["account_id"], set_={"due_at": due_at})
    )


# ── what is told of use ───────────────────────────────────────────────────────────────────────────────────────────


async def digests_due(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[str]:
    """Accounts that are to get their weekly digest, the longest due first."""
    query = select(settings.c.account_id).where(settings.c.digest_at <= now)
    return (await tx.execute(query.order_by(settings.c.digest_at).limit(limit))).scalars().all()


async def next_digest(tx: AsyncConnection, account_id: str, at: datetime) -> None:
    await tx.execute(update(settings).where(settings.c.account_id == account_id).values(digest_at=at))


async def moved_since(tx: AsyncConnection, since: datetime) -> Sequence[str]:
    """Accounts whose balances have moved since. Reads every balance, and the entries from then on."""
    before = select(entries.c.seq).where(entries.c.booked_at < since).order_by(entries.c.seq.desc()).limit(1)
    query = select(balances.c.account_id).where(balances.c.seq > func.coalesce(before.scalar_subquery(), 0))
    return (await tx.execute(query)).scalars().all()


# ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Gone(NamedTuple):
    """Why messages do not arrive at a place any more, in Slack's word, and since when that is known."""

    error: str
    since: datetime


async def dead(tx: AsyncConnection, account_id: str) -> Mapping[str, Gone]:
    """Where messages about the account do not arrive any more."""
    query = select(dead_places).where(dead_places.c.account_id == account_id)
    return {row.place: Gone(row.error, row.since) for row in await tx.execute(query)}


async def with_dead_places(tx: AsyncConnection) -> Sequence[str]:
    """Accounts that have any."""
    query = select(dead_places.c.account_id).distinct().order_by(dead_places.c.account_id)
    return (await tx.execute(query)).scalars().all()


async def give_up(tx: AsyncConnection, account_id: str, place: str, error: str, at: datetime) -> bool:
    """Do not use the place any more. False when that is known."""
    new = insert_into(dead_places, tx.dialect.name).values(account_id=account_id, place=place, error=error, since=at)
    return (await tx.execute(new.on_conflict_do_nothing().returning(dead_places.c.place))).scalar() is not None


# ── owners ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def owners_to_ask_about(tx: AsyncConnection, before: datetime, limit: int) -> Sequence[tuple[str, Workspace]]:
    """Owners who were not asked about since then; those of accounts that time may bring a warning come first."""
    query = (
        select(owners.c.user_id, accounts.c.enterprise_id, accounts.c.team_id)
        .join(accounts, accounts.c.id == owners.c.account_id)
        .outerjoin(looks, looks.c.account_id == owners.c.account_id)
        .outerjoin(known_owners, known_owners.c.user_id == owners.c.user_id)
        .where(func.coalesce(known_owners.c.asked_at <= before, true()))
        .order_by(looks.c.due_at.nulls_last())
        .limit(limit)
    )
    return [(row.user_id, Workspace(row.enterprise_id, row.team_id)) for row in await tx.execute(query)]


async def keep_owner(tx: AsyncConnection, user_id: str, person: Person, at: datetime) -> None:
    """``person`` is what Slack told of them, which may be under an id of their organisation."""
    values = {"locale": person.locale, "time_zone": person.time_zone, "address": person.email, "asked_at": at}
    new = insert_into(known_owners, tx.dialect.name).values(user_id=user_id, **values)
    await tx.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=values))


async def is_known(tx: AsyncConnection, user_id: str) -> bool:
    """Whether this is an owner who was asked about."""
    query = select(known_owners.c.user_id).where(known_owners.c.user_id == user_id)
    return (await tx.execute(query)).scalar() is not None


async def ask_anew(tx: AsyncConnection, user_id: str) -> None:
    """What is known of an owner holds until then."""
    await tx.execute(update(known_owners).where(known_owners.c.user_id == user_id).values(asked_at=_LONG_AGO))


async def locale_of(tx: AsyncConnection, user_id: str) -> str | None:
    """An owner's, if it is known."""
    return (await tx.execute(select(known_owners.c.locale).where(known_owners.c.user_id == user_id))).scalar()


async def _zone_of_owners(tx: AsyncConnection, account_id: str) -> str | None:
    query = (
        select(known_owners.c.time_zone)
        .join(owners, owners.c.user_id == known_owners.c.user_id)
        .where(owners.c.account_id == account_id, known_owners.c.time_zone.is_not(None))
        .order_by(owners.c.user_id)
        .limit(1)
    )
    return (await tx.execute(query)).scalar()


async def addresses(tx: AsyncConnection, user_ids: Iterable[str]) -> Mapping[str, str]:
    """Those that are known."""
    query = select(known_owners).where(known_owners.c.user_id.in_(user_ids), known_owners.c.address.is_not(None))
    return {row.user_id: row.address for row in await tx.execute(query.order_by(known_owners.c.user_id))}


# Built once: building it again takes as long as running it.
_DUE = (
    select(looks.c.account_id)
    .where(looks.c.due_at <= bindparam("now"))
    .order_by(looks.c.due_at)
    .limit(bindparam("most"))
)
