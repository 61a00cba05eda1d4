"""Who sent a payload, from where: as Slack's own payloads say it, each in its way."""

from typing import Any

import pytest

from bot.sandbox.clock import WindableClock
from bot.sandbox.slack import Workspace, payloads
from bot.slack.payloads import Sender, sender

ANNA = Sender("E1", "T1", "U1")


@pytest.mark.parametrize(
    "body",
    [
        {"team_id": "T1", "enterprise_id": "E1", "user_id": "U1", "command": "/buy-credits"},
        {"team": {"id": "T1"}, "enterprise": {"id": "E1"}, "user": {"id": "U1", "team_id": "T1"}},
        {"team": None, "enterprise": {"id": "E1"}, "user": {"id": "U1", "team_id": "T1"}},
        {"team": {"id": "T1", "enterprise_id": "E1"}, "enterprise": None, "user": {"id": "U1"}}
        | {"context_enterprise_id": "E1"},
        {"team_id": "T1", "enterprise_id": "E1", "event": {"type": "app_home_opened", "user": "U1"}},
        {"team_id": "T1", "enterprise_id": "E1", "event": {"type": "team_join", "user": {"id": "U1"}}},
    ],
    ids=["command", "button", "button in an organisation", "button with a context", "event", "event with a person"],
)
def test_the_person_and_the_workspace_are_found(body: dict[str, Any]) -> None:
    assert sender(body) == ANNA


def test_outside_an_organisation_there_is_no_organisation() -> None:
    assert sender({"team_id": "T1", "user_id": "U1"}) == Sender("", "T1", "U1")
    assert sender({"team": {"id": "T1"}, "enterprise": None, "user": {"id": "U1"}}) == Sender("", "T1", "U1")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"team_id": "T1"},
        {"user_id": "U1"},
        {"user": "U1"},
        {"user": None, "team": None, "event": None},
        {"event": {"type": "tokens_revoked"}, "team_id": "T1"},
        {"user": {"id": ""}, "team": {"id": "T1"}},
        {"user": ["U1"], "team": 1},
    ],
    ids=str,
)
def test_a_payload_that_names_nobody_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without a user or a team"):
        sender(body)


@pytest.mark.parametrize("enterprise", ["", "E1"])
def test_every_payload_of_the_sandbox_names_its_sender(enterprise: str) -> None:
    workspace = Workspace(WindableClock(), team_id="T1", enterprise_id=enterprise)
    workspace.base_url = "http://slack.example"
    workspace.add_person("U1", "anna")
    person = workspace.people["U1"]
    place = workspace.add_channel("general", ["U1"])
    expected = Sender(enterprise, "T1", "U1")
    assert sender(payloads.command(workspace, person, place, "/buy-credits", "")) == expected
    assert sender(payloads.shortcut(workspace, person, "buy_credits")) == expected
    assert sender(payloads.home_opened(workspace, person, workspace.dm("U1"), None)) == expected
