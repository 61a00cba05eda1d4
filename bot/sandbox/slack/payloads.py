"""What Slack sends to a bot, and how it writes down people, channels, messages and views: shapes, nothing else."""

import copy
from collections.abc import Iterable
from typing import Any

from bot.sandbox.slack.records import Channel, Json, Message, OpenView, Person
from bot.sandbox.slack.state import State

VERIFICATION = "sandbox-verification-token"


# --- things


def user_object(state: State, person: Person, *, include_locale: bool = False) -> Json:
    """As ``users.info`` answers. People of other workspaces show no more than Slack lets through."""
    names = {"real_name": person.real_name, "display_name": person.name, "team": person.team_id}
    if person.email and "users:read.email" in state.scopes and not person.is_stranger:
        names["email"] = person.email
    user = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.name,
        "deleted": person.deleted,
        "real_name": person.real_name,
        "tz": person.tz,
        "tz_label": person.tz,
        "tz_offset": person.tz_offset,
        "profile": {**names, "real_name_normalized": person.real_name, "display_name_normalized": person.name},
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": person.is_ultra_restricted,
        "is_bot": person.is_bot,
        "is_app_user": False,
        "is_email_confirmed": True,
        "updated": state.seconds(),
    }
    if person.deleted:
        user = {key: user[key] for key in ("id", "team_id", "name", "deleted", "profile", "is_bot", "updated")}
    if person.is_stranger or person.team_id != state.team_id:
        user["is_stranger"] = person.is_stranger
    if state.enterprise_id and not person.is_stranger:  # a sister workspace belongs to the same organisation
        user["enterprise_user"] = {"id": person.id, "enterprise_id": state.enterprise_id, "teams": [person.team_id]}
    if include_locale and not person.deleted:
        user["locale"] = person.locale
    return user


def channel_object(state: State, channel: Channel) -> Json:
    """As ``conversations.info`` answers."""
    if channel.im_with:
        return {
            "id": channel.id,
            "created": channel.created,
            "is_archived": False,
            "is_im": True,
            "is_org_shared": False,
            "context_team_id": state.team_id,
            "updated": channel.created * 1000,
            "user": channel.im_with,
        }
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.private,
        "created": channel.created,
        "is_archived": channel.archived,
        "is_general": False,
        "is_shared": channel.shared,
        "is_ext_shared": channel.shared,
        "is_org_shared": False,
        "is_member": state.bot_user_id in channel.members,
        "context_team_id": state.team_id,
        "updated": channel.created * 1000,
    }


def message_object(state: State, message: Message, *, metadata: bool = False) -> Json:
    """As it stands in histories and in the payloads of its buttons."""
    written: Json = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
    if message.by_bot:
        written |= {"bot_id": message.bot_id, "app_id": state.app_id}
    written["team"] = state.team_id
    if message.subtype:
        written["subtype"] = message.subtype
    if message.blocks:
        written["blocks"] = copy.deepcopy(message.blocks)
    if message.attachments:
        written["attachments"] = copy.deepcopy(message.attachments)
    if message.files:
        written["files"] = copy.deepcopy(message.files)
    if message.edited:
        written["edited"] = {"user": message.user, "ts": message.ts}
    if message.thread_ts:
        written["thread_ts"] = message.thread_ts
    if metadata and message.metadata:
        written["metadata"] = copy.deepcopy(message.metadata)
    return written


def view_object(state: State, view: OpenView) -> Json:
    sent = view.view
    written: Json = {
        "id": view.id,
        "team_id": state.team_id,
        "type": view.type,
        "blocks": sent["blocks"],
        "private_metadata": sent.get("private_metadata", ""),
        "callback_id": sent.get("callback_id", ""),
        "state": {"values": view.state},
        "hash": view.hash,
        "title": sent.get("title", {"type": "plain_text", "text": "View Title", "emoji": True}),
        "clear_on_close": sent.get("clear_on_close", False),
        "notify_on_close": sent.get("notify_on_close", False),
        "close": sent.get("close"),
        "submit": sent.get("submit"),
        "previous_view_id": view.previous_id,
        "root_view_id": view.root_id,
        "app_id": state.app_id,
        "external_id": sent.get("external_id", ""),
        "app_installed_team_id": state.team_id,
        "bot_id": state.bot_id,
    }
    return copy.deepcopy(written)


# --- what is sent


def _enterprise(state: State) -> Json | None:
    return {"id": state.enterprise_id, "name": state.enterprise_name} if state.enterprise_id else None


def _team(state: State, person: Person) -> Json:
    if person.team_id != state.team_id:
        return {"id": person.team_id, "domain": person.team_id.lower()}
    team = {"id": state.team_id, "domain": state.team_domain}
    if state.enterprise_id:
        team |= {"enterprise_id": state.enterprise_id, "enterprise_name": state.enterprise_name}
    return team


def _about(state: State, person: Person, kind: str) -> Json:
    """What every interactive payload begins with."""
    return {
        "type": kind,
        "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": person.team_id},
        "api_app_id": state.app_id,
        "token": VERIFICATION,
        "team": _team(state, person),
        "enterprise": _enterprise(state),
        "is_enterprise_install": False,
    }


def channel_name(channel: Channel) -> str:
    if channel.im_with:
        return "directmessage"
    return "privategroup" if channel.private else channel.name


def command(state: State, person: Person, channel: Channel, name: str, text: str) -> Json:
    payload = {
        "token": VERIFICATION,
        "team_id": person.team_id,
        "team_domain": _team(state, person)["domain"],
        "channel_id": channel.id,
        "channel_name": channel_name(channel),
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": text,
        "api_app_id": state.app_id,
        "is_enterprise_install": "false",
        "response_url": state.new_response_url(person.id, channel.id),
        "trigger_id": state.new_trigger(person.id, channel=channel.id),
    }
    if state.enterprise_id:
        payload |= {"enterprise_id": state.enterprise_id, "enterprise_name": state.enterprise_name}
    return payload


def pressed_in_message(state: State, person: Person, channel: Channel, message: Message, action: Json) -> Json:
    return {
        **_about(state, person, "block_actions"),
        "container": {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": message.ephemeral_to is not None,
        },
        "trigger_id": state.new_trigger(person.id, channel=channel.id),
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "message": message_object(state, message),
        "state": {"values": {}},
        "response_url": state.new_response_url(person.id, channel.id, message),
        "actions": [action],
    }


def pressed_in_view(state: State, person: Person, view: OpenView, action: Json) -> Json:
    return {
        **_about(state, person, "block_actions"),
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": state.new_trigger(person.id, view_id=view.id, channel=view.channel),
        "view": view_object(state, view),
        "actions": [action],
    }


def submitted(state: State, person: Person, view: OpenView, response_urls: Iterable[Json]) -> Json:
    return {
        **_about(state, person, "view_submission"),
        "trigger_id": state.new_trigger(person.id, view_id=view.id, channel=view.channel),
        "view": view_object(state, view),
        "response_urls": list(response_urls),
    }


def closed(state: State, person: Person, view: OpenView, *, cleared: bool) -> Json:
    return {**_about(state, person, "view_closed"), "view": view_object(state, view), "is_cleared": cleared}


def shortcut(state: State, person: Person, callback_id: str) -> Json:
    return {
        **_about(state, person, "shortcut"),
        "callback_id": callback_id,
        "trigger_id": state.new_trigger(person.id),
        "action_ts": state.new_ts(),
    }


def message_shortcut(state: State, person: Person, channel: Channel, message: Message, callback_id: str) -> Json:
    return {
        **_about(state, person, "message_action"),
        "callback_id": callback_id,
        "trigger_id": state.new_trigger(person.id, channel=channel.id),
        "action_ts": state.new_ts(),
        "response_url": state.new_response_url(person.id, channel.id, message),
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "message_ts": message.ts,
        "message": message_object(state, message),
    }


def event(state: State, inner: Json) -> Json:
    """The envelope of the Events API."""
    person = state.people.get(str(inner.get("user")))
    team_id = person.team_id if person else state.team_id
    return {
        "token": VERIFICATION,
        "team_id": team_id,
        "context_team_id": team_id,
        "context_enterprise_id": state.enterprise_id or None,
        "api_app_id": state.app_id,
        "event": inner,
        "type": "event_callback",
        "event_id": state.new_id("Ev"),
        "event_time": state.seconds(),
        "authorizations": [
            {
                "enterprise_id": state.enterprise_id or None,
                "team_id": state.team_id,
                "user_id": state.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": state.new_id("4-"),
    }


def home_opened(state: State, person: Person, channel: str, view: OpenView | None) -> Json:
    inner: Json = {
        "type": "app_home_opened",
        "user": person.id,
        "channel": channel,
        "tab": "home",
        "event_ts": state.new_ts(),
    }
    if view:
        inner["view"] = view_object(state, view)
    return event(state, inner)


def person_changed(state: State, person: Person) -> Json:
    user = user_object(state, person, include_locale=True)
    return event(state, {"type": "user_change", "user": user, "event_ts": state.new_ts()})


def said(state: State, message: Message, channel: Channel, kind: str) -> Json:
    inner: dict[str, Any] = {
        **message_object(state, message),
        "type": kind,
        "channel": channel.id,
        "event_ts": message.ts,
    }
    if kind == "message":
        inner["channel_type"] = "im" if channel.im_with else "group" if channel.private else "channel"
    return event(state, inner)
