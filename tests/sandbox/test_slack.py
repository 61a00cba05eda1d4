"""The sandbox's Slack, used through the real Bolt over real sockets and real HTTP, behaves as Slack does."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Kind
from bot.sandbox.slack import CannotDo, Workspace
from bot.web.server import Server

ANNA, BO = "U0ANNA", "U0BO"
Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def order_form(title: str = "Order", **more: Any) -> Json:
    amount = {"type": "number_input", "action_id": "amount", "is_decimal_allowed": True, "min_value": "1"}
    return {
        "type": "modal",
        "callback_id": "order",
        "title": plain(title),
        "submit": plain("Order"),
        "private_metadata": "nonce-1",
        "blocks": [
            {"type": "input", "block_id": "how_much", "label": plain("Amount"), "element": amount},
            {"type": "actions", "block_id": "quick", "elements": [button("25", "quick_25"), button("50", "quick_50")]},
        ],
        **more,
    }


def button(value: str, action_id: str) -> Json:
    return {"type": "button", "text": plain(f"${value}"), "action_id": action_id, "value": value}


def card(text: str, *action_ids: str) -> list[Json]:
    blocks: list[Json] = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    if action_ids:
        blocks.append({"type": "actions", "elements": [button("1", action_id) for action_id in action_ids]})
    return blocks


@dataclass
class Shop:
    """A small bot built on Bolt, which remembers what it was sent."""

    app: AsyncApp
    client: AsyncWebClient
    seen: list[Json] = field(default_factory=list)
    handlers: list[AsyncSocketModeHandler] = field(default_factory=list)

    async def connect(self) -> None:
        handler = AsyncSocketModeHandler(self.app, "xapp-1-sandbox-app", ping_interval=0.2)
        self.handlers.append(handler)
        await handler.connect_async()


def build(slack: Workspace) -> Shop:
    client = AsyncWebClient(token=slack.bot_token, base_url=f"{slack.base_url}/api/")
    shop = Shop(AsyncApp(client=client, signing_secret=slack.signing_secret), client)
    app = shop.app

    @app.use
    async def remember(body: Json, next: Callable[[], Any]) -> None:
        shop.seen.append(body)
        await next()

    @app.command("/order")
    async def order(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=order_form())

    @app.command("/echo")
    async def echo(ack: Any, body: Json) -> None:
        await ack(f"You said {body['text']}")

    @app.command("/later")
    async def later(ack: Any, respond: Any) -> None:
        await ack()
        await respond("Only you see this", blocks=card("Only you see this", "replace"))

    @app.command("/slow")
    async def slow(ack: Any) -> None:
        await asyncio.sleep(3.3)
        await ack()

    @app.action("replace")
    async def replace(ack: Any, respond: Any) -> None:
        await ack()
        await respond("Replaced", replace_original=True)

    @app.action(re.compile("quick_.*"))
    async def quick(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        view = body["view"]
        await client.views_update(view_id=view["id"], hash=view["hash"], view=order_form(body["actions"][0]["value"]))

    @app.view("order")
    async def submitted(ack: Any, body: Json, client: AsyncWebClient) -> None:
        amount = body["view"]["state"]["values"]["how_much"]["amount"]["value"]
        if amount == "13":
            await ack(response_action="errors", errors={"how_much": "An unlucky number"})
        elif amount == "14":
            await ack(response_action="update", view=order_form("Sure?"))
        elif amount == "15":
            await ack(response_action="push", view=order_form("On top"))
        elif amount == "16":
            await ack(response_action="errors", errors={"nowhere": "No such block"})
        elif amount == "17":
            await ack(response_action="clear")
        else:
            await ack()
            channel = (await client.conversations_open(users=body["user"]["id"]))["channel"]["id"]
            await client.chat_postMessage(channel=channel, text=f"{amount} ordered", blocks=card(amount, "ship"))

    @app.action("ship")
    async def ship(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        message = body["message"]
        await client.chat_update(
            channel=body["channel"]["id"], ts=message["ts"], text="shipped", blocks=card("shipped")
        )

    @app.shortcut("order_shortcut")
    async def shortcut(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=order_form())

    @app.shortcut("about_message")
    async def about_message(ack: Any, respond: Any) -> None:
        await ack()
        await respond("About that message")

    @app.view_closed("order")
    async def closed(ack: Any) -> None:
        await ack()

    @app.event("app_home_opened")
    async def home(event: Json, client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": card("Home")})

    @app.event("message")
    async def message() -> None:
        pass

    return shop


@pytest.fixture
async def slack() -> AsyncIterator[Workspace]:
    workspace = Workspace(WindableClock())
    workspace.add_person(ANNA, "anna", real_name="Anna Andersen", locale="da-DK")
    workspace.add_person(BO, "bo")
    workspace.add_channel("general", {ANNA, BO, workspace.bot_user_id}, id="C0GENERAL")
    workspace.add_channel("random", {ANNA, BO}, id="C0RANDOM")
    workspace.add_channel("secret", {BO}, private=True, id="C0SECRET")
    server = Server(workspace.app)
    await server.start()
    workspace.base_url = server.url
    yield workspace
    await workspace.close()
    await server.stop()


@pytest.fixture
async def shop(slack: Workspace) -> AsyncIterator[Shop]:
    """A bot on Socket Mode."""
    shop = build(slack)
    await shop.connect()
    await slack.until(lambda: slack.connected)
    yield shop
    for handler in shop.handlers:
        await handler.close_async()


@pytest.fixture
async def web_shop(slack: Workspace) -> AsyncIterator[Shop]:
    """The same bot on signed HTTP."""
    shop = build(slack)
    handler = AsyncSlackRequestHandler(shop.app)

    async def endpoint(request: Request) -> Response:
        return await handler.handle(request)

    server = Server(Starlette(routes=[Route("/slack/events", endpoint, methods=["POST"])]))
    await server.start()
    slack.request_url = f"{server.url}/slack/events"
    yield shop
    await server.stop()


@pytest.fixture
def api(slack: Workspace) -> AsyncWebClient:
    return AsyncWebClient(token=slack.bot_token, base_url=f"{slack.base_url}/api/")


async def refused(call: Any) -> str:
    with pytest.raises(SlackApiError) as refusal:
        await call
    return str(refusal.value.response["error"])


# --- the way of an order, over both ways in


async def walk(slack: Workspace, shop: Shop) -> None:
    ack = await slack.command(ANNA, "C0GENERAL", "/order 25")
    assert ack.ok
    view = await slack.until(lambda: slack.modal(ANNA))
    assert view.title == "Order"

    assert (await slack.submit(ANNA, amount="13")).errors == {"how_much": "An unlucky number"}
    assert view.errors == {"how_much": "An unlucky number"}
    assert (await slack.submit(ANNA, amount="14")).response_action == "update"
    assert slack.modal(ANNA) is view
    assert view.title == "Sure?"
    assert (await slack.submit(ANNA, amount="15")).ok
    assert [v.title for v in slack.views.stack(ANNA)] == ["Sure?", "On top"]
    assert (await slack.submit(ANNA, amount="17")).ok
    assert slack.modal(ANNA) is None

    await slack.command(ANNA, "C0GENERAL", "/order")
    await slack.until(lambda: slack.modal(ANNA))
    assert (await slack.submit(ANNA, amount="20")).ok
    assert slack.modal(ANNA) is None
    [message] = await slack.until(lambda: slack.messages(slack.dm(ANNA)))
    assert message.text == "20 ordered"
    assert (await slack.press(ANNA, message, "ship")).ok
    await slack.until(lambda: message.edited)
    assert message.text == "shipped"
    with pytest.raises(CannotDo):
        await slack.press(ANNA, message, "ship")


async def test_an_order_over_socket_mode(slack: Workspace, shop: Shop) -> None:
    await walk(slack, shop)


async def test_an_order_over_http(slack: Workspace, web_shop: Shop) -> None:
    await walk(slack, web_shop)


async def test_a_commands_payload_is_what_slack_sends(slack: Workspace, web_shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/echo  hello there")
    [body] = web_shop.seen
    assert set(body) == {
        "token", "team_id", "team_domain", "channel_id", "channel_name", "user_id", "user_name", "command", "text",
        "api_app_id", "is_enterprise_install", "response_url", "trigger_id",
    }  # fmt: skip
    assert (body["command"], body["text"], body["channel_name"]) == ("/echo", "hello there", "general")
    assert body["is_enterprise_install"] == "false"


async def test_interactive_payloads_are_what_slack_sends(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    await slack.until(lambda: slack.modal(ANNA))
    await slack.submit(ANNA, amount="20")
    [message] = await slack.until(lambda: slack.messages(slack.dm(ANNA)))
    await slack.press(ANNA, message, "ship")
    submission = next(body for body in shop.seen if body.get("type") == "view_submission")
    pressed = next(body for body in shop.seen if body.get("type") == "block_actions")

    view = submission["view"]
    assert view["state"]["values"] == {"how_much": {"amount": {"type": "number_input", "value": "20"}}}
    assert view["private_metadata"] == "nonce-1"
    assert view["root_view_id"] == view["id"]
    assert view["previous_view_id"] is None
    assert submission["response_urls"] == []
    assert submission["user"] == {"id": ANNA, "username": "anna", "name": "anna", "team_id": slack.team_id}
    assert submission["team"] == {"id": slack.team_id, "domain": slack.team_domain}
    assert submission["enterprise"] is None
    assert pressed["container"]["message_ts"] == message.ts
    assert pressed["message"]["text"] == "20 ordered"
    assert pressed["message"]["bot_id"] == slack.bot_id
    [action] = pressed["actions"]
    assert (action["action_id"], action["value"], action["type"]) == ("ship", "1", "button")


async def test_a_workspace_of_an_enterprise_says_so() -> None:
    slack = Workspace(WindableClock(), enterprise_id="E0GROUP")
    slack.base_url = "http://127.0.0.1:1"
    slack.add_person(ANNA, "anna")
    channel = slack.add_channel("general", {ANNA}).id
    assert (await slack.command(ANNA, channel, "/order")).error == "dispatch_failed"
    payload = slack.deliveries[0].payload
    assert (payload["enterprise_id"], payload["team_id"]) == ("E0GROUP", slack.team_id)
    await slack.shortcut(ANNA, "order_shortcut")
    assert slack.deliveries[1].payload["enterprise"]["id"] == "E0GROUP"


# --- answers that only one person sees


async def test_an_answer_in_the_acknowledgement_is_ephemeral(slack: Workspace, shop: Shop) -> None:
    assert (await slack.command(ANNA, "C0RANDOM", "/echo hello")).text == "You said hello"
    [message] = slack.messages("C0RANDOM", for_user=ANNA)
    assert (message.text, message.ephemeral_to, message.bot_id) == ("You said hello", ANNA, slack.bot_id)
    assert slack.messages("C0RANDOM", for_user=BO) == []
    slack.reload(ANNA)
    assert slack.messages("C0RANDOM", for_user=ANNA) == []


async def test_a_response_url_answers_and_replaces(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0RANDOM", "/later")
    [message] = await slack.until(lambda: slack.messages("C0RANDOM", for_user=ANNA))
    assert message.ephemeral_to == ANNA
    assert (await slack.press(ANNA, message, "replace")).ok
    await slack.until(lambda: message.text == "Replaced")
    assert slack.messages("C0RANDOM") == [message]


async def test_ephemeral_messages_cannot_be_updated(slack: Workspace, api: AsyncWebClient) -> None:
    ts = (await api.chat_postEphemeral(channel="C0GENERAL", user=ANNA, text="psst"))["message_ts"]
    assert await refused(api.chat_update(channel="C0GENERAL", ts=ts, text="louder")) == "message_not_found"


async def test_a_response_url_works_five_times_and_thirty_minutes(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/echo x")
    await slack.command(ANNA, "C0GENERAL", "/echo y")
    first, second = (delivery.payload["response_url"] for delivery in slack.deliveries)
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.post(first, json={"text": "again"})).text == "ok"
        assert (await client.post(first, json={"text": "again"})).json()["error"] == "used_url"
        assert (await client.post(second, json={"txet": "misspelt"})).json()["error"] == "invalid_arguments"
        slack.clock.wind(minutes=31)  # type: ignore[attr-defined]
        assert (await client.post(second, json={"text": "late"})).json()["error"] == "expired_url"


# --- three seconds


async def test_a_late_acknowledgement_is_a_failure_that_the_person_sees(slack: Workspace, shop: Shop) -> None:
    started = time.monotonic()
    ack = await slack.command(ANNA, "C0GENERAL", "/slow")
    assert 2.9 < time.monotonic() - started < 3.3
    assert ack.error == "operation_timeout"
    assert slack.timeouts == [ack.delivery]
    [notice] = slack.messages("C0GENERAL", for_user=ANNA)
    assert "/slow failed with the error “operation_timeout”" in notice.text


async def test_nobody_there_is_a_failure_at_once(slack: Workspace) -> None:
    ack = await slack.command(ANNA, "C0GENERAL", "/order")
    assert ack.error == "dispatch_failed"
    assert ack.seconds < 0.5


async def test_a_form_stays_open_when_the_answer_is_useless(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    view = await slack.until(lambda: slack.modal(ANNA))
    ack = await slack.submit(ANNA, amount="16")
    assert ack.error == "invalid_response_action"
    assert slack.modal(ANNA) is view
    assert "trouble" in view.notice


async def test_a_bot_that_dies_with_a_payload_is_noticed(slack: Workspace, shop: Shop) -> None:
    asking = asyncio.create_task(slack.command(ANNA, "C0GENERAL", "/slow"))
    await slack.until(lambda: shop.seen)
    await shop.handlers[0].client.close()
    ack = await asking
    assert ack.error == "dispatch_failed"
    assert ack.seconds < 2


# --- triggers and views


async def open_by_hand(slack: Workspace, user: str = ANNA) -> str:
    """A trigger that no bot has used."""
    await slack.command(user, "C0GENERAL", "/order")
    return str(slack.deliveries[-1].payload["trigger_id"])


async def test_a_trigger_works_once_and_three_seconds(slack: Workspace, api: AsyncWebClient) -> None:
    trigger = await open_by_hand(slack)
    await api.views_open(trigger_id=trigger, view=order_form())
    assert await refused(api.views_open(trigger_id=trigger, view=order_form())) == "exchanged_trigger_id"
    late = await open_by_hand(slack)
    slack.clock.wind(3.1)  # type: ignore[attr-defined]
    assert await refused(api.views_open(trigger_id=late, view=order_form())) == "expired_trigger_id"
    assert await refused(api.views_open(trigger_id="made.up", view=order_form())) == "invalid_trigger_id"


async def test_a_refused_view_says_why_and_leaves_the_trigger(slack: Workspace, api: AsyncWebClient) -> None:
    trigger = await open_by_hand(slack)
    with pytest.raises(SlackApiError) as refusal:
        await api.views_open(trigger_id=trigger, view=order_form("A title that is longer than 24"))
    response = refusal.value.response
    assert response["error"] == "invalid_arguments"
    assert response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]
    await api.views_open(trigger_id=trigger, view=order_form())


async def test_an_update_with_an_old_hash_is_a_conflict(slack: Workspace, api: AsyncWebClient) -> None:
    view = (await api.views_open(trigger_id=await open_by_hand(slack), view=order_form()))["view"]
    await api.views_update(view_id=view["id"], hash=view["hash"], view=order_form("Newer"))
    stale = api.views_update(view_id=view["id"], hash=view["hash"], view=order_form("Stale"))
    assert await refused(stale) == "hash_conflict"
    await slack.close_view(ANNA)
    assert await refused(api.views_update(view_id=view["id"], view=order_form())) == "not_found"


async def test_what_was_entered_survives_an_update(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    view = await slack.until(lambda: slack.modal(ANNA))
    slack.fill(view, "amount", "42")
    await slack.press(ANNA, view, "quick_50")
    await slack.until(lambda: view.title == "50")
    assert view.state["how_much"]["amount"]["value"] == "42"


async def test_slacks_own_window_checks_fields_before_anything_is_sent(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    await slack.until(lambda: slack.modal(ANNA))
    sent = len(slack.deliveries)
    assert (await slack.submit(ANNA)).errors["how_much"] == "Please complete this required field."
    assert "number" in (await slack.submit(ANNA, amount="12,50")).errors["how_much"]
    assert "at least 1" in (await slack.submit(ANNA, amount="0.5")).errors["how_much"]
    assert len(slack.deliveries) == sent


async def test_at_most_three_views_are_stacked(slack: Workspace, api: AsyncWebClient) -> None:
    await api.views_open(trigger_id=await open_by_hand(slack), view=order_form())
    for expected in ("", "", "push_limit_reached"):
        view = slack.modal(ANNA)
        assert view is not None
        await slack.press(ANNA, view, "quick_25")
        push = api.views_push(trigger_id=slack.deliveries[-1].payload["trigger_id"], view=order_form("Next"))
        if expected:
            assert await refused(push) == expected
        else:
            await push
    assert len(slack.views.stack(ANNA)) == 3
    await slack.close_view(ANNA)
    assert len(slack.views.stack(ANNA)) == 2
    await slack.close_view(ANNA, everything=True)
    assert slack.modal(ANNA) is None


async def test_closing_is_told_to_a_bot_that_asked(slack: Workspace, shop: Shop, api: AsyncWebClient) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    view = await slack.until(lambda: slack.modal(ANNA))
    await api.views_update(view_id=view.id, view=order_form(notify_on_close=True))
    assert (await slack.close_view(ANNA)).ok  # type: ignore[union-attr]
    assert shop.seen[-1]["type"] == "view_closed"
    assert shop.seen[-1]["is_cleared"] is False


async def test_a_double_click_sends_two_submits(slack: Workspace, shop: Shop) -> None:
    await slack.command(ANNA, "C0GENERAL", "/order")
    await slack.until(lambda: slack.modal(ANNA))
    await asyncio.gather(slack.submit(ANNA, amount="20"), slack.submit(ANNA, amount="20"))
    assert [body.get("type") for body in shop.seen].count("view_submission") == 2


async def test_shortcuts_open_forms_and_answer_about_messages(slack: Workspace, shop: Shop) -> None:
    assert (await slack.shortcut(ANNA, "order_shortcut")).ok
    await slack.until(lambda: slack.modal(ANNA))
    message = await slack.say(BO, "C0GENERAL", "hello")
    assert (await slack.message_shortcut(ANNA, message, "about_message")).ok
    await slack.until(lambda: len(slack.messages("C0GENERAL", for_user=ANNA)) == 2)


async def test_app_home_is_published_when_it_is_opened(slack: Workspace, shop: Shop) -> None:
    await slack.open_home(ANNA)
    home = await slack.until(lambda: slack.home(ANNA))
    assert home.blocks[0]["text"]["text"] == "Home"
    await slack.open_home(ANNA)
    assert shop.seen[-1]["event"]["view"]["id"] == home.id
    assert shop.seen[-1]["type"] == "event_callback"


# --- posting


async def test_where_a_bot_may_post(slack: Workspace, api: AsyncWebClient) -> None:
    assert await refused(api.chat_postMessage(channel="C0NOWHERE", text="x")) == "channel_not_found"
    assert await refused(api.chat_postMessage(channel="C0SECRET", text="x")) == "channel_not_found"
    assert await refused(api.chat_postMessage(channel="C0RANDOM", text="x")) == "not_in_channel"
    slack.scopes.add("chat:write.public")
    await api.chat_postMessage(channel="C0RANDOM", text="x")
    slack.scopes.discard("chat:write.public")
    slack.invite("C0RANDOM", slack.bot_user_id)
    await api.chat_postMessage(channel="C0RANDOM", text="x")
    slack.remove("C0RANDOM", slack.bot_user_id)
    assert await refused(api.chat_postMessage(channel="C0RANDOM", text="x")) == "not_in_channel"
    slack.archive("C0GENERAL")
    assert await refused(api.chat_postMessage(channel="C0GENERAL", text="x")) == "is_archived"


async def test_a_message_to_a_user_id_lands_in_the_slackbot_conversation(slack: Workspace, api: AsyncWebClient) -> None:
    await api.chat_postMessage(channel=ANNA, text="lost")
    assert slack.messages(slack.dm(ANNA)) == []
    assert [m.text for m in slack.messages(slack.slackbot(ANNA))] == ["lost"]


async def test_conversations_are_opened_with_people_only(slack: Workspace, api: AsyncWebClient) -> None:
    slack.add_person("U0ROBOT", "robot", is_bot=True)
    slack.add_person("U0GONE", "gone", deleted=True)
    assert await refused(api.conversations_open(users="U0ROBOT")) == "cannot_dm_bot"
    assert await refused(api.conversations_open(users="U0GONE")) == "user_disabled"
    assert await refused(api.conversations_open(users="U0NOBODY")) == "user_not_found"
    assert (await api.conversations_open(users=ANNA))["channel"]["id"] == slack.dm(ANNA)


async def test_unknown_and_missing_arguments_are_refused_by_name(slack: Workspace, api: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError) as refusal:
        await api.chat_postMessage(channel="C0GENERAL", text="x", unfurl_link=False)
    assert refusal.value.response["error"] == "invalid_arguments"
    assert refusal.value.response["response_metadata"]["messages"] == ["[ERROR] unknown argument: unfurl_link"]
    with pytest.raises(SlackApiError) as refusal:
        await api.api_call("chat.update", json={"channel": "C0GENERAL", "text": "x"})
    assert refusal.value.response["response_metadata"]["messages"] == ["[ERROR] missing required field: ts"]
    assert await refused(api.api_call("chat.postMassage")) == "unknown_method"


async def test_forms_json_and_queries_are_read_alike(slack: Workspace, api: AsyncWebClient) -> None:
    await api.api_call("chat.postMessage", params={"channel": "C0GENERAL", "text": "form", "unfurl_links": "false"})
    await api.api_call("chat.postMessage", data={"channel": "C0GENERAL", "blocks": '[{"type": "divider"}]'})
    first, second = slack.messages("C0GENERAL")
    assert (first.text, first.unfurl_links) == ("form", False)
    assert second.blocks[0]["type"] == "divider"


async def test_tokens_and_scopes_are_checked(slack: Workspace, api: AsyncWebClient) -> None:
    stranger = AsyncWebClient(token="xoxb-other", base_url=f"{slack.base_url}/api/")
    assert await refused(stranger.auth_test()) == "invalid_auth"
    assert await refused(AsyncWebClient(base_url=f"{slack.base_url}/api/").auth_test()) == "not_authed"
    assert await refused(api.apps_connections_open(app_token=slack.bot_token)) == "not_allowed_token_type"
    with pytest.raises(SlackApiError) as refusal:
        await api.conversations_history(channel="C0GENERAL")
    assert refusal.value.response["error"] == "missing_scope"
    assert refusal.value.response["needed"] == "channels:history"
    answer = await api.auth_test()
    assert (answer["user_id"], answer["team_id"]) == (slack.bot_user_id, slack.team_id)
    assert set(answer.headers["x-oauth-scopes"].split(",")) == slack.scopes
    slack.token_trouble = "token_revoked"
    assert await refused(api.auth_test()) == "token_revoked"


async def test_a_file_is_seen_once_its_upload_is_completed(slack: Workspace, api: AsyncWebClient) -> None:
    place = slack.dm(ANNA)
    assert await refused(api.files_getUploadURLExternal(filename="a.csv", length=3)) == "missing_scope"
    slack.scopes.add("files:write")
    await api.files_upload_v2(channel=place, filename="a.csv", content=b"a,b", initial_comment="Here", title="A")

    [message] = slack.messages(place)
    [file] = message.files
    assert (message.text, file["name"], file["title"], file["size"]) == ("Here", "a.csv", "A", 3)
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(file["url_private"])).content == b"a,b"


async def test_an_upload_that_is_not_what_was_announced_is_not_taken(slack: Workspace, api: AsyncWebClient) -> None:
    slack.scopes.add("files:write")
    begun = await api.files_getUploadURLExternal(filename="a.csv", length=3)
    async with httpx.AsyncClient() as browser:
        assert (await browser.post(begun["upload_url"], content=b"a,b,c")).status_code == 400
    assert await refused(api.files_completeUploadExternal(files=[{"id": begun["file_id"]}])) == "file_not_found"
    assert slack.files.content(begun["file_id"]) is None


async def test_people_are_described_with_their_language(slack: Workspace, api: AsyncWebClient) -> None:
    user = (await api.users_info(user=ANNA, include_locale=True))["user"]
    assert (user["locale"], user["real_name"], user["is_restricted"]) == ("da-DK", "Anna Andersen", False)
    assert "locale" not in (await api.users_info(user=ANNA))["user"]
    slack.add_person("U0AWAY", "away", team_id="T0ELSEWHERE", is_stranger=True)
    assert (await api.users_info(user="U0AWAY"))["user"]["is_stranger"] is True
    assert await refused(api.users_info(user="U0NOBODY")) == "user_not_found"


async def test_only_its_own_messages_are_changed_by_a_bot(slack: Workspace, api: AsyncWebClient) -> None:
    theirs = await slack.say(ANNA, "C0GENERAL", "mine")
    assert await refused(api.chat_update(channel="C0GENERAL", ts=theirs.ts, text="x")) == "cant_update_message"
    assert await refused(api.chat_delete(channel="C0GENERAL", ts=theirs.ts)) == "cant_delete_message"
    ts = (await api.chat_postMessage(channel="C0GENERAL", text="a", blocks=card("a")))["ts"]
    await api.chat_update(channel="C0GENERAL", ts=ts, text="b")
    assert slack.message("C0GENERAL", ts).blocks != []  # left out means left alone
    await api.chat_delete(channel="C0GENERAL", ts=ts)
    assert await refused(api.chat_update(channel="C0GENERAL", ts=ts, text="c")) == "message_not_found"


async def test_history_pages_and_finds_metadata(slack: Workspace, api: AsyncWebClient) -> None:
    slack.scopes.add("channels:history")
    metadata = {"event_type": "purchase", "event_payload": {"id": "pur_1"}}
    first = (await api.chat_postMessage(channel="C0GENERAL", text="1", metadata=metadata))["ts"]
    for text in "23":
        await api.chat_postMessage(channel="C0GENERAL", text=text)
    page = await api.conversations_history(channel="C0GENERAL", limit=2)
    assert [m["text"] for m in page["messages"]] == ["3", "2"]
    cursor = page["response_metadata"]["next_cursor"]
    rest = await api.conversations_history(channel="C0GENERAL", cursor=cursor, include_all_metadata=True)
    assert rest["messages"][0]["metadata"] == metadata
    since = await api.conversations_history(channel="C0GENERAL", oldest=first)
    assert [m["text"] for m in since["messages"]] == ["3", "2"]


async def test_posting_faster_than_once_a_second_is_slowed_down(slack: Workspace, api: AsyncWebClient) -> None:
    slack.strict_rate = True
    for _ in range(3):
        await api.chat_postMessage(channel="C0GENERAL", text="x")
    with pytest.raises(SlackApiError) as refusal:
        await api.chat_postMessage(channel="C0GENERAL", text="x")
    assert refusal.value.response.status_code == 429
    assert refusal.value.response["error"] == "ratelimited"
    assert int(refusal.value.response.headers["Retry-After"]) >= 1
    slack.clock.wind(1)  # type: ignore[attr-defined]
    await api.chat_postMessage(channel="C0GENERAL", text="x")


async def test_faults_strike_where_they_are_armed(slack: Workspace, api: AsyncWebClient) -> None:
    slack.faults.arm("chat.postMessage", Kind.CUT_AFTER)
    await api.chat_postMessage(channel="C0GENERAL", text="posted twice by slack_sdk, which tries again by itself")
    assert len(slack.messages("C0GENERAL")) == 2
    api.retry_handlers.clear()
    slack.faults.arm("chat.postMessage", Kind.CUT_BEFORE)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await api.chat_postMessage(channel="C0GENERAL", text="never heard")
    assert len(slack.messages("C0GENERAL")) == 2
    slack.faults.arm("chat.*", Kind.RATE_LIMITED, retry_after=7)
    with pytest.raises(SlackApiError) as refusal:
        await api.chat_postMessage(channel="C0GENERAL", text="x")
    assert refusal.value.response.headers["Retry-After"] == "7"


# --- connections, retries, replays


async def test_payloads_take_turns_between_connections(slack: Workspace, shop: Shop) -> None:
    await shop.connect()
    await slack.until(lambda: slack.sockets.connections == 2)
    for number in range(4):
        assert (await slack.command(ANNA, "C0GENERAL", f"/echo {number}")).ok


async def test_a_bot_survives_refreshed_and_cut_connections(slack: Workspace, shop: Shop) -> None:
    await slack.refresh_sockets()
    await slack.until(lambda: slack.connected)
    assert (await slack.command(ANNA, "C0GENERAL", "/echo a")).ok
    await slack.cut_sockets()
    await slack.until(lambda: slack.connected)
    assert (await slack.command(ANNA, "C0GENERAL", "/echo b")).ok


async def test_a_ticket_opens_one_connection(slack: Workspace, api: AsyncWebClient) -> None:
    url = (await api.apps_connections_open(app_token=slack.app_token))["url"]
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
        with pytest.raises(Exception, match="403"):
            await session.ws_connect(url)


async def test_unheard_events_are_tried_again_by_the_clock(slack: Workspace) -> None:
    await slack.open_home(ANNA)
    await slack.until(lambda: slack.deliveries[0].attempts == 2)
    shop = build(slack)
    await shop.connect()
    await slack.until(lambda: slack.connected)
    slack.clock.wind(61)  # type: ignore[attr-defined]
    await slack.until(lambda: slack.home(ANNA))
    assert slack.deliveries[0].attempts == 3
    await shop.handlers[0].close_async()


async def test_a_replay_is_the_same_request_to_the_byte(slack: Workspace, web_shop: Shop) -> None:
    ack = await slack.command(ANNA, "C0GENERAL", "/echo once")
    assert ack.delivery is not None
    headers = dict(ack.delivery.headers)
    assert (await slack.replay()).text == "You said once"
    assert ack.delivery.headers == headers
    assert len(web_shop.seen) == 2
    assert len(slack.messages("C0GENERAL")) == 1


async def test_a_wrong_signature_is_not_acknowledged(slack: Workspace, web_shop: Shop) -> None:
    slack.deliverer.signing_secret = "another"
    assert (await slack.command(ANNA, "C0GENERAL", "/echo x")).error == "dispatch_failed"
    assert web_shop.seen == []


async def test_a_manifest_says_what_the_app_has(slack: Workspace, shop: Shop) -> None:
    slack.install(
        {
            "features": {"slash_commands": [{"command": "/echo", "description": "Says it again"}]},
            "oauth_config": {"scopes": {"bot": ["commands"]}},
        }
    )
    assert (await slack.command(ANNA, "C0GENERAL", "/echo x")).ok
    assert (await slack.command(ANNA, "C0GENERAL", "/order")).error == "invalid_command"
    assert slack.scopes == {"commands"}
    with pytest.raises(CannotDo, match="turned off"):
        await slack.command(ANNA, slack.dm(ANNA), "/echo where nobody can type")
    with pytest.raises(CannotDo):
        await slack.shortcut(ANNA, "order_shortcut")


async def test_messages_reach_a_bot_that_may_hear_them(slack: Workspace, shop: Shop) -> None:
    await slack.say(ANNA, slack.dm(ANNA), "nobody listens")
    assert shop.seen == []
    slack.events.add("message.im")
    slack.scopes.add("im:history")
    await slack.say(ANNA, slack.dm(ANNA), "hello")
    event = shop.seen[0]["event"]
    assert (event["type"], event["text"], event["channel_type"]) == ("message", "hello", "im")


async def test_every_listener_hears_of_every_change(slack: Workspace, api: AsyncWebClient) -> None:
    first, second = slack.changes(), slack.changes()
    ts = (await api.chat_postMessage(channel="C0GENERAL", text="x"))["ts"]
    for listener in (first, second):
        change = await anext(listener)
        assert (change["kind"], change["channel"], change["ts"]) == ("message", "C0GENERAL", ts)
