"""Bolt, set up once: who we are, and an answer to whatever no listener asked for."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.web.async_client import AsyncWebClient

logger = logging.getLogger(__name__)


def build(*, token: str, api_url: str) -> AsyncApp:
    """An app that acknowledges within the request and asks Slack nothing to know who it is.

    Signatures are not its business: see ``bot.web.slack_http``.
    """

    async def authorize(enterprise_id: str | None, team_id: str | None, logger: logging.Logger) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

    # Bolt reads SLACK_BOT_TOKEN from the environment by itself, and then warns that it has no use for it.
    framework = logging.getLogger("slack_bolt.AsyncApp")
    framework.addFilter(_nothing)
    try:
        return _app(authorize, api_url)
    finally:
        framework.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _app(authorize: Callable[..., Awaitable[AuthorizeResult]], api_url: str) -> AsyncApp:
    return AsyncApp(
        name="credits-bot",  # without one Bolt reads the source of its callers
        client=AsyncWebClient(base_url=api_url, retry_handlers=[], timeout=5),
        authorize=authorize,
        signing_secret="checked at the door",  # noqa: S106 - Bolt wants one, and its check is off
        request_verification_enabled=False,
        process_before_response=True,
        ignoring_self_events_enabled=False,
    )


def acknowledge_the_rest(app: AsyncApp) -> None:
    """Register last: presses of link buttons, forms that only close, commands of an older manifest."""

    async def nothing(args: AsyncArgs) -> None:
        await args.ack()

    async def unknown_command(args: AsyncArgs) -> None:
        logger.warning("unknown command %s", args.body.get("command"))
        await args.ack(text="This command is not known to the bot any more: its Slack manifest is out of date.")

    anything: Any = re.compile(".*")
    app.action(anything)(nothing)
    app.view(anything)(nothing)
    app.view_closed(anything)(nothing)
    app.shortcut(anything)(nothing)
    app.event(anything)(nothing)
    app.command(anything)(unknown_command)
