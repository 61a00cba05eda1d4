"""What an account is told though nothing runs out: a digest of its week, and that today is unlike other days."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.alerts import model, routes, store, views
from bot.alerts.digest import digest
from bot.alerts.model import Snooze
from bot.alerts.service import History, outlook
from bot.alerts.spike import Spike, spike
from bot.alerts.store import SetUp
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.ledger import store as ledger
from bot.money import Credits

_AT_ONCE: Final = 100
_DAY: Final = timedelta(days=1)
_LATELY: Final = timedelta(hours=2)  # more than the time between two looks for spikes

Spend = Callable[[AsyncConnection, str, ZoneInfo, date, date], Awaitable[Mapping[date, Mapping[str, Credits]]]]
"""What an account spent on each model, on each day from the first to the last."""


class Reports:
    """Each is a message of its own key, so that whatever comes twice is said once."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        history: History,
        pace: History,
        spend: Spend,
        complete_to: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._clock = clock
        self._history = history  # as it was booked
        self._pace = pace  # at the prices of now
        self._spend = spend
        self._complete_to = complete_to  # what was spent until then is in both

    async def send_digests(self) -> int:
        """Tell the accounts whose time has come about the week before this one. How many they were."""
        now = self._clock.now()
        async with self._database.read() as tx:
            due = await store.digests_due(tx, now, _AT_ONCE)
        for account_id in due:
            await self._digest(account_id, now)
        return len(due)

    async def _digest(self, account_id: str, now: datetime) -> None:
        async with self._database.read() as tx:
            set_up = await store.set_up_of(tx, account_id)
            zone = set_up.rules.zone
            today = now.astimezone(zone).date()
            monday = today - today.weekday() * _DAY
            if self._complete_to() < datetime.combine(monday, time(), zone):
                return  # the week is not told before all of it is known
            spent = await self._spend(tx, account_id, zone, monday - 7 * _DAY, monday - _DAY)
            history = await self._pace(tx, account_id)
        write = partial(self._write_digest, account_id, set_up, monday, spent, history, now)
        await self._database.write(write)

    async def _write_digest(
        self,
        account_id: str,
        expected: SetUp,
        monday: date,
        spent: Mapping[date, Mapping[str, Credits]],
        history: Mapping[datetime, Credits],
        now: datetime,
        tx: AsyncConnection,
    ) -> None:
        balance, _ = await ledger.held_still(tx, account_id)
        set_up = await store.set_up_of(tx, account_id)
        if set_up != expected:
            return  # another process has sent it, or an owner has changed something: then it is still due
        zone = set_up.rules.zone
        await store.next_digest(tx, account_id, model.snooze_until(Snooze.MONDAY, now, zone))
        if not any(spent.values()):
            return
        account = must(await accounts.of_id(tx, account_id))
        say = partial(digest, outlook=outlook(account, balance, history, now, zone), spent=spent)
        for place in await routes.places(tx, account, set_up.channels):
            await routes.tell(tx, account, routes.key_of("digest", str(monday), place, account_id), place, say, now)

    async def look_for_spikes(self) -> int:
        """Tell accounts that are spending far more than they usually do: once a day, with the newest figures."""
        now = self._clock.now()
        async with self._database.read() as tx:
            moved = await store.moved_since(tx, now - _LATELY)
        for account_id in moved:
            async with self._database.read() as tx:
                history = await self._history(tx, account_id)
                rules = (await store.set_up_of(tx, account_id)).rules
            hushed = rules.quiet and rules.quiet.until(now, rules.zone)
            if rules.spikes and not hushed and (found := spike(history, now, rules.zone)):
                await self._database.write(partial(self._write_spike, account_id, found, history, now))
        return 0

    async def _write_spike(
        self, account_id: str, found: Spike, history: Mapping[datetime, Credits], now: datetime, tx: AsyncConnection
    ) -> None:
        balance, _ = await ledger.held_still(tx, account_id)
        account = must(await accounts.of_id(tx, account_id))
        set_up = await store.set_up_of(tx, account_id)
        zone = set_up.rules.zone
        stands = outlook(account, balance, history, now, zone)
        say = partial(views.spike, outlook=stands, today=found.today, usual=found.usual)
        day = str(now.astimezone(zone).date())
        for place in await routes.places(tx, account, set_up.channels):
            await routes.tell(tx, account, routes.key_of("spike", day, place, account_id), place, say, now)
