"""``POST /stripe/webhook``: Stripe says that something happened. It is written down, answered, and then looked into."""

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.payments.gateway import ForeignHint, PaymentGateway
from bot.purchases.service import Purchases
from bot.web.problem import Problem

logger = logging.getLogger(__name__)

_QUIET_SECONDS = 60.0  # between two lines about what anybody can send as often as they like


class Webhook:
    """The endpoint. Without it everything still works, by asking."""

    def __init__(self, gateway: PaymentGateway, purchases: Purchases) -> None:
        self._gateway = gateway
        self._purchases = purchases
        self._refused = 0  # since the last line about it
        self._quiet_until = 0.0

    @property
    def routes(self) -> list[Route]:
        return [Route("/stripe/webhook", self._receive, methods=["POST"])]

    async def _receive(self, request: Request) -> Response:
        faultpoint("W0")
        try:
            hint = self._gateway.read_webhook(await request.body(), request.headers.get("stripe-signature", ""))
            known = bool(hint) and await self._purchases.heed(hint)
        except ForeignHint as foreign:
            self._note(foreign)
            return Problem(400, "Not a notification that this bot can believe.")
        except Outage:
            return Problem(503, "Please say it again later.")
        faultpoint("W1")
        if not known:
            logger.info("webhook about nothing that matters here", extra={"event": hint.event_id, "kind": hint.kind})
        return Response(status_code=200)

    def _note(self, foreign: ForeignHint) -> None:
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            logger.warning("webhook refused: %s", foreign, extra={"times": self._refused})
            self._refused, self._quiet_until = 0, now + _QUIET_SECONDS
