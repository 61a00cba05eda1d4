"""Accounts in twelve time zones, on real rows, through every change of their clocks: each warning comes when it should.

What should come is told by reading clocks on walls, minute by minute, and not by the code that is tried here.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Person, Plan, Workspace
from bot.alerts.forms import Settings
from bot.alerts.model import Snooze
from bot.alerts.reports import Reports
from bot.alerts.routes import key_of, key_of_warning, reminder_of
from bot.alerts.rules import Amount, Level, Quiet, Rules
from bot.alerts.service import Alerts
from bot.alerts.tables import episodes, looks, settings
from bot.clock import SystemClock
from bot.db.engine import Database
from bot.ids import new_id
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.money import NANO_PER_CREDIT, Credits
from bot.outbox.tables import outbox
from bot.usage import hour_store
from bot.usage.tables import hours, models

from ..conftest import examples

ZONES = (
    "Africa/Cairo",
    "America/Havana",  # changed at midnight
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Beirut",  # changed at midnight
    "Asia/Kolkata",  # never changed
    "Australia/Lord_Howe",  # by half an hour
    "Europe/Copenhagen",
    "Europe/Dublin",
    "Pacific/Auckland",
    "Pacific/Chatham",
)
SEASONS = [(year, month) for year in range(2026, 2030) for month in (3, 9)]  # in each all zones change their clocks
OWNER = "U1"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = {Level.LOW: Amount(Credits(10 * NANO_PER_CREDIT))}


class Wall(SystemClock):
    """A clock that shows what it was set to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True)
class Dip:
    """A time in which an account has little, round a change of its clocks. ``snoozed_at``: until Monday."""

    begins: datetime
    snoozed_at: datetime | None
    ends: datetime


class Office:
    """An account in a zone, and what it ought to hear in the ten weeks round the changes of this season."""

    def __init__(self, name: str, year: int, month: int) -> None:
        self.zone = ZoneInfo(name)
        self.id = name.rpartition("/")[2].lower()
        self.place = f"C-{self.id}"
        self.workspace = Workspace("", f"T-{self.id}")
        self.first = datetime(year, month, 1, 12, tzinfo=UTC) - 5 * DAY
        self.last = self.first + 10 * 7 * DAY
        self.dips = [self._round(change) for change in self._changes()]

    def _changes(self) -> Sequence[datetime]:
        """When the clocks there are changed; a moment of no meaning where they are not."""
        times = [self.first + n * HOUR for n in range((self.last - self.first) // HOUR)]
        return [at for at in times if self._offset(at) != self._offset(at - HOUR)] or times[700:701]

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.zone).utcoffset()

    def _round(self, change: datetime) -> Dip:
        """Some begin by day, some by night."""
        n = ZONES.index(self.zone.key)
        begins = change - (25 + n) * HOUR
        return Dip(begins, begins + 13 * HOUR if n % 3 else None, change + 40 * HOUR)

    def awake(self, at: datetime) -> datetime:
        """The first minute from then on that is not in the quiet hours."""
        while not 7 <= at.astimezone(self.zone).hour < 22:
            at += MINUTE
        return at

    def monday(self, after: datetime) -> datetime:
        """The next one, at nine in the morning; on a Monday, in a week."""
        at = datetime.combine(after.astimezone(self.zone), time(9), self.zone) + DAY  # on the wall
        while at.weekday():
            at += DAY
        return at.astimezone(UTC)

    def expected(self) -> Iterator[tuple[datetime, datetime, Sequence[datetime]]]:
        """Of each dip, when its warning is given, when it ends, and the reminders."""
        for dip in self.dips:
            opened = self.awake(dip.begins)
            at = self.monday(dip.snoozed_at) if dip.snoozed_at else opened + DAY
            reminders = []
            while (at := self.awake(at)) < dip.ends:
                reminders.append(at)
                at += DAY
            yield opened, dip.ends + MINUTE, reminders

    def mondays(self) -> Sequence[datetime]:
        found = [self.monday(self.first)]
        while (at := self.monday(found[-1] + 6 * DAY)) < self.last:
            found.append(at)
        return found


class Years:
    """The offices of a year in one database, and two bots that take turns."""

    def __init__(self, database: Database, offices: Sequence[Office]) -> None:
        self.database = database
        self.offices = offices
        self.clock = Wall(offices[0].first)
        self.bots = itertools.cycle([self._bot(), self._bot()])
        self.reports = Reports(
            database=database,
            clock=self.clock,
            history=_unknown,
            pace=_unknown,
            spend=hour_store.spend_by_day_and_model,
            complete_to=self.clock.now,
        )
        self._causes = itertools.count()

    def _bot(self) -> Alerts:
        return Alerts(
            database=self.database,
            clock=self.clock,
            new_id=new_id,
            history=_unknown,
            last_purchase=_nothing,
            who_is=_nobody,
        )

    async def open(self) -> None:
        now = self.clock.at
        await self.database.write(lambda tx: tx.execute(insert(models).values(no=1, provider="openai", model="gpt")))
        for office in self.offices:
            account = Account(office.id, office.id, Plan.ESSENTIAL, office.workspace, frozenset({OWNER}), office.place)
            await self.database.write(partial(accounts.add, account=account, at=now))
            await self.has(office, 100)
            rules = Rules(RULES, quiet=Quiet(time(22), time(7)), time_zone=office.zone.key)
            chosen = Settings((office.place,), rules, "en", digest=True)
            await next(self.bots).set_up(office.workspace, OWNER, chosen)
            week = [{"hour": office.first - 2 * DAY + n * 7 * DAY} for n in range(15)]
            used = {"account_id": office.id, "model": 1, "events": 1, "tokens": 1, "nano": 1}
            await self.database.write(lambda tx, rows=[used | each for each in week]: tx.execute(insert(hours), rows))

    async def has(self, office: Office, credits: int) -> None:
        """Book what makes the balance this."""
        async with self.database.read() as tx:
            before = await ledger.balance(tx, office.id)
        change = Credits(credits * NANO_PER_CREDIT - before.nano)
        entry = transfer(f"test:{next(self._causes)}", office.id, change, Book.SALES, self.clock.at)
        await self.database.write(partial(ledger.post, entry=entry, at=self.clock.at))

    async def snooze(self, office: Office) -> None:
        async with self.database.read() as tx:
            query = select(episodes.c.id).where(episodes.c.account_id == office.id, episodes.c.closed_at.is_(None))
            [episode_id] = (await tx.execute(query)).scalars()
        await next(self.bots).snooze(episode_id, office.workspace, OWNER, Snooze.MONDAY)

    async def live(self) -> None:
        """From one moment at which something happens or is due to the next, to the end."""
        acts = [
            (at, partial(act, office))
            for office in self.offices
            for dip in office.dips
            for at, act in (
                (dip.begins, partial(self.has, credits=5)),
                (dip.snoozed_at, self.snooze),
                (dip.ends, partial(self.has, credits=100)),
            )
            if at
        ]
        acts.sort(key=lambda each: each[0])
        while (now := min(await self._due(), acts[0][0] if acts else self.offices[0].last)) < self.offices[0].last:
            self.clock.at = max(now, self.clock.at)
            while acts and acts[0][0] <= self.clock.at:
                await acts.pop(0)[1]()
            await self.look()

    async def look(self) -> None:
        """What the jobs of a bot do whenever they come round."""
        await next(self.bots).work()
        await self.reports.send_digests()

    async def _due(self) -> datetime:
        async with self.database.read() as tx:
            look = (await tx.execute(select(func.min(looks.c.due_at)))).scalar()
            digest = (await tx.execute(select(func.min(settings.c.digest_at)))).scalar_one()
        return min(look, digest) if look else digest

    async def heard(self, office: Office) -> dict[str, datetime]:
        """Every message in the account's place, and when it was first owed."""
        async with self.database.read() as tx:
            query = select(outbox.c.key, outbox.c.created_at).where(outbox.c.channel == office.place)
            return {row.key: row.created_at for row in await tx.execute(query)}

    async def episodes(self, office: Office) -> list[tuple[str, datetime, datetime]]:
        async with self.database.read() as tx:
            query = select(episodes).where(episodes.c.account_id == office.id).order_by(episodes.c.opened_at)
            return [(row.id, row.opened_at, row.closed_at) for row in await tx.execute(query)]


async def _unknown(tx: AsyncConnection, account_id: str) -> dict[datetime, Credits]:
    return {}


async def _nothing(tx: AsyncConnection, account_id: str) -> Credits | None:
    return None


async def _nobody(workspace: Workspace, user_id: str) -> Person | None:
    return None


@pytest.mark.parametrize("season", SEASONS[: examples(1)])
async def test_every_warning_comes_once_and_in_time_wherever_clocks_are_changed(
    season: tuple[int, int], database: Database
) -> None:
    """A quick run looks at one season, at a quarter of the zones on each database; a thorough one at everything."""
    few = ZONES[1::4] if database.is_sqlite else ZONES[3::4]
    offices = [Office(name, *season) for name in (few if examples(1) < len(SEASONS) else ZONES)]
    years = Years(database, offices)
    await years.open()
    await years.live()
    for office in offices:
        await _heard_all(years, office)


async def _heard_all(years: Years, office: Office) -> None:
    was = await years.episodes(office)
    expected = list(office.expected())
    assert [each[1:] for each in was] == [(opened, closed) for opened, closed, _ in expected], office.zone
    keys = {
        key_of_warning(reminder_of(id, at) if at else id): at or opened
        for (id, opened, _), (*_, reminders) in zip(was, expected, strict=True)
        for at in (None, *reminders)
    }
    keys |= {key_of("digest", str(_day(at, office)), office.place, office.id): at for at in office.mondays()}
    assert await years.heard(office) == keys, office.zone


def _day(at: datetime, office: Office) -> date:
    return at.astimezone(office.zone).date()


async def test_a_clock_that_jumps_doubles_nothing_and_silences_nothing(database: Database) -> None:
    office = Office("Europe/Copenhagen", *SEASONS[0])
    years = Years(database, [office])
    await years.open()
    monday = years.clock.at = office.mondays()[0]
    await years.has(office, 5)
    await years.look()
    for jump in (-3 * HOUR, HOUR, -30 * HOUR, 3 * DAY + 8 * HOUR, -HOUR, HOUR):
        years.clock.at += jump
        for _ in range(2):
            await years.look()
    wednesday = years.clock.at
    await years.has(office, 100)
    for _ in range(2):
        await years.look()
        years.clock.at += MINUTE
    [(warning, _, ended)] = await years.episodes(office)
    assert ended == wednesday + MINUTE
    assert await years.heard(office) == {
        key_of("digest", str(_day(monday, office)), office.place, office.id): monday,
        key_of_warning(warning): monday,
        key_of_warning(reminder_of(warning, wednesday)): wednesday,
    }
