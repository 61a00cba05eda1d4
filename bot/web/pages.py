"""The two pages a buyer comes back to from the payment page: they say what happens next and load nothing."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from html import escape
from typing import Final

from babel import Locale, UnknownLocaleError
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from bot.text import Texts

_SESSION: Final = re.compile(r"cs_[A-Za-z0-9_]{1,250}")
_RANGE: Final = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3})\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_MOST_RANGES: Final = 20

_STYLE: Final = """
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f6f5f8; color: #1d1c1d;
  font: 17px/1.5 system-ui, sans-serif }
main { max-width: 26rem; margin: 1.5rem; padding: 2.5rem; border-radius: 1rem; background: #fff; text-align: center;
  box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
svg { width: 3.5rem; height: 3.5rem; fill: none; stroke-width: 3; stroke-linecap: round; stroke-linejoin: round }
.done svg { stroke: #1a7f4b }
.cancelled svg { stroke: #6b6a6e }
h1 { margin: 1rem 0 .5rem; font-size: 1.4rem; line-height: 1.25 }
p { margin: 0; color: #55535a }
@media (prefers-color-scheme: dark) {
  body { background: #1a1d21; color: #f3f2f4 }
  main { background: #26292e }
  p { color: #b9b7bd }
  .done svg { stroke: #4cc38a }
}
"""
_SIGNS: Final = {
    "done": '<circle cx="24" cy="24" r="21"/><path d="m15 25 6 6 12-14"/>',
    "cancelled": '<circle cx="24" cy="24" r="21"/><path d="M15 24h18"/>',
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        + "'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Language",
}


class ReturnPages:
    """``GET /checkout/done`` and ``GET /checkout/cancelled``, in the first language the browser asks for that we have.

    ``on_return`` gets the checkout session of a buyer who says to have paid, after the page was sent. Anybody can call
    these addresses with anything: it is a reason to ask Stripe, never a proof.
    """

    def __init__(self, on_return: Callable[[str], Awaitable[None]], texts: Callable[[str | None], Texts]) -> None:
        self._on_return = on_return
        self._texts = texts

    @property
    def routes(self) -> list[Route]:
        return [Route("/checkout/done", self._done), Route("/checkout/cancelled", self._cancelled)]

    async def _done(self, request: Request) -> HTMLResponse:
        page = self._page(request, "done")
        session_id = request.query_params.get("session_id", "")
        if _SESSION.fullmatch(session_id):
            page.background = BackgroundTask(self._on_return, session_id)
        return page

    async def _cancelled(self, request: Request) -> HTMLResponse:
        return self._page(request, "cancelled")

    def _page(self, request: Request, name: str) -> HTMLResponse:
        texts = preferred(request.headers.get("accept-language", ""), self._texts)
        title, body = escape(texts(f"page.{name}.title")), escape(texts(f"page.{name}.body"))
        return HTMLResponse(
            f"""<!doctype html>
<html lang="{texts.language.replace("_", "-")}" dir="{texts.locale.text_direction}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{_STYLE}</style>
<main class="{name}">
<svg viewBox="0 0 48 48" aria-hidden="true">{_SIGNS[name]}</svg>
<h1>{title}</h1>
<p>{body}</p>
</main>
""",
            headers=_HEADERS,
        )


def preferred(accept_language: str, texts: Callable[[str | None], Texts]) -> Texts:
    """The sentences in the first of these languages that has any, else those for a reader of no known language."""
    otherwise = texts(None)
    for asked in _locales(accept_language):
        found = texts(str(asked))
        if found.language != otherwise.language or asked.language == otherwise.locale.language:
            return found
    return otherwise


def _locales(accept_language: str) -> Iterator[Locale]:
    """The languages of an ``Accept-Language`` header that exist, the most wanted first; rubbish is passed over."""
    ranges = [_RANGE.fullmatch(part) for part in accept_language.split(",", _MOST_RANGES)[:_MOST_RANGES]]
    wanted = [(float(found[2] or 1), found[1]) for found in ranges if found]
    for quality, tag in sorted(wanted, key=lambda one: -one[0]):
        try:
            if quality:
                yield Locale.parse(tag, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
