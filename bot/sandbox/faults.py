"""Trouble on demand: a call to one of the sandbox's services can be cut, refused, held up or answered with rubbish."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RUBBISH = "<!doctype html><title>Bad gateway</title><h1>Something between us is having a bad day</h1>"


class Kind(Enum):
    """What goes wrong."""

    CUT_BEFORE = "the connection drops and nothing was done"
    CUT_AFTER = "the work is done and the connection drops instead of an answer"
    STATUS = "an error answer instead of the work"
    RATE_LIMITED = "429 instead of the work"
    HANG = "a long silence, then the work and its answer"
    HTML = "200 with a web page instead of the work"


@dataclass
class Fault:
    """One armed fault. ``times`` is how often it still strikes; ``None`` is until disarmed."""

    where: str
    kind: Kind
    times: int | None = 1
    code: int = 500
    body: object = None
    stored: bool = False
    seconds: float = 30.0
    retry_after: int = 1

    def answer(self, bodies: Mapping[Kind, object]) -> Response | None:
        """What is said instead of doing the work; ``None`` when the work is done after all."""
        body = self.body if self.body is not None else bodies.get(self.kind, "")
        if self.kind is Kind.STATUS:
            return _response(body, self.code, {})
        if self.kind is Kind.RATE_LIMITED:
            return _response(body, 429, {"Retry-After": str(self.retry_after)})
        if self.kind is Kind.HTML:
            return HTMLResponse(RUBBISH)
        return None


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that struck: which call met what."""

    call: str
    kind: Kind


@dataclass
class Faults:
    """The switchboard. ``where`` is a glob over calls, such as ``POST /v1/payment_intents/*/confirm`` or ``chat.*``."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    hits: list[Hit] = field(default_factory=list)
    _armed: list[Fault] = field(default_factory=list)

    def arm(
        self,
        where: str,
        kind: Kind,
        times: int | None = 1,
        *,
        code: int = 500,
        body: object = None,
        stored: bool = False,
        seconds: float = 30.0,
        retry_after: int = 1,
    ) -> Fault:
        """Let the next calls that match go wrong, after the faults that are armed already.

        ``code`` and ``body`` belong to STATUS, ``seconds`` to HANG, ``retry_after`` to RATE_LIMITED. ``stored`` lets
        Stripe remember the error under the request's idempotency key, as it does once it has begun the work.
        """
        fault = Fault(where, kind, times, code, body, stored, seconds, retry_after)
        self._armed.append(fault)
        return fault

    def disarm(self) -> None:
        """From now on everything works; ``hits`` stays."""
        self._armed.clear()

    def take(self, call: str) -> Fault | None:
        """The fault that strikes this call, used up by one."""
        for fault in self._armed:
            if fnmatchcase(call, fault.where):
                self._use_up(fault)
                self.hits.append(Hit(call, fault.kind))
                return fault
        return None

    def _use_up(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._armed.remove(fault)


@dataclass(frozen=True)
class Faulty:
    """An ASGI app with the switchboard in front. ``name`` says what a request is called, ``bodies`` how errors look."""

    app: ASGIApp
    faults: Faults
    name: Callable[[Scope], str]
    bodies: Mapping[Kind, object] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.faults.take(self.name(scope)) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind is Kind.CUT_BEFORE:
            await drop(receive)
        elif fault.kind is Kind.CUT_AFTER:
            await self.app(scope, receive, _unheard)
            await drop(receive)
        elif answer := fault.answer(self.bodies):
            await answer(scope, receive, send)
        else:
            heard = await _whole(receive)  # now, because a client that gives up takes its request along
            await self.faults.sleep(fault.seconds)
            await self.app(scope, heard, send)


async def drop(receive: Receive) -> None:
    """Close the client's connection without a word, whichever HTTP implementation uvicorn runs on.

    ASGI has no message for this, so the socket is taken from the request that ``receive`` is bound to. Starlette wraps
    ``send`` on the way but hands ``receive`` on as it is.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("cut, as the sandbox was told to")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass  # uvicorn must have noticed before we return, or it would complain about a missing answer


async def _whole(receive: Receive) -> Receive:
    """The same request with its body already here."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return again


async def _unheard(message: Message) -> None:
    """Where an answer goes that nobody will hear."""


def _response(body: object, code: int, headers: Mapping[str, str]) -> Response:
    if isinstance(body, str):
        return PlainTextResponse(body, code, headers)
    return JSONResponse(body, code, headers)
