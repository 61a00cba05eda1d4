"""Usage over HTTP: events in, balances out, holds. Errors say which event is wrong and why."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.clock import Clock
from bot.errors import Outage
from bot.money import Credits, UnreadableAmount
from bot.prices.model import Tokens
from bot.tokens.model import Scope
from bot.tokens.service import Gate
from bot.usage import wire
from bot.usage.holds import LASTS, LONGEST, Holds
from bot.usage.meter import Meter
from bot.usage.model import MOST_TOKENS, Busy, Event, Hold, HoldConflict, NotEnough, Standing, UsageRefused
from bot.web.direct import Direct
from bot.web.problem import Problem

logger = logging.getLogger(__name__)

_MOST_OF_ONE: Final = 20_000  # events that one token may have waiting
_LARGE: Final = 32 * 1024  # bytes: what takes more than a millisecond to read
_NOTED_EVERY: Final = 60.0  # seconds
_GREATEST_HOLD: Final = Credits(10**15)

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A request for a hold: so many credits, or enough for a call of a model with so much input and output."""

    account: str
    credits: str | None = None
    provider: str | None = None
    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    seconds: Annotated[int, msgspec.Meta(ge=1, le=LONGEST // timedelta(seconds=1))] = LASTS // timedelta(seconds=1)


_WANTED: Final = msgspec.json.Decoder(Wanted)

_BOOKED: Final = Response(status_code=204)

P = ParamSpec("P")


def telling(
    endpoint: Callable[Concatenate["Api", P], Awaitable[Response]],
) -> Callable[Concatenate["Api", P], Coroutine[Any, Any, Response]]:
    """Let an endpoint answer with what it refuses."""

    @wraps(endpoint)
    async def answer(self: "Api", /, *args: P.args, **kwargs: P.kwargs) -> Response:
        try:
            return await endpoint(self, *args, **kwargs)
        except wire.BadEvents as bad:
            return _of_events(bad.status, "Nothing was booked.", bad.problems)
        except UsageRefused as refused:
            return _of_events(409 if refused.conflict else 400, "Nothing was booked.", refused.problems)
        except Busy as busy:
            return Problem(429, "Too much at once. Nothing was booked.", headers={"Retry-After": str(busy.seconds)})
        except Outage as outage:
            self.note(outage)
            return Problem(503, "Send it again: what was booked is not booked twice.", headers={"Retry-After": "1"})
        except NotEnough as short:
            return Problem(402, "Not enough credits.", needed=short.amount.exact, **_standing(short.standing))
        except HoldConflict as conflict:
            return Problem(409, f"{conflict}.")

    return answer


class Api:
    """The endpoints for GenStudio, and for anything else that speaks OpenMeter's protocol."""

    def __init__(self, gate: Gate, meter: Meter, holds: Holds, clock: Clock) -> None:
        self._gate = gate
        self._meter = meter
        self._holds = holds
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting: Counter[str] = Counter()  # events, by the token that brought them
        self._silent_until = 0.0

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/events", Direct(self.events), methods=["POST"]),
            Route("/api/v1/accounts/{id}/balance", self.balance, methods=["GET"]),
            Route("/api/v1/holds", self.hold, methods=["POST"]),
            Route("/api/v1/holds/{id}/settle", self.settle, methods=["POST"]),
            Route("/api/v1/holds/{id}", self.release, methods=["DELETE"]),
        ]

    @telling
    async def events(self, headers: Headers, body: bytes) -> Response:
        """204 once every event is booked, or was before."""
        bearer = await self._gate.admit(headers, Scope.USAGE)
        events = await self._read(headers, body)
        with self._room_for(bearer.name, len(events)):
            await self._meter.book(events)
        return _BOOKED

    @telling
    async def balance(self, request: Request) -> Response:
        """What an account has, in one moment."""
        await self._gate.admit(request.headers, Scope.READ)
        standing = await self._holds.standing(request.path_params["id"])
        return JSONResponse(_standing(standing)) if standing else Problem(404, "There is no such account.")

    @telling
    async def hold(self, request: Request) -> Response:
        """201 with the hold, or 402."""
        bearer = await self._gate.admit(request.headers, Scope.USAGE)
        try:
            wanted = _WANTED.decode((await request.body()).decode())
        except UnicodeDecodeError:
            return Problem(400, "not UTF-8.")
        except RecursionError:
            return Problem(400, "nested too deeply.")
        except msgspec.DecodeError as wrong:
            return Problem(400, f"{wire.plain(wrong)}.")
        if await self._holds.standing(wanted.account) is None:
            return Problem(404, f"There is no account {wanted.account}.")
        amount = await self._amount(wanted)
        if not isinstance(amount, Credits):
            return Problem(400, amount)
        key = request.headers.get("Idempotency-Key")
        hold, standing = await self._holds.open(
            wanted.account, amount, timedelta(seconds=wanted.seconds), key and f"{bearer.name}:{key}"
        )
        return JSONResponse(_hold(hold) | _standing(standing), 201)

    async def _amount(self, wanted: Wanted) -> Credits | str:
        """How much to hold, or what is wrong with the request."""
        call = (wanted.provider, wanted.model, wanted.input_tokens, wanted.output_tokens)
        match wanted.credits, *call:
            case str(credits), None, None, None, None:
                try:
                    amount = Credits.exactly(credits)
                except UnreadableAmount:
                    return "credits is a decimal number of credits in a string, such as 0.25."
                return (
                    amount
                    if Credits.ZERO < amount <= _GREATEST_HOLD
                    else "credits is more than 0 and at most a million."
                )
            case None, str(provider), str(model), int(read), int(written):
                tokens = Tokens(input=read, output=written)
                cost = await self._holds.greatest_cost(wanted.account, provider, model, tokens)
                return cost if cost is not None else f"{provider} {model} has no price now."
        return "Name either credits, or provider, model, input_tokens and output_tokens."

    @telling
    async def settle(self, request: Request) -> Response:
        """200 with what the call cost; the body is the event, or the events, of the call."""
        bearer = await self._gate.admit(request.headers, Scope.USAGE)
        events = await self._read(request.headers, await request.body())
        hold_id = request.path_params["id"]
        try:
            with self._room_for(bearer.name, len(events)):
                hold, receipt = await self._holds.settle(hold_id, events)
        except LookupError:
            return Problem(404, "There is no such hold.")
        spent = {"spent": receipt.cost.exact, "spent_nano": receipt.cost.nano, "parked": receipt.parked}
        standing = await self._holds.standing(hold.account_id)
        return JSONResponse({"id": hold_id, "state": "settled", **spent, **(_standing(standing) if standing else {})})

    @telling
    async def release(self, request: Request) -> Response:
        """204 once nothing is held any more."""
        await self._gate.admit(request.headers, Scope.USAGE)
        try:
            await self._holds.release(request.path_params["id"])
        except LookupError:
            return Problem(404, "There is no such hold.")
        return Response(status_code=204)

    async def _read(self, headers: Headers, body: bytes) -> list[Event]:
        kind = headers.get("Content-Type", "")
        if len(body) < _LARGE:
            return wire.parse(kind, body, self._clock.now())
        async with self._turn:  # each large one in a round of the event loop of its own: Slack is served in between
            await asyncio.sleep(0)
            return wire.parse(kind, body, self._clock.now())

    def note(self, outage: Outage) -> None:
        """Into the log, once a minute: whoever is refused asks again and again."""
        if (now := self._clock.monotonic()) >= self._silent_until:
            self._silent_until = now + _NOTED_EVERY
            logger.warning("a request of a program is refused: %s", outage)

    @contextmanager
    def _room_for(self, token: str, events: int) -> Iterator[None]:
        """Raise ``Busy`` when this token has too much waiting already."""
        if self._waiting[token] >= _MOST_OF_ONE:
            raise Busy()
        self._waiting[token] += events
        try:
            yield
        finally:
            self._waiting[token] -= events


def _of_events(status: int, detail: str, problems: Sequence[tuple[int | None, str]]) -> Problem:
    return Problem(status, detail, errors=[{"index": index, "reason": reason} for index, reason in problems])


def _standing(standing: Standing) -> dict[str, Any]:
    amounts = {"settled": standing.settled, "held": standing.held, "available": standing.available}
    exact = {name: amount.exact for name, amount in amounts.items()}
    nano = {f"{name}_nano": amount.nano for name, amount in amounts.items()}
    terms = {"at_zero": standing.at_zero, "overdraft": standing.overdraft.exact, "entry": standing.seq}
    return {"account": standing.account_id, **exact, **nano, **terms}


def _hold(hold: Hold) -> dict[str, object]:
    amount = {"amount": hold.amount.exact, "amount_nano": hold.amount.nano}
    return {"id": hold.id, "state": hold.state, **amount, "expires_at": hold.expires_at.isoformat()}
