"""How owners are written to: their language, time zone and mail address, kept for when Slack cannot be asked."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from bot.accounts.directory import Directory
from bot.accounts.model import Person, Workspace
from bot.alerts import store
from bot.alerts.rules import is_zone
from bot.clock import Clock
from bot.db.engine import Database
from bot.mail.model import UnusableAddress, address

_AT_ONCE: Final = 20  # a minute: Slack answers a hundred, and buyers come first
_KNOWN_FOR: Final = timedelta(days=7)


class Owners:
    """Learns of owners before there is something to tell them."""

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock

    async def learn(self) -> int:
        """Ask Slack about owners of whom nothing is known, or nothing new. Always 0: the others can wait a minute."""
        async with self._database.read() as tx:
            unknown = await store.owners_to_ask_about(tx, self._clock.now() - _KNOWN_FOR, _AT_ONCE)
        for owner, workspace in unknown:
            person = _usable(await self._directory.person(workspace, owner, at_most_old=timedelta()))
            await self._database.write(partial(store.keep_owner, user_id=owner, person=person, at=self._clock.now()))
        return 0

    async def changed(self, _: Workspace, user_id: str) -> None:
        """Slack says that somebody is not what they were: ask anew, if it is an owner."""
        async with self._database.read() as tx:
            known = await store.is_known(tx, user_id)
        if known:
            await self._database.write(partial(store.ask_anew, user_id=user_id))


def _usable(person: Person) -> Person:
    """Without a zone that is none, and an address to which no mail can be sent."""
    zone = person.time_zone if is_zone(person.time_zone) else None
    try:
        return replace(person, time_zone=zone, email=address(person.email) if person.email else None)
    except UnusableAddress:
        return replace(person, time_zone=zone, email=None)
