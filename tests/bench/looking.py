"""The job that runs every minute to see whom to warn: few accounts are due, among few accounts and among very many.

In each round the same number of accounts have become due, other ones each time, in both databases. Each due account
has four weeks of use by the hour, so that every look reads it, forecasts, and writes down when to look again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Table, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Person, Workspace
from bot.accounts.tables import accounts
from bot.alerts.service import Alerts
from bot.alerts.tables import episodes, looks
from bot.clock import SystemClock
from bot.db import versions
from bot.db.columns import microseconds
from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.ids import new_id
from bot.money import Credits
from bot.usage import repricing
from tests.bench.figures import Check, Measured, Row
from tests.bench.places import Place, places

FEW, MANY = 10_000, 1_000_000
DUE = 100
ROUNDS = 7
_GOAL = 3.0
_IN_USE: Final = DUE * (ROUNDS + 1)  # accounts that are due in one of the rounds, or in the one that only warms up
_HOUR: Final = timedelta(hours=1)

_NUMBERS: Final = "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {last}) "
_LOAD: Final = (
    """
    INSERT INTO accounts
        (id, name, plan, enterprise_id, team_id, channel, language, created_at, at_zero, overdraft_nano)
    {accounts} SELECT 'acc-' || n, 'Account ' || n, 'essential', '', 'T' || n, 'C' || n, 'en', {now}, 'stop', 0 FROM n
    """,
    """
    INSERT INTO ledger_balances (account_id, nano, seq, hash, low, high)
    {accounts} SELECT 'acc-' || n, 1000000000000, 1, '', 10000000000, NULL FROM n
    """,
    """
    INSERT INTO alert_looks (account_id, due_at)
    {accounts} SELECT 'acc-' || n, CASE WHEN n % 2 = 0 THEN {later} + n END FROM n
    """,
    """
    INSERT INTO usage_hours (account_id, hour, model, events, tokens, nano)
    {in_use}
    SELECT 'acc-' || (n.n * {apart}), {now} / {hour} * {hour} - ago.ago * {hour}, 1, 1, 1000, 10000000 + ago.ago
    FROM n, (SELECT n AS ago FROM n WHERE n BETWEEN 1 AND 672) AS ago
    """,
)


@dataclass
class Subject:
    """So many accounts, and the job that looks at those of them that are due."""

    accounts: int
    database: Database
    alerts: Alerts

    def in_use(self, round: int) -> Sequence[str]:
        """The accounts that become due in this round, far from each other."""
        apart = self.accounts // _IN_USE
        return [f"acc-{(n * (ROUNDS + 1) + round) * apart}" for n in range(DUE)]

    async def milliseconds(self, round: int) -> float:
        await self.database.write(partial(_become_due, names=self.in_use(round)))
        began = time.perf_counter()
        looked_at = await self.alerts.work()
        took = time.perf_counter() - began
        assert looked_at == DUE, looked_at
        return 1000 * took


def measure(folder: Path, python: str) -> Measured:
    """In this process, whatever ``python`` is: what is measured is one call."""
    measured = Measured(
        f"Who is to be warned: the minute's job with {DUE} accounts due, of {MANY:,} and beside it of {FEW:,}",
        notes=[
            "The first look after prices or an account changed asks as well which accounts are new, and so reads"
            " them all: it is the last row of each, and has no goal."
        ],
    )
    with places(folder) as known:
        for place in known:
            asyncio.run(_beside(measured, place))
    return measured


async def _beside(measured: Measured, place: Place) -> None:
    many, few = [await _subject(place, accounts) for accounts in (MANY, FEW)]
    of_minute, of_change = Row(f"a minute, {place.name}", "ms", _GOAL), Row(f"after a change, {place.name}", "ms", None)
    for round in range(1 + ROUNDS):
        took = await many.milliseconds(round), await few.milliseconds(round)
        (of_minute if round else of_change).add(*took)
    measured.rows += [of_minute, of_change]
    for subject in (many, few):
        async with subject.database.read() as tx:
            found = await _count(tx, accounts), await _count(tx, looks), await _due(tx), await _count(tx, episodes)
        name = f"{place.name}: accounts, looked at, still due, and warned"
        measured.checks.append(Check(name, found, (subject.accounts, subject.accounts, 0, 0)))
        await subject.database.dispose()


async def _subject(place: Place, accounts: int) -> Subject:
    database = Database(place.url(f"looking_{accounts}"))
    await upgrade(database)
    await database.write(partial(_load, accounts=accounts))
    alerts = Alerts(
        database=database,
        clock=SystemClock(),
        new_id=new_id,
        history=_history,
        last_purchase=_bought_nothing,
        who_is=_nobody,
    )
    return Subject(accounts, database, alerts)


async def _load(tx: AsyncConnection, accounts: int) -> None:
    now = SystemClock().now()
    facts = {
        "accounts": _NUMBERS.format(last=accounts - 1),
        "in_use": _NUMBERS.format(last=_IN_USE - 1),
        "apart": accounts // _IN_USE,
        "now": microseconds(now),
        "later": microseconds(now + timedelta(days=1)),
        "hour": _HOUR // timedelta(microseconds=1),
    }
    if tx.dialect.name == "postgresql":
        await tx.execute(text("SET LOCAL statement_timeout = 0"))
    for statement in _LOAD:
        await tx.execute(text(statement.format(**facts)))
    if tx.dialect.name == "postgresql":
        await tx.execute(text("ANALYZE"))  # as autovacuum does within a minute
    await versions.changed(tx, versions.TERMS)


async def _become_due(tx: AsyncConnection, names: Sequence[str]) -> None:
    due = update(looks).where(looks.c.account_id.in_(names)).values(due_at=SystemClock().now())
    assert (await tx.execute(due)).rowcount == DUE


async def _count(tx: AsyncConnection, table: Table) -> int:
    return (await tx.execute(select(func.count()).select_from(table))).scalar_one()


async def _due(tx: AsyncConnection) -> int:
    query = select(func.count()).select_from(looks).where(looks.c.due_at <= SystemClock().now())
    return (await tx.execute(query)).scalar_one()


async def _history(tx: AsyncConnection, account_id: str) -> Mapping[datetime, Credits]:
    return await repricing.spend_by_hour(tx, account_id, SystemClock().now())


async def _bought_nothing(tx: AsyncConnection, account_id: str) -> Credits | None:
    return None


async def _nobody(workspace: Workspace, user_id: str) -> Person | None:
    return None
