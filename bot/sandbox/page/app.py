"""The page in the browser: shows the workspace and the books, and does what a person does in Slack or GenStudio."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bot.sandbox.clock import WindableClock
from bot.sandbox.genstudio import GenStudio
from bot.sandbox.mail import Received
from bot.sandbox.page import guard, stream
from bot.sandbox.page.blocks import Templates
from bot.sandbox.page.books import LedgerView
from bot.sandbox.page.scene import Place, Stage
from bot.sandbox.page.unread import Unread
from bot.sandbox.page.wallets import put_on_file, wallets
from bot.sandbox.slack import inputs
from bot.sandbox.slack.records import CannotDo, Message, OpenView
from bot.sandbox.slack.state import SlackError
from bot.sandbox.slack.views import fields
from bot.sandbox.slack.workspace import Workspace
from bot.sandbox.stripe import StripeAccount

Json = Mapping[str, Any]
HERE = Path(__file__).parent
SCENE_FRAGMENTS = ("link", "people", "sidebar", "head", "conversation", "composer", "modal", "clock")
BOOK_FRAGMENTS = ("verified", "accounts", "purchases", "entries")
SIDES = ("left", "right")
CHANGED = "This has changed in the meantime."
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' http://127.0.0.1:* http://localhost:*; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Page:
    """``app`` serves it. ``ledger`` reads the books, ``wind`` moves the clock and whatever hangs on it.

    ``languages`` are those that people can choose: Slack's name of each, and its own. ``mails`` is what arrived so
    far, oldest first. ``roles`` says who plays which part, by user id. The commands and shortcuts on offer are those
    of the app that is installed in the workspace.
    """

    def __init__(
        self,
        workspace: Workspace,
        stripe: StripeAccount,
        studio: GenStudio,
        clock: WindableClock,
        ledger: Callable[[], Awaitable[LedgerView]],
        wind: Callable[[timedelta], Awaitable[None]],
        *,
        languages: Sequence[tuple[str, str]],
        mails: Sequence[Received] = (),
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._stripe = stripe
        self._studio = studio
        self._clock = clock
        self._ledger = ledger
        self._wind_clock = wind
        self._templates = Templates()
        self._unread = Unread()
        self._languages = languages
        self._mails = mails
        self._stage = Stage(workspace, self._templates, self._unread, roles or {}, languages)
        self.app = Starlette(
            routes=[
                Route("/", partial(self._window, "page")),
                Route("/side", partial(self._window, "side")),
                Route("/both", self._both),
                Route("/stream", self._stream),
                Route("/do/{act}", self._do, methods=["POST"]),
                Mount("/static", StaticFiles(directory=HERE / "static")),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
        )
        self._acts: dict[str, Callable[[str, Json], Awaitable[None]]] = {
            "say": self._say,
            "press": self._press,
            "submit": self._submit,
            "close": self._close,
            "home": self._home,
            "shortcut": self._shortcut,
            "language": self._language,
            "card": self._card,
            "use": self._use,
            "wind": self._wind,
        }

    # --- showing

    async def _window(self, template: str, request: Request) -> Response:
        fragments = await self._draw(self._place(request.query_params))
        title = fragments.pop("title")
        return self._html(template, title=title, fragments=fragments)

    async def _both(self, request: Request) -> Response:
        left, right = (self._place(dict(parse_qsl(request.query_params.get(side, "")[1:]))) for side in SIDES)
        return self._html(
            "both", title="Side by side · Sandbox", fragments=await self._draw(left), left=left, right=right
        )

    def _html(self, template: str, **facts: object) -> Response:
        return HTMLResponse(self._templates.render(template, **facts), headers=HEADERS)

    async def _stream(self, request: Request) -> Response:
        place = self._place(request.query_params)
        changes = self._workspace.changes()
        body = stream.events(changes, place.user, partial(self._draw, place), partial(self._draw_books, place))
        return StreamingResponse(body, media_type="text/event-stream", headers=HEADERS)

    def _place(self, asked: Mapping[str, str]) -> Place:
        return self._stage.place(asked.get("as", ""), asked.get("in", ""), asked.get("tab", ""))

    async def _draw(self, place: Place) -> dict[str, Markup]:
        """Every fragment of the page, as HTML by its name."""
        if place.tab != "home":
            self._unread.seen(place.user, self._workspace.messages(place.channel, place.user))
        scene = self._stage.scene(place, self._clock.ahead.total_seconds())
        drawn = {name: self._templates.render(name, scene=scene) for name in SCENE_FRAGMENTS}
        reader = self._stage.reader(place.user)
        drawn["mails"] = self._templates.render("mails", mails=list(enumerate(self._mails))[::-1], reader=reader)
        drawn["wallets"] = self._templates.render("wallets", wallets=wallets(self._stripe))
        drawn["studio"] = self._templates.render("studio", studio=self._studio)
        drawn["title"] = Markup("{} · Sandbox").format(scene.title)
        return {**drawn, **await self._draw_books(place)}

    async def _draw_books(self, place: Place) -> dict[str, Markup]:
        """Those of the bot's own books, which change without a word."""
        facts = {
            "ledger": await self._ledger(),
            "names": self._stage.names(),
            "reader": self._stage.reader(place.user),
        }
        return {name: self._templates.render(name, **facts) for name in BOOK_FRAGMENTS}

    # --- doing

    async def _do(self, request: Request) -> Response:
        act = self._acts.get(request.path_params["act"])
        if act is None:
            return JSONResponse({"problem": "there is no such act"}, 404)
        if problem := guard.refusal(request):
            return JSONResponse({"problem": problem}, 403)
        try:
            asked = await request.json()
        except ValueError:
            return JSONResponse({"problem": "this is not JSON"}, 400)
        try:
            await act(self._workspace.person(asked["as"]).id, asked)
        except _Told as refused:
            return JSONResponse({"problem": str(refused)}, 409)
        except (CannotDo, SlackError):  # in words for whoever writes tests; the page showed what was there a moment ago
            return JSONResponse({"problem": CHANGED}, 409)
        return JSONResponse({})

    async def _say(self, user: str, asked: Json) -> None:
        text = _typed(asked["text"])
        if text.startswith("/"):
            await self._workspace.command(user, asked["channel"], text)
        else:
            await self._workspace.say(user, asked["channel"], text)

    async def _press(self, user: str, asked: Json) -> None:
        where = self._surface(user, asked)
        if isinstance(where, OpenView):
            self._fill(where, asked["values"])
        await self._workspace.press(user, where, asked["action"], value=_fitting(asked["kind"], asked["value"]))

    async def _submit(self, user: str, asked: Json) -> None:
        view = self._view(user, asked["view"])
        self._fill(view, asked["values"])
        await self._workspace.submit(user, view)

    async def _close(self, user: str, asked: Json) -> None:
        modal = self._workspace.modal(user)
        if modal is not None and modal.id == asked["view"]:  # a second click finds it closed, and that is well
            await self._workspace.close_view(user, everything=asked["all"])

    async def _home(self, user: str, asked: Json) -> None:
        await self._workspace.open_home(user)

    async def _shortcut(self, user: str, asked: Json) -> None:
        if ts := asked.get("message"):
            message = self._workspace.message(asked["channel"], ts)
            await self._workspace.message_shortcut(user, message, asked["callback_id"])
        else:
            await self._workspace.shortcut(user, asked["callback_id"])

    async def _language(self, user: str, asked: Json) -> None:
        if asked["locale"] not in dict(self._languages):
            raise _Told("The sandbox does not offer this language.")
        await self._workspace.speak(user, asked["locale"])

    async def _card(self, user: str, asked: Json) -> None:
        offered = {wallet.customer: dict(wallet.choices) for wallet in wallets(self._stripe)}
        if asked["card"] not in offered.get(asked["customer"], {}):
            raise _Told("Stripe knows no such customer or card.")
        put_on_file(self._stripe, asked["customer"], asked["card"])
        self._workspace.feed.publish("card", user=user)

    async def _use(self, user: str, asked: Json) -> None:
        models = {model.id: model for model in self._studio.models}
        works = {work.id: work for work in self._studio.works}
        if asked["model"] not in models or asked["work"] not in works:
            raise _Told("GenStudio has no such model or work.")
        await self._studio.use(asked["account"], models[asked["model"]], works[asked["work"]])
        self._workspace.feed.publish("usage", user=user)

    async def _wind(self, user: str, asked: Json) -> None:
        seconds = int(asked["seconds"])
        if seconds <= 0:
            raise _Told("A clock is only wound forward.")
        await self._wind_clock(timedelta(seconds=seconds))
        self._workspace.feed.publish("clock", user=user)

    def _surface(self, user: str, asked: Json) -> Message | OpenView:
        if view := asked.get("view"):
            return self._view(user, view)
        return self._workspace.message(asked["channel"], asked["message"])

    def _view(self, user: str, view_id: str) -> OpenView:
        for view in (self._workspace.modal(user), self._workspace.home(user)):
            if view is not None and view.id == view_id:
                return view
        raise _Told("This is not open any more.")

    def _fill(self, view: OpenView, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Put into the view what stands in its fields on the page."""
        for block, element in fields(view):
            given = values.get(block["block_id"], {})
            if element["action_id"] in given:
                value = _fitting(element["type"], given[element["action_id"]])
                view.state[block["block_id"]][element["action_id"]] = inputs.entered(element, value)


class _Told(Exception):
    """What the page refuses, in words for the person."""


def _fitting(kind: str, value: Any) -> Any:
    """A field that holds one choice takes one, though the page sends the chosen ones as a list."""
    several = kind == "checkboxes" or kind.startswith("multi_")
    return value if several or not isinstance(value, list) else next(iter(value), None)


def _typed(text: str) -> str:
    """What a person typed, as Slack's own window hands it on: no markup gets in this way."""
    return text.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
