"""The Slack client against the sandbox's Slack: what it says, and what it makes of every kind of trouble."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.errors import Outage
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message, Workspace
from bot.slack.client import RateLimited, SlackClient, SlackRefused, Untouched
from bot.web.server import Server

BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*Paid*"}}]


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    workspace = Workspace(WindableClock(), enterprise_id="E0GROUP")
    workspace.add_person("U0ADA", "ada", locale="da-DK")
    server = Server(workspace.app)
    await server.start()
    workspace.base_url = server.url
    yield workspace
    await server.stop()


@pytest.fixture
async def client(workspace: Workspace) -> AsyncIterator[SlackClient]:
    client = SlackClient(workspace.bot_token, f"{workspace.base_url}/api/")
    await client.open()
    yield client
    await client.close()


@pytest.fixture
async def hasty_client(workspace: Workspace) -> AsyncIterator[SlackClient]:
    client = SlackClient(workspace.bot_token, f"{workspace.base_url}/api/", timeout=0.4)
    await client.open()
    yield client
    await client.close()


async def test_it_knows_whom_its_token_speaks_for(workspace: Workspace, client: SlackClient) -> None:
    identity = await client.whoami()

    assert (identity.team_id, identity.enterprise_id, identity.team) == ("T0SANDBOX", "E0GROUP", "Acme Labs")
    assert (identity.user_id, identity.bot_id) == (workspace.bot_user_id, workspace.bot_id)
    assert identity.scopes == workspace.scopes


async def test_a_profile_has_the_language_of_its_person(client: SlackClient) -> None:
    assert (await client.profile("U0ADA"))["locale"] == "da-DK"


async def test_a_message_is_posted_without_unfurling_and_edited_in_place(
    workspace: Workspace, client: SlackClient
) -> None:
    channel = await client.open_dm("U0ADA")
    ts = await client.post(channel, "Charging", BLOCKS, key="pur_1")
    await client.update(channel, ts, "Paid", [], key="pur_1")

    [message] = workspace.messages(workspace.dm("U0ADA"))
    assert (message.ts, message.text, message.blocks) == (ts, "Paid", [])
    assert message.metadata == {"event_type": "credits_bot", "event_payload": {"key": "pur_1"}}
    assert not message.unfurl_links
    assert not message.unfurl_media


async def test_the_newest_message_is_found_by_its_key_however_long_the_history(
    workspace: Workspace, client: SlackClient
) -> None:
    workspace.scopes.add("im:history")
    channel = await client.open_dm("U0ADA")
    since = workspace.clock.now()
    ts = [await client.post(channel, "wanted", [], key="pur_1") for _ in range(2)][-1]
    for _ in range(210):  # more than a page
        workspace.write(Message(channel, "", "U0ADA", text="Thanks!"))

    assert await client.find(channel, "pur_1", since) == ts
    assert await client.find(channel, "pur_3", since) is None
    assert await client.find(channel, "pur_1", workspace.clock.now() + timedelta(seconds=1)) is None


async def test_looking_for_a_message_without_the_scope_is_refused(workspace: Workspace, client: SlackClient) -> None:
    channel = await client.open_dm("U0ADA")

    with pytest.raises(SlackRefused, match="needs") as refused:
        await client.find(channel, "pur_1", workspace.clock.now())
    assert refused.value.error == "missing_scope"


async def test_a_refusal_says_slacks_code_and_reasons(client: SlackClient) -> None:
    channel = await client.open_dm("U0ADA")

    with pytest.raises(SlackRefused) as refused:
        await client.post(channel, "text", [{"type": "sectoin"}], key="pur_1")
    assert refused.value.error == "invalid_blocks"
    assert "sectoin" in refused.value.detail


async def test_a_speed_limit_says_how_long_to_wait(workspace: Workspace, client: SlackClient) -> None:
    workspace.faults.arm("chat.postMessage", Kind.RATE_LIMITED, retry_after=17)

    with pytest.raises(RateLimited) as limited:
        await client.post(workspace.dm("U0ADA"), "text", [], key="pur_1")
    assert limited.value.retry_after == 17


@pytest.mark.parametrize(
    ("kind", "code", "body"),
    [
        (Kind.STATUS, 503, "upstream request timeout"),
        (Kind.STATUS, 200, "upstream request timeout"),
        (Kind.STATUS, 200, {"ok": False, "error": "fatal_error"}),
        (Kind.STATUS, 200, ["not", "an", "object"]),
        (Kind.HTML, 200, None),
        (Kind.CUT_BEFORE, 200, None),
        (Kind.CUT_AFTER, 200, None),
        (Kind.HANG, 200, None),
    ],
)
async def test_whatever_leaves_the_outcome_unknown_is_an_outage_and_is_not_tried_again(
    workspace: Workspace, hasty_client: SlackClient, kind: Kind, code: int, body: object
) -> None:
    fault = workspace.faults.arm("chat.postMessage", kind, None, code=code, body=body, seconds=2)

    with pytest.raises(Outage) as outage:
        await hasty_client.post(workspace.dm("U0ADA"), "text", [], key="pur_1")
    assert not isinstance(outage.value, Untouched)
    assert [hit.kind for hit in workspace.faults.hits] == [fault.kind]


async def test_a_slack_that_cannot_be_reached_did_nothing(workspace: Workspace) -> None:
    nobody = Server(workspace.app)
    await nobody.start()
    await nobody.stop()
    client = SlackClient(workspace.bot_token, f"{nobody.url}/api/", timeout=1)
    await client.open()

    with pytest.raises(Untouched):
        await client.whoami()
    await client.close()


async def test_no_error_repeats_the_token_or_the_message(workspace: Workspace, client: SlackClient) -> None:
    workspace.faults.arm("chat.postMessage", Kind.STATUS, code=500)
    workspace.faults.arm("chat.postMessage", Kind.STATUS, code=200, body={"ok": False, "error": "channel_not_found"})

    for _ in range(2):
        with pytest.raises((Outage, SlackRefused)) as failed:
            await client.post(workspace.dm("U0ADA"), "a private text", [], key="pur_1")
        told = repr(failed.value) + repr(failed.value.__cause__)
        assert "private" not in told
        assert workspace.bot_token not in told
