"""The door for Slack over HTTP. Nothing of a request is read before its signature has been found right."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.web.problem import Problem

logger = logging.getLogger(__name__)

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_RECENT_SECONDS: Final = 300
_SIGNATURE: Final = re.compile(r"v0=[0-9a-f]{64}")


class SlackDoor:
    """``POST /slack/events`` for commands, clicks, submits and events. Two secrets while one replaces the other.

    This is the only check of signatures. Bolt's own is off: it reads the body first, answers 500 to a malformed
    timestamp, signature or body, and logs the body of what it refuses.
    """

    def __init__(self, app: AsyncApp, signing_secrets: Sequence[str]) -> None:
        self._bolt = AsyncSlackRequestHandler(app)
        self._secrets = [secret.encode() for secret in signing_secrets]

    @property
    def routes(self) -> list[Route]:
        return [Route("/slack/events", self._receive, methods=["POST"])]

    async def _receive(self, request: Request) -> Response:
        if not self._signed(request, await request.body()):
            return Problem(401, "Not signed by Slack within the last five minutes.")
        return await self._handle(request)

    async def _handle(self, request: Request) -> Response:
        """Bolt's answer. What it stumbles over is malformed: errors of ours are caught round each listener."""
        try:
            answer: Response = await self._bolt.handle(request)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            logger.warning("a request that is not like Slack's", exc_info=error)
        else:
            if answer.status_code == HTTPStatus.OK:
                return answer
        return Problem(400, "Signed, but nothing that Slack would send to this app.")

    def _signed(self, request: Request, body: bytes) -> bool:
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
            return False
        if abs(time.time() - int(timestamp)) > _RECENT_SECONDS:  # Slack's clock, so the real one here too
            return False
        signed = f"v0:{timestamp}:".encode() + body
        right = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in self._secrets]
        return any(hmac.compare_digest(f"v0={each}", signature) for each in right)
