"""The statement of a month, for people: what was bought and what went back by itself, what was used by day and model.

Opening balance + movements = closing balance, to the last digit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Self
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.store import Line
from bot.money import Credits
from bot.usage import store
from bot.usage.model import batch_of
from bot.usage.statement import Statement, statement_of

MOST_MONTHS = 100  # that can be chosen from


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of a calendar on some wall: where it begins depends on the time zone."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime, zone: ZoneInfo) -> Self:
        local = moment.astimezone(zone)
        return cls(local.year, local.month)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what ``str`` writes. Raise ``ValueError``."""
        day = datetime.strptime(text, "%Y-%m")
        if not 1 < day.year < 9999:  # in some time zone it begins or ends where no calendar goes
            raise ValueError(f"nobody has a statement of {text}")
        return cls(day.year, day.month)

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def following(self) -> Self:
        return type(self)(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def before(self) -> Self:
        return type(self)(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    def bounds(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Its first moment, and the first one after it."""
        start, end = (datetime.combine(month.first, time(), zone) for month in (self, self.following))
        return start, end

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Summary:
    """A month. Of what was used, the costs by day are exact; ``models`` says which models they were for."""

    month: Month
    opening: Credits
    closing: Credits
    others: Sequence[Line]  # every movement that is no use
    days: Mapping[date, Credits]  # only those with use
    models: Mapping[str, Credits]  # the costliest first


async def months_of(tx: AsyncConnection, account_id: str, now: datetime, zone: ZoneInfo) -> Sequence[Month]:
    """The months of which there is something to tell, newest first: at least the present one."""
    month, first = Month.of(now, zone), await ledger.first_booked(tx, account_id)
    found = [month]
    while first and found[-1] > Month.of(first, zone) and len(found) < MOST_MONTHS:
        found.append(found[-1].before)
    return found


async def statement_in(database: Database, account_id: str, month: Month, zone: ZoneInfo) -> Statement:
    """Every movement of the month."""
    return await statement_of(database, account_id, *month.bounds(zone))


async def summary(database: Database, account_id: str, month: Month, zone: ZoneInfo) -> Summary:
    told = await statement_in(database, account_id, month, zone)
    used = {batch: line for line in told.lines if (batch := batch_of(line.cause)) is not None}
    days: dict[date, Credits] = {}
    for line in used.values():
        day = line.booked_at.astimezone(zone).date()
        days[day] = Credits(days.get(day, Credits.ZERO).nano - line.change.nano)
    models: dict[str, int] = {}
    async with database.read() as tx:
        for _, model, cost in await store.costs_by_model(tx, account_id, list(used)):
            models[model] = models.get(model, 0) + cost.nano
    costliest = sorted(models.items(), key=lambda each: (-each[1], each[0]))
    others = [line for line in told.lines if batch_of(line.cause) is None]
    by_model = {model: Credits(nano) for model, nano in costliest}
    return Summary(month, told.opening, told.closing, others, days, by_model)
