"""People, as Slack knows them: remembered for a while, because a form must open within three seconds."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.accounts.model import Person, Standing, Workspace
from bot.clock import Clock
from bot.clockwork import Crew
from bot.errors import Outage
from bot.slack.client import SlackRefused

Profile = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Slack's ``user`` object for a user id (users.info with the locale). Raises ``Outage``."""

logger = logging.getLogger(__name__)

_REMEMBERED = 10_000
_FRESH = timedelta(seconds=20)  # whoever is asked about later than this is looked up again beside the answer


class Directory(Protocol):
    """Who somebody is."""

    async def person(self, workspace: Workspace, user_id: str, *, at_most_old: timedelta) -> Person:
        """Raise ``Outage`` when Slack does not say."""
        ...

    def remembered(self, user_id: str) -> Person | None:
        """Who it was when last asked, however long ago."""
        ...


class SlackDirectory:
    """Asks Slack, and remembers the answers in memory.

    An answer that is still good is given at once and then renewed: whoever changed their language, or became a guest,
    is known as that when they press something for the second time, even where Slack's word of it was lost.
    """

    def __init__(self, profile: Profile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._known: dict[str, tuple[datetime, Person]] = {}
        self._being_asked: set[str] = set()
        self._crew = Crew(20)

    async def stop(self) -> None:
        await self._crew.stop()

    async def person(self, workspace: Workspace, user_id: str, *, at_most_old: timedelta) -> Person:
        now = self._clock.now()
        if (known := self._known.get(user_id)) and abs(now - known[0]) <= at_most_old:
            if abs(now - known[0]) > _FRESH and self._crew.free and user_id not in self._being_asked:
                self._being_asked.add(user_id)
                self._crew.start(self._renew(workspace, user_id))
            return known[1]
        return await self._ask(workspace, user_id)

    async def changed(self, workspace: Workspace, user_id: str) -> None:
        """Slack says that somebody is not what they were: ask anew, if it is somebody we remember."""
        if user_id in self._known:
            await self._renew(workspace, user_id)

    async def _renew(self, workspace: Workspace, user_id: str) -> None:
        try:
            await self._ask(workspace, user_id)
        except Outage as outage:
            logger.info("somebody could not be looked up again: %s", outage)
        finally:
            self._being_asked.discard(user_id)

    async def _ask(self, workspace: Workspace, user_id: str) -> Person:
        now = self._clock.now()
        try:
            person = read_person(await self._profile(user_id), workspace)
        except SlackRefused as refused:
            if refused.error not in ("user_not_found", "user_not_visible"):
                raise Outage("Slack", refused.error) from refused
            person = Person(user_id, Standing.STRANGER)
        if len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[user_id] = (now, person)
        return person

    def remembered(self, user_id: str) -> Person | None:
        known = self._known.get(user_id)
        return known and known[1]


def read_person(user: Mapping[str, Any], workspace: Workspace) -> Person:
    """A person from Slack's ``user`` object, seen from ``workspace``."""
    profile = user.get("profile") or {}
    return Person(
        id=user["id"],
        standing=_standing(user, workspace),
        locale=user.get("locale"),
        time_zone=user.get("tz"),
        name=profile.get("real_name") or user.get("name") or "",
        email=profile.get("email") or None,
    )


def _standing(user: Mapping[str, Any], workspace: Workspace) -> Standing:
    organisation = (user.get("enterprise_user") or {}).get("enterprise_id")
    at_home = user.get("team_id") == workspace.team_id or (organisation and organisation == workspace.enterprise_id)
    if user.get("deleted"):
        return Standing.DEACTIVATED
    if user.get("is_bot") or user["id"] == "USLACKBOT":
        return Standing.BOT
    if user.get("is_stranger") or not at_home:
        return Standing.STRANGER
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return Standing.GUEST
    return Standing.MEMBER
