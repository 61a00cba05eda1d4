"""The manifest that sets the app up in Slack: what it is called, what it listens to and which rights it asks for."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from bot.slack.names import BUY_COMMAND, BUY_SHORTCUT, SUPPORT_SHORTCUT

SCOPES: Final = {
    "commands": "the slash command and the shortcut",
    "chat:write": "one message for each purchase, and its edits",
    "im:write": "opens the conversation with a buyer",
    "im:history": "after a crash: finds its own message in its own conversations instead of posting it twice",
    "users:read": "who is asking: a member or a guest, and in which language",
}
"""What the bot cannot do without, and why."""

OPTIONAL_SCOPES: Final = {
    "chat:write.public": "posts into the account's channel without being invited",
    "channels:history": "as im:history, for an account with a public channel",
    "groups:history": "as im:history, for an account with a private channel",
    "channels:read": "tells whether another company reads a public channel: else owners are asked before it is warned",
    "groups:read": "the same for a private channel",
    "users:read.email": "support answers by mail, and whoever wrote to it can have a copy",
    "files:write": "sends statements as files",
}

_MANIFEST: Final = """\
# Paste this at https://api.slack.com/apps under Create New App, From a manifest.
display_information:
  name: Credits
  description: Buy prepaid AI credits without leaving Slack.
  background_color: "#2b2150"
features:
  app_home:
    home_tab_enabled: true
    messages_tab_enabled: true
    messages_tab_read_only_enabled: true
  bot_user:
    display_name: Credits
    always_online: true
  shortcuts:
    - name: Buy credits
      type: global
      callback_id: {shortcut}
      description: Buy AI credits for your account
    - name: Contact support
      type: message
      callback_id: {support_shortcut}
      description: Send this message to a person who helps with your credits
  slash_commands:
    - command: {command}
      description: Buy AI credits for your account
      usage_hint: "[amount] | history | alerts | limit | support | help"
      should_escape: false
{command_url}\
oauth_config:
  scopes:
    bot:
{scopes}\
    bot_optional:
{optional_scopes}\
settings:
  event_subscriptions:
{request_url}\
    bot_events:
      - app_home_opened
      - user_change
  interactivity:
    is_enabled: true
{request_url}\
  org_deploy_enabled: false
  socket_mode_enabled: {socket_mode}
  token_rotation_enabled: false
"""


def manifest(url: str | None = None) -> str:
    """The manifest as YAML: for Socket Mode, or for HTTP when the bot's public ``url`` is given.

    Raise ``ValueError`` for an address that Slack could not call.
    """
    address = f"{_public(url)}/slack/events" if url is not None else None
    return _MANIFEST.format(
        command=BUY_COMMAND,
        shortcut=BUY_SHORTCUT,
        support_shortcut=SUPPORT_SHORTCUT,
        scopes=_listed(SCOPES),
        optional_scopes=_listed(OPTIONAL_SCOPES),
        command_url=f"      url: {address}\n" if address else "",
        request_url=f"    request_url: {address}\n" if address else "",
        socket_mode="false" if address else "true",
    )


def _listed(scopes: Mapping[str, str]) -> str:
    return "".join(f"      - {scope} # {why}\n" for scope, why in scopes.items())


def _public(url: str) -> str:
    parts = urlsplit(url)
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \"'<>{}")
    if not plain or parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("Slack calls only public addresses that begin with https:// and have no question mark")
    return url.rstrip("/")
