"""Looks at accounts, and lets their warnings appear, change and end."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from slack_sdk.models.blocks import Block
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Workspace
from bot.alerts import model, store, views
from bot.alerts.forecast import run_out
from bot.alerts.model import Effect, Episode, Facts, Outcome, Say, Snooze
from bot.alerts.rules import Trigger
from bot.clock import Clock
from bot.db import versions
from bot.db.engine import Database, must
from bot.ids import NewId
from bot.ledger import store as ledger
from bot.money import Credits
from bot.outbox import store as outbox
from bot.outbox.model import TOKEN_REFUSED, Channel, Message, User
from bot.outbox.store import Dead
from bot.text import texts_for

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_KEY: Final = "alert:"  # how the keys of warnings begin; the episode's id follows, and of a reminder the moment

History = Callable[[AsyncConnection, str], Awaitable[Mapping[datetime, Credits]]]
"""What an account spent in each hour, by the hour's beginning."""

LastPurchase = Callable[[AsyncConnection, str], Awaitable[Credits | None]]


class Alerts:
    """Everything that is decided here is decided with the account's balance held still."""

    def __init__(
        self, *, database: Database, clock: Clock, new_id: NewId, history: History, last_purchase: LastPurchase
    ) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._history = history
        self._last_purchase = last_purchase
        self._newcomers_at = -1  # the version of the terms at which accounts that are new were last looked for
        self.missed = 0  # accounts that only the full check found

    async def work(self) -> int:
        """Look at the accounts that crossed a bound, whose time has come, and that are new. How many that were."""
        async with self._database.read() as tx:
            version = await versions.current(tx, versions.TERMS)
            now = self._clock.now()
            found = [*await ledger.crossed(tx, _AT_ONCE), *await store.due(tx, now, _AT_ONCE)]
            new = await store.never_looked_at(tx, _AT_ONCE) if version != self._newcomers_at else []
        for account_id in dict.fromkeys([*found, *new]):
            await self.look(account_id)
        if len(new) < _AT_ONCE:
            self._newcomers_at = version
        return len(found) + len(new)

    async def check_all(self) -> int:
        """Look at what a crossing or a due time should have found, and count it. Always 0: once is enough."""
        async with self._database.read() as tx:
            crossed = set(await ledger.crossed(tx, _AT_ONCE))
            missed = [each for each in await store.out_of_bounds(tx, _AT_ONCE) if each not in crossed]
        for account_id in missed:
            logger.warning("an account left its bounds unseen", extra={"account": account_id})
            self.missed += 1
            await self.look(account_id)
        return 0

    async def look(self, account_id: str) -> None:
        """Bring the account's warnings up to what is so now."""
        async with self._database.read() as tx:
            history = await self._history(tx, account_id)
            last_purchase = await self._last_purchase(tx, account_id)
        await self._database.write(partial(self._look, account_id, history, last_purchase))

    async def _look(
        self,
        account_id: str,
        history: Mapping[datetime, Credits],
        last_purchase: Credits | None,
        tx: AsyncConnection,
    ) -> None:
        now = self._clock.now()
        balance, newest = await ledger.held_still(tx, account_id)
        account = must(await accounts.of_id(tx, account_id))
        if not newest:  # nobody is warned of having nothing who never had anything
            await ledger.watch(tx, account_id, Credits(-1), Credits(1))
            return await store.look_again(tx, account_id, None)
        set_up = await store.set_up_of(tx, account_id)
        rules = set_up.rules
        spent = {hour: credits.nano for hour, credits in history.items()}
        facts = Facts(balance, last_purchase, run_out(spent, balance.nano, now, rules.zone), now)
        places = _places(account, set_up.channels, await store.dead(tx, account_id))
        standing = await store.open_episodes(tx, account_id)
        outcome = model.look(rules, facts, places, standing, self._new_id)
        await store.keep(tx, account_id, outcome.episodes)
        outlook = views.Outlook(account.name, balance, facts.run_out, now, rules.zone)
        await _say(tx, account, outlook, outcome.effects)
        left = _as_left(standing, outcome.episodes)
        bounds = model.bounds(rules, facts, places, left)
        await ledger.watch(tx, account_id, bounds.low, bounds.high)
        await store.look_again(tx, account_id, model.next_due(rules, facts, places, left))

    # ── what people press ─────────────────────────────────────────────────────────────────────────────────────────

    async def acknowledge(self, episode_id: str, workspace: Workspace, user_id: str) -> None:
        """No more reminders of this episode."""
        now = self._clock.now()
        await self._press(episode_id, workspace, lambda episode, zone: model.acknowledge(episode, user_id, now))

    async def snooze(self, episode_id: str, workspace: Workspace, user_id: str, choice: Snooze) -> None:
        """No reminder for some time."""
        now = self._clock.now()

        def snooze(episode: Episode, zone: ZoneInfo) -> Outcome:
            return model.snooze(episode, user_id, model.snooze_until(choice, now, zone), now)

        await self._press(episode_id, workspace, snooze)

    async def _press(
        self, episode_id: str, workspace: Workspace, pressed: Callable[[Episode, ZoneInfo], Outcome]
    ) -> None:
        async with self._database.read() as tx:
            account, _ = await _of(tx, episode_id, workspace)
            history = await self._history(tx, account.id)

        async def press(tx: AsyncConnection) -> None:
            balance, _ = await ledger.held_still(tx, account.id)  # one press after the other
            _, episode = await _of(tx, episode_id, workspace)
            zone = (await store.set_up_of(tx, account.id)).rules.zone
            outcome = pressed(episode, zone)
            await store.keep(tx, account.id, outcome.episodes)
            now = self._clock.now()
            found = run_out({hour: credits.nano for hour, credits in history.items()}, balance.nano, now, zone)
            outlook = views.Outlook(account.name, balance, found, now, zone)
            await _say(tx, account, outlook, outcome.effects)
            await store.look_again(tx, account.id, now)

        await self._database.write(press)

    async def why(self, episode_id: str, workspace: Workspace) -> tuple[Account, Trigger | None, str | None]:
        """The account, the rule behind the warning unless it is no more, and who made it."""
        async with self._database.read() as tx:
            account, episode = await _of(tx, episode_id, workspace)
            set_up = await store.set_up_of(tx, account.id)
        return account, set_up.rules.triggers.get(episode.level), set_up.set_by

    # ── routes ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look_after_routes(self) -> int:
        """Where Slack refused a warning, use the next place, and tell the owners once."""
        async with self._database.read() as tx:
            refused = [dead for dead in await outbox.dead(tx) if dead.key.startswith(_KEY) and dead.key.count(":") == 1]
        for dead in refused:
            if account_id := await self._database.write(partial(self._give_up, dead)):
                await self.look(account_id)
        return 0

    async def _give_up(self, dead: Dead, tx: AsyncConnection) -> str | None:
        """The account that has one place less; None where that is known."""
        now = self._clock.now()
        found = await store.episode(tx, dead.key.removeprefix(_KEY))
        if found is None or found[1].closed_at is not None:
            return None
        account_id, episode = found
        if dead.reason in TOKEN_REFUSED or not await store.give_up(tx, account_id, episode.place, dead.reason, now):
            return None  # without a token there is no other place either
        account = must(await accounts.of_id(tx, account_id))
        channels = (await store.set_up_of(tx, account_id)).channels
        instead = _places(account, channels, await store.dead(tx, account_id))
        text, blocks = views.dead_route(
            texts_for(account.language), account.name, route=episode.place, error=dead.reason, instead=instead[0]
        )
        for owner in account.owners:
            if owner != episode.place:
                told = Message(f"alert-route:{account_id}:{episode.place}:{owner}", User(owner), text, _plain(blocks))
                await outbox.owe(tx, told, now)
        return account_id


async def _of(tx: AsyncConnection, episode_id: str, workspace: Workspace) -> tuple[Account, Episode]:
    """An episode of this workspace's account. Raise ``LookupError`` for any other."""
    found = await store.episode(tx, episode_id)
    account = await accounts.of_workspace(tx, workspace)
    if found is None or account is None or account.id != found[0]:
        raise LookupError(episode_id)
    return account, found[1]


async def _say(tx: AsyncConnection, account: Account, outlook: views.Outlook, effects: Iterable[Effect]) -> None:
    texts = texts_for(account.language)
    for say, episode in effects:
        key = f"{_KEY}{episode.id}"
        match say:
            case Say.OPEN | Say.UPDATE:
                text, blocks = views.warning(texts, episode, outlook)
            case Say.REMIND:
                key = f"{key}:{int(outlook.now.timestamp())}"
                text, blocks = views.reminder(texts, outlook)
            case Say.RECOVER:
                text, blocks = views.recovered(texts, outlook)
            case Say.WITHDRAW:
                text, blocks = views.withdrawn(texts, outlook)
        to = User(episode.place) if episode.place[:1] in "UW" else Channel(episode.place)
        await outbox.owe(tx, Message(key, to, text, _plain(blocks)), outlook.now)


def _plain(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    return [block.to_dict() for block in blocks]


def _places(account: Account, channels: Sequence[str], dead: Mapping[str, str]) -> Sequence[str]:
    """Where to warn: the chosen channels, or the account's own, as far as they live; else its owners."""
    wanted = channels or ([account.channel] if account.channel else [])
    return [place for place in wanted if place not in dead] or sorted(account.owners)


def _as_left(standing: Iterable[Episode], changed: Iterable[Episode]) -> Sequence[Episode]:
    return [*({each.id: each for each in standing} | {each.id: each for each in changed}).values()]
