"""The gate that programs pass with their bearer tokens (RFC 6750)."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from bot.clock import Clock
from bot.db.engine import Database
from bot.tokens import store
from bot.tokens.model import Bearer, Scope, hash_of, may_be_token

REMEMBERED: Final = 2.0  # seconds: so soon a revoked token is refused by every process
LOOKUPS: Final = 4  # of tokens never seen before, at once: guesses must not swamp the database
WAITING: Final = 200  # for their turn


@dataclass(slots=True)
class _Known:
    """A token that was found, and until when that is believed."""

    bearer: Bearer
    until: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one looks it up again, the others wait for what it finds


class Gate:
    """Lets requests in that carry a token, and knows whose it is."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._strangers = asyncio.Semaphore(LOOKUPS)
        self._waiting = 0

    async def admit(self, request: Request, scope: Scope) -> Bearer:
        """Who asks. Raise an ``HTTPException`` with 401 or 403, or with 503 when too many strangers ask at once."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise _refusal(401, "A bearer token is needed: credits-bot tokens create NAME makes one.", "Bearer")
        bearer = await self._bearer(token.strip())
        if bearer is None:
            raise _refusal(401, "This token is unknown, or was revoked.", 'Bearer error="invalid_token"')
        if scope not in bearer.scopes:
            raise _refusal(
                403,
                f"This token may not be used for {scope}.",
                f'Bearer error="insufficient_scope", scope="{scope}"',
            )
        return bearer

    async def _bearer(self, token: str) -> Bearer | None:
        if not may_be_token(token):
            return None
        hash = hash_of(token)
        known = self._known.get(hash)
        if known is None:
            return await self._of_stranger(hash)
        if self._clock.monotonic() >= known.until:
            async with known.turn:
                if self._clock.monotonic() >= known.until:
                    return await self._look_up(hash)
        return known.bearer

    async def _of_stranger(self, hash: str) -> Bearer | None:
        if self._waiting >= WAITING:
            raise HTTPException(503, "Too many unknown tokens at once.", {"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._strangers:
                return await self._look_up(hash)
        finally:
            self._waiting -= 1

    async def _look_up(self, hash: str) -> Bearer | None:
        asked_at = self._clock.monotonic()  # what is found is as old as the question
        async with self._database.read() as tx:
            bearer = await store.of_hash(tx, hash)
        if bearer is None:
            self._known.pop(hash, None)
        elif hash in self._known:
            self._known[hash].bearer = bearer
            self._known[hash].until = asked_at + REMEMBERED
        else:
            self._known[hash] = _Known(bearer, asked_at + REMEMBERED)
        return bearer


def _refusal(status: int, detail: str, challenge: str) -> HTTPException:
    return HTTPException(status, detail, {"WWW-Authenticate": challenge})
