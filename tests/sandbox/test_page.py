"""The sandbox's page over HTTP: what it shows to whom, what it lets be done, and that nobody's words become markup."""

import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.sandbox import genstudio
from bot.sandbox.clock import WindableClock
from bot.sandbox.genstudio import GenStudio, Model
from bot.sandbox.languages import on_offer, own_name
from bot.sandbox.mail import Received
from bot.sandbox.page import Account, Entry, LedgerView, Page, Purchase, stream
from bot.sandbox.page import markdown as standard_markdown
from bot.sandbox.page.blocks import Blocks, Form, Templates
from bot.sandbox.page.dates import Reader
from bot.sandbox.page.mrkdwn import Mrkdwn, Names
from bot.sandbox.page.scene import SHOWN
from bot.sandbox.slack import Message, Workspace
from bot.sandbox.slack.feed import Feed
from bot.sandbox.stripe import StripeAccount
from bot.text import languages, texts_for
from bot.web.server import Server

MANIFEST = {
    "features": {
        "slash_commands": [
            {"command": "/buy-credits", "description": "Buy AI credits", "usage_hint": "[amount]"},
        ],
        "app_home": {"home_tab_enabled": True, "messages_tab_read_only_enabled": True},
        "shortcuts": [
            {"name": "Buy credits", "type": "global", "callback_id": "buy", "description": "Opens the form"},
            {
                "name": "About this message",
                "type": "message",
                "callback_id": "about",
                "description": "Not for everywhere",
            },
        ],
    },
    "settings": {"event_subscriptions": {"bot_events": ["app_home_opened"]}},
    "oauth_config": {"scopes": {"bot": ["commands", "chat:write", "im:write", "users:read"]}},
}


MODELS = [Model("openai", "gpt-5"), Model("anthropic", "claude-opus-5-5", note="dear")]
ROLES = {"UADA": "owner", "UGUS": "guest", "UBEN": "owner on Free Trial"}


@dataclass
class Bot:
    """Stands where the bot does: keeps what Slack sends it, and answers what the test says."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] | None = None
    reports: list[Request] = field(default_factory=list)
    refusal: str = ""

    async def hear(self, request: Request) -> Response:
        if request.headers["content-type"] == "application/json":
            self.heard.append(await request.json())
        else:
            form = dict(parse_qsl((await request.body()).decode()))
            self.heard.append(json.loads(form["payload"]) if "payload" in form else form)
        return Response() if self.answer is None else JSONResponse(self.answer)

    async def meter(self, request: Request) -> Response:
        await request.body()
        self.reports.append(request)
        return Response(self.refusal, 400) if self.refusal else Response(status_code=204)


@dataclass
class Sandbox:
    workspace: Workspace
    stripe: StripeAccount
    clock: WindableClock
    bot: Bot
    http: httpx.AsyncClient
    books: LedgerView = field(default_factory=LedgerView)
    wound: list[timedelta] = field(default_factory=list)
    mails: list[Received] = field(default_factory=list)

    async def page(self, user: str = "UADA", channel: str = "", tab: str = "") -> str:
        answer = await self.http.get("/", params={"as": user, "in": channel, "tab": tab})
        assert answer.status_code == 200
        return answer.text

    async def do(self, act: str, user: str = "UADA", **asked: Any) -> httpx.Response:
        return await self.http.post(f"/do/{act}", json={"as": user, **asked})

    async def post(self, channel: str, text: str, **more: Any) -> Message:
        """The bot writes a message."""
        headers = {"Authorization": f"Bearer {self.workspace.bot_token}"}
        url = f"{self.workspace.base_url}/api/chat.postMessage"
        answer = (await self.http.post(url, json={"channel": channel, "text": text, **more}, headers=headers)).json()
        assert answer["ok"], answer
        return self.workspace.message(answer["channel"], answer["ts"])

    async def open(self, user: str, view: dict[str, Any]) -> str:
        """The bot opens a modal; its id comes back."""
        trigger = self.workspace.new_trigger(user)
        headers = {"Authorization": f"Bearer {self.workspace.bot_token}"}
        url = f"{self.workspace.base_url}/api/views.open"
        answer = (await self.http.post(url, json={"trigger_id": trigger, "view": view}, headers=headers)).json()
        assert answer["ok"], answer
        return str(answer["view"]["id"])

    def general(self) -> str:
        return self.workspace.channel_named("general").id


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    clock, bot = WindableClock(), Bot()
    workspace, stripe = Workspace(clock), StripeAccount(clock)
    workspace.install(MANIFEST)
    workspace.add_person("UADA", "ada", real_name="Ada Lovelace")
    workspace.add_person("UGUS", "gus", real_name="Gus Guest", is_restricted=True)
    workspace.add_person("UBEN", "ben", real_name="Ben Okafor")
    workspace.add_person("USAM", "sam", real_name="Sam Stranger", is_stranger=True)
    workspace.add_channel("general", ["UADA", "UBEN", "UGUS", workspace.bot_user_id])
    workspace.add_channel("finance", ["UADA"], private=True)

    async def ledger() -> LedgerView:
        return made.books

    async def wind(step: timedelta) -> None:
        clock.wind(step.total_seconds())
        made.wound.append(step)

    routes = {"/": bot.hear, genstudio.EVENTS: bot.meter}
    hears = Starlette(routes=[Route(path, answer, methods=["POST"]) for path, answer in routes.items()])
    async with served(workspace.app) as slack_url, served(hears) as bot_url:
        workspace.base_url, workspace.request_url = slack_url, bot_url
        studio = GenStudio(bot_url, "cb_secret", clock, [genstudio.Account("acme", "Acme Labs")], MODELS)
        mails: list[Received] = []
        page = Page(workspace, stripe, studio, clock, ledger, wind, languages=on_offer(), mails=mails, roles=ROLES)
        async with served(page.app) as url, httpx.AsyncClient(base_url=url, timeout=10) as http:
            made = Sandbox(workspace, stripe, clock, bot, http, mails=mails)
            yield made
    await workspace.close()
    await stripe.close()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    server = Server(app)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()


# --- what is shown


async def test_the_switch_shows_everyone_with_their_role(sandbox: Sandbox) -> None:
    page = await sandbox.page("UBEN")

    for name, role in (("Ada Lovelace", "Owner"), ("Gus Guest", "Guest"), ("Ben Okafor", "Owner on Free Trial")):
        assert f"<b>{name}</b><small>{role}</small>" in page
    assert page.count('aria-current="true"') == 1
    assert "Sam Stranger" not in page


async def test_a_person_sees_only_their_own_channels(sandbox: Sandbox) -> None:
    assert "finance" in await sandbox.page("UADA")
    assert "finance" not in await sandbox.page("UBEN")


async def test_two_people_are_shown_next_to_each_other_each_with_their_own_place(sandbox: Sandbox) -> None:
    beside = parse_qs(
        urlsplit(html.unescape(between(await sandbox.page("UGUS"), 'data-testid="beside" href="', '"'))).query
    )
    assert beside["left"] == [f"?as=UGUS&in={sandbox.general()}"]
    assert beside["right"] == [f"?as=UADA&in={sandbox.general()}"]

    dm = sandbox.workspace.dm("UADA")
    answer = await sandbox.http.get("/both", params={"left": "?as=UBEN", "right": f"?as=UADA&in={dm}&tab=home"})

    frames = [dict(attributes)["src"] for tag, attributes in tags(answer.text) if tag == "iframe"]
    assert frames == [f"side?as=UBEN&in={sandbox.general()}", f"side?as=UADA&in={dm}&tab=home"]
    side = (await sandbox.http.get(f"/{frames[0]}")).text
    assert "Message #general" in side
    assert "Clock" not in side
    assert "Clock" in answer.text


async def test_mails_are_shown_newest_first_and_their_words_stay_words(sandbox: Sandbox) -> None:
    assert "What the bot sends by mail will arrive here." in await sandbox.page()
    for subject in ("Case 1", "Case <2>"):
        letter = EmailMessage()
        letter["Subject"], letter["From"], letter["Reply-To"] = (
            subject,
            "credits@acme.example",
            "Ada <ada@acme.example>",
        )
        letter.set_content("It was declined <b>twice</b>.")
        letter.add_attachment("submitted\ndeclined", filename="purchase.txt")
        at = sandbox.clock.now()
        sandbox.mails.append(
            Received(at, "credits@acme.example", ("support@x.example",), letter, secure=False, login="")
        )

    page = await sandbox.page()
    assert page.index("Case &lt;2&gt;") < page.index("Case 1")
    for words in (
        "It was declined &lt;b&gt;twice&lt;/b&gt;.",
        "Ada &lt;ada@acme.example&gt;",
        "purchase.txt",
        "to support@x.example",
    ):
        assert words in page


async def test_an_address_that_means_nothing_leads_to_the_first_person_and_channel(sandbox: Sandbox) -> None:
    assert "<title>#general · Sandbox</title>" in await sandbox.page("UNOBODY", "CNOWHERE", "nothing")


async def test_the_message_field_offers_the_commands_and_global_shortcuts_of_the_app(sandbox: Sandbox) -> None:
    page = await sandbox.page()

    assert 'data-command="/buy-credits"' in page
    assert "[amount]" in page
    assert 'data-shortcut="buy"' in page
    assert "About this message" not in page  # there is none yet


async def test_where_the_app_takes_no_messages_there_is_no_field_to_write_them_in(sandbox: Sandbox) -> None:
    assert 'id="composer-text"' in await sandbox.page("UADA", sandbox.general())

    page = await sandbox.page("UADA", sandbox.workspace.dm("UADA"))

    assert 'id="composer-text"' not in page
    assert "Sending messages to Credits has been turned off." in page


async def test_only_the_person_meant_sees_an_ephemeral_message_and_it_says_so(sandbox: Sandbox) -> None:
    sandbox.bot.answer = {"text": "Only the owner may buy."}
    await sandbox.do("say", "UBEN", channel=sandbox.general(), text="/buy-credits 5")

    page = await sandbox.page("UBEN", sandbox.general())
    assert "Only the owner may buy." in page
    assert "Only visible to you" in page
    assert "Only the owner may buy." not in await sandbox.page("UADA", sandbox.general())


async def test_a_file_in_a_message_can_be_opened(sandbox: Sandbox) -> None:
    message = await sandbox.post(sandbox.general(), "Here it is.")
    url = "http://127.0.0.1:1/files/F1"
    message.files.append({"title": "<november>.csv", "filetype": "csv", "size": 2048, "url_private": url})

    page = await sandbox.page()

    assert [dict(attributes).get("target") for _, attributes in tags(page) if ("href", url) in attributes] == ["_blank"]
    assert "&lt;november&gt;.csv" in page
    assert "CSV, 2.0 kB" in page


async def test_of_a_long_conversation_the_newest_messages_are_shown(sandbox: Sandbox) -> None:
    for number in range(SHOWN):
        await sandbox.workspace.say("UADA", sandbox.general(), f"Message {number}.")
    assert "newest messages" not in await sandbox.page(channel=sandbox.general())

    await sandbox.workspace.say("UADA", sandbox.general(), "One more.")

    page = await sandbox.page(channel=sandbox.general())
    assert page.count('data-testid="message"') == SHOWN
    assert "Message 0." not in page
    assert "One more." in page
    assert f"These are the {SHOWN} newest messages." in page


async def test_an_edited_message_says_so(sandbox: Sandbox) -> None:
    message = await sandbox.post(sandbox.general(), "charging")
    assert "(edited)" not in await sandbox.page()

    sandbox.workspace.rewrite(message, text="paid")

    page = await sandbox.page()
    assert "paid" in page
    assert "(edited)" in page


async def test_unread_messages_are_counted_until_the_conversation_is_opened(sandbox: Sandbox) -> None:
    await sandbox.post(sandbox.workspace.dm("UADA"), "one")
    await sandbox.post(sandbox.workspace.dm("UADA"), "two")
    assert unread(await sandbox.page("UADA", sandbox.general())) == ["2"]

    await sandbox.page("UADA", sandbox.workspace.dm("UADA"))

    assert unread(await sandbox.page("UADA", sandbox.general())) == []


async def test_the_panel_shows_the_books(sandbox: Sandbox) -> None:
    now = sandbox.clock.now()
    sandbox.books = LedgerView(
        accounts=[Account("Acme Labs", "Essential", "112.34")],
        entries=[Entry(2, now, "purchase:pi_1", "Credits bought", [("acme", "+100.00"), ("stripe", "-100.00")])],
        purchases=[Purchase("pur_1", "waiting_for_bank", "$100.00", "UBEN")],
    )
    page = await sandbox.page()
    for words in ("112.34", "Credits bought", "+100.00", "waiting for bank", '"buyer">Ben Okafor<', "Books balance ✓"):
        assert words in page

    sandbox.books = LedgerView(verified=False)
    assert "Books do not balance" in await sandbox.page()


async def test_the_panel_says_what_was_used_and_what_waits_for_a_price(sandbox: Sandbox) -> None:
    uses = ["gpt-5: 9 tokens in, 0.004 credits"]
    entry = Entry(3, sandbox.clock.now(), "usage:7", "Used in GenStudio", [], uses)
    account = Account("Acme Labs", "Essential", "1.99", exact="1.996", waiting=["2 × gpt-9 not booked yet"])
    sandbox.books = LedgerView(accounts=[account], entries=[entry])
    page = await sandbox.page()

    for words in ("Used in GenStudio", "gpt-5: 9 tokens in", ">1.99<", "exactly 1.996", "2 × gpt-9 not booked yet"):
        assert words in page


async def test_the_books_tell_time_as_the_viewer_does(sandbox: Sandbox) -> None:
    now = sandbox.clock.now()
    sandbox.books = LedgerView(entries=[Entry(1, now, "purchase:pi_1", "Credits bought", [])])
    ada, ben = sandbox.workspace.person("UADA"), sandbox.workspace.person("UBEN")
    ada.tz, ada.locale, ben.tz, ben.locale = "Asia/Kolkata", "en-GB", "Europe/Copenhagen", "en-GB"

    for user, zone in (("UADA", "Asia/Kolkata"), ("UBEN", "Europe/Copenhagen")):
        assert f"{now.astimezone(ZoneInfo(zone)):%H:%M:%S}</time>" in await sandbox.page(user)


async def test_the_page_loads_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    answer = await sandbox.http.get("/")

    assert "default-src 'none'" in answer.headers["content-security-policy"]
    loaded = [dict(attributes) for tag, attributes in tags(answer.text) if tag in ("script", "link", "img")]
    for attributes in loaded:
        url = attributes.get("src") or attributes.get("href") or ""
        assert url.startswith("static/")
        assert (await sandbox.http.get(f"/{url}")).status_code == 200


# --- what can be done


async def test_what_a_person_types_stays_text(sandbox: Sandbox) -> None:
    typed = "<script>alert(1)</script> <!channel> & <@UADA>"
    await sandbox.do("say", "UBEN", channel=sandbox.general(), text=typed)

    [message] = sandbox.workspace.messages(sandbox.general())
    assert message.text == "&lt;script&gt;alert(1)&lt;/script&gt; &lt;!channel&gt; &amp; &lt;@UADA&gt;"
    page = await sandbox.page("UADA", sandbox.general())
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &lt;!channel&gt; &amp; &lt;@UADA&gt;" in page
    assert "<script>alert" not in page
    assert "broadcast" not in page


async def test_a_command_reaches_the_bot(sandbox: Sandbox) -> None:
    answer = await sandbox.do("say", channel=sandbox.general(), text="/buy-credits 25")

    assert answer.json() == {}
    assert sandbox.bot.heard[0]["command"] == "/buy-credits"
    assert sandbox.bot.heard[0]["text"] == "25"


async def test_a_shortcut_reaches_the_bot(sandbox: Sandbox) -> None:
    await sandbox.do("shortcut", callback_id="buy")

    assert sandbox.bot.heard[0]["callback_id"] == "buy"


async def test_a_shortcut_in_the_menu_of_a_message_reaches_the_bot_with_the_message(sandbox: Sandbox) -> None:
    message = await sandbox.post(sandbox.general(), "It was declined.")
    assert 'data-shortcut="about"' in await sandbox.page()

    await sandbox.do("shortcut", callback_id="about", channel=message.channel, message=message.ts)

    assert sandbox.bot.heard[0]["type"] == "message_action"
    assert sandbox.bot.heard[0]["message"]["text"] == "It was declined."


async def test_a_button_in_a_message_reaches_the_bot(sandbox: Sandbox) -> None:
    button = {"type": "button", "action_id": "again", "value": "7", "text": plain("Buy again")}
    message = await sandbox.post(sandbox.general(), "paid", blocks=[{"type": "actions", "elements": [button]}])
    assert ">Buy again</button>" in await sandbox.page()

    pressed = {"channel": message.channel, "message": message.ts, "action": "again", "kind": "button", "value": "7"}
    await sandbox.do("press", **pressed, values={})

    assert sandbox.bot.heard[0]["actions"][0]["value"] == "7"


async def test_what_somebody_else_was_quicker_with_is_told_without_the_words_of_a_developer(sandbox: Sandbox) -> None:
    button = {"type": "button", "action_id": "approve", "text": plain("Approve")}
    message = await sandbox.post(sandbox.general(), "Asked", blocks=[{"type": "actions", "elements": [button]}])
    view = await sandbox.open("UADA", form())
    sandbox.workspace.rewrite(message, text="Approved", blocks=[])
    done = {"type": "modal", "title": plain("Done"), "blocks": [{"type": "divider"}]}
    sandbox.workspace.views.update(done, view_id=view)

    at_button = {"channel": message.channel, "message": message.ts}
    press = await sandbox.do("press", action="approve", kind="button", value=None, **at_button)
    submit = await sandbox.do("submit", view=view, values={})
    sandbox.workspace.erase(message)
    gone = await sandbox.do("press", action="approve", kind="button", value=None, **at_button)

    for answer in (press, submit, gone):
        assert (answer.status_code, answer.json()["problem"]) == (409, "This has changed in the meantime.")


async def test_the_home_tab_shows_what_the_bot_published(sandbox: Sandbox) -> None:
    dm = sandbox.workspace.dm("UADA")
    assert "nothing on its Home tab yet" in await sandbox.page("UADA", dm, "home")

    await sandbox.do("home")
    assert sandbox.bot.heard[0]["event"]["type"] == "app_home_opened"
    sandbox.workspace.views.publish(
        "UADA", {"type": "home", "blocks": [{"type": "header", "text": plain("12 credits")}]}
    )

    assert "<h3>12 credits</h3>" in await sandbox.page("UADA", dm, "home")


async def test_a_form_keeps_what_was_entered_and_shows_what_is_wrong_at_its_field(sandbox: Sandbox) -> None:
    view = await sandbox.open("UADA", form())
    sandbox.bot.answer = {"response_action": "errors", "errors": {"amount": "That is too <much>."}}
    values = {"amount": {"amount": "1e9"}, "card": {"card": ["new"]}, "ticks": {"ticks": ["save"]}}

    await sandbox.do("submit", view=view, values=values)

    state = sandbox.bot.heard[0]["view"]["state"]["values"]
    assert state["amount"]["amount"]["value"] == "1e9"
    assert state["card"]["card"]["selected_option"]["value"] == "new"
    assert [option["value"] for option in state["ticks"]["ticks"]["selected_options"]] == ["save"]
    page = await sandbox.page()
    assert "That is too &lt;much&gt;." in page
    assert 'aria-invalid="true"' in page
    assert 'value="1e9"' in page


async def test_a_form_can_be_closed_and_is_gone_for_good(sandbox: Sandbox) -> None:
    view = await sandbox.open("UADA", form())
    assert 'id="modal-title">Buy credits' in await sandbox.page()
    assert 'id="modal-title"' not in await sandbox.page("UBEN")

    await sandbox.do("close", view=view, all=False)

    assert 'id="modal-title"' not in await sandbox.page()
    late = await sandbox.do("submit", view=view, values={})
    assert late.status_code == 409
    assert late.json()["problem"] == "This is not open any more."


async def test_winding_moves_the_clock_forward_only(sandbox: Sandbox) -> None:
    await sandbox.do("wind", seconds=3600)
    assert (await sandbox.do("wind", seconds=-3600)).status_code == 409

    assert sandbox.wound == [timedelta(hours=1)]
    assert 'data-ahead="3600"' in await sandbox.page()


async def test_a_person_changes_their_language(sandbox: Sandbox) -> None:
    await sandbox.do("language", locale="da-DK")
    assert (await sandbox.do("language", locale="xx")).status_code == 409

    assert sandbox.workspace.person("UADA").locale == "da-DK"
    assert '<option value="da-DK" selected>Dansk</option>' in await sandbox.page()


async def test_what_the_bot_says_to_one_person_is_marked_as_being_in_their_language(sandbox: Sandbox) -> None:
    """For whoever hears the page, and for the letters that Chinese and Japanese write differently."""

    async def marked(kind: str, **where: str) -> list[bool]:
        found = [dict(facts) for _, facts in tags(await sandbox.page(**where))]
        return [facts.get("lang") == "ja-JP" for facts in found if kind in (facts.get("class") or "").split()]

    dm, general = sandbox.workspace.dm("UADA"), sandbox.general()
    sandbox.bot.answer = {"text": "To you"}
    await sandbox.do("language", locale="ja-JP")
    await sandbox.post(general, "To everybody")
    await sandbox.do("say", channel=general, text="/buy-credits")
    await sandbox.post(dm, "To you")
    sandbox.workspace.views.publish("UADA", {"type": "home", "blocks": [{"type": "divider"}]})
    await sandbox.open("UADA", form())

    assert await marked("message", channel=general) == [False, True]
    assert await marked("message", channel=dm) == [True]
    assert await marked("home", channel=dm, tab="home") == [True]
    assert await marked("modal-form") == [True]


async def test_the_languages_stay_in_their_order_whichever_is_chosen(sandbox: Sandbox) -> None:
    for locale in ("en-US", "da-DK", "uk-UA"):
        await sandbox.do("language", locale=locale)
        offered = between(await sandbox.page(), 'data-testid="language"', "</select>")
        assert re.findall(r'<option value="([^"]+)"', offered) == [code for code, _ in on_offer()]


@pytest.mark.parametrize("language", languages())
def test_each_language_of_the_bot_can_be_chosen_and_is_understood(language: str) -> None:
    [locale] = [locale for locale, name in on_offer() if name == own_name(language)]

    assert re.fullmatch("[a-z]{2}-[A-Z]{2}", locale)
    assert texts_for(locale).language == language


async def test_the_saved_card_is_switched(sandbox: Sandbox) -> None:
    customer = sandbox.stripe.customers.create({"name": "Acme Labs"})["id"]
    await sandbox.do("card", customer=customer, card="visa")
    await sandbox.do("card", customer=customer, card="authentication_required")

    [method] = sandbox.stripe.customers.methods_of(customer)
    assert sandbox.stripe.customers.card_of(method).name == "authentication_required"
    assert '<option value="authentication_required" selected>' in await sandbox.page()
    assert (await sandbox.do("card", customer="cus_other", card="visa")).status_code == 409


# --- GenStudio


async def test_one_call_of_a_model_is_one_event_sent_with_the_bearer_token(sandbox: Sandbox) -> None:
    assert (await sandbox.do("use", account="acme", model="openai/gpt-5", work="question")).status_code == 200

    [report] = sandbox.bot.reports
    event = await report.json()
    assert report.headers["authorization"] == "Bearer cb_secret"
    assert report.headers["content-type"] == "application/cloudevents+json"
    assert (event["specversion"], event["source"], event["subject"]) == ("1.0", "genstudio", "acme")
    assert sandbox.clock.now() - timedelta(minutes=1) < datetime.fromisoformat(event["time"]) <= sandbox.clock.now()
    assert event["data"] == {
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 1_200,
        "input_includes_cached": True,
        "cached_input_tokens": 0,
        "output_tokens": 350,
    }


@pytest.mark.parametrize(
    ("model", "input_tokens", "includes"), [("openai/gpt-5", 20_000, True), ("anthropic/claude-opus-5-5", 5_000, False)]
)
async def test_an_afternoon_is_a_batch_that_counts_cached_tokens_as_the_provider_does(
    sandbox: Sandbox, model: str, input_tokens: int, includes: bool
) -> None:
    await sandbox.do("use", account="acme", model=model, work="afternoon")

    [report] = sandbox.bot.reports
    events = await report.json()
    assert report.headers["content-type"] == "application/cloudevents-batch+json"
    assert len({event["id"] for event in events}) == len(events) == 40
    for counts in (event["data"] for event in events):
        assert (counts["input_tokens"], counts["input_includes_cached"]) == (input_tokens, includes)
        assert (counts["cached_input_tokens"], counts["output_tokens"]) == (15_000, 1_000)


async def test_what_the_bot_answers_to_genstudio_is_shown_as_it_came(sandbox: Sandbox) -> None:
    await sandbox.do("use", account="acme", model="openai/gpt-5", work="question")
    assert "204 No Content" in await sandbox.page()

    sandbox.bot.refusal = '{"detail": "<b>Nothing</b> was booked."}'
    await sandbox.do("use", account="acme", model="openai/gpt-5", work="afternoon")

    page = await sandbox.page("UBEN")
    assert "Reported 40 events" in page
    assert "400 Bad Request" in page
    assert "{&#34;detail&#34;: &#34;&lt;b&gt;Nothing&lt;/b&gt; was booked.&#34;}" in page
    assert "204 No Content" not in page


async def test_genstudio_uses_only_what_it_has(sandbox: Sandbox) -> None:
    for model, work in (("openai/gpt-6", "question"), ("openai/gpt-5", "weekend")):
        assert (await sandbox.do("use", account="acme", model=model, work=work)).status_code == 409

    assert sandbox.bot.reports == []
    page = await sandbox.page()
    assert '<option value="anthropic/claude-opus-5-5">claude-opus-5-5 (dear)</option>' in page
    assert "an afternoon of work (840,000 tokens)" in page


# --- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_another_site_can_do_nothing(sandbox: Sandbox, headers: dict[str, str]) -> None:
    body = json.dumps({"as": "UADA", "channel": sandbox.general(), "text": "/buy-credits 99"})
    sent = {"Content-Type": "application/json"} | headers

    answer = await sandbox.http.post("/do/say", content=body, headers=sent)

    assert answer.status_code == 403
    assert sandbox.bot.heard == []


async def test_the_page_itself_can(sandbox: Sandbox) -> None:
    headers = {"Origin": str(sandbox.http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}

    answer = await sandbox.http.post("/do/wind", json={"as": "UADA", "seconds": 60}, headers=headers)

    assert answer.status_code == 200


async def test_a_name_that_somebody_pointed_at_this_machine_is_refused(sandbox: Sandbox) -> None:
    assert (await sandbox.http.get("/", headers={"Host": "evil.example"})).status_code == 400


async def test_nonsense_is_refused(sandbox: Sandbox) -> None:
    assert (await sandbox.do("fly")).status_code == 404
    assert (await sandbox.do("say", "UNOBODY", channel="C", text="hi")).status_code == 409
    broken = await sandbox.http.post("/do/say", content="{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    assert (await sandbox.do("say", channel=sandbox.general(), text="x" * 300_000)).status_code == 403


# --- the stream


async def test_the_stream_sends_everything_first_and_then_what_changed(sandbox: Sandbox) -> None:
    async with sandbox.http.stream("GET", "/stream", params={"as": "UADA"}) as answer:
        events = heard(answer)
        first = await anext(events)
        assert {"title", "sidebar", "conversation", "modal", "accounts"} <= first["fragments"].keys()

        await sandbox.post(sandbox.general(), "news")
        second = await anext(events)
        assert second["fragments"].keys() == {"conversation"}
        assert "news" in second["fragments"]["conversation"]

        sandbox.books = LedgerView(accounts=[Account("Acme Labs", "Essential", "5.00")])
        assert (await anext(events))["fragments"].keys() == {"accounts"}


async def test_after_a_quiet_while_only_the_books_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_AGAIN_SECONDS", 0.01)
    feed, drawn = Feed(), []

    async def draw(what: str) -> dict[str, str]:
        drawn.append(what)
        return {"accounts": str(len(drawn))}

    events = stream.events(feed.listen(), "UADA", partial(draw, "all"), partial(draw, "books"))
    for _ in range(3):
        await anext(events)
    feed.publish("message")
    await anext(events)
    assert drawn == ["all", "books", "books", "all"]


async def test_a_notice_goes_to_the_person_it_is_for(sandbox: Sandbox) -> None:
    async with sandbox.http.stream("GET", "/stream", params={"as": "UADA"}) as answer:
        events = heard(answer)
        await anext(events)

        sandbox.workspace.toast("UBEN", "not for Ada")
        sandbox.workspace.toast("UADA", "for Ada")

        assert await anext(events) == {"toast": "for Ada"}


# --- words into HTML

READER = Reader(datetime(2026, 11, 22, 12, tzinfo=UTC), "Europe/Copenhagen", "en-GB")
MRKDWN = Mrkdwn(Names({"UADA": "Ada"}, {"CGEN": "general"}), READER)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a _b_* ~c~", "<strong>a <em>b</em></strong> <s>c</s>"),
        ("2*3*4 and snake_case_name", "2*3*4 and snake_case_name"),
        ("`*x* &lt;b&gt;`", "<code>*x* &lt;b&gt;</code>"),
        ("```\n*x*\n```", "<pre>*x*</pre>"),
        ("&gt; a\n> b\nc", "<blockquote>a<br>b</blockquote>c"),
        ("a\nb", "a<br>b"),
        (":tada: :nosuchthing:", "🎉 :nosuchthing:"),
        ("<@UADA|x>", '<span class="mention" data-user="UADA">@Ada</span>'),
        ("<#CGEN>", '<span class="mention">#general</span>'),
        ("<!channel>", '<span class="mention broadcast">@channel</span>'),
        ("&lt;!channel&gt;", "&lt;!channel&gt;"),
        ("&amp;lt;", "&amp;lt;"),
        ("<javascript:alert(1)|here>", "&lt;javascript:alert(1)|here&gt;"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("<mailto:a@b.c|a@b.c>", '<a href="mailto:a@b.c" target="_blank" rel="noopener noreferrer">a@b.c</a>'),
        (
            "<https://a.b/c_d?x=1&amp;y=2|pay>",
            '<a href="https://a.b/c_d?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">pay</a>',
        ),
        (
            "see https://a.b/c.",
            'see <a href="https://a.b/c" target="_blank" rel="noopener noreferrer">https://a.b/c</a>.',
        ),
    ],
)
def test_mrkdwn(text: str, html: str) -> None:
    assert MRKDWN(text) == html


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{date_short_pretty} at {time}", "today at 12:30"),
        ("{date}", "November 22nd, 2026"),
        ("{date_long}", "Sunday, November 22nd, 2026"),
        ("{date_num} {time_secs} {ago} {unknown}", "2026-11-22 12:30:05 29 minutes ago {unknown}"),
    ],
)
def test_dates_are_the_readers_own(template: str, words: str) -> None:
    moment = int(datetime(2026, 11, 22, 11, 30, 5, tzinfo=UTC).timestamp())

    assert f">{words}</time>" in MRKDWN(f"<!date^{moment}^{template}|then>")


@pytest.mark.parametrize(
    ("locale", "words"),
    [("da-DK", "22. nov. 2026 12:30"), ("es-LA", "22 nov 2026 12:30"), ("zh-TW", "2026年11月22日 12:30")],
)
def test_dates_are_in_the_readers_language(locale: str, words: str) -> None:
    moment = int(datetime(2026, 11, 22, 11, 30, tzinfo=UTC).timestamp())
    mrkdwn = Mrkdwn(Names({}, {}), replace(READER, locale=locale))

    assert f">{words}</time>" in mrkdwn(f"<!date^{moment}^{{date_short_pretty}} {{time}}|then>")


def test_in_little_room_a_moment_of_today_is_its_time_and_any_other_its_day() -> None:
    assert READER.stamp(datetime(2026, 11, 21, 23, 30, 5, tzinfo=UTC)) == "00:30:05"
    assert READER.stamp(datetime(2026, 11, 21, 22, 30, 5, tzinfo=UTC)) == "Nov 21, 23:30"


MARKUP = st.text(alphabet="ab <>&!@#*_~`:/|^\"'=-\n.()[]", max_size=120) | st.text(max_size=40)
HARMLESS = {"strong", "em", "s", "code", "pre", "blockquote", "br", "span", "a", "time", "p", "ul", "ol", "li", "hr"}


@given(MARKUP)
def test_nobodys_words_become_markup_of_their_own(text: str) -> None:
    for render in (MRKDWN, standard_markdown.render):
        for tag, attributes in tags(render(text)):
            assert tag in HARMLESS
            assert {name for name, _ in attributes} <= {"href", "target", "rel", "class", "datetime", "data-user"}


# --- Block Kit


def test_every_block_and_element_is_drawn() -> None:
    html = drawn(*everything())

    assert "cannot draw" not in html
    for tag in ("textarea", "select", "svg", "table", "hr", "blockquote", "figure", "template"):
        assert tag in {name for name, _ in tags(html)}
    for words in ("Ada", "One", "the first", "Show the figures", "Sure?", "60.00"):
        assert words in html


def test_a_block_that_is_not_known_says_so() -> None:
    assert "cannot draw a “hologram”" in drawn({"type": "hologram"})


@pytest.mark.parametrize("kind", ["line", "area", "bar", "pie"])
def test_charts_carry_their_figures_as_a_table(kind: str) -> None:
    html = drawn(chart(kind))

    assert f"chart {kind}" in html
    assert "12.5" in html
    assert "NaN" not in html


def test_links_open_beside_the_page_and_only_web_links_are_links() -> None:
    def link(url: str) -> list[dict[str, str | None]]:
        button = {"type": "button", "action_id": "pay", "text": plain("Pay"), "url": url}
        html = drawn({"type": "actions", "elements": [button]})
        return [dict(attributes) for tag, attributes in tags(html) if tag == "a"]

    [pay] = link("https://checkout.example/pay?a=1&b=2")
    assert pay["target"] == "_blank"
    assert pay["rel"] == "noopener noreferrer"
    assert link("javascript:alert(1)") == []


def test_pictures_from_elsewhere_are_described_not_loaded() -> None:
    def pictures(url: str) -> list[str]:
        return [tag for tag, _ in tags(drawn({"type": "image", "image_url": url, "alt_text": "A cat"})) if tag == "img"]

    assert pictures("https://tracker.example/cat.png") == []
    assert pictures("http://127.0.0.1:8000/cat.png") == ["img"]


@pytest.mark.parametrize(("kind", "name"), [("users", "UADA"), ("channels", "CGEN"), ("conversations", "CGEN")])
def test_a_menu_of_which_several_are_chosen_is_a_list_to_tick(kind: str, name: str) -> None:
    """With what was chosen before ticked, or whoever saves a form without a change would take it all away."""
    html = drawn(field_of("some", {"type": f"multi_{kind}_select", f"initial_{kind}": [name]}))

    boxes = [dict(attributes) for tag, attributes in tags(html) if tag == "input"]
    assert [(box["type"], box["value"], "checked" in box) for box in boxes] == [("checkbox", name, True)]


def test_a_choice_can_be_taken_back_only_where_it_is_optional() -> None:
    """Slack's window has no way to clear another menu, so no bot expects to hear of it."""
    menu = {"type": "static_select", "action_id": "menu", "options": [{"text": plain("One"), "value": "1"}]}

    def can_be_emptied(block: dict[str, Any]) -> bool:
        [empty] = [facts for tag, each in tags(drawn(block)) if tag == "option" and not (facts := dict(each))["value"]]
        return "disabled" not in empty and "hidden" not in empty

    assert not can_be_emptied({"type": "actions", "elements": [menu]})
    assert not can_be_emptied(field_of("one", {**menu, "initial_option": menu["options"][0]}))
    assert can_be_emptied(field_of("one", menu, optional=True))


def test_every_field_has_a_name() -> None:
    parsed = tags(drawn(*everything()))
    named = {dict(attributes).get("for") for tag, attributes in parsed if tag == "label"}
    for tag, attributes in parsed:
        facts = dict(attributes)
        if tag in ("input", "select", "textarea") and facts.get("type") not in ("radio", "checkbox"):
            assert facts.get("aria-label") or facts["id"] in named


# --- what the tests are made of


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def drawn(*blocks: dict[str, Any]) -> str:
    return str(Blocks(Templates(), MRKDWN)(blocks, Form(), key="k"))


class Tags(HTMLParser):
    """Every opening tag of a piece of HTML, with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def tags(html: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return Tags(html).found


def between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


def unread(page: str) -> list[str]:
    return [part.partition("<")[0] for part in page.split('data-testid="unread">')[1:]]


async def heard(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield {name: json.loads(line.removeprefix("data: "))}


def form() -> dict[str, Any]:
    options = [{"text": plain("My card"), "value": "old"}, {"text": plain("A new card"), "value": "new"}]
    ticks = [{"text": plain("Save it"), "value": "save"}]
    return {
        "type": "modal",
        "title": plain("Buy credits"),
        "submit": plain("Buy"),
        "blocks": [
            field_of("amount", {"type": "plain_text_input"}),
            field_of("card", {"type": "static_select", "options": options}),
            field_of("ticks", {"type": "checkboxes", "options": ticks}),
        ],
    }


def field_of(name: str, element: dict[str, Any], **more: Any) -> dict[str, Any]:
    element = {"action_id": name, **element}
    return {"type": "input", "block_id": name, "label": plain(name.capitalize()), "element": element, **more}


def chart(kind: str) -> dict[str, Any]:
    points = [("Mon", 12.5), ("Tue", -3), ("Wed", 0)]
    if kind == "pie":
        made: dict[str, Any] = {"type": "pie", "segments": [{"label": "All", "value": 12.5}]}
    else:
        series = [{"name": "Used", "data": [{"label": label, "value": value} for label, value in points]}]
        made = {"type": kind, "series": series, "axis_config": {"categories": [label for label, _ in points]}}
    return {"type": "data_visualization", "title": "Credits used", "chart": made}


def everything() -> list[dict[str, Any]]:
    options = [
        {"text": plain("One"), "value": "1", "description": plain("the first")},
        {"text": plain("Two"), "value": "2"},
    ]
    confirm = {"title": plain("Sure?"), "text": plain("Really?"), "confirm": plain("Yes"), "deny": plain("No")}
    button = {"type": "button", "action_id": "press", "text": plain("Press"), "style": "danger", "confirm": confirm}
    words = {"type": "text", "text": "bold", "style": {"bold": True, "code": True}}
    section = {"type": "rich_text_section", "elements": [words, {"type": "user", "user_id": "UADA"}]}
    rich = [
        section,
        {"type": "rich_text_list", "style": "ordered", "elements": [section]},
        {
            "type": "rich_text_quote",
            "elements": [{"type": "link", "url": "https://a.b"}, {"type": "emoji", "name": "tada"}],
        },
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x\ny"}]},
    ]
    rows = [[{"type": "raw_text", "text": "Model"}, {"type": "raw_text", "text": "Credits"}]]
    rows.append([{"type": "raw_text", "text": "GPT"}, {"type": "raw_text", "text": "60.00"}])
    return [
        {"type": "header", "text": plain("Header")},
        {"type": "section", "text": plain("With a button"), "accessory": button},
        {"type": "section", "fields": [plain("a"), plain("b")]},
        {
            "type": "section",
            "text": plain("Pick"),
            "accessory": {"type": "checkboxes", "action_id": "t", "options": options},
        },
        {"type": "divider"},
        {
            "type": "context",
            "elements": [plain("small"), {"type": "image", "image_url": "https://x.y", "alt_text": "z"}],
        },
        {
            "type": "actions",
            "elements": [
                button,
                {"type": "overflow", "action_id": "more", "options": options},
                {"type": "static_select", "action_id": "menu", "placeholder": plain("Pick"), "options": options},
                {"type": "datepicker", "action_id": "day", "placeholder": plain("A day"), "initial_date": "2026-12-01"},
                {"type": "users_select", "action_id": "who", "placeholder": plain("Who")},
            ],
        },
        {"type": "alert", "level": "warning", "text": plain("Low")},
        {"type": "markdown", "text": "# Title\n\n- one\n- **two**\n\n> [link](https://a.b)\n\n```\ncode\n```"},
        {"type": "rich_text", "elements": rich},
        {"type": "table", "rows": rows, "column_settings": [{"align": "left"}, {"align": "right"}]},
        chart("bar"),
        field_of("text", {"type": "plain_text_input", "multiline": True}, hint=plain("Hint"), optional=True),
        field_of(
            "number", {"type": "number_input", "is_decimal_allowed": True, "min_value": "1", "initial_value": "5"}
        ),
        field_of("mail", {"type": "email_text_input"}),
        field_of("one", {"type": "radio_buttons", "options": options, "initial_option": options[1]}),
        field_of("many", {"type": "multi_static_select", "options": options, "initial_options": options}),
        field_of("at", {"type": "timepicker", "initial_time": "12:00"}),
        field_of("url", {"type": "url_text_input"}),
    ]
