"""The boundary, through a real Bolt and a real socket: whatever a listener does, the person hears back."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, InputBlock, PlainTextInputElement, SectionBlock
from slack_sdk.models.views import View

from bot.accounts.model import NotFullMember, NotOwner, Standing
from bot.clockwork import Crew
from bot.errors import Outage
from bot.money import GREATEST, LEAST
from bot.purchases.model import Frozen, TooLittle
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Faults, Kind
from bot.sandbox.slack import Workspace
from bot.slack import bolt
from bot.slack.boundary import Boundary
from bot.slack.socket import SocketMode
from bot.text import Texts, texts_for
from bot.web.server import Server

ANNA, BO = "U0ANNA", "U0BO"
SUPPORT = "support@skydeck.ai"
BUTTON = ActionsBlock(elements=[ButtonElement(text="Go", action_id="go")])
AMOUNT = InputBlock(block_id="amount_typed", label="Amount", element=PlainTextInputElement(action_id="amount"))
FORM = View(type="modal", callback_id="form", title="Form", submit="Go", blocks=[BUTTON, AMOUNT])

Deed = Callable[[AsyncArgs], Awaitable[None]]


@dataclass
class Scene:
    """A workspace, and an app in it of which every listener does ``deed``."""

    slack: Workspace
    faults: Faults
    channel: str
    deed: Deed = field(default=lambda args: asyncio.sleep(0))

    async def do(self, args: AsyncArgs) -> None:
        await self.deed(args)

    def fails_with(self, error: Exception) -> None:
        async def fail(args: AsyncArgs) -> None:
            raise error

        self.deed = fail

    async def heard(self, user: str = ANNA) -> str:
        """What only this person sees, once it is there."""
        found = await self.slack.until(
            lambda: [each for each in self.slack.messages(self.channel, user) if each.ephemeral_to == user]
        )
        return found[-1].text

    async def shown(self, title: str, user: str = ANNA) -> str:
        """What the modal of this title in front of the person says, once it is there."""
        await self.slack.until(lambda: (top := self.slack.modal(user)) and top.title == title)
        front = self.slack.modal(user)
        assert front is not None
        return str(front.blocks[0]["text"]["text"])

    async def open_form(self) -> None:
        async def show(args: AsyncArgs) -> None:
            await args.client.views_open(trigger_id=args.body["trigger_id"], view=FORM)

        self.deed = show
        await self.slack.shortcut(ANNA, "open")
        await self.slack.until(lambda: self.slack.modal(ANNA))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    faults = Faults()
    slack = Workspace(WindableClock(), faults=faults)
    slack.add_person(ANNA, "anna")
    slack.add_person(BO, "bo", locale="da-DK")
    channel = slack.add_channel("general", [ANNA, BO, slack.bot_user_id]).id
    server = Server(slack.app)
    await server.start()
    slack.base_url = server.url

    def texts_of(user: str) -> Texts:
        return texts_for(slack.people[user].locale)

    crew = Crew(10)
    boundary = Boundary(texts_of, crew, SUPPORT)
    app = bolt.build(token=slack.bot_token, api_url=f"{slack.base_url}/api/")
    scene = Scene(slack, faults, channel)
    app.command("/try")(boundary.later(scene.do))
    app.shortcut("open")(boundary.later(scene.do))
    app.action("go")(boundary.later(scene.do))
    app.view("form")(boundary.now(scene.do))
    bolt.acknowledge_the_rest(app)
    socket = SocketMode(app, slack.app_token, slack.clock)
    await socket.start()
    await slack.until(lambda: slack.connected)
    yield scene
    await socket.stop()
    await crew.stop()
    await slack.close()
    await server.stop()


# ── a rule said no ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_command_is_answered_to_that_person_only(scene: Scene) -> None:
    scene.fails_with(NotOwner(account="Acme & <!channel>", owners=("U1", "U2")))
    ack = await scene.slack.command(ANNA, scene.channel, "/try")
    assert ack.ok
    assert await scene.heard() == (
        "Only an owner of *Acme &amp; &lt;!channel&gt;* can buy credits. Please ask <@U1> or <@U2>."
    )
    assert [each for each in scene.slack.messages(scene.channel) if each.ephemeral_to is None] == []


async def test_each_hears_it_in_their_language(scene: Scene) -> None:
    scene.fails_with(NotFullMember(Standing.GUEST, account="Acme", owners=("U1",)))
    await scene.slack.command(BO, scene.channel, "/try")
    assert await scene.heard(BO) == "Gæster kan ikke købe kredit for *Acme*. Spørg <@U1>."


async def test_a_refused_shortcut_is_answered_in_a_window(scene: Scene) -> None:
    scene.fails_with(Frozen())
    assert (await scene.slack.shortcut(ANNA, "open")).ok
    assert SUPPORT in await scene.shown("Credits")


async def test_a_refused_form_says_it_at_its_field_and_stays_open(scene: Scene) -> None:
    await scene.open_form()
    scene.fails_with(TooLittle(least=LEAST, greatest=GREATEST))
    ack = await scene.slack.submit(ANNA, amount="0.50")
    assert ack.errors == {"amount_typed": "The least amount is $1.00."}
    form = scene.slack.modal(ANNA)
    assert form is not None
    assert form.state["amount_typed"]["amount"]["value"] == "0.50"


async def test_a_refusal_of_the_whole_form_takes_its_place(scene: Scene) -> None:
    await scene.open_form()
    scene.fails_with(Frozen())
    assert (await scene.slack.submit(ANNA, amount="5")).ok
    assert "Buying is paused" in await scene.shown("Credits")


async def test_a_refused_button_in_a_form_is_answered_above_it(scene: Scene) -> None:
    await scene.open_form()
    form = scene.slack.modal(ANNA)
    assert form is not None
    scene.fails_with(Frozen())
    await scene.slack.press(ANNA, form, "go")
    assert "Buying is paused" in await scene.shown("Credits")
    await scene.slack.close_view(ANNA)
    back = scene.slack.modal(ANNA)
    assert back is not None
    assert back.title == "Form"


async def test_a_refused_button_in_a_message_leaves_the_message(scene: Scene) -> None:
    async def say(args: AsyncArgs) -> None:
        await args.client.chat_postMessage(channel=args.body["channel_id"], text="Here", blocks=[BUTTON.to_dict()])

    scene.deed = say
    await scene.slack.command(ANNA, scene.channel, "/try")
    message = (await scene.slack.until(lambda: scene.slack.messages(scene.channel)))[0]
    scene.fails_with(Frozen())
    await scene.slack.press(ANNA, message, "go")
    assert "Buying is paused" in await scene.heard()
    assert (message.text, message.edited) == ("Here", False)


async def test_a_refused_button_on_the_home_tab_is_answered_in_a_window(scene: Scene) -> None:
    async def publish(args: AsyncArgs) -> None:
        view = View(type="home", blocks=[SectionBlock(text="Home"), BUTTON])
        await args.client.views_publish(user_id=ANNA, view=view)

    scene.deed = publish
    await scene.slack.command(ANNA, scene.channel, "/try")
    await scene.slack.until(lambda: scene.slack.home(ANNA))
    home = scene.slack.home(ANNA)
    assert home is not None
    scene.fails_with(Frozen())
    await scene.slack.press(ANNA, home, "go")
    assert "Buying is paused" in await scene.shown("Credits")


async def test_a_refusal_is_an_everyday_thing_in_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot")
    scene.fails_with(NotOwner(account="Acme", owners=("U1",)))
    await scene.slack.command(ANNA, scene.channel, "/try")
    await scene.heard()
    [record] = [each for each in caplog.records if each.name == "bot.slack.boundary"]
    assert (record.levelname, record.getMessage(), record.exc_info) == ("INFO", "refused: refusal.not_owner", None)


# ── somebody else's service, and our own mistakes ─────────────────────────────────────────────────────────────────


async def test_an_outage_says_whose_and_that_nothing_is_lost(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.fails_with(Outage("Stripe", "HTTP 503"))
    await scene.slack.command(ANNA, scene.channel, "/try")
    assert await scene.heard() == "We could not reach Stripe just now. Nothing is lost; please try again in a moment."
    assert [each.levelname for each in caplog.records if each.name.startswith("bot")] == ["WARNING"]


@pytest.mark.parametrize("where", ["command", "form"])
async def test_a_mistake_of_ours_is_quoted_by_a_reference_that_is_in_the_log(
    scene: Scene, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if where == "form":
        await scene.open_form()
    scene.fails_with(LookupError("a secret detail"))
    if where == "form":
        assert (await scene.slack.submit(ANNA, amount="5")).ok
        said = await scene.shown("Credits")
    else:
        await scene.slack.command(ANNA, scene.channel, "/try")
        said = await scene.heard()
    assert SUPPORT in said
    assert "secret detail" not in said
    [record] = [each for each in caplog.records if each.name == "bot.slack.boundary"]
    assert record.levelname == "ERROR"
    assert record.exc_info
    assert vars(record)["reference"] in said
    assert re.search(r"\b[0-9a-f]{8}\b", said)


async def test_a_mistake_after_the_form_was_acknowledged_is_still_told(scene: Scene) -> None:
    await scene.open_form()

    async def acknowledge_and_fail(args: AsyncArgs) -> None:
        await args.ack()
        raise LookupError

    scene.deed = acknowledge_and_fail
    assert (await scene.slack.submit(ANNA, amount="5")).ok
    assert SUPPORT in await scene.shown("Credits")


async def test_slack_is_answered_at_once_however_long_the_work_takes(scene: Scene) -> None:
    working, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(args: AsyncArgs) -> None:
        working.set()
        await go_on.wait()
        await args.respond("done")

    scene.deed = slowly
    ack = await scene.slack.command(ANNA, scene.channel, "/try")
    assert ack.ok
    assert ack.seconds < 1
    assert working.is_set()
    go_on.set()
    assert await scene.heard() == "done"


async def test_an_answer_that_cannot_be_given_harms_nobody(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.fails_with(Frozen())
    scene.faults.arm("response_url", Kind.CUT_BEFORE, times=None)
    assert (await scene.slack.command(ANNA, scene.channel, "/try")).ok
    await scene.slack.until(lambda: caplog.text.count("an answer could not be given") == 1)
    scene.faults.disarm()
    for n, kind in enumerate((Kind.CUT_BEFORE, Kind.STATUS, Kind.HTML), start=2):
        scene.faults.arm("views.open", kind)
        assert (await scene.slack.shortcut(ANNA, "open")).ok
        await scene.slack.until(lambda n=n: caplog.text.count("an answer could not be given") == n)  # type: ignore[misc]
    await scene.slack.command(BO, scene.channel, "/try")
    assert await scene.heard(BO)
    assert "Traceback" not in caplog.text


# ── what nobody listens to ────────────────────────────────────────────────────────────────────────────────────────


async def test_what_no_listener_asked_for_is_acknowledged(scene: Scene) -> None:
    assert (await scene.slack.shortcut(ANNA, "of_an_older_manifest")).ok
    ack = await scene.slack.command(ANNA, scene.channel, "/older-command")
    assert ack.ok
    assert "out of date" in ack.text
    await scene.slack.open_home(ANNA)
    assert scene.slack.timeouts == []
