"""Where an account is told things, and telling them there. What is told is owed in the transaction of its cause.

A message has a key, by which it is the same one for ever. That of a warning begins with ``alert:`` and names its
episode; any other names what it is, once for what, where, and for which account: ``alert-digest:2026-11-09:C1:acme``.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Account
from bot.alerts import store
from bot.alerts.views import Said
from bot.outbox import store as outbox
from bot.outbox.model import Channel, Message, User
from bot.outbox.store import Dead

_WARNING: Final = "alert:"
_OTHERS: Final = frozenset({"alert-test", "alert-digest", "alert-spike"})


def key_of_warning(episode_id: str, reminded_at: datetime | None = None) -> str:
    """Of an episode's living message, or of a reminder."""
    return f"{_WARNING}{episode_id}" + (f":{int(reminded_at.timestamp())}" if reminded_at else "")


def key_of(kind: str, once: str, place: str, account_id: str) -> str:
    """Of a ``test``, ``digest`` or ``spike``. ``once`` has no colon."""
    return f"alert-{kind}:{once}:{place}:{account_id}"


async def places(tx: AsyncConnection, account: Account, chosen: Sequence[str] | None) -> Sequence[str]:
    """The chosen channels, or the account's own where nobody chose, as far as they live; else its owners."""
    own = [account.channel] if account.channel else []
    dead = await store.dead(tx, account.id)
    return [place for place in (own if chosen is None else chosen) if place not in dead] or sorted(account.owners)


async def tell(tx: AsyncConnection, key: str, place: str, said: Said, at: datetime) -> None:
    """Let the message with this key look like this, in a channel or in somebody's conversation with the bot."""
    text, blocks = said
    to = User(place) if place[:1] in "UW" else Channel(place)
    await outbox.owe(tx, Message(key, to, text, [block.to_dict() for block in blocks]), at)


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
