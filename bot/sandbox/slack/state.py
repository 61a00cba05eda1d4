"""What the sandbox's Slack remembers: people, channels, messages, and the short-lived keys that it hands out."""

import copy
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.clock import Clock
from bot.sandbox.slack.feed import Changes, Feed
from bot.sandbox.slack.records import Channel, Message, Person

T = TypeVar("T")
MINIMAL_SCOPES = frozenset({"commands", "chat:write", "im:write", "users:read"})
TRIGGER_LIFE = timedelta(seconds=3)
RESPONSE_URL_LIFE = timedelta(minutes=30)
RESPONSE_URL_USES = 5
SLACKBOT = "USLACKBOT"


class SlackError(Exception):
    """A refusal of the Web API: ``{"ok": false, "error": code, **more}``."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more = more

    @classmethod
    def because(cls, code: str, *reasons: str) -> "SlackError":
        """A refusal with the reasons where Slack puts them."""
        messages = [f"[ERROR] {reason}" for reason in reasons]
        return cls(code, response_metadata={"messages": messages})


@dataclass(slots=True)
class Trigger:
    """The right to open one modal in front of one person, for three seconds."""

    user: str
    expires: datetime
    view_id: str | None = None
    channel: str = ""
    used: bool = False


@dataclass(slots=True)
class ResponseUrl:
    """The right to answer one act a few times without being in the channel."""

    user: str
    channel: str
    expires: datetime
    message: Message | None = None
    uses: int = 0


class State:
    """The workspace without its wires. Every change is told to the feed."""

    def __init__(
        self,
        clock: Clock,
        *,
        team_id: str = "T0SANDBOX",
        team_name: str = "Acme Labs",
        team_domain: str = "acme-labs",
        enterprise_id: str = "",
        enterprise_name: str = "Acme Group",
        app_id: str = "A0SANDBOX",
        bot_name: str = "Credits",
        bot_token: str = "xoxb-sandbox-bot",  # noqa: S107
        app_token: str = "xapp-1-sandbox-app",  # noqa: S107
        scopes: Iterable[str] = MINIMAL_SCOPES,
        strict_rate: bool = False,
    ) -> None:
        self.clock = clock
        self.team_id, self.team_name, self.team_domain = team_id, team_name, team_domain
        self.enterprise_id, self.enterprise_name = enterprise_id, enterprise_name
        self.app_id, self.bot_name = app_id, bot_name
        self.bot_token, self.app_token = bot_token, app_token
        self.bot_user_id, self.bot_id = "U0SANDBOXBOT", "B0SANDBOX"
        self.scopes = set(scopes)
        self.strict_rate = strict_rate
        self.base_url = ""
        self.home_enabled = True
        self.dm_writable = True  # False: people read the bot's messages there and type nothing, not even commands
        self.token_trouble = ""  # token_revoked, account_inactive: what every call is refused with
        self.people: dict[str, Person] = {}
        self.channels: dict[str, Channel] = {}
        self.feed = Feed()
        self._messages: dict[str, list[Message]] = {}
        self._triggers: dict[str, Trigger] = {}
        self._responses: dict[str, ResponseUrl] = {}
        self._numbers = itertools.count(1)
        self._last_microsecond = 0
        self.add_person(self.bot_user_id, bot_name.lower(), real_name=bot_name, is_bot=True)

    # --- news

    def changes(self) -> Changes:
        return self.feed.listen()

    async def until(self, predicate: Callable[[], T], timeout: float = 15) -> T:
        """Wait for the first truthy answer of ``predicate`` and return it. ``TimeoutError`` after real seconds."""
        return await self.feed.until(predicate, timeout)

    def toast(self, user: str, text: str) -> None:
        """A short notice that Slack itself shows to one person."""
        self.feed.publish("toast", user=user, text=text)

    # --- names and numbers

    def new_id(self, prefix: str) -> str:
        return f"{prefix}0{next(self._numbers):07X}"

    def new_ts(self) -> str:
        """The time as Slack writes it, different for every message."""
        microsecond = max(int(self.clock.now().timestamp() * 1_000_000), self._last_microsecond + 1)
        self._last_microsecond = microsecond
        return f"{microsecond // 1_000_000}.{microsecond % 1_000_000:06d}"

    def seconds(self) -> int:
        return int(self.clock.now().timestamp())

    # --- people

    def add_person(self, id: str, name: str, **facts: Any) -> Person:
        """Let somebody join. ``facts`` are the other fields of ``Person``."""
        person = Person(id=id, name=name, **{"real_name": name.capitalize(), "team_id": self.team_id, **facts})
        self.people[id] = person
        self.feed.publish("person", user=id)
        return person

    def person(self, id: str) -> Person:
        if id not in self.people:
            raise SlackError("user_not_found")
        return self.people[id]

    # --- channels

    def add_channel(
        self, name: str, members: Iterable[str] = (), *, private: bool = False, shared: bool = False, id: str = ""
    ) -> Channel:
        """Open a channel. The bot is in it only when its user id is among the members."""
        channel = Channel(id or self.new_id("C"), name, set(members), private=private, shared=shared)
        return self._add(channel)

    def _add(self, channel: Channel) -> Channel:
        channel.created = self.seconds()
        self.channels[channel.id] = channel
        self._messages[channel.id] = []
        self.feed.publish("channel", channel=channel.id)
        return channel

    def channel(self, id: str) -> Channel:
        if id not in self.channels:
            raise SlackError("channel_not_found")
        return self.channels[id]

    def channel_named(self, name: str) -> Channel:
        for channel in self.channels.values():
            if channel.name == name:
                return channel
        raise SlackError("channel_not_found")

    def invite(self, channel: str, user: str) -> None:
        self.channel(channel).members.add(user)
        self.feed.publish("channel", channel=channel)

    def remove(self, channel: str, user: str) -> None:
        self.channel(channel).members.discard(user)
        self.feed.publish("channel", channel=channel)

    def archive(self, channel: str) -> None:
        self.channel(channel).archived = True
        self.feed.publish("channel", channel=channel)

    def dm(self, user: str) -> str:
        """The id of this person's conversation with the bot."""
        return self._conversation(user, self.bot_user_id).id

    def slackbot(self, user: str) -> str:
        """The id of this person's Slackbot conversation: where a message to a user id lands."""
        return self._conversation(user, SLACKBOT).id

    def has_dm(self, user: str) -> bool:
        return self._find_conversation(user, self.bot_user_id) is not None

    def _conversation(self, user: str, other: str) -> Channel:
        self.person(user)
        found = self._find_conversation(user, other)
        return found or self._add(Channel(self.new_id("D"), "directmessage", {user, other}, private=True, im_with=user))

    def _find_conversation(self, user: str, other: str) -> Channel | None:
        mine = (channel for channel in self.channels.values() if channel.im_with == user)
        return next((channel for channel in mine if other in channel.members), None)

    # --- messages

    def messages(self, channel: str, for_user: str | None = None) -> list[Message]:
        """What stands in a channel, oldest first; with ``for_user`` only what that person sees."""
        return [
            message
            for message in self._messages.get(channel, [])
            if not message.deleted and (for_user is None or message.ephemeral_to in (None, for_user))
        ]

    def message(self, channel: str, ts: str) -> Message:
        for message in self.messages(channel):
            if message.ts == ts:
                return message
        raise SlackError("message_not_found")

    def write(self, message: Message) -> Message:
        """Put a message in its channel; its time is set here."""
        message.ts = self.new_ts()
        self._messages[message.channel].append(message)
        kind = "ephemeral" if message.ephemeral_to else "message"
        self.feed.publish(kind, channel=message.channel, ts=message.ts, user=message.ephemeral_to or message.user)
        return message

    def rewrite(self, message: Message, **changed: Any) -> Message:
        for name, value in changed.items():
            setattr(message, name, copy.deepcopy(value))
        message.edited = True
        self.feed.publish("edit", channel=message.channel, ts=message.ts, user=message.ephemeral_to or message.user)
        return message

    def erase(self, message: Message) -> None:
        message.deleted = True
        self.feed.publish("delete", channel=message.channel, ts=message.ts, user=message.ephemeral_to or message.user)

    def whisper(self, user: str, channel: str, text: str) -> Message:
        """A message from Slack itself that only one person sees."""
        return self.write(Message(channel, "", SLACKBOT, text=text, ephemeral_to=user))

    def reload(self, user: str) -> None:
        """The person reloads Slack: what only they could see is gone."""
        for channel in self._messages.values():
            for message in channel:
                if message.ephemeral_to == user and not message.deleted:
                    self.erase(message)

    # --- keys that do not live long

    def new_trigger(self, user: str, *, view_id: str | None = None, channel: str = "") -> str:
        trigger_id = f"{self.seconds()}.{next(self._numbers)}.{next(self._numbers):08x}"
        self._triggers[trigger_id] = Trigger(user, self.clock.now() + TRIGGER_LIFE, view_id, channel)
        return trigger_id

    def trigger(self, trigger_id: str) -> Trigger:
        """The trigger, if it may still be used. The caller marks it used once the rest of the request was right."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.used:
            raise SlackError("exchanged_trigger_id")
        if self.clock.now() > trigger.expires:
            raise SlackError("expired_trigger_id")
        return trigger

    def new_response_url(self, user: str, channel: str, message: Message | None = None) -> str:
        if not self.base_url:
            raise RuntimeError("set base_url to the address that serves the workspace's app, before anybody acts")
        token = self.new_id("R")
        self._responses[token] = ResponseUrl(user, channel, self.clock.now() + RESPONSE_URL_LIFE, message)
        return f"{self.base_url}/response/{token}"

    def use_response_url(self, token: str) -> ResponseUrl:
        response = self._responses.get(token)
        if response is None or self.clock.now() > response.expires:
            raise SlackError("expired_url")
        if response.uses >= RESPONSE_URL_USES:
            raise SlackError("used_url")
        response.uses += 1
        return response
