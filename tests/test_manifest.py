"""The manifest: pastes into Slack unedited, says what the code needs and nothing more."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import names
from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES, manifest

from .source import BOT, SHIPPED, nodes

ROOT = BOT.parent
URL = "https://bot.example/credits"

SCOPES_OF = {  # Slack's own documents say which
    "auth_test": set(),
    "apps_connections_open": set(),
    "views_open": set(),
    "files_upload_v2": {"files:write"},
    "views_push": set(),
    "views_update": set(),
    "views_publish": set(),
    "chat_postMessage": {"chat:write", "chat:write.public"},
    "chat_postEphemeral": {"chat:write"},
    "chat_update": {"chat:write"},
    "conversations_open": {"im:write"},
    "conversations_info": {"channels:read", "groups:read"},
    "conversations_history": {"im:history", "channels:history", "groups:history"},
    "users_info": {"users:read", "users:read.email"},
}


def read(url: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(manifest(url))
    return content


def test_the_file_is_what_the_program_prints() -> None:
    assert (ROOT / "manifest.yaml").read_text() == manifest()


@pytest.mark.parametrize("url", [None, URL])
def test_slacks_limits_are_kept(url: str | None) -> None:
    content = read(url)
    about, features = content["display_information"], content["features"]
    assert len(about["name"]) <= 35
    assert len(about["description"]) <= 140
    assert about["background_color"].startswith("#")
    assert len(about["background_color"]) == 7
    assert len(features["bot_user"]["display_name"]) <= 80
    for shortcut in features["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150
        assert shortcut["type"] in ("global", "message")
    for command in features["slash_commands"]:
        assert len(command["command"]) <= 32
        assert len(command["description"]) <= 2000
    assert set(content) <= {"display_information", "features", "oauth_config", "settings"}


def test_it_asks_for_the_scopes_that_the_code_uses_and_for_no_other() -> None:
    used = set(_slack_methods())
    assert used <= SCOPES_OF.keys(), "say here which scope the new method needs"
    needed = {"commands"}.union(*(SCOPES_OF[method] for method in used))

    scopes = read()["oauth_config"]["scopes"]
    assert {*scopes["bot"], *scopes["bot_optional"]} == needed
    assert (scopes["bot"], scopes["bot_optional"]) == (list(SCOPES), list(OPTIONAL_SCOPES))


def test_commands_and_shortcuts_are_those_that_are_listened_to() -> None:
    features = read()["features"]
    assert [command["command"] for command in features["slash_commands"]] == [names.BUY_COMMAND]
    assert [(shortcut["type"], shortcut["callback_id"]) for shortcut in features["shortcuts"]] == [
        ("global", names.BUY_SHORTCUT),
        ("message", names.SUPPORT_SHORTCUT),
    ]


def test_in_socket_mode_slack_needs_no_address() -> None:
    assert read()["settings"] == {
        "event_subscriptions": {"bot_events": ["app_home_opened", "user_change"]},
        "interactivity": {"is_enabled": True},
        "org_deploy_enabled": False,
        "socket_mode_enabled": True,
        "token_rotation_enabled": False,
    }
    assert "url" not in read()["features"]["slash_commands"][0]


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_over_http_slack_is_given_the_one_address(url: str) -> None:
    address = f"{URL}/slack/events"
    settings = read(url)["settings"]
    assert settings["socket_mode_enabled"] is False
    assert settings["event_subscriptions"]["request_url"] == address
    assert settings["interactivity"]["request_url"] == address
    assert read(url)["features"]["slash_commands"][0]["url"] == address


@pytest.mark.parametrize(
    "url",
    [
        "http://bot.example",
        "bot.example",
        "",
        "https://",
        "https://bot.example/?a=b",
        "https://bot.example/#a",
        "https://user@bot.example",
        "https://bot.example/\nsettings: {}",
        "https://bot.example/ # x",
    ],
)
def test_an_address_that_slack_could_not_call_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        manifest(url)


def _slack_methods() -> Iterator[str]:
    """The methods of Slack's Web API that the bot calls, the sandbox being none of the bot."""
    known = {name for name in dir(AsyncWebClient) if "_" in name.strip("_")}
    return (node.attr for _, node in nodes(ast.Attribute, SHIPPED) if node.attr in known)
