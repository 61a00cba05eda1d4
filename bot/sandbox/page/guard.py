"""Keeps other web sites out of the page: what it does may only be asked for by the page itself."""

from urllib.parse import urlsplit

from starlette.requests import Request

MOST_BYTES = 256 * 1024


def refusal(request: Request) -> str | None:
    """Why this request may not change anything, or nothing."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "send application/json"
    if int(request.headers.get("content-length", MOST_BYTES + 1)) > MOST_BYTES:
        return "too much"
    if not _same_origin(request):
        return "only the sandbox's own page may do this"
    return None


def _same_origin(request: Request) -> bool:
    """A browser always says where a POST comes from; a program on this machine (curl, a test) says nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
