"""The Web API: what a bot may ask of Slack, with which arguments and scopes, and Slack's own refusals."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.sandbox.slack.arguments import Read, Signature, flag, moment, names, structure, whole, words
from bot.sandbox.slack.blockkit import check_blocks, complete
from bot.sandbox.slack.files import Files
from bot.sandbox.slack.pace import Pace
from bot.sandbox.slack.payloads import channel_object, message_object, user_object, view_object
from bot.sandbox.slack.records import Channel, Json, Message
from bot.sandbox.slack.sockets import Sockets
from bot.sandbox.slack.state import SlackError, State
from bot.sandbox.slack.views import Views

MOST_TEXT = 40_000
MOST_METADATA = 8_000

CONTENT: dict[str, Read] = {
    "text": words,
    "blocks": structure,
    "attachments": structure,
    "metadata": structure,
    "parse": words,
    "link_names": flag,
    "markdown_text": words,
}
POSTED: dict[str, Read] = {
    **CONTENT,
    "thread_ts": words,
    "reply_broadcast": flag,
    "unfurl_links": flag,
    "unfurl_media": flag,
    "mrkdwn": flag,
}
HISTORY_SCOPES = {"im": "im:history", "private": "groups:history", "public": "channels:history"}
READ_SCOPES = {"im": "im:read", "private": "groups:read", "public": "channels:read"}


@dataclass(frozen=True)
class Method:
    signature: Signature
    do: Callable[[Json], Json]
    scope: str = ""
    caller: str = "bot"  # whose token it takes; or "app", or "any"


class Methods:
    def __init__(self, state: State, views: Views, sockets: Sockets, files: Files) -> None:
        self._state = state
        self._files = files
        self._views = views
        self._sockets = sockets
        self._pace = Pace(state.clock)
        self._methods = self._table()

    def _table(self) -> dict[str, Method]:
        channel, view = {"channel": words}, {"view": structure}
        page = {"cursor": words, "limit": whole}
        history = {"include_all_metadata": flag, "inclusive": flag, "latest": moment, "oldest": moment}
        trigger = {"trigger_id": words}
        return {
            "api.test": Method(Signature({}, {"error": words}), self._api_test, caller="any"),
            "auth.test": Method(Signature(), self._auth_test, caller="any"),
            "apps.connections.open": Method(Signature(), self._open_connection, caller="app"),
            "chat.postMessage": Method(Signature(channel, POSTED), self._post, "chat:write"),
            "chat.postEphemeral": Method(
                Signature({**channel, "user": words}, {**CONTENT, "thread_ts": words}),
                self._post_ephemeral,
                "chat:write",
            ),
            "chat.update": Method(
                Signature({**channel, "ts": words}, {**CONTENT, "reply_broadcast": flag}), self._update, "chat:write"
            ),
            "chat.delete": Method(Signature({**channel, "ts": words}), self._delete, "chat:write"),
            "conversations.open": Method(
                Signature({}, {**channel, "users": names, "return_im": flag, "prevent_creation": flag}),
                self._open_conversation,
                "im:write",
            ),
            "conversations.info": Method(
                Signature(channel, {"include_locale": flag, "include_num_members": flag}), self._channel_info
            ),
            "conversations.history": Method(Signature(channel, {**page, **history}), self._history),
            "conversations.members": Method(Signature(channel, page), self._members),
            "files.getUploadURLExternal": Method(
                Signature({"filename": words, "length": whole}, {"alt_txt": words, "snippet_type": words}),
                self._files.begin,
                "files:write",
            ),
            "files.completeUploadExternal": Method(
                Signature({"files": structure}, {"channel_id": words, "initial_comment": words, "thread_ts": words}),
                self._complete_files,
                "files:write",
            ),
            "users.info": Method(Signature({"user": words}, {"include_locale": flag}), self._user_info, "users:read"),
            "views.open": Method(Signature({**view, **trigger}), self._view_open),
            "views.push": Method(Signature({**view, **trigger}), self._view_push),
            "views.update": Method(
                Signature(view, {"view_id": words, "external_id": words, "hash": words}), self._view_update
            ),
            "views.publish": Method(Signature({**view, "user_id": words}, {"hash": words}), self._view_publish),
        }

    def call(self, name: str, token: str, arguments: Json) -> Json:
        """The answer to one call. ``SlackError`` is a refusal."""
        method = self._methods.get(name)
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        self._admit(method, token)
        return {"ok": True, **method.do(method.signature.check(arguments))}

    def _admit(self, method: Method, token: str) -> None:
        kinds = {self._state.bot_token: "bot", self._state.app_token: "app"}
        if not token:
            raise SlackError("not_authed")
        if token not in kinds:
            raise SlackError("invalid_auth")
        if self._state.token_trouble:
            raise SlackError(self._state.token_trouble)
        if method.caller not in ("any", kinds[token]):
            raise SlackError("not_allowed_token_type")
        if method.scope:
            self._need(method.scope)

    def _need(self, scope: str) -> None:
        if scope not in self._state.scopes:
            raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(self._state.scopes)))

    # --- who am I

    def _api_test(self, arguments: Json) -> Json:
        if "error" in arguments:
            raise SlackError(arguments["error"], args=arguments)
        return {"args": arguments}

    def _auth_test(self, arguments: Json) -> Json:
        state = self._state
        answer: Json = {
            "url": f"https://{state.team_domain}.slack.com/",
            "team": state.team_name,
            "user": state.people[state.bot_user_id].name,
            "team_id": state.team_id,
            "user_id": state.bot_user_id,
            "bot_id": state.bot_id,
            "is_enterprise_install": False,
        }
        return answer | ({"enterprise_id": state.enterprise_id} if state.enterprise_id else {})

    def _open_connection(self, arguments: Json) -> Json:
        if not self._state.base_url:
            raise RuntimeError("set base_url to the address that serves the workspace's app")
        return {"url": f"ws{self._state.base_url.removeprefix('http')}/link/{self._sockets.new_ticket()}"}

    # --- messages

    def _post(self, arguments: Json) -> Json:
        place = self._place_to_post(arguments["channel"])
        message = self._new_message(place.id, arguments)
        if message.thread_ts and not any(m.ts == message.thread_ts for m in self._state.messages(place.id)):
            raise SlackError("thread_not_found")
        if self._state.strict_rate:
            self._pace.spend(place.id)
        written = self._state.write(message)
        return {
            "channel": place.id,
            "ts": written.ts,
            "message": message_object(self._state, written, metadata=True),
        }

    def _post_ephemeral(self, arguments: Json) -> Json:
        place = self._place_to_post(arguments["channel"])
        if arguments["user"] not in place.members:
            raise SlackError("user_not_in_channel")
        message = self._new_message(place.id, arguments)
        message.ephemeral_to = arguments["user"]
        return {"message_ts": self._state.write(message).ts}

    def _place_to_post(self, id: str) -> Channel:
        state = self._state
        if id in state.people:  # such messages end up where nobody looks for them
            return state.channels[state.slackbot(id)]
        place = self._visible(id)
        if place.archived:
            raise SlackError("is_archived")
        if state.bot_user_id not in place.members and not place.im_with and "chat:write.public" not in state.scopes:
            raise SlackError("not_in_channel")
        return place

    def _visible(self, id: str) -> Channel:
        """A private channel that the bot is not in does not exist for it."""
        place = self._state.channel(id)
        if place.private and self._state.bot_user_id not in place.members:
            raise SlackError("channel_not_found")
        return place

    def _new_message(self, channel: str, arguments: Json) -> Message:
        content = self._content(arguments)
        if not any(content.get(key) for key in ("text", "blocks", "attachments")):
            raise SlackError("no_text")
        return Message(
            channel,
            "",
            self._state.bot_user_id,
            self._state.bot_id,
            **{"text": "", "blocks": [], "attachments": [], "metadata": None, **content},
            thread_ts=arguments.get("thread_ts"),
            unfurl_links=arguments.get("unfurl_links", True),
            unfurl_media=arguments.get("unfurl_media", True),
        )

    def _content(self, arguments: Json) -> Json:
        """The parts of a message that were given, checked."""
        parts = ("text", "blocks", "attachments", "metadata")
        content: Json = {key: arguments[key] for key in parts if key in arguments}
        if "markdown_text" in arguments:
            if "text" in content or "blocks" in content:
                raise SlackError("markdown_text_conflict")
            content["text"] = arguments["markdown_text"]
        if len(content.get("text", "")) > MOST_TEXT:
            raise SlackError("msg_too_long")
        if "blocks" in content:
            content["blocks"] = self._blocks(content["blocks"])
        if content.get("metadata"):
            _check_metadata(content["metadata"])
        if "attachments" in content:
            content["attachments"] = self._attachments(content["attachments"])
        return content

    def _blocks(self, blocks: Any) -> list[Json]:
        if reasons := check_blocks(blocks, "message"):
            raise SlackError.because("invalid_blocks", *reasons)
        return complete(blocks, lambda: self._state.new_id("b"))

    def _attachments(self, attachments: Any) -> list[Json]:
        if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
            raise SlackError("invalid_attachments")
        if len(attachments) > 100:
            raise SlackError("too_many_attachments")
        return [one | ({"blocks": self._blocks(one["blocks"])} if "blocks" in one else {}) for one in attachments]

    def _update(self, arguments: Json) -> Json:
        message = self._own_message(arguments, "cant_update_message")
        content = self._content(arguments)
        if not any(key in content for key in ("text", "blocks", "attachments")):
            raise SlackError("no_text")
        if "metadata" in content:
            content["metadata"] = content["metadata"] or None
        changed = self._state.rewrite(message, **{"text": "", **content})
        return {
            "channel": changed.channel,
            "ts": changed.ts,
            "text": changed.text,
            "message": message_object(self._state, changed, metadata=True),
        }

    def _delete(self, arguments: Json) -> Json:
        message = self._own_message(arguments, "cant_delete_message")
        self._state.erase(message)
        return {"channel": message.channel, "ts": message.ts}

    def _own_message(self, arguments: Json, refusal: str) -> Message:
        """A message of the bot that everybody sees: ephemeral ones are out of reach."""
        place = self._visible(arguments["channel"])
        message = self._state.message(place.id, arguments["ts"])
        if message.ephemeral_to is not None:
            raise SlackError("message_not_found")
        if message.user != self._state.bot_user_id:
            raise SlackError(refusal)
        if place.archived:
            raise SlackError("is_archived")
        return message

    # --- files

    def _complete_files(self, arguments: Json) -> Json:
        """Put what was uploaded into a conversation; without one the files stay private."""
        place = self._place_to_post(arguments["channel_id"]) if "channel_id" in arguments else None
        files = self._files.complete(arguments["files"])
        if place:
            text, bot = arguments.get("initial_comment", ""), self._state.bot_user_id
            thread = arguments.get("thread_ts")
            message = Message(place.id, "", bot, self._state.bot_id, text, files=files, thread_ts=thread)
            message.subtype = "file_share"
            self._state.write(message)
        return {"files": [{"id": each["id"], "title": each["title"]} for each in files]}

    # --- conversations and people

    def _open_conversation(self, arguments: Json) -> Json:
        users = arguments.get("users", [])
        if "channel" in arguments:
            place = self._visible(arguments["channel"])
        elif len(users) == 1:
            place = self._conversation_with(users[0], create=not arguments.get("prevent_creation"))
        elif users:
            self._need("mpim:write")
            raise SlackError("not_enough_users")
        else:
            raise SlackError("users_list_not_supplied")
        return {"channel": channel_object(self._state, place) if arguments.get("return_im") else {"id": place.id}}

    def _conversation_with(self, user: str, *, create: bool) -> Channel:
        person = self._state.person(user)
        if person.is_bot:
            raise SlackError("cannot_dm_bot")
        if person.deleted:
            raise SlackError("user_disabled")
        if not create and not self._state.has_dm(user):
            raise SlackError("channel_not_found")
        return self._state.channels[self._state.dm(user)]

    def _channel_info(self, arguments: Json) -> Json:
        place = self._readable(arguments["channel"], READ_SCOPES)
        channel = channel_object(self._state, place)
        if arguments.get("include_num_members"):
            channel["num_members"] = len(place.members)
        return {"channel": channel}

    def _readable(self, id: str, scopes: dict[str, str]) -> Channel:
        if not self._state.scopes & set(scopes.values()):
            self._need(scopes["public"])
        place = self._visible(id)
        self._need(scopes["im" if place.im_with else "private" if place.private else "public"])
        return place

    def _history(self, arguments: Json) -> Json:
        place = self._readable(arguments["channel"], HISTORY_SCOPES)
        if self._state.bot_user_id not in place.members:
            raise SlackError("not_in_channel")
        newest_first = [m for m in reversed(self._state.messages(place.id)) if m.ephemeral_to is None]
        within = [m for m in newest_first if _within(m.ts, arguments)]
        shown, following = _page(within, arguments, 100)
        full = arguments.get("include_all_metadata", False)
        return {
            "messages": [message_object(self._state, m, metadata=full) for m in shown],
            "has_more": bool(following),
            "response_metadata": {"next_cursor": following},
        }

    def _members(self, arguments: Json) -> Json:
        place = self._readable(arguments["channel"], READ_SCOPES)
        shown, following = _page(sorted(place.members), arguments, 100)
        return {"members": shown, "response_metadata": {"next_cursor": following}}

    def _user_info(self, arguments: Json) -> Json:
        person = self._state.person(arguments["user"])
        return {"user": user_object(self._state, person, include_locale=arguments.get("include_locale", False))}

    # --- views

    def _view_open(self, arguments: Json) -> Json:
        trigger = self._state.trigger(arguments["trigger_id"])
        return {"view": view_object(self._state, self._views.open(trigger, arguments["view"]))}

    def _view_push(self, arguments: Json) -> Json:
        trigger = self._state.trigger(arguments["trigger_id"])
        return {"view": view_object(self._state, self._views.push(trigger, arguments["view"]))}

    def _view_update(self, arguments: Json) -> Json:
        if ("view_id" in arguments) == ("external_id" in arguments):
            raise SlackError.because("invalid_arguments", "give either view_id or external_id")
        view = arguments.pop("view")
        return {"view": view_object(self._state, self._views.update(view, **arguments))}

    def _view_publish(self, arguments: Json) -> Json:
        user = self._state.person(arguments["user_id"]).id
        published = self._views.publish(user, arguments["view"], hash=arguments.get("hash", ""))
        return {"view": view_object(self._state, published)}


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload", "entities"}:
        raise SlackError("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise SlackError("invalid_metadata_schema")
    if len(str(metadata)) > MOST_METADATA:
        raise SlackError("metadata_too_large")


def _within(ts: str, arguments: Json) -> bool:
    """Whether a time lies between ``oldest`` and ``latest``; the bounds themselves only when ``inclusive``."""
    bounds = [bound for bound in (arguments.get("oldest"), arguments.get("latest")) if bound]
    if ts in bounds:
        return bool(arguments.get("inclusive"))
    return _order(arguments.get("oldest", "0")) < _order(ts) < _order(arguments.get("latest", "99999999999"))


def _order(ts: str) -> tuple[int, int]:
    seconds, _, fraction = ts.partition(".")
    return int(seconds), int(fraction[:6].ljust(6, "0"))


def _page(items: list[Any], arguments: Json, most: int) -> tuple[list[Any], str]:
    """One page and the cursor of the next one, empty at the end."""
    cursor = arguments.get("cursor") or "0"
    if not re.fullmatch(r"\d{1,9}", cursor, re.ASCII):
        raise SlackError("invalid_cursor")
    start = int(cursor)
    end = start + (min(arguments.get("limit", 0), 999) or most)
    return items[start:end], str(end) if end < len(items) else ""
