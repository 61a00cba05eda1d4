"""What was spent in each hour, in the database: events added up as they are booked. The caller owns the transaction."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, cast, func, select, tuple_, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db import versions
from bot.db.columns import Whole
from bot.db.upsert import insert_into
from bot.ledger.tables import entries
from bot.money import Credits
from bot.usage.model import CAUSE
from bot.usage.tables import events, hours, models

_HOURS: Final = "usage_hours"  # names how far the rolling up has come, among the versions
_HOUR: Final = 3_600_000_000  # microseconds
_DAY: Final = timedelta(days=1)


async def newest_entry(tx: AsyncConnection) -> int:
    """The number of the newest entry of the ledger; 0 before the first."""
    return (await tx.execute(_NEWEST_ENTRY)).scalar() or 0


async def rolled_up(tx: AsyncConnection) -> int:
    """Up to which entry the hours are rolled up."""
    return await versions.current(tx, _HOURS)


async def hold_still(tx: AsyncConnection) -> int:
    """As ``rolled_up``; and whoever asks is the only one who goes on."""
    rolling = {"name": _HOURS, "n": 0}
    await tx.execute(insert_into(versions.versions, tx.dialect.name).on_conflict_do_nothing(), rolling)
    query = select(versions.versions.c.n).where(versions.versions.c.name == _HOURS)
    done: int = (await tx.execute(query.with_for_update())).scalar_one()
    return done


async def roll_up(tx: AsyncConnection, after: int, upto: int) -> None:
    """Add the events of these entries to their hours."""
    batch = cast(func.substr(entries.c.cause, len(CAUSE) + 1), Whole)
    batches = select(batch).where(entries.c.seq > after, entries.c.seq <= upto, entries.c.cause.startswith(CAUSE))
    hour = type_coerce(events.c.happened_at, Whole) // _HOUR * _HOUR
    spent = (
        select(
            events.c.account_id,
            hour.label("hour"),
            events.c.model,
            func.count(),
            func.sum(events.c.input + events.c.cached + events.c.written + events.c.output),
            func.sum(events.c.nano),
        )
        .where(events.c.batch.in_(batches))
        .group_by(events.c.account_id, hour, events.c.model)
    )
    added = insert_into(hours, tx.dialect.name).from_select(
        ["account_id", "hour", "model", "events", "tokens", "nano"], spent
    )
    sums = {name: hours.c[name] + added.excluded[name] for name in ("events", "tokens", "nano")}
    await tx.execute(added.on_conflict_do_update(index_elements=["account_id", "hour", "model"], set_=sums))
    await tx.execute(update(versions.versions).where(versions.versions.c.name == _HOURS).values(n=upto))


async def spend_by_hour(tx: AsyncConnection, account_id: str) -> dict[datetime, Credits]:
    """What the account spent in each hour in which it spent anything, by the hour's beginning in UTC."""
    rows = await tx.execute(_SPEND_BY_HOUR, {"of_account": account_id})
    return {row.hour: Credits(int(row.nano)) for row in rows}


async def spend_on(
    tx: AsyncConnection, account_id: str, of_models: Collection[tuple[str, str]], since: datetime
) -> Sequence[tuple[datetime, str, str, int]]:
    """Hour, provider, model, and the nano-credits that the account spent in it, of these models and since then."""
    query = (
        select(hours.c.hour, models.c.provider, models.c.model, hours.c.nano)
        .join(models, models.c.no == hours.c.model)
        .where(hours.c.account_id == account_id, hours.c.hour >= since)
        .where(tuple_(models.c.provider, models.c.model).in_(of_models))
    )
    rows = await tx.execute(query) if of_models else ()
    return [(row.hour, row.provider, row.model, row.nano) for row in rows]


async def spend_by_day_and_model(
    tx: AsyncConnection, account_id: str, zone: ZoneInfo, first: date, last: date
) -> dict[date, dict[str, Credits]]:
    """What the account spent on each model, on each of these days as its zone counts them: all of them, in order."""
    begin, end = (datetime.combine(day, time(), zone) for day in (first, last + _DAY))
    query = (
        select(hours.c.hour, models.c.provider, models.c.model, hours.c.nano)
        .join(models, models.c.no == hours.c.model)
        .where(hours.c.account_id == account_id, hours.c.hour >= begin, hours.c.hour < end, hours.c.nano > 0)
    )
    spent: dict[date, dict[str, Credits]] = {first + n * _DAY: {} for n in range((last - first).days + 1)}
    for row in await tx.execute(query):
        models_of_day, name = spent[row.hour.astimezone(zone).date()], f"{row.provider} {row.model}"
        models_of_day[name] = Credits(models_of_day.get(name, Credits.ZERO).nano + row.nano)
    return spent


# Built once: building them takes as long as running them.
_NEWEST_ENTRY = select(func.max(entries.c.seq))
_SPEND_BY_HOUR = (
    select(hours.c.hour, func.sum(hours.c.nano).label("nano"))
    .where(hours.c.account_id == bindparam("of_account"))
    .group_by(hours.c.hour)
    .order_by(hours.c.hour)
)
