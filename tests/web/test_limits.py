"""What is read of a request, and how errors are told: over a real connection, because clients chunk as they like."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.web.build import build
from bot.web.limits import GREATEST_BODY
from bot.web.problem import Problem
from bot.web.server import Server


async def size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def bug(request: Request) -> Response:
    raise LookupError("token xoxb-1-2-secret")


async def busy(request: Request) -> Response:
    raise HTTPException(429, "Later, please.", {"Retry-After": "3"})


async def odd(request: Request) -> Response:
    return Problem(409, "The same id with other content.", id="evt_1")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    routes = [Route("/size", size, methods=["POST"]), Route("/bug", bug), Route("/busy", busy), Route("/odd", odd)]
    server = Server(build(routes))
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client
    await server.stop()


async def in_chunks(total: int, chunk: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, total, chunk):
        yield b"x" * min(chunk, total - start)


async def test_the_largest_body_still_passes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/size", content=b"x" * GREATEST_BODY)).text == str(GREATEST_BODY)
    assert (await client.post("/size", content=in_chunks(GREATEST_BODY))).text == str(GREATEST_BODY)
    assert (await client.post("/size")).text == "0"


@pytest.mark.parametrize("excess", [1, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_larger_one_is_refused(client: httpx.AsyncClient, excess: int, chunked: bool) -> None:
    total = GREATEST_BODY + excess
    answer = await client.post("/size", content=in_chunks(total) if chunked else b"x" * total)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == f"At most {GREATEST_BODY} bytes."
    assert (await client.post("/size", content=b"small")).text == "5"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", {"status": 404, "title": "Not Found"}),
        ("GET", "/size", {"status": 405, "title": "Method Not Allowed"}),
        ("GET", "/busy", {"status": 429, "title": "Too Many Requests", "detail": "Later, please."}),
        (
            "GET",
            "/odd",
            {"status": 409, "title": "Conflict", "detail": "The same id with other content.", "id": "evt_1"},
        ),
    ],
)
async def test_errors_are_problems(
    client: httpx.AsyncClient, method: str, path: str, expected: dict[str, object]
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == expected["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", **expected}


async def test_an_endless_one_is_cut(client: httpx.AsyncClient) -> None:
    with contextlib.suppress(httpx.TransportError):  # cut before the refusal was read
        assert (await client.post("/size", content=in_chunks(10**12))).status_code == 413


async def test_a_client_that_leaves_in_the_middle_leaves_no_trace(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(b"POST /size HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    assert await reader.read() == b""
    await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_headers_of_refusals_are_kept(client: httpx.AsyncClient) -> None:
    assert (await client.get("/busy")).headers["retry-after"] == "3"
    assert (await client.get("/size")).headers["allow"] == "POST"


async def test_a_bug_has_one_reference_for_the_caller_and_for_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/bug")

    assert answer.status_code == 500
    assert "secret" not in json.dumps(answer.json())
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert vars(record)["reference"] == answer.json()["reference"]
    assert vars(record)["path"] == "/bug"
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)
