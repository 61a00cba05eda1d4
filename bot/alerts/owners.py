"""How owners are written to: their language, time zone and mail address, kept for when Slack cannot be asked."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from bot.accounts.directory import Directory
from bot.accounts.model import Person, Workspace
from bot.alerts import store
from bot.alerts.rules import is_zone
from bot.clock import Clock
from bot.db import versions
from bot.db.engine import Database
from bot.mail.model import UnusableAddress, address

_AT_ONCE: Final = 20  # a minute: Slack answers a hundred, and buyers come first
_KNOWN_FOR: Final = timedelta(days=7)
_LET_BE_FOR: Final = timedelta(hours=1)  # looking for whoever is unknown reads all owners


class Owners:
    """Learns of owners before there is something to tell them."""

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._all_known: tuple[int, datetime] | None = None  # at this version of the accounts, until then

    async def learn(self) -> int:
        """Ask Slack about owners of whom nothing is known, or nothing new. Always 0: the others can wait a minute."""
        now = self._clock.now()
        async with self._database.read() as tx:
            version = await versions.current(tx, versions.TERMS)
            if self._all_known and self._all_known[0] == version and now < self._all_known[1]:
                return 0
            unknown = await store.owners_to_ask_about(tx, now - _KNOWN_FOR, _AT_ONCE)
        for owner, workspace in unknown:
            person = _usable(await self._directory.person(workspace, owner, at_most_old=timedelta()))
            await self._database.write(partial(store.keep_owner, user_id=owner, person=person, at=self._clock.now()))
        if len(unknown) < _AT_ONCE:
            self._all_known = version, now + _LET_BE_FOR
        return 0

    async def changed(self, _: Workspace, user_id: str) -> None:
        """Slack says that somebody is not what they were: ask anew, if it is an owner."""
        async with self._database.read() as tx:
            known = await store.is_known(tx, user_id)
        if known:
            await self._database.write(partial(store.ask_anew, user_id=user_id))
            self._all_known = None


def _usable(person: Person) -> Person:
    """Without a zone that is none, and an address to which no mail can be sent."""
    zone = person.time_zone if is_zone(person.time_zone) else None
    try:
        return replace(person, time_zone=zone, email=address(person.email) if person.email else None)
    except UnusableAddress:
        return replace(person, time_zone=zone, email=None)
