"""Where an account is told things, and telling them there. What is told is owed in the transaction of its cause.

A message has a key, by which it is the same one for ever. That of a warning begins with ``alert:`` and names its
episode; any other names what it is, once for what, where, and for which account: ``alert-digest:2026-11-09:C1:acme``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.alerts import store
from bot.alerts.views import Said
from bot.db.engine import must
from bot.mail import store as mail
from bot.outbox import store as outbox
from bot.outbox.model import TOKEN_REFUSED, Channel, Message, User
from bot.outbox.store import Dead
from bot.text import Texts, texts_for

_WARNING: Final = "alert:"
_OTHERS: Final = frozenset({"alert-test", "alert-digest", "alert-spike"})


def key_of_warning(name: str) -> str:
    """Of the living message of the episode with this id, or of a reminder by its own name."""
    return f"{_WARNING}{name}"


def reminder_of(episode_id: str, at: datetime) -> str:
    """The name of a reminder: its buttons say it, to change this message too when they are pressed."""
    return f"{episode_id}:{int(at.timestamp())}"


def episode_of(name: str) -> str:
    """The episode that a reminder, or a living message, is about."""
    return name.partition(":")[0]


def key_of_mail(episode_id: str, owner: str) -> str:
    return f"alert-mail:{episode_id}:{owner}"


def key_of(kind: str, once: str, place: str, account_id: str) -> str:
    """Of a ``test``, ``digest`` or ``spike``. ``once`` has no colon."""
    return f"alert-{kind}:{once}:{place}:{account_id}"


@dataclass(frozen=True, slots=True)
class Route:
    """A place that an account is told things in, or would be if they arrived there."""

    place: str  # a channel's or user's id
    error: str | None = None  # why nothing arrives there any more, in Slack's word; None while it lives
    since: datetime | None = None

    @property
    def alive(self) -> bool:
        return self.error is None


async def places(tx: AsyncConnection, account: Account, chosen: Sequence[str] | None) -> Sequence[str]:
    """What is alive of the chosen channels; else the account's own, or its owners. None chosen: the owners are."""
    dead = await store.dead(tx, account.id)
    living = ([place for place in tier if place not in dead] for tier in _tiers(account, chosen))
    return next(filter(None, living), sorted(account.owners))


async def health(tx: AsyncConnection, account_id: str) -> Sequence[Route]:
    """Where an account is told things now, and first of all where that does not work any more."""
    account = must(await accounts.of_id(tx, account_id))
    chosen = (await store.set_up_of(tx, account_id)).channels
    dead = await store.dead(tx, account_id)
    meant = dict.fromkeys(place for tier in _tiers(account, chosen) for place in tier)
    used = [place for place in await places(tx, account, chosen) if place not in dead]
    return [Route(place, *dead[place]) for place in meant if place in dead] + [Route(place) for place in used]


async def dead_everywhere(tx: AsyncConnection) -> Mapping[str, Sequence[Route]]:
    """By account, the places at which things do not arrive any more."""
    found = {each: await health(tx, each) for each in await store.with_dead_places(tx)}
    return {each: dead for each, routes in found.items() if (dead := [one for one in routes if not one.alive])}


async def unheard(tx: AsyncConnection) -> Mapping[str, str]:
    """Open episodes, and their accounts, whose message no place ever took, and of which an owner has had no mail."""
    lost = {each.key.removeprefix(_WARNING): each for each in await outbox.dead(tx) if each.key.startswith(_WARNING)}
    never = await outbox.never_posted(tx, [key_of_warning(each) for each in lost])
    found = {}
    for episode_id in (each.removeprefix(_WARNING) for each in never):
        known = await store.episode(tx, episode_id)
        if known is None or known[1].closed_at:
            continue
        account_id = known[0]
        if await _unmailed(tx, episode_id, account_id) and await _is_lost(tx, account_id, lost[episode_id]):
            found[episode_id] = account_id
    return found


async def _unmailed(tx: AsyncConnection, episode_id: str, account_id: str) -> bool:
    owners = must(await accounts.of_id(tx, account_id)).owners
    keys = [key_of_mail(episode_id, owner) for owner in await store.addresses(tx, owners)]
    return bool(keys) and len(await mail.known(tx, keys)) < len(keys)


async def _is_lost(tx: AsyncConnection, account_id: str, dead: Dead) -> bool:
    """Whether there is no other place either, or none can be used."""
    if dead.reason in TOKEN_REFUSED:
        return True
    return not any(each.alive for each in await health(tx, account_id))


def _tiers(account: Account, chosen: Sequence[str] | None) -> Iterator[Sequence[str]]:
    own = [account.channel] if account.channel else []
    yield own if chosen is None else chosen
    if chosen:
        yield own
    yield sorted(account.owners)


async def texts_of(tx: AsyncConnection, account: Account, place: str) -> Texts:
    """A channel's language is the account's, and so is that of an owner whose own is not known."""
    return texts_for(await store.locale_of(tx, place) or account.language)


async def tell(
    tx: AsyncConnection, account: Account, key: str, place: str, say: Callable[[Texts], Said], at: datetime
) -> None:
    """Let the message with this key look like this, in a channel or in somebody's conversation with the bot."""
    text, blocks = say(await texts_of(tx, account, place))
    to = User(place) if place[:1] in "UW" else Channel(place)
    await outbox.owe(tx, Message(key, to, text, [block.to_dict() for block in blocks]), at)


async def retire_reminders(tx: AsyncConnection, episode_id: str, at: datetime) -> None:
    """What they said stays. What can be done stands below a newer message, or needs to be done no more."""
    for reminder in await outbox.numbered(tx, f"{key_of_warning(episode_id)}:"):
        await outbox.owe(tx, replace(reminder, blocks=reminder.blocks[:1]), at)


async def lost_by(tx: AsyncConnection, dead: Dead) -> str | None:
    """The account that the message was about; None where its place is known to be dead, or may be used once more."""
    kind, _, rest = dead.key.partition(":")
    if dead.key.startswith(_WARNING) and ":" not in rest:
        found = await store.episode(tx, rest)
        account_id = found[0] if found and found[1].closed_at is None else None
    elif kind in _OTHERS:
        account_id = rest.split(":", 2)[2]
        set_at = (await store.set_up_of(tx, account_id)).set_at
        account_id = None if set_at and set_at >= dead.updated_at else account_id
    else:
        return None
    return account_id if account_id and dead.place not in await store.dead(tx, account_id) else None
