"""Puts the routes of all parts behind the same limits and the same answers to errors."""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.web.limits import BodyLimit
from bot.web.problem import crashed, refused


def build(routes: Iterable[BaseRoute]) -> ASGIApp:
    """The app that ``Server`` serves. A bug is answered and logged once, with its reference, and goes no further.

    What Starlette's own application would put around this costs every request as much as reading it.
    """
    router = Router(routes=list(routes))

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = routed  # or the router answers what it does not know by itself, as plain text
        await router(scope, receive, send)

    return ExceptionMiddleware(BodyLimit(routed), handlers={HTTPException: refused, Exception: crashed})
