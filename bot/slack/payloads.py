"""Who sent a payload, and from where. Commands, buttons, forms and events each say it in their own way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sender:
    """The person, and the workspace the bot was called in."""

    enterprise_id: str
    team_id: str
    user_id: str


def sender(body: Mapping[str, Any]) -> Sender:
    """Raise ``ValueError`` when the payload names nobody."""
    user = body.get("user_id") or _id(body.get("user")) or _id((body.get("event") or {}).get("user"))
    team = body.get("team_id") or _id(body.get("team")) or _home_of(body.get("user"))
    if not user or not team:
        raise ValueError("a payload without a user or a team")
    enterprise = body.get("enterprise_id") or _id(body.get("enterprise")) or body.get("context_enterprise_id")
    return Sender(enterprise or "", team, user)


def _id(value: object) -> str | None:
    return value.get("id") if isinstance(value, Mapping) else value if isinstance(value, str) else None


def _home_of(user: object) -> str | None:
    """The team that Slack names with a person: all there is in an app that a whole organisation installed."""
    return user.get("team_id") if isinstance(user, Mapping) else None
