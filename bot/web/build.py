"""Puts the routes of all parts behind the same limits and the same answers to errors."""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute

from bot.web.limits import BodyLimit
from bot.web.problem import crashed, refused


def build(routes: Iterable[BaseRoute]) -> Starlette:
    """The app that ``Server`` serves. A bug is answered and logged once, with its reference, and goes no further."""
    return Starlette(
        routes=list(routes),
        middleware=[Middleware(ExceptionMiddleware, handlers={Exception: crashed}), Middleware(BodyLimit)],
        exception_handlers={HTTPException: refused},
    )
