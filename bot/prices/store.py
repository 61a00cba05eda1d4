"""Prices and markups in the database. The caller owns the transaction; rows are added, never edited."""

from bisect import bisect_right, insort
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db import versions
from bot.prices.model import STEEPEST, Markups, Price, PriceList, Unacceptable, beside, ended, when
from bot.prices.tables import markups, prices


class BadPrices(ValueError):
    """Prices that cannot be written: the index of each among those given, and why. Nothing was written."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(reason for _, reason in problems))
        self.problems = problems


async def load(tx: AsyncConnection) -> tuple[PriceList, Markups]:
    """All that is needed to tell what a use costs."""
    return PriceList(await every(tx)), Markups(await every_markup(tx))


async def every(tx: AsyncConnection) -> list[Price]:
    """Every price, oldest first."""
    return await _prices(tx, _EVERY)


async def changed_since(tx: AsyncConnection, moment: datetime) -> list[Price]:
    """Every price of the models of which another than the first one has begun, or will begin, since then."""
    return await _prices(tx, _CHANGED, since=moment)


async def _prices(tx: AsyncConnection, query: Select[Any], **of: object) -> list[Price]:
    rows = await tx.execute(query, of)
    return [
        Price(
            id=row.id,
            provider=row.provider,
            model=row.model,
            input=row.input,
            cached=row.cached,
            written=row.written,
            output=row.output,
            effective_at=row.effective_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


async def begun(tx: AsyncConnection, now: datetime) -> int:
    """How many prices and markups have begun: more than before wherever a change of what models cost has."""
    found: int = (await tx.execute(_BEGUN, {"now": now})).scalar_one()
    return found


# Built once: building them takes as long as running them.
_EVERY = select(prices).order_by(prices.c.effective_at, prices.c.id)
_CHANGED = _EVERY.where(
    tuple_(prices.c.provider, prices.c.model).in_(
        select(prices.c.provider, prices.c.model)
        .group_by(prices.c.provider, prices.c.model)
        .having(func.count() > 1, func.max(prices.c.effective_at) > bindparam("since"))
    )
)
_COUNTS = [
    select(func.count()).where(table.c.effective_at <= bindparam("now")).scalar_subquery()
    for table in (prices, markups)
]
_BEGUN = select(_COUNTS[0] + _COUNTS[1])


async def add(tx: AsyncConnection, price: Price, at: datetime) -> bool:
    """Write a price. False when it is there already. Raise ``BadPrices`` when another contradicts it."""
    return bool(await add_all(tx, [price], at))


async def add_all(tx: AsyncConnection, wanted: Sequence[Price], at: datetime) -> list[Price]:
    """Write the prices that are not there yet, and the ends that known ones did not have; these are given back.

    Raise ``BadPrices`` naming all that contradict or overlap what is there, or one another.
    """
    known = await _locked(tx)
    changes: dict[tuple[str, str, datetime], Price] = {}
    problems = []
    for index, new in enumerate(wanted):
        of_model = known.setdefault((new.provider, new.model), [])
        try:
            change = beside(new, of_model, at)
        except Unacceptable as wrong:
            problems.append((index, str(wrong)))
            continue
        if change is not None:
            of_model[:] = [price for price in of_model if price.effective_at != change.effective_at]
            insort(of_model, change, key=lambda price: price.effective_at)
            changes[change.provider, change.model, change.effective_at] = change
    if problems:
        raise BadPrices(problems)
    if added := [price for price in changes.values() if not price.id]:
        await tx.execute(insert(prices), [{**_columns(price), "created_at": at} for price in added])
    for price in changes.values():
        if price.id:
            await _end(tx, price)
    return list(changes.values())


async def expire(tx: AsyncConnection, provider: str, model: str, end: datetime, at: datetime) -> Price:
    """Let the price that would hold until ``end`` hold no longer than that. Raise ``Unacceptable`` when it may not."""
    of_model = (await _locked(tx)).get((provider, model), [])
    n = bisect_right(of_model, end, key=lambda price: price.effective_at)
    if n == 0:
        raise Unacceptable(f"{provider} {model} has no price that begins before {when(end)}")
    if of_model[n - 1].expires_at == end:
        return of_model[n - 1]
    price = ended(of_model[n - 1], end, of_model[n : n + 1], at)
    await _end(tx, price)
    return price


async def every_markup(tx: AsyncConnection, of: Collection[str] | None = None) -> list[tuple[str, datetime, int]]:
    """Every markup by scope, oldest first: ``plan:essential`` or ``account:acme``, from when on, basis points.

    ``of``: of these scopes alone.
    """
    query = select(markups) if of is None else select(markups).where(markups.c.scope.in_(of))
    return sorted((row.scope, row.effective_at, row.basis_points) for row in await tx.execute(query))


async def set_markup(tx: AsyncConnection, scope: str, basis_points: int, effective_at: datetime, at: datetime) -> bool:
    """Write a markup. False when it is there already. Raise ``Unacceptable`` when that moment has another one."""
    if not 0 <= basis_points <= STEEPEST:
        raise Unacceptable(f"a markup must be from 0 to {STEEPEST // 100:,} %")
    await versions.changed(tx, versions.TERMS)
    of_moment = markups.c.scope == scope, markups.c.effective_at == effective_at
    held = (await tx.execute(select(markups.c.basis_points).where(*of_moment))).scalar()
    if held is None:
        row = {"scope": scope, "effective_at": effective_at, "basis_points": basis_points, "created_at": at}
        await tx.execute(insert(markups).values(row))
    elif held != basis_points:
        raise Unacceptable(f"{scope} has another markup from {when(effective_at)} on: a change needs a new date")
    return held is None


async def _locked(tx: AsyncConnection) -> dict[tuple[str, str], list[Price]]:
    """The prices of each model, oldest first, which nobody else changes before this transaction ends.

    The count of changes comes first, because its row is what keeps two writers of prices apart on PostgreSQL.
    """
    await versions.changed(tx, versions.TERMS)
    known: dict[tuple[str, str], list[Price]] = {}
    for price in await every(tx):
        known.setdefault((price.provider, price.model), []).append(price)
    return known


async def _end(tx: AsyncConnection, price: Price) -> None:
    await tx.execute(update(prices).where(prices.c.id == price.id).values(expires_at=price.expires_at))


def _columns(price: Price) -> dict[str, object]:
    return {
        "provider": price.provider,
        "model": price.model,
        "input": price.input,
        "cached": price.cached,
        "written": price.written,
        "output": price.output,
        "effective_at": price.effective_at,
        "expires_at": price.expires_at,
    }
