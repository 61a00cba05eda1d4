"""Whether the bot is alive, whether it is ready to sell, and what it counts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]
"""Answers a sentence about what is wrong, or ``None``."""

PATIENCE_SECONDS: Final = 2.0


class Health:
    """Named checks, the metrics, and the three addresses where both are read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._checks: dict[str, Check] = {}
        self._bearable: set[str] = set()

    def check(self, name: str, check: Check, *, bearable: bool = False) -> None:
        """Ask ``check`` whenever somebody wants to know whether the bot is ready.

        What it finds wrong is ``bearable`` where a bot that is sent no more requests would only be worse.
        """
        self._checks[name] = check
        self._bearable |= {name} if bearable else set()

    async def wrong(self) -> dict[str, str]:
        """What is not ready, by name. All checks run at once; one that takes longer than two seconds is wrong."""
        asked = {asyncio.ensure_future(check()): name for name, check in self._checks.items()}
        if not asked:
            return {}
        _, late = await asyncio.wait(asked, timeout=PATIENCE_SECONDS)
        for check in late:
            check.cancel()  # and not awaited: leaving a frozen database takes ten seconds
        return {name: fault for check, name in asked.items() if (fault := _fault(check, name))}

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/healthz", self._alive),
            Route("/readyz", self._ready),
            Route("/metrics", self._metrics),
        ]

    async def _alive(self, request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, request: Request) -> Response:
        wrong = await self.wrong()
        ready = wrong.keys() <= self._bearable
        return JSONResponse({"ready": ready, "wrong": wrong}, 200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=media_type)


def _fault(check: asyncio.Future[str | None], name: str) -> str | None:
    if not check.done():
        return f"no answer within {PATIENCE_SECONDS:.0f} seconds"
    if check.cancelled():
        return "the check was cancelled"
    if error := check.exception():
        log.warning("the health check %s failed", name, exc_info=error)
        return f"the check failed: {type(error).__name__}"
    return check.result()
