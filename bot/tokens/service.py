"""The gate that programs pass with their bearer tokens (RFC 6750)."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from bot.clock import Clock
from bot.db.engine import Database
from bot.tokens import store
from bot.tokens.model import Bearer, Scope, hash_of, may_be_token

REMEMBERED: Final = 2.0  # seconds: so soon a revoked token is refused by every process
LOOKUPS: Final = 4  # of tokens never seen before, at once: guesses must not swamp the database
WAITING: Final = 200  # different ones, for their turn


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
        self._turns = asyncio.Semaphore(LOOKUPS)
        self._strangers: dict[str, asyncio.Task[Bearer | None]] = {}  # being looked up, once for all who bring it

    async def admit(self, headers: Headers, scope: Scope) -> Bearer:
        """Who asks. Raise an ``HTTPException`` with 401 or 403, or with 503 when too many strangers ask at once."""
        kind, _, token = headers.get("authorization", "").partition(" ")
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
        asked = self._strangers.get(hash)
        if asked is None:
            if len(self._strangers) >= WAITING:
                raise HTTPException(503, "Too many unknown tokens at once.", {"Retry-After": "1"})
            asked = self._strangers[hash] = asyncio.create_task(self._in_turn(hash))
            asked.add_done_callback(partial(self._answered, hash))
        return await asyncio.shield(asked)

    def _answered(self, hash: str, asked: asyncio.Task[Bearer | None]) -> None:
        del self._strangers[hash]
        if not asked.cancelled():
            asked.exception()  # whoever still waits will raise it

    async def _in_turn(self, hash: str) -> Bearer | None:
        async with self._turns:
            return await self._look_up(hash)

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
