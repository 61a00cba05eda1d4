"""App Home as each person sees it: built from the database when it is opened, and again after what they see changed.

Whoever changes something does not know of it: who looked lately stands in a table, and a job compares.
"""

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from slack_sdk.models.views import View
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Account, NoAccount, NotFullMember, Person, Standing, Workspace, may_buy, who_to_ask
from bot.alerts import routes
from bot.alerts import store as alerts
from bot.alerts.service import outlook
from bot.clock import Clock
from bot.db.engine import Database
from bot.errors import Outage, Refusal
from bot.home import store
from bot.home.store import Visit
from bot.home.views import Facts, home
from bot.money import Credits
from bot.purchases.model import Purchase
from bot.slack.client import SlackRefused
from bot.text import Texts
from bot.usage import hold_store, hour_store, repricing
from bot.usage import store as usage

logger = logging.getLogger(__name__)

_SPEND_DAYS: Final = 14
_SHOWN: Final = 5  # purchases
_REFRESHED_FOR: Final = timedelta(days=2)  # after that, nobody has it before their eyes
_COMMITTED_WITHIN: Final = timedelta(
    seconds=5
)  # what was written before a Home was built may have been seen only after
_USE_SHOWN_EVERY: Final = timedelta(minutes=1)  # an account may be used all the time
_AT_ONCE: Final = 50


class Buyers(Protocol):
    """What is asked of purchases."""

    async def person(self, workspace: Workspace, user_id: str) -> Person | None: ...

    async def account_and_balance(self, workspace: Workspace) -> tuple[Account | None, Credits]: ...

    async def newest(self, account_id: str, limit: int) -> Sequence[Purchase]: ...


@dataclass(frozen=True, slots=True)
class Homes:
    """``publish`` shows somebody a Home; it raises Slack's errors."""

    database: Database
    purchases: Buyers
    publish: Callable[[str, View], Awaitable[None]]
    texts_of: Callable[[str], Texts]
    clock: Clock
    support: str

    async def opened(self, workspace: Workspace, user_id: str) -> None:
        """Somebody looks: show what is so now, and remember them for a while."""
        now = self.clock.now()
        person = await self.purchases.person(workspace, user_id)
        view, account_id = await self._build(workspace, user_id, person)
        await self.publish(user_id, view)
        seen_at = now - _COMMITTED_WITHIN
        visit = Visit(workspace, user_id, account_id, opened_at=now, built_at=seen_at, shown=_hash(view))
        await self.database.write(partial(store.keep, visit=visit))

    async def refresh(self) -> int:
        """Show those who looked lately what has changed since. Always 0: what comes next has an alarm of its own."""
        now = self.clock.now()
        async with self.database.read() as tx:
            stale = now - _COMMITTED_WITHIN - _USE_SHOWN_EVERY
            outdated = await store.outdated(tx, now - _REFRESHED_FOR, now, stale, _AT_ONCE)
        for visit in outdated:
            try:
                await self._refresh(visit)
            except SlackRefused as refused:
                logger.info("a Home is forgotten: %s", refused)
                await self.database.write(partial(store.forget, visit=visit))
        return 0

    async def _refresh(self, visit: Visit) -> None:
        now = self.clock.now()
        person = await self.purchases.person(visit.workspace, visit.user_id)
        if person is None:
            raise Outage("Slack", "it does not say who somebody is")
        view, account_id = await self._build(visit.workspace, visit.user_id, person)
        if _hash(view) != visit.shown:
            await self.publish(visit.user_id, view)
        seen_at = now - _COMMITTED_WITHIN
        seen = Visit(visit.workspace, visit.user_id, account_id, visit.opened_at, seen_at, _hash(view))
        await self.database.write(partial(store.keep, visit=seen))

    async def forget(self) -> int:
        """Forget visits that are long over. Always 0."""
        await self.database.write(partial(store.forget_before, at=self.clock.now() - _REFRESHED_FOR))
        return 0

    async def spend(self, workspace: Workspace, user_id: str) -> Mapping[date, Mapping[str, Credits]]:
        """What was spent lately, by day and model. Raise the reason why this person may not see it."""
        account, zone = await self.visible(workspace, user_id)
        async with self.database.read() as tx:
            return await self._spend(tx, account.id, zone)

    async def visible(self, workspace: Workspace, user_id: str) -> tuple[Account, ZoneInfo]:
        """The account, and where its days begin, for a full member of its workspace; else raise the reason."""
        person = await self.purchases.person(workspace, user_id)
        found, _ = await self.purchases.account_and_balance(workspace)
        account = may_look(found, person)
        async with self.database.read() as tx:
            return account, (await alerts.set_up_of(tx, account.id)).rules.zone

    async def _build(self, workspace: Workspace, user_id: str, person: Person | None) -> tuple[View, str | None]:
        facts = await self._facts(workspace, user_id, person)
        return home(self.texts_of(user_id), facts, self.support), facts.account.id if facts.account else None

    async def _facts(self, workspace: Workspace, user_id: str, person: Person | None) -> Facts:
        account, balance = await self.purchases.account_and_balance(workspace)
        refusal: Refusal | None = None
        try:
            may_buy(account, user_id, person)
        except Refusal as refused:
            refusal = refused
        if account is None or isinstance(refusal, NotFullMember):
            return Facts(refusal=refusal)  # what the account has is not for guests and strangers
        owner, now = user_id in account.owners, self.clock.now()
        latest = await self.purchases.newest(account.id, _SHOWN)
        async with self.database.read() as tx:
            zone = (await alerts.set_up_of(tx, account.id)).rules.zone
            history = await repricing.spend_by_hour(tx, account.id, now)
            places = await routes.health(tx, account.id) if owner else ()
            return Facts(
                refusal=refusal,
                account=account,
                outlook=outlook(account, balance, history, now, zone),
                held=await hold_store.held(tx, account.id, now),
                owner=owner,
                parked=sum(each.count for each in await usage.waiting(tx, account.id)) if owner else 0,
                spent=await self._spend(tx, account.id, zone),
                told_at=[each.place for each in places if each.error is None],
                dead={each.place: each.error for each in places if each.error is not None},
                latest=latest,
            )

    async def _spend(
        self, tx: AsyncConnection, account_id: str, zone: ZoneInfo
    ) -> Mapping[date, Mapping[str, Credits]]:
        today = self.clock.now().astimezone(zone).date()
        first = today - timedelta(days=_SPEND_DAYS - 1)
        return await hour_store.spend_by_day_and_model(tx, account_id, zone, first, today)


class NotForGuests(Refusal):
    key = "refusal.not_for_guests"


def may_look(account: Account | None, person: Person | None) -> Account:
    """The account, when this person may see what it has: full members of its workspace may. Else raise the reason."""
    if account is None:
        raise NoAccount()
    if person is not None and person.standing is not Standing.MEMBER:
        raise NotForGuests(**who_to_ask(account))
    return account


def _hash(view: View) -> str:
    return hashlib.sha256(json.dumps(view.to_dict(), sort_keys=True).encode()).hexdigest()
