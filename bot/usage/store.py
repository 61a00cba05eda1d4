"""Usage in the database: many events at a time, each database by its quickest way. The caller owns the transaction."""

import struct
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, insert, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.tables import accounts
from bot.db.columns import instant, microseconds
from bot.db.upsert import insert_into
from bot.ledger.tables import balances
from bot.money import Credits
from bot.prices.model import Price, Tokens
from bot.prices.tables import prices
from bot.usage.model import Parked, Row, id_of
from bot.usage.tables import discards, events, models, sources

_COLUMNS: Final = (
    "source, key, id, account_id, model, happened_at, input, cached, written, output, reasoning, "
    "price, markup, nano, parked, batch"
)
_INSERT: Final = f"INSERT INTO usage_events ({_COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608 - fixed names
_COPY: Final = (
    "COPY usage_events (source, key, model, happened_at, input, cached, written, output, reasoning, "
    "price, markup, nano, batch, id, account_id, parked) FROM STDIN (FORMAT binary)"
)
_COPY_BEGINS: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"  # a value's length comes before it: this is none
_USE: Final = struct.Struct(">h iq i16s" + "iq" * 7)  # how many columns, and those which every event has
_COST: Final = struct.Struct(">" + "iq" * 4)
_WHOLE: Final = struct.Struct(">iq")
_AT_ONCE: Final = 400  # keys in one question to SQLite, which has no arrays


class SeenBefore(Exception):
    """At least one of the events is in the database already."""


async def add(tx: AsyncConnection, rows: Sequence[Row], batch: int) -> None:
    """Store new events. Raise ``SeenBefore`` when any of them is not new: the transaction is lost then."""
    if tx.dialect.name == "postgresql":
        await _copy(tx, b"".join([_COPY_BEGINS, *[_record(row, batch) for row in rows], _COPY_ENDS]))
        return
    try:
        await tx.exec_driver_sql(_INSERT, [_values(row, batch) for row in rows])
    except IntegrityError as repeated:
        raise SeenBefore from repeated


async def _copy(tx: AsyncConnection, records: bytes) -> None:
    from psycopg import OperationalError as NoAnswer
    from psycopg.errors import UniqueViolation

    connection: Any = (await tx.get_raw_connection()).driver_connection
    try:
        async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            await copy.write(records)
    except UniqueViolation as repeated:
        raise SeenBefore from repeated
    except NoAnswer as error:  # as SQLAlchemy would have wrapped it
        raise OperationalError(_COPY, None, error) from error


def _values(row: Row, batch: int) -> tuple[object, ...]:
    return (
        row.source,
        row.key,
        row.id,
        row.account_id,
        row.model,
        row.happened_at,
        row.input,
        row.cached,
        row.written,
        row.output,
        row.reasoning,
        row.price,
        row.markup,
        row.nano,
        row.parked,
        None if row.parked else batch,
    )


def _record(row: Row, batch: int) -> bytes:
    """A row as COPY reads it, in the order of its columns."""
    if row.parked:
        charge = (row.price, row.markup, row.nano, None)
        cost = b"".join([_NULL if value is None else _WHOLE.pack(8, value) for value in charge])
        reason = _text(row.parked)
    else:
        cost = _COST.pack(8, row.price, 8, row.markup, 8, row.nano, 8, batch)
        reason = _NULL
    counts = _USE.pack(
        16, 8, row.source, 16, row.key, 8, row.model, 8, row.happened_at,
        8, row.input, 8, row.cached, 8, row.written, 8, row.output, 8, row.reasoning,
    )  # fmt: skip
    name = _NULL if row.id is None else _text(row.id)
    return counts + cost + name + _text(row.account_id) + reason


@lru_cache(maxsize=10_000)  # the same accounts come again and again
def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


async def known(tx: AsyncConnection, keys: Iterable[tuple[int, bytes]]) -> dict[tuple[int, bytes], Row]:
    """Which of these events are stored already, by source and key."""
    pairs = list(keys)
    if tx.dialect.name == "postgresql":
        asked = {"sources": [source for source, _ in pairs], "keys": [key.hex() for _, key in pairs]}
        found = list(await tx.execute(_KNOWN, asked))
    else:
        found = []
        for source, of_source in groupby(sorted(pairs), key=itemgetter(0)):  # SQLite finds pairs by reading everything
            sought = [key for _, key in of_source]
            for first in range(0, len(sought), _AT_ONCE):
                some = events.c.key.in_(sought[first : first + _AT_ONCE])
                found += await tx.execute(select(events).where(events.c.source == source, some))
    return {(row.source, row.key): row for row in map(_row, found)}


def _row(found: Any) -> Row:
    values = found._asdict()
    del values["batch"]
    return Row(**values | {"happened_at": microseconds(found.happened_at)})


# ── parked ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def affordable(tx: AsyncConnection, limit: int) -> Sequence[Row]:
    """Parked events that, each by itself, would fit into the overdraft now; the oldest of each account first."""
    return await _parked(tx, _AFFORDABLE, limit)


async def unpriced(tx: AsyncConnection, limit: int, after: Row | None) -> Sequence[Row]:
    """Parked events without a price, a page at a time: those that come after this one."""
    query = select(events).where(events.c.parked != Parked.OVERDRAWN)
    if after is not None:
        place = (after.account_id, instant(after.happened_at), after.source, after.key)
        query = query.where(tuple_(*_PLACE) > place)
    return await _parked(tx, query, limit)


async def _parked(tx: AsyncConnection, query: Select[Any], limit: int) -> Sequence[Row]:
    return [_row(found) for found in await tx.execute(query.order_by(*_PLACE).limit(limit))]


class ReleasedBefore(Exception):
    """Somebody else released one of the parked events first."""


async def release(tx: AsyncConnection, rows: Sequence[Row], batch: int) -> None:
    """Give parked events their cost, and their batch unless they stay parked. Raise ``ReleasedBefore``."""
    for row in rows:
        released = {"price": row.price, "markup": row.markup, "nano": row.nano, "parked": row.parked}
        of_event = {"of_source": row.source, "of_key": row.key, "batch": None if row.parked else batch}
        if not (await tx.execute(_RELEASE, of_event | released)).rowcount:
            raise ReleasedBefore


@dataclass(frozen=True, slots=True)
class Waiting:
    """Parked events of one account, model and reason."""

    account_id: str
    provider: str
    model: str
    reason: str
    count: int
    oldest: datetime

    @property
    def facts(self) -> dict[str, object]:
        """As programs read it."""
        return {
            "provider": self.provider,
            "model": self.model,
            "reason": self.reason,
            "events": self.count,
            "oldest": self.oldest.isoformat(),
        }


async def waiting(tx: AsyncConnection, account_id: str | None = None) -> Sequence[Waiting]:
    """What is parked, of one account or of all."""
    grouped = (events.c.account_id, models.c.provider, models.c.model, events.c.parked)
    query = (
        select(*grouped, func.count().label("n"), func.min(events.c.happened_at).label("oldest"))
        .join(models, models.c.no == events.c.model)
        .where(events.c.parked.is_not(None))
        .group_by(*grouped)
        .order_by(*grouped)
    )
    if account_id is not None:
        query = query.where(events.c.account_id == account_id)
    return [
        Waiting(row.account_id, row.provider, row.model, row.parked, row.n, row.oldest)
        for row in await tx.execute(query)
    ]


async def discard(
    tx: AsyncConnection, account_id: str, provider: str, model: str, *, at: datetime, who: str, why: str
) -> int:
    """Give up the account's uses of a model that wait for a price: they are never booked, and are never new again.

    How many those were.
    """
    of_model = select(models.c.no).where(models.c.provider == provider, models.c.model == model).scalar_subquery()
    given_up = await tx.execute(
        update(events)
        .where(events.c.account_id == account_id, events.c.model == of_model)
        .where(events.c.parked.is_not(None), events.c.parked != Parked.OVERDRAWN)
        .values(parked=None)
        .returning(events.c.source, events.c.key)
    )
    noted = [{"source": row.source, "key": row.key, "at": at, "who": who, "why": why} for row in given_up]
    if noted:
        await tx.execute(insert(discards), noted)
    return len(noted)


@dataclass(frozen=True, slots=True)
class Discarded:
    """Events of one account and model that somebody gave up at one time."""

    account: str
    provider: str
    model: str
    at: datetime
    who: str
    why: str
    events: int


async def discarded(tx: AsyncConnection) -> Sequence[Discarded]:
    """All that was ever given up, the newest first."""
    named = (events.c.account_id, models.c.provider, models.c.model, discards.c.at, discards.c.who, discards.c.why)
    query = (
        select(*named, func.count())
        .select_from(discards)
        .join(events, (events.c.source == discards.c.source) & (events.c.key == discards.c.key))
        .join(models, models.c.no == events.c.model)
        .group_by(*named)
        .order_by(discards.c.at.desc(), *named)
    )
    return [Discarded(*row) for row in await tx.execute(query)]


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def numbers(
    tx: AsyncConnection, new_sources: Iterable[str], new_models: Iterable[tuple[str, str]]
) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """The numbers that stand for these sources and models in events; new ones get theirs now."""
    names, pairs = sorted(new_sources), sorted(new_models)
    if names:
        await tx.execute(
            insert_into(sources, tx.dialect.name).on_conflict_do_nothing(), [{"name": name} for name in names]
        )
    if pairs:
        await tx.execute(
            insert_into(models, tx.dialect.name).on_conflict_do_nothing(),
            [{"provider": provider, "model": model} for provider, model in pairs],
        )
    of_source = await tx.execute(select(sources).where(sources.c.name.in_(names)))
    of_model = await tx.execute(select(models).where(tuple_(models.c.provider, models.c.model).in_(pairs)))
    return {row.name: row.no for row in of_source}, {(row.provider, row.model): row.no for row in of_model}


async def names(tx: AsyncConnection, of_models: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Provider and model that these numbers stand for."""
    rows = await tx.execute(select(models).where(models.c.no.in_(list(of_models))))
    return {row.no: (row.provider, row.model) for row in rows}


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Debit:
    """One event of a ledger entry, as a statement shows it. Prices are nano-credits per million tokens."""

    source: str
    id: str
    happened_at: datetime
    provider: str
    model: str
    tokens: Tokens
    price: Price
    markup: int
    cost: Credits


async def debits(tx: AsyncConnection, account_id: str, batches: Sequence[int]) -> Mapping[int, Sequence[Debit]]:
    """The events of an account in these batches, each batch in the order of their happening."""
    found: dict[int, list[Debit]] = {}
    for first in range(0, len(batches), _AT_ONCE):
        rows = await tx.execute(
            _DEBITS.where(events.c.account_id == account_id, events.c.batch.in_(batches[first : first + _AT_ONCE]))
        )
        for row in rows:
            found.setdefault(row.batch, []).append(_debit(row))
    return found


def _debit(row: Any) -> Debit:
    price = Price(
        id=row.price,
        provider=row.provider,
        model=row.name,
        input=row.price_input,
        cached=row.price_cached,
        written=row.price_written,
        output=row.price_output,
        effective_at=row.effective_at,
        expires_at=row.expires_at,
    )
    return Debit(
        source=row.source_name,
        id=row.id or id_of(row.key),
        happened_at=row.happened_at,
        provider=row.provider,
        model=row.name,
        tokens=Tokens(row.input, row.cached, row.written, row.output, row.reasoning),
        price=price,
        markup=row.markup,
        cost=Credits(row.nano),
    )


async def costs(tx: AsyncConnection, batches: Collection[int] | None = None) -> AsyncIterator[tuple[int, str, Credits]]:
    """Batch, account and what its events cost together, for these batches or for all: to be held against the ledger."""
    grouped = (events.c.batch, events.c.account_id)
    which = events.c.batch.is_not(None) if batches is None else events.c.batch.in_(batches)
    query = select(*grouped, func.sum(events.c.nano).label("nano")).where(which)
    async for some in (await tx.stream(query.group_by(*grouped))).partitions(1_000):
        for batch, account_id, nano in some:
            yield batch, account_id, Credits(int(nano or 0))


async def costs_by_model(
    tx: AsyncConnection, account_id: str, batches: Sequence[int]
) -> Sequence[tuple[int, str, Credits]]:
    """Batch, model, and what the account's events of that model cost in it."""
    found: list[tuple[int, str, Credits]] = []
    for first in range(0, len(batches), 1_000):
        query = (
            select(events.c.batch, models.c.provider, models.c.model, func.sum(events.c.nano).label("nano"))
            .join(models, models.c.no == events.c.model)
            .where(events.c.batch.in_(batches[first : first + 1_000]), events.c.account_id == account_id)
            .group_by(events.c.batch, models.c.provider, models.c.model)
        )
        rows = await tx.execute(query)
        found += [(row.batch, f"{row.provider} {row.model}", Credits(int(row.nano))) for row in rows]
    return found


async def booked(tx: AsyncConnection) -> int:
    """How many events are not parked, as far as their batches tell."""
    return (await tx.execute(_BOOKED)).scalar_one()


# Built once: building them takes as long as running them.
_PLACE = (events.c.account_id, events.c.happened_at, events.c.source, events.c.key)
_KNOWN = text(
    """
    SELECT events.* FROM unnest(CAST(:sources AS bigint[]), CAST(:keys AS uuid[])) AS asked(source, key)
    JOIN usage_events AS events USING (source, key)
    """
).columns(*events.c)
_AFFORDABLE = (
    select(events)
    .outerjoin(balances, balances.c.account_id == events.c.account_id)
    .join(accounts, accounts.c.id == events.c.account_id)
    .where(
        events.c.parked == Parked.OVERDRAWN,
        func.coalesce(balances.c.nano, 0) - events.c.nano >= -accounts.c.overdraft_nano,
    )
)
_RELEASE = update(events).where(
    events.c.source == bindparam("of_source"), events.c.key == bindparam("of_key"), events.c.parked.is_not(None)
)
_BOOKED = select(func.count()).where(events.c.batch.is_not(None))
_DEBITS = (
    select(
        events,
        sources.c.name.label("source_name"),
        models.c.provider,
        models.c.model.label("name"),
        prices.c.input.label("price_input"),
        prices.c.cached.label("price_cached"),
        prices.c.written.label("price_written"),
        prices.c.output.label("price_output"),
        prices.c.effective_at,
        prices.c.expires_at,
    )
    .join(sources, sources.c.no == events.c.source)
    .join(models, models.c.no == events.c.model)
    .join(prices, prices.c.id == events.c.price)
    .order_by(events.c.happened_at, events.c.source, events.c.key)
)
