"""What exists in the sandbox's Slack: people, channels, messages, views, and what went between Slack and the bot."""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["slash_commands", "interactive", "events_api"]


class CannotDo(Exception):
    """A person tried what Slack's own window would not let them do (press a button that is not there, for instance)."""


@dataclass(slots=True)
class Person:
    id: str
    name: str
    real_name: str = ""
    email: str = ""
    locale: str = "en-US"
    is_bot: bool = False
    deleted: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    team_id: str = ""  # empty: of this workspace
    tz: str = "America/Los_Angeles"
    tz_offset: int = -28800  # seconds from UTC


@dataclass(slots=True)
class Channel:
    """A channel, or the conversation of one person with the bot (``im_with``)."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    private: bool = False
    shared: bool = False
    archived: bool = False
    im_with: str = ""
    created: int = 0


@dataclass(slots=True)
class Message:
    channel: str
    ts: str
    user: str  # who wrote it; the bot's own user id for the bot's messages
    bot_id: str = ""  # empty: a person wrote it
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    edited: bool = False
    ephemeral_to: str | None = None
    deleted: bool = False
    thread_ts: str | None = None
    unfurl_links: bool = True  # Slack itself visits the links of such a message
    unfurl_media: bool = True
    subtype: str = ""
    files: list[Json] = field(default_factory=list)

    @property
    def by_bot(self) -> bool:
        return bool(self.bot_id)


@dataclass(slots=True)
class File:
    """What the bot uploads. Nobody sees it before the upload is completed."""

    id: str
    name: str
    length: int  # as it was announced
    content: bytes | None = None
    title: str = ""
    completed: bool = False


@dataclass(slots=True)
class OpenView:
    """A modal in front of a person, or their App Home."""

    id: str
    user: str
    type: Literal["modal", "home"]
    view: Json  # as the bot sent it; missing block and action ids filled in
    hash: str
    root_id: str
    previous_id: str | None = None
    errors: dict[str, str] = field(default_factory=dict)  # by block id, shown under the fields
    state: dict[str, dict[str, Json]] = field(default_factory=dict)  # block id -> action id -> value, as Slack sends it
    notice: str = ""  # the bar that Slack shows when the bot did not answer well
    channel: str = ""  # where the person was when it opened; for inputs that default to it

    @property
    def title(self) -> str:
        return str(self.view.get("title", {}).get("text", ""))

    @property
    def blocks(self) -> list[Json]:
        return list(self.view.get("blocks", []))


@dataclass(slots=True)
class Delivery:
    """One request from Slack to the bot, kept so that it can be repeated exactly."""

    kind: Kind
    payload: Json
    body: bytes = b""  # over HTTP: what was sent, and with which headers
    headers: dict[str, str] = field(default_factory=dict)
    attempts: int = 0

    @property
    def wants_answer(self) -> bool:
        """Whether what comes back with the acknowledgement is read at all."""
        return self.kind == "slash_commands" or self.payload.get("type") in ("view_submission", "block_suggestion")


@dataclass(slots=True)
class Ack:
    """How the bot answered a person's act. ``error`` is what Slack tells the person when it did not answer well."""

    body: Json = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""  # operation_timeout, dispatch_failed, invalid_command_response, ...
    errors: dict[str, str] = field(default_factory=dict)  # by block id: from the bot, or Slack's own check of a field
    delivery: Delivery | None = None  # None: Slack's own check refused, nothing was sent to the bot

    @property
    def ok(self) -> bool:
        return not self.error and not self.errors

    @property
    def response_action(self) -> str | None:
        return self.body.get("response_action")

    @property
    def text(self) -> str:
        return str(self.body.get("text", ""))
