"""The human side of the sandbox's Slack: what a person at the keyboard can do, and what Slack shows them afterwards."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from bot.sandbox.slack import inputs, payloads
from bot.sandbox.slack.blockkit import check_blocks, complete, interactive
from bot.sandbox.slack.deliver import Deliverer
from bot.sandbox.slack.records import Ack, CannotDo, Channel, Delivery, Json, Message, OpenView, Person
from bot.sandbox.slack.state import SlackError, State
from bot.sandbox.slack.views import Views, field, fields

TROUBLE = "We had some trouble connecting. Try again?"
MESSAGE_EVENTS = {"im": "im:history", "group": "groups:history", "channel": "channels:history"}


class Humans(State, ABC):
    """What people do. Every act returns once the bot has acknowledged it, or three seconds have passed."""

    views: Views
    commands: dict[str, Json] | None  # by name with its slash; None: the app has every command
    shortcuts: dict[str, Json] | None  # by callback id; None: the app has every shortcut
    events: set[str]  # names that the app subscribed to, as in a manifest

    @property
    @abstractmethod
    def deliverer(self) -> Deliverer: ...

    # --- looking

    def modal(self, user: str) -> OpenView | None:
        """The modal in front of this person."""
        return self.views.top(user)

    def home(self, user: str) -> OpenView | None:
        return self.views.home(user)

    # --- commands and shortcuts

    async def command(self, user: str, channel: str, typed: str) -> Ack:
        """Type ``/name and text`` into a channel's composer."""
        person, place = self._composing(user, channel)
        name, _, text = typed.strip().partition(" ")
        if self.commands is not None and name not in self.commands:
            self.whisper(user, channel, f"{name} is not a valid command.")
            return Ack(error="invalid_command")
        payload = payloads.command(self, person, place, name, text.strip())
        ack = await self.deliverer.ask("slash_commands", payload)
        if not ack.error and ack.body:
            ack.error = self._answer_command(user, channel, ack.body)
        if ack.error:
            self.whisper(user, channel, f"{name} failed with the error “{ack.error}”")
        return ack

    def _answer_command(self, user: str, channel: str, body: Json) -> str:
        if check_blocks(body.get("blocks", []), "message") or not (body.get("text") or body.get("blocks")):
            return "invalid_command_response"
        self.answer(user, channel, body)
        return ""

    def answer(self, user: str, channel: str, body: Json) -> Message:
        """What the bot says in return to an act: to one person only unless it says ``in_channel``."""
        public = body.get("response_type") == "in_channel"
        return self.write(
            Message(
                channel,
                "",
                self.bot_user_id,
                self.bot_id,
                body.get("text", ""),
                blocks=complete(body.get("blocks", []), lambda: self.new_id("b")),
                attachments=body.get("attachments", []),
                metadata=body.get("metadata"),
                ephemeral_to=None if public else user,
                thread_ts=body.get("thread_ts"),
                unfurl_links=body.get("unfurl_links", True),
                unfurl_media=body.get("unfurl_media", True),
            )
        )

    def replace(self, original: Message, body: Json) -> Message:
        """Put the bot's answer in the place of a message, by its response_url; that works for ephemeral ones too."""
        blocks = complete(body.get("blocks", []), lambda: self.new_id("b"))
        return self.rewrite(original, text=body.get("text", ""), blocks=blocks, attachments=body.get("attachments", []))

    async def shortcut(self, user: str, callback_id: str) -> Ack:
        """Choose a global shortcut."""
        self._has_shortcut(callback_id)
        return await self._interact(user, payloads.shortcut(self, self._person(user), callback_id))

    async def message_shortcut(self, user: str, message: Message, callback_id: str) -> Ack:
        """Choose a shortcut from the menu of a message."""
        self._has_shortcut(callback_id)
        person, place = self._at(user, message.channel)
        return await self._interact(user, payloads.message_shortcut(self, person, place, message, callback_id))

    def _has_shortcut(self, callback_id: str) -> None:
        if self.shortcuts is not None and callback_id not in self.shortcuts:
            raise CannotDo(f"the app has no shortcut {callback_id!r}")

    async def _interact(self, user: str, payload: Json) -> Ack:
        ack = await self.deliverer.ask("interactive", payload)
        if ack.error:
            self.toast(user, f"{self.bot_name} is not responding. Try again? ({ack.error})")
        return ack

    # --- buttons and menus

    async def press(self, user: str, where: Message | OpenView, action_id: str, *, value: Any = None) -> Ack:
        """Press a button, or choose ``value`` in a menu. Of buttons with the same action id, ``value`` says which."""
        place = self._message_here(user, where) if isinstance(where, Message) else self._view_here(user, where)
        block, element = _pressable(place.blocks, action_id, value)
        action = self._action(block, element, value)
        if isinstance(place, OpenView):
            if element["type"] in inputs.VALUE_KEYS and element["type"] != "overflow":
                place.state[block["block_id"]][element["action_id"]] = inputs.entered(element, value)
            return await self._interact(user, payloads.pressed_in_view(self, self._person(user), place, action))
        person, channel = self._at(user, place.channel)
        return await self._interact(user, payloads.pressed_in_message(self, person, channel, place, action))

    def _action(self, block: Json, element: Json, value: Any) -> Json:
        action: Json = {"action_id": element["action_id"], "block_id": block["block_id"]}
        if element["type"] == "button":
            action |= {key: element[key] for key in ("text", "value", "style", "url") if key in element}
            action["type"] = "button"
        else:
            action |= inputs.entered(element, value)
            action |= {key: element[key] for key in ("placeholder",) if key in element}
        return {**action, "action_ts": self.new_ts()}

    def _message_here(self, user: str, message: Message) -> Message:
        if message.deleted or message.ephemeral_to not in (None, user):
            raise CannotDo("this message is not there (any more)")
        return message

    def _view_here(self, user: str, view: OpenView) -> OpenView:
        if view.user != user or not self.views.is_open(view):
            raise CannotDo("this view is not there (any more)")
        return view

    # --- forms

    def fill(self, view: OpenView, name: str, value: Any) -> None:
        """Enter ``value`` into the field with this action id or block id. Options go by value or by their words."""
        block, element = field(view, name)
        if block["type"] != "input" or block.get("dispatch_action"):
            raise CannotDo(f"the bot hears of {name!r} at once: press it")
        view.state[block["block_id"]][element["action_id"]] = inputs.entered(element, value)

    async def submit(self, user: str, view: OpenView | None = None, **values: Any) -> Ack:
        """Fill in fields by action id or block id, and press the modal's submit button."""
        view = self._view_here(user, view or self._front(user))
        if view.type != "modal" or "submit" not in view.view:
            raise CannotDo(f"{view.title!r} has no submit button")
        for name, value in values.items():
            self.fill(view, name, value)
        if errors := _complaints(view):
            self.views.show_errors(view, errors)
            return Ack(errors=errors)
        urls = self._response_urls(view)
        ack = await self.deliverer.ask("interactive", payloads.submitted(self, self._person(user), view, urls))
        return self._after_submit(view, ack)

    def _after_submit(self, view: OpenView, ack: Ack) -> Ack:
        try:
            if not ack.error and self.views.is_open(view):
                self.views.respond(view, ack.body)
        except SlackError as useless:
            ack.error = useless.code
        if ack.error:
            self.views.show_notice(view, TROUBLE)
            self.toast(view.user, TROUBLE)
        elif ack.response_action == "errors":
            ack.errors = dict(ack.body.get("errors") or {})
        return ack

    def _response_urls(self, view: OpenView) -> list[Json]:
        found = []
        for block, element in fields(view):
            held = view.state[block["block_id"]][element["action_id"]]
            channel = held.get("selected_conversation") or held.get("selected_channel")
            if element.get("response_url_enabled") and channel:
                url = self.new_response_url(view.user, channel)
                ids = {"block_id": block["block_id"], "action_id": element["action_id"]}
                found.append({**ids, "channel_id": channel, "response_url": url})
        return found

    async def close_view(self, user: str, *, everything: bool = False) -> Ack | None:
        """Press Close (back to the view below), or the cross that closes everything. The bot hears if it asked to."""
        front = self._front(user)
        if everything or front.view.get("clear_on_close"):
            closed = self.views.clear(user)
        else:
            closed = [front]
            self.views.close(front)
        person, cleared = self._person(user), len(closed) > 1 or everything
        told = [payloads.closed(self, person, v, cleared=cleared) for v in closed if v.view.get("notify_on_close")]
        acks = await asyncio.gather(*(self.deliverer.ask("interactive", payload) for payload in told))
        return acks[0] if acks else None

    def _front(self, user: str) -> OpenView:
        front = self.modal(user)
        if front is None:
            raise CannotDo(f"there is no modal in front of {user}")
        return front

    # --- elsewhere

    async def open_home(self, user: str) -> OpenView | None:
        """Open the bot's App Home. What it shows is what the bot has published by now."""
        if "app_home_opened" in self.events:
            person = self._person(user)
            await self.deliverer.tell(payloads.home_opened(self, person, self.dm(user), self.home(user)))
        return self.home(user)

    async def speak(self, user: str, locale: str) -> None:
        """Choose a language for Slack. The bot hears that the person is not what they were, if it is subscribed."""
        person = self._person(user)
        person.locale = locale
        self.feed.publish("person", user=user)
        if "user_change" in self.events and "users:read" in self.scopes:
            await self.deliverer.tell(payloads.person_changed(self, person))

    async def say(self, user: str, channel: str, text: str) -> Message:
        """Write a message. The bot hears of it if it is there, subscribed to such events, and has the scope."""
        person, place = self._composing(user, channel)
        if place.archived or user not in place.members:
            raise CannotDo(f"{person.name} cannot write in {place.name}")
        message = self.write(Message(channel, "", user, text=text))
        kind = "im" if place.im_with else "group" if place.private else "channel"
        if self._hears(f"message.{kind}", MESSAGE_EVENTS[kind], place):
            await self.deliverer.tell(payloads.said(self, message, place, "message"))
        if f"<@{self.bot_user_id}>" in text and self._hears("app_mention", "app_mentions:read", place):
            await self.deliverer.tell(payloads.said(self, message, place, "app_mention"))
        return message

    def _hears(self, event: str, scope: str, place: Channel) -> bool:
        return event in self.events and scope in self.scopes and self.bot_user_id in place.members

    async def replay(self, delivery: Delivery | Ack | None = None) -> Ack:
        """Send a request to the bot exactly as it was sent before (the last one by default). Nobody sees the answer."""
        if isinstance(delivery, Ack):
            delivery = delivery.delivery
        return await self.deliverer.again(delivery or self.deliverer.sent[-1])

    # --- who and where

    def _person(self, user: str) -> Person:
        if user not in self.people:
            raise CannotDo(f"there is nobody called {user}")
        return self.people[user]

    def _at(self, user: str, channel: str) -> tuple[Person, Channel]:
        person = self._person(user)
        place = self.channels.get(channel)
        if place is None or (place.private and user not in place.members):
            raise CannotDo(f"{person.name} sees no channel {channel}")
        return person, place

    def _composing(self, user: str, channel: str) -> tuple[Person, Channel]:
        person, place = self._at(user, channel)
        if place.im_with and self.bot_user_id in place.members and not self.dm_writable:
            raise CannotDo("Sending messages to this app has been turned off.")
        return person, place


def _complaints(view: OpenView) -> dict[str, str]:
    found = {}
    for block in view.blocks:
        if block["type"] == "input":
            held = view.state[block["block_id"]][block["element"]["action_id"]]
            if words := inputs.complaint(block, held):
                found[block["block_id"]] = words
    return found


def _pressable(blocks: list[Json], action_id: str, value: Any) -> tuple[Json, Json]:
    for block, element in _pressables(blocks):
        right_one = value is None or element["type"] != "button" or element.get("value") == value
        if element["action_id"] == action_id and right_one:
            return block, element
    raise CannotDo(f"there is nothing to press with the action id {action_id!r}" + (f" and {value!r}" if value else ""))


def _pressables(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    for block in blocks:
        if block["type"] != "input" or block.get("dispatch_action"):
            for element in interactive(block):
                yield block, element
