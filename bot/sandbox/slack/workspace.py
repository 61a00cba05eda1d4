"""A Slack workspace on loopback: people on one side, the real bot on the other, Slack's rules between them."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Scope

from bot.clock import Clock
from bot.sandbox.faults import Faults, Faulty, Kind
from bot.sandbox.slack.arguments import Signature, flag, given, structure, words
from bot.sandbox.slack.blockkit import check_blocks
from bot.sandbox.slack.deliver import Deliverer
from bot.sandbox.slack.files import Files
from bot.sandbox.slack.methods import Methods
from bot.sandbox.slack.people import Humans
from bot.sandbox.slack.records import Delivery, Json
from bot.sandbox.slack.sockets import Sockets
from bot.sandbox.slack.state import SlackError
from bot.sandbox.slack.views import Views

DEFAULT_EVENTS = frozenset({"app_home_opened"})
FAULT_BODIES: dict[Kind, object] = {
    Kind.RATE_LIMITED: {"ok": False, "error": "ratelimited"},
    Kind.STATUS: "upstream request timeout",
}
RESPONSE = Signature(
    {},
    {
        "text": words,
        "blocks": structure,
        "attachments": structure,
        "metadata": structure,
        "response_type": words,
        "replace_original": flag,
        "delete_original": flag,
        "thread_ts": words,
        "unfurl_links": flag,
        "unfurl_media": flag,
        "mrkdwn": flag,
    },
)


class Workspace(Humans):
    """Serve ``app`` somewhere, set ``base_url`` to that address, then people can act.

    Faults are armed by method name (``chat.postMessage``); ``response_url`` is the name of answers to a response_url.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        faults: Faults | None = None,
        signing_secret: str = "sandbox-signing-secret",  # noqa: S107
        commands: Mapping[str, Json] | None = None,
        shortcuts: Mapping[str, Json] | None = None,
        events: Iterable[str] = DEFAULT_EVENTS,
        **about: Any,
    ) -> None:
        """``about`` are the settings of ``State``: ids, names, tokens, scopes, ``strict_rate``."""
        super().__init__(clock, **about)
        self.faults = faults or Faults()
        self.commands = dict(commands) if commands is not None else None
        self.shortcuts = dict(shortcuts) if shortcuts is not None else None
        self.events = set(events)
        self.views = Views(self)
        self.sockets = Sockets(self)
        self._deliverer = Deliverer(self, self.sockets, signing_secret=signing_secret)
        self.files = Files(self)
        self._methods = Methods(self, self.views, self.sockets, self.files)
        routes = [
            Route("/api/{method}", self._call, methods=["GET", "POST"]),
            Route("/response/{token}", self._respond, methods=["POST"]),
            Route("/upload/{ticket}", self._upload, methods=["POST"]),
            Route("/files/{file}", self._file),
            WebSocketRoute("/link/{ticket}", self.sockets.serve),
        ]
        self.app: ASGIApp = Faulty(Starlette(routes=routes), self.faults, _name_of_call, FAULT_BODIES)

    def install(self, manifest: Json, *, optional: bool = False) -> None:
        """Take commands, shortcuts, scopes, events and Home tab from a manifest, as pasting it into Slack would.

        ``optional`` is whether whoever installs the app grants the optional scopes too.
        """
        features = manifest.get("features", {})
        self.commands = {one["command"]: one for one in features.get("slash_commands", [])}
        self.shortcuts = {one["callback_id"]: one for one in features.get("shortcuts", [])}
        scopes = manifest.get("oauth_config", {}).get("scopes", {})
        self.scopes = {*scopes.get("bot", []), *(scopes.get("bot_optional", []) if optional else [])}
        tabs = features.get("app_home", {})
        self.home_enabled = tabs.get("home_tab_enabled", False)
        self.dm_writable = tabs.get("messages_tab_enabled", True) and not tabs.get(
            "messages_tab_read_only_enabled", True
        )
        self.events = set(manifest.get("settings", {}).get("event_subscriptions", {}).get("bot_events", []))

    # --- the bot's side

    @property
    def deliverer(self) -> Deliverer:
        return self._deliverer

    @property
    def request_url(self) -> str:
        """Where requests to the bot go over HTTP; empty for Socket Mode."""
        return self._deliverer.request_url

    @request_url.setter
    def request_url(self, url: str) -> None:
        self._deliverer.request_url = url

    @property
    def signing_secret(self) -> str:
        return self._deliverer.signing_secret

    @property
    def deliveries(self) -> list[Delivery]:
        """Everything that was sent to the bot, in order."""
        return self._deliverer.sent

    @property
    def timeouts(self) -> list[Delivery]:
        """What the bot did not acknowledge in time."""
        return self._deliverer.timeouts

    @property
    def connected(self) -> bool:
        """Whether the bot could hear of something now."""
        return bool(self.request_url) or self.sockets.connections > 0

    async def refresh_sockets(self) -> None:
        await self.sockets.refresh()

    async def cut_sockets(self) -> None:
        await self.sockets.cut()

    async def close(self) -> None:
        """Stop what still runs in the background."""
        await self._deliverer.close()
        await self.sockets.close()

    # --- HTTP

    async def _call(self, request: Request) -> Response:
        try:
            arguments = await given(request)
            token = _bearer(request) or str(arguments.get("token", ""))
            for known_everywhere in ("token", "team_id"):  # slack_sdk adds team_id to every call of Bolt's client
                arguments.pop(known_everywhere, None)
            body = self._methods.call(request.path_params["method"], token, arguments)
        except SlackError as refusal:
            body = {"ok": False, "error": refusal.code, **refusal.more}
        return self._answer(body)

    async def _upload(self, request: Request) -> Response:
        taken = self.files.upload(request.path_params["ticket"], await request.body())
        return PlainTextResponse("OK" if taken else "not taken", 200 if taken else 400)

    async def _file(self, request: Request) -> Response:
        file = self.files.content(request.path_params["file"])
        if file is None:
            return PlainTextResponse("There is no such file.", 404)
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(file.name)}"}
        return Response(file.content, headers=headers, media_type="application/octet-stream")

    def _answer(self, body: Json) -> Response:
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        if body.get("error") != "ratelimited":
            return JSONResponse(body, headers=headers)
        headers["Retry-After"] = str(body.pop("retry_after"))
        return JSONResponse(body, 429, headers=headers)

    async def _respond(self, request: Request) -> Response:
        try:
            self._use_response_url(request.path_params["token"], RESPONSE.check(await given(request)))
        except SlackError as refusal:
            gone = refusal.code in ("used_url", "expired_url")
            return JSONResponse({"ok": False, "error": refusal.code, **refusal.more}, 404 if gone else 400)
        return PlainTextResponse("ok")

    def _use_response_url(self, token: str, body: Json) -> None:
        if reasons := check_blocks(body.get("blocks", []), "message"):
            raise SlackError.because("invalid_blocks", *reasons)
        if body.get("response_type", "ephemeral") not in ("ephemeral", "in_channel"):
            raise SlackError.because("invalid_arguments", "response_type is ephemeral or in_channel")
        if not body.get("delete_original") and not (body.get("text") or body.get("blocks") or body.get("attachments")):
            raise SlackError("no_text")
        response = self.use_response_url(token)
        original = response.message if response.message and not response.message.deleted else None
        if body.get("delete_original") and original:
            self.erase(original)
        elif body.get("replace_original") and original:
            self.replace(original, body)
        else:
            self.answer(response.user, response.channel, body)


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _name_of_call(scope: Scope) -> str:
    path = str(scope["path"])
    first, _, rest = path.removeprefix("/").partition("/")
    return {"response": "response_url", "upload": "upload"}.get(first, rest)
