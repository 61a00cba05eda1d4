"""The server: listens where it is told or says why not, and stops soon whatever is still open."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bot.web.server import CannotListen, Server


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.2)
    return PlainTextResponse("done")


async def silent(request: Request) -> Response:
    await asyncio.sleep(60)
    return PlainTextResponse("too late")


async def stubborn(request: Request) -> Response:
    for _ in range(30):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
    return PlainTextResponse("too late")


async def stream(request: Request) -> Response:
    async def forever() -> AsyncIterator[str]:
        while True:
            yield "data: x\n\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(forever(), media_type="text/event-stream")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.receive_text()


APP = Starlette(
    routes=[
        *(Route(f"/{endpoint.__name__}", endpoint) for endpoint in (hello, slow, silent, stubborn, stream)),
        WebSocketRoute("/talk", talk),
    ]
)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(APP)
    await server.start()
    yield server
    await server.stop()


async def stopped_within(server: Server) -> float:
    started = time.monotonic()
    await server.stop()
    return time.monotonic() - started


async def test_an_idle_server_stops_at_once(server: Server) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{server.url}/hello")).text == "hello"
        assert await stopped_within(server) < 0.1
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{server.url}/hello")


async def test_an_answer_under_way_is_finished(server: Server) -> None:
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{server.url}/slow"))
        await asyncio.sleep(0.1)
        assert await stopped_within(server) < 0.5
        assert (await answer).text == "done"


@pytest.mark.parametrize("path", ["stream", "silent", "stubborn"])
async def test_what_never_ends_is_cut(server: Server, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{server.url}/{path}"))
        await asyncio.sleep(0.1)
        assert await stopped_within(server) < 2
        with pytest.raises(httpx.RemoteProtocolError):
            await answer
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_websocket_is_told_to_leave(server: Server) -> None:
    async with connect(f"{server.url.replace('http', 'ws')}/talk") as client:
        assert await client.recv() == "hello"
        assert await stopped_within(server) < 1
        with pytest.raises(ConnectionClosed):
            await client.recv()


async def test_it_starts_again_on_the_same_port(server: Server) -> None:
    url = server.url
    await server.stop()
    await server.stop()
    await server.start()
    assert server.url == url
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/hello")).text == "hello"


async def test_a_taken_port_is_named(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(CannotListen, match=rf"cannot listen on 127\.0\.0\.1:{port} \(HOST and PORT\): .*in use"):
        await Server(APP, port=port).start()


async def test_an_address_of_nobody_is_named() -> None:
    with pytest.raises(CannotListen, match=r"nowhere\.invalid"):
        await Server(APP, host="nowhere.invalid").start()


async def test_the_url_is_how_this_machine_reaches_it() -> None:
    assert Server(APP, host="::1", port=80).url == "http://[::1]:80"
    server = Server(APP, host="0.0.0.0")
    await server.start()
    async with httpx.AsyncClient() as client:
        assert server.url.startswith("http://127.0.0.1:")
        assert (await client.get(f"{server.url}/hello")).text == "hello"
    await server.stop()


async def test_signals_stay_with_the_process_and_nobody_is_told_what_serves(server: Server) -> None:
    async with httpx.AsyncClient() as client:
        assert "server" not in (await client.get(f"{server.url}/hello")).headers
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("head", ["X-Long: {}\r\n", "{}"], ids=["one header", "many headers"])
async def test_a_head_without_end_is_cut(server: Server, head: str) -> None:
    """Somebody who sends headers for ever must not fill the memory."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    filling = "x" * 600_000 if "X-Long" in head else "".join(f"X-{n}: {'x' * 80}\r\n" for n in range(1_000))
    writer.write(f"GET /hello HTTP/1.1\r\nHost: bot\r\n{head.format(filling)}".encode())

    answer = b"HTTP/1.1 400 "  # which may be lost with the connection: we were still sending
    with contextlib.suppress(ConnectionResetError):
        answer = await asyncio.wait_for(reader.read(), timeout=5)

    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert (await httpx.AsyncClient().get(f"{server.url}/hello")).text == "hello"


@pytest.mark.parametrize(
    "begun", [b"", b"GET /hello HTTP/1.1\r\nHost: b", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_a_request_that_never_ends_gives_its_connection_back(
    server: Server, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr("bot.web.server.UNFINISHED_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(begun)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), timeout=5)
    writer.close()


async def test_what_has_arrived_takes_as_long_as_it_takes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.web.server.UNFINISHED_SECONDS", 0.1)
    async with connect(f"ws{server.url.removeprefix('http')}/talk") as socket, httpx.AsyncClient() as client:
        assert await socket.recv() == "hello"
        for _ in range(2):
            assert (await client.get(f"{server.url}/slow")).text == "done"
        async with asyncio.timeout(5):
            await (await socket.ping())
