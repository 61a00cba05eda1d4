"""Trouble on demand, seen from the other end of the wire, on both of uvicorn's HTTP implementations."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from bot.sandbox.faults import Faults, Faulty, Hit, Kind
from bot.web.server import Server


class Service:
    """Counts what it was asked to do, behind a switchboard, inside another Starlette as in the sandbox."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.done: list[str] = []
        inner = Starlette(routes=[Route("/{method}", self.work, methods=["POST"])])
        guarded = Faulty(
            inner,
            self.faults,
            lambda scope: str(scope["path"]).rsplit("/", 1)[-1],
            {Kind.RATE_LIMITED: {"ok": False, "error": "ratelimited"}},
        )
        self.app = Starlette(routes=[Mount("/api", guarded)])

    async def work(self, request: Request) -> JSONResponse:
        self.done.append((await request.body()).decode())
        return JSONResponse({"ok": True})


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    server = Server(service.app)
    await server.start()
    async with httpx.AsyncClient(base_url=f"{server.url}/api") as client:
        yield client
    await server.stop()


async def test_cut_before_means_nothing_was_done(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.faults.arm("chat.postMessage", Kind.CUT_BEFORE)
    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
        await client.post("/chat.postMessage", content="hello")
    assert service.done == []
    assert (await client.post("/chat.postMessage", content="hello")).json() == {"ok": True}
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_cut_after_means_the_work_was_done(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    service.faults.arm("chat.*", Kind.CUT_AFTER)
    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
        await client.post("/chat.postMessage", content="hello")
    assert service.done == ["hello"]
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_refusals_come_instead_of_the_work(service: Service, client: httpx.AsyncClient) -> None:
    service.faults.arm("chat.postMessage", Kind.STATUS, code=503, body="down")
    service.faults.arm("chat.postMessage", Kind.RATE_LIMITED, retry_after=7)
    service.faults.arm("chat.postMessage", Kind.HTML)

    down, limited, page = [await client.post("/chat.postMessage", content="hello") for _ in range(3)]

    assert (down.status_code, down.text) == (503, "down")
    assert (limited.status_code, limited.headers["retry-after"], limited.json()["error"]) == (429, "7", "ratelimited")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert service.done == []
    assert [hit.kind for hit in service.faults.hits] == [Kind.STATUS, Kind.RATE_LIMITED, Kind.HTML]


async def test_a_silence_is_followed_by_the_work(service: Service, client: httpx.AsyncClient) -> None:
    service.faults.arm("chat.postMessage", Kind.HANG, seconds=0.2)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/chat.postMessage", content="hello", timeout=0.05)
    assert service.done == []
    await asyncio.sleep(0.3)
    assert service.done == ["hello"]


def test_faults_strike_where_and_as_often_as_they_were_armed() -> None:
    faults = Faults()
    faults.arm("POST /v1/payment_intents/*/confirm", Kind.HTML, 2)
    always = faults.arm("GET *", Kind.HANG, None)

    assert faults.take("POST /v1/payment_intents") is None
    confirm = "POST /v1/payment_intents/pi_1/confirm"
    struck = [faults.take(confirm) for _ in range(3)]
    assert [fault and fault.kind for fault in struck] == [Kind.HTML, Kind.HTML, None]
    assert all(faults.take("GET /v1/events") is always for _ in range(5))

    faults.disarm()
    assert faults.take("GET /v1/events") is None
    assert faults.hits[:2] == [Hit(confirm, Kind.HTML)] * 2
    assert len(faults.hits) == 7
