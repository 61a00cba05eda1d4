"""Looks at accounts, and lets their warnings appear, change and end; and what owners set up about them."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, NoAccount, Person, Standing, Workspace, who_to_ask
from bot.alerts import model, routes, store, views
from bot.alerts.forecast import run_out
from bot.alerts.forms import Settings
from bot.alerts.model import Effect, Episode, Facts, Outcome, Say, Snooze
from bot.alerts.rules import Rules, Trigger, is_zone
from bot.clock import Clock
from bot.db import versions
from bot.db.engine import Database, must
from bot.errors import Refusal
from bot.faultpoint import faultpoint
from bot.ids import NewId
from bot.ledger import store as ledger
from bot.money import Credits
from bot.outbox import store as outbox
from bot.outbox.model import TOKEN_REFUSED
from bot.outbox.store import Dead
from bot.prices import store as prices
from bot.text import Texts

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_LATELY = timedelta(days=14)  # without use for so long, an account waits for its next one

History = Callable[[AsyncConnection, str], Awaitable[Mapping[datetime, Credits]]]
"""What an account spent in each hour, by the hour's beginning; for its pace, at the prices of now."""

LastPurchase = Callable[[AsyncConnection, str], Awaitable[Credits | None]]

WhoIs = Callable[[Workspace, str], Awaitable[Person | None]]
"""Somebody in Slack; None where Slack does not say quickly."""


class NotTheirs(Refusal):
    """Only an owner sets up warnings."""

    key = "refusal.not_their_alerts"


class Alerts:
    """Everything that is decided here is decided with the account's balance held still."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        new_id: NewId,
        history: History,
        last_purchase: LastPurchase,
        who_is: WhoIs,
    ) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._history = history
        self._last_purchase = last_purchase
        self._who_is = who_is
        self._newcomers_at = -1  # the version of the terms at which accounts that are new were last looked for
        self.missed = 0  # accounts that only the full check found

    async def work(self) -> int:
        """Look at the accounts that crossed a bound, whose time has come, and that are new. How many that were.

        When what models cost has changed, the time has come of every account that has a pace: a look tells it by what
        use costs now (see ``usage.repricing``), so that a level by days may be reached.
        """
        async with self._database.read() as tx:
            version = await versions.current(tx, versions.TERMS)
            now = self._clock.now()
            crossed = await ledger.crossed(tx, _AT_ONCE)
            found = [*crossed, *await store.due(tx, now, _AT_ONCE)]
            new = await store.never_looked_at(tx, _AT_ONCE) if version != self._newcomers_at else []
            begun, heeded = await prices.begun(tx, now), await store.prices_heeded(tx)
        if begun > heeded:
            await self._database.write(partial(store.heed_prices, begun=begun, now=now))
        for account_id in dict.fromkeys([*found, *new]):
            await self.look(account_id, moved=account_id in crossed)
        if len(new) < _AT_ONCE:
            self._newcomers_at = version
        return len(found) + len(new)

    async def check_all(self) -> int:
        """Look at what a crossing or a due time should have found, and count it. Always 0: once is enough."""
        async with self._database.read() as tx:
            crossed = set(await ledger.crossed(tx, _AT_ONCE))
            lost = [*await store.out_of_bounds(tx, _AT_ONCE), *await store.never_again(tx, _AT_ONCE)]
        for account_id in dict.fromkeys(each for each in lost if each not in crossed):
            logger.warning("an account was to be looked at, and nothing said so", extra={"account": account_id})
            self.missed += 1
            await self.look(account_id)
        return 0

    async def look(self, account_id: str, *, moved: bool = False) -> None:
        """Bring the account's warnings up to what is so now. ``moved``: by use that may not be in the history yet."""
        faultpoint("A1")
        async with self._database.read() as tx:
            history = await self._history(tx, account_id)
            last_purchase = await self._last_purchase(tx, account_id)
        await self._database.write(partial(self._look, account_id, history, last_purchase, moved))
        faultpoint("A3")

    async def _look(
        self,
        account_id: str,
        history: Mapping[datetime, Credits],
        last_purchase: Credits | None,
        moved: bool,
        tx: AsyncConnection,
    ) -> None:
        now = self._clock.now()
        balance, newest = await ledger.held_still(tx, account_id)
        if not newest:  # nobody is warned of having nothing who never had anything
            await ledger.watch(tx, account_id, Credits(-1), Credits(1))
            return await store.look_again(tx, account_id, None)
        account = must(await accounts.of_id(tx, account_id))
        set_up = await store.set_up_of(tx, account_id)
        rules = set_up.rules
        stands = outlook(account, balance, history, now, rules.zone)
        used = moved or any(hour > now - _LATELY for hour in history)
        facts = Facts(balance, last_purchase, stands.run_out, now, used)
        places = await routes.places(tx, account, set_up.channels)
        standing = await store.open_episodes(tx, account_id)
        outcome = model.look(rules, facts, places, standing, self._new_id)
        await store.keep(tx, account_id, outcome.episodes)
        await _say(tx, account, stands, outcome.effects)
        left = _as_left(standing, outcome.episodes)
        bounds = model.bounds(rules, facts, places, left)
        await ledger.watch(tx, account_id, bounds.low, bounds.high)
        await store.look_again(tx, account_id, model.next_due(rules, facts, places, left))
        faultpoint("A2")

    # ── what people press ─────────────────────────────────────────────────────────────────────────────────────────

    async def acknowledge(self, message: str, workspace: Workspace, user_id: str) -> None:
        """No more reminders of the episode that this message (an episode's id, or a reminder's name) is about."""
        now = self._clock.now()
        await self._press(message, workspace, lambda episode, _: model.acknowledge(episode, user_id, now))

    async def snooze(self, message: str, workspace: Workspace, user_id: str, choice: Snooze) -> None:
        """No reminder for some time."""
        person = await self._who_is(workspace, user_id)
        now = self._clock.now()

        def snooze(episode: Episode, set_up: store.SetUp) -> Outcome:
            return model.snooze(episode, user_id, model.snooze_until(choice, now, _rules_for(person, set_up).zone), now)

        await self._press(message, workspace, snooze)

    async def _press(
        self, message: str, workspace: Workspace, pressed: Callable[[Episode, store.SetUp], Outcome]
    ) -> None:
        """Raise ``LookupError`` where there is nothing to press any more."""
        async with self._database.read() as tx:
            account, _ = await _of(tx, message, workspace)
            history = await self._history(tx, account.id)

        async def press(tx: AsyncConnection) -> None:
            balance, _ = await ledger.held_still(tx, account.id)  # one press after the other
            _, episode = await _of(tx, message, workspace)
            if episode.closed_at:
                raise LookupError(message)
            set_up = await store.set_up_of(tx, account.id)
            outcome = pressed(episode, set_up)
            await store.keep(tx, account.id, outcome.episodes)
            now = self._clock.now()
            stands = outlook(account, balance, history, now, set_up.rules.zone)
            await _say(tx, account, stands, outcome.effects)
            await routes.retire_reminders(tx, episode.id, now)
            if message != episode.id:
                episode = next(iter(outcome.episodes), episode)
                say = partial(views.reminder, episode=episode, outlook=stands, name=message)
                await routes.tell(tx, account, routes.key_of_warning(message), episode.place, say, now)
            await store.look_again(tx, account.id, now)

        await self._database.write(press)

    async def why(self, message: str, workspace: Workspace) -> tuple[Account, Trigger | None, str | None]:
        """The account, the rule behind the warning unless it is no more, and who made it."""
        async with self._database.read() as tx:
            account, episode = await _of(tx, message, workspace)
            set_up = await store.set_up_of(tx, account.id)
        return account, set_up.rules.triggers.get(episode.level), set_up.set_by

    # ── what owners set up ────────────────────────────────────────────────────────────────────────────────────────

    async def settings(self, workspace: Workspace, user_id: str) -> tuple[Account, Settings]:
        """What holds now, for its form. Raise the reason why this person may not see it."""
        person = await self._who_is(workspace, user_id)
        async with self._database.read() as tx:
            account = may_set_up(await accounts.of_workspace(tx, workspace), user_id, person)
            set_up = await store.set_up_of(tx, account.id)
        rules, channels = _rules_for(person, set_up), set_up.channels
        if channels is None:
            channels = [account.channel] if account.channel else []
        digest = set_up.digest_at is not None
        return account, Settings(tuple(channels), rules, account.language, digest)

    async def set_up(self, workspace: Workspace, user_id: str, chosen: Settings) -> Account:
        """Let this hold from now on; the account is due to be looked at. Raise the reason why it may not."""
        person = await self._who_is(workspace, user_id)

        async def set_up(tx: AsyncConnection) -> Account:
            account = may_set_up(await accounts.of_workspace(tx, workspace, lock=True), user_id, person)
            await ledger.held_still(tx, account.id)
            now = self._clock.now()
            before = await store.set_up_of(tx, account.id)
            first = model.snooze_until(Snooze.MONDAY, now, chosen.rules.zone)
            digest_at = before.digest_at or first if chosen.digest else None
            await store.set_up(tx, account.id, store.SetUp(chosen.rules, chosen.channels, digest_at, user_id, now))
            if account.language != chosen.language:
                await accounts.replace(tx, replace(account, language=chosen.language))
            return account

        return await self._database.write(set_up)

    async def send_test(self, workspace: Workspace, user_id: str, press: str) -> Sequence[str]:
        """Send a test where warnings go, once for each ``press``. The places."""
        person = await self._who_is(workspace, user_id)
        async with self._database.read() as tx:
            account = may_set_up(await accounts.of_workspace(tx, workspace), user_id, person)
            history = await self._history(tx, account.id)

        async def send(tx: AsyncConnection) -> Sequence[str]:
            now = self._clock.now()
            set_up = await store.set_up_of(tx, account.id)
            stands = outlook(account, await ledger.balance(tx, account.id), history, now, set_up.rules.zone)
            say = partial(views.test, outlook=stands, sent_by=user_id)
            places = await routes.places(tx, account, set_up.channels)
            for place in places:
                await routes.tell(tx, account, routes.key_of("test", press, place, account.id), place, say, now)
            return places

        return await self._database.write(send)

    # ── routes ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look_after_routes(self) -> int:
        """Where Slack refused a message, use the next place, and tell the owners once."""
        async with self._database.read() as tx:
            lost = [
                (account_id, dead)
                for dead in await outbox.dead(tx)
                if dead.reason not in TOKEN_REFUSED  # without a token there is no other place either
                and (account_id := await routes.lost_by(tx, dead))
            ]
        for account_id, dead in lost:
            if await self._database.write(partial(self._give_up, account_id, dead)):
                await self.look(account_id)
        return 0

    async def _give_up(self, account_id: str, dead: Dead, tx: AsyncConnection) -> bool:
        """Use the place no more. False where somebody else has given it up."""
        now = self._clock.now()
        if not await store.give_up(tx, account_id, dead.place, dead.reason, now):
            return False
        account = must(await accounts.of_id(tx, account_id))
        channels = (await store.set_up_of(tx, account_id)).channels
        onwards = [place for place in await routes.places(tx, account, channels) if place != dead.place]
        say = partial(
            views.dead_route,
            account=account.name,
            route=dead.place,
            error=dead.reason,
            instead=next(iter(onwards), None),
        )
        for owner in account.owners:
            if owner != dead.place:
                await routes.tell(tx, account, f"alert-route:{account_id}:{dead.place}:{owner}", owner, say, now)
        return True


def may_set_up(account: Account | None, user_id: str, person: Person | None) -> Account:
    """The account, when this user may set up its warnings; else raise the reason."""
    if account is None:
        raise NoAccount()
    if user_id not in account.owners or (person is not None and person.standing is not Standing.MEMBER):
        raise NotTheirs(**who_to_ask(account))
    return account


def _rules_for(person: Person | None, set_up: store.SetUp) -> Rules:
    """What was set up. Where nobody did, the account's days begin when those of the person who asks do, if known."""
    if set_up.set_by or not person or not person.time_zone or not is_zone(person.time_zone):
        return set_up.rules
    return replace(set_up.rules, time_zone=person.time_zone)


def outlook(
    account: Account, balance: Credits, history: Mapping[datetime, Credits], now: datetime, zone: ZoneInfo
) -> views.Outlook:
    """How the account stands, and the forecast that its history allows."""
    spent = {hour: credits.nano for hour, credits in history.items()}
    return views.Outlook(account.name, balance, run_out(spent, balance.nano, now, zone), now, zone)


async def _of(tx: AsyncConnection, message: str, workspace: Workspace) -> tuple[Account, Episode]:
    """The episode that a message to this workspace's account is about. Raise ``LookupError`` for any other."""
    found = await store.episode(tx, routes.episode_of(message))
    account = await accounts.of_workspace(tx, workspace)
    if found is None or account is None or account.id != found[0]:
        raise LookupError(message)
    return account, found[1]


async def _say(tx: AsyncConnection, account: Account, stands: views.Outlook, effects: Iterable[Effect]) -> None:
    for say, episode in effects:
        if say in (Say.REMIND, Say.RECOVER, Say.WITHDRAW):
            await routes.retire_reminders(tx, episode.id, stands.now)
        name = routes.reminder_of(episode.id, stands.now) if say is Say.REMIND else episode.id
        words = partial(_words, say, episode, stands, name)
        await routes.tell(tx, account, routes.key_of_warning(name), episode.place, words, stands.now)


def _words(say: Say, episode: Episode, stands: views.Outlook, name: str, texts: Texts) -> views.Said:
    """What the message of this ``name`` says."""
    match say:
        case Say.OPEN | Say.UPDATE:
            return views.warning(texts, episode, stands)
        case Say.REMIND:
            return views.reminder(texts, episode, stands, name)
        case Say.RECOVER:
            return views.recovered(texts, stands)
        case Say.WITHDRAW:
            return views.withdrawn(texts, stands)


def _as_left(standing: Iterable[Episode], changed: Iterable[Episode]) -> Sequence[Episode]:
    return [*({each.id: each for each in standing} | {each.id: each for each in changed}).values()]
