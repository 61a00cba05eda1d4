"""Errors over HTTP as ``application/problem+json`` (RFC 9457)."""

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

log = logging.getLogger(__name__)


class Problem(JSONResponse):
    """What went wrong: the status and, where it helps the caller, a sentence and members of its own."""

    media_type = "application/problem+json"

    def __init__(
        self, status: int, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        told = {"detail": detail} if detail else {}
        content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, **told, **members}
        super().__init__(content, status, headers)


async def refused(request: Request, error: Exception) -> Problem:
    """Answer an ``HTTPException``: no such page, a wrong method, and what endpoints raise themselves."""
    assert isinstance(error, HTTPException)
    said = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return Problem(error.status_code, said, headers=error.headers)


async def crashed(request: Request, error: Exception) -> Problem:
    """Answer a bug: a reference for the caller, and the traceback under that reference in the log."""
    reference = secrets.token_hex(4)
    log.error(
        "request failed",
        exc_info=error,
        extra={"reference": reference, "method": request.method, "path": request.url.path},
    )
    return Problem(500, "Something of ours failed. Quote the reference.", reference=reference)
