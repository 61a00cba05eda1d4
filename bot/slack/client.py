"""Slack's Web API as the bot uses it outside Bolt: one session, no retries, errors that say what became of a call."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.models.views import View
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import Outage

Blocks = list[dict[str, Any]]

TIMEOUT_SECONDS = 10
_MARK = "credits_bot"  # the metadata that a message of ours is found again by
_PAGE = 200
_PATIENCE = 30.0  # seconds, when Slack says "slow down" and not for how long
_MAYBE_DONE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_TOO_LATE = frozenset({"expired_trigger_id", "trigger_expired"})  # somebody was slow on the way: press once more


class Untouched(Outage):
    """Slack could not be reached, or did not take the call: it did nothing, and asking again cannot do it twice."""


class RateLimited(Untouched):
    """Slack wants us to wait ``retry_after`` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Slack", f"asks us to wait {retry_after:g} s")
        self.retry_after = retry_after


class SlackRefused(Exception):
    """Slack understood and said no. ``error`` is its code, such as ``channel_not_found``; it did nothing."""

    def __init__(self, error: str, detail: str = "") -> None:
        super().__init__(f"{error}: {detail}" if detail else error)
        self.error = error
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the token speaks for, and what it may do."""

    team_id: str
    enterprise_id: str  # empty outside Enterprise Grid
    team: str
    user_id: str
    bot_id: str
    scopes: frozenset[str]


class SlackClient:
    """Each call ends within ``timeout`` seconds. Raises ``SlackRefused``, ``RateLimited``, ``Untouched`` or ``Outage``.

    slack_sdk is given no retry handlers: after a lost answer its own would post a second time.
    """

    def __init__(self, token: str, base_url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._web = AsyncWebClient(token, base_url=base_url, retry_handlers=[])

    async def open(self) -> None:
        """Open the session that all calls share."""
        self._web.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))

    async def close(self) -> None:
        if self._web.session is not None:
            await self._web.session.close()

    async def whoami(self) -> Identity:
        answer = await ask(self._web.auth_test())
        scopes = next((value for name, value in answer.headers.items() if name.lower() == "x-oauth-scopes"), "")
        return Identity(
            team_id=answer["team_id"],
            enterprise_id=answer.get("enterprise_id") or "",
            team=answer.get("team") or "",
            user_id=answer["user_id"],
            bot_id=answer.get("bot_id") or "",
            scopes=frozenset(scope.strip() for scope in scopes.split(",") if scope.strip()),
        )

    async def try_socket(self, app_token: str) -> None:
        """Ask for a Socket Mode connection and leave it unused: is the app token any good?"""
        await ask(self._web.apps_connections_open(app_token=app_token))

    async def profile(self, user_id: str) -> dict[str, Any]:
        """The user as Slack describes them, ``locale`` included."""
        answer = await ask(self._web.users_info(user=user_id, include_locale=True))
        user: dict[str, Any] = answer["user"]
        return user

    async def open_dm(self, user_id: str) -> str:
        """The conversation between this user and the bot."""
        answer = await ask(self._web.conversations_open(users=user_id))
        return str(answer["channel"]["id"])

    async def post(self, channel: str, text: str, blocks: Blocks, *, key: str) -> str:
        """Post a message without unfurling its links; return its ``ts``. ``find`` finds it again by ``key``."""
        answer = await ask(
            self._web.chat_postMessage(
                channel=channel,
                text=text,
                blocks=blocks or None,
                metadata=_metadata(key),
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        return str(answer["ts"])

    async def update(self, channel: str, ts: str, text: str, blocks: Blocks, *, key: str) -> None:
        """Make the message look like this. An empty list takes its blocks away; leaving them out would keep them."""
        await ask(self._web.chat_update(channel=channel, ts=ts, text=text, blocks=blocks, metadata=_metadata(key)))

    async def publish(self, user_id: str, view: View) -> None:
        """Let somebody's Home look like this."""
        await ask(self._web.views_publish(user_id=user_id, view=view))

    async def send_file(self, channel: str, name: str, content: bytes, text: str) -> None:
        """Put a file into a conversation, with a few words. Needs the scope ``files:write``."""
        try:
            await ask(self._web.files_upload_v2(channel=channel, filename=name, content=content, initial_comment=text))
        except SlackRequestError as error:  # the place for its content did not take it
            raise Outage("Slack", "a file was not taken") from error

    async def find(self, channel: str, key: str, since: datetime) -> str | None:
        """The ``ts`` of the newest message with this key that was posted ``since``. Needs the history scope."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._find(channel, key, f"{since.timestamp():.6f}")
        except TimeoutError as slow:
            raise Outage("Slack", "the history took too long") from slow

    async def _find(self, channel: str, key: str, oldest: str) -> str | None:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await ask(
                self._web.conversations_history(
                    channel=channel, oldest=oldest, include_all_metadata=True, limit=_PAGE, cursor=cursor
                )
            )
            found += [str(message["ts"]) for message in page["messages"] if _key(message) == key]
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return max(found, default=None)


async def ask(call: Awaitable[AsyncSlackResponse]) -> AsyncSlackResponse:
    """Slack's answer to a call of slack_sdk's. Raises ``SlackRefused``, ``RateLimited``, ``Untouched``, ``Outage``."""
    try:
        return await call
    except SlackApiError as error:
        raise failure(error.response) from None  # its text repeats what was said, which logs need not know
    except aiohttp.ClientConnectorError as error:
        raise Untouched("Slack", f"no connection ({type(error).__name__})") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Outage("Slack", f"the answer was lost ({type(error).__name__})") from error
    except (AttributeError, ValueError) as error:  # how slack_sdk stumbles over a body that is not a JSON object
        raise Outage("Slack", "the answer was not one of Slack's") from error


def _metadata(key: str) -> dict[str, Any]:
    return {"event_type": _MARK, "event_payload": {"key": key}}


def _key(message: dict[str, Any]) -> str | None:
    """Whose message this is, if it is one of ours."""
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != _MARK:
        return None
    key: str | None = (metadata.get("event_payload") or {}).get("key")
    return key


def failure(response: Any) -> Exception:
    """What an answer means that slack_sdk did not like."""
    if not isinstance(response, AsyncSlackResponse):  # it hands on aiohttp's own when the body was broken JSON
        return Outage("Slack", "the answer was not one of Slack's")
    body = response.data if isinstance(response.data, dict) else {}
    headers = {name.lower(): value for name, value in response.headers.items()}
    code = str(body.get("error") or "")
    if response.status_code == 429 or code in ("ratelimited", "rate_limited"):
        return RateLimited(_seconds(headers.get("retry-after", "")))
    if code in _TOO_LATE:
        return Untouched("Slack", code)
    if not code or code in _MAYBE_DONE or response.status_code >= 500:
        reason = f"HTTP {response.status_code} {code}".rstrip()
        return Outage("Slack", reason, request_id=headers.get("x-slack-req-id"))
    return SlackRefused(code, _detail(body))


def _seconds(header: str) -> float:
    return float(header) if header.isdecimal() and header.isascii() else _PATIENCE


def _detail(body: dict[str, Any]) -> str:
    """Slack's own reasons, and the scope it wants where one is missing."""
    reasons = list((body.get("response_metadata") or {}).get("messages") or [])
    if needed := body.get("needed"):
        reasons.append(f"needs {needed}")
    return "; ".join(map(str, reasons))
