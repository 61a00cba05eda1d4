"""Socket Mode's watchdog against a Slack whose lines break: it always comes back, and says so while it cannot."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Faults, Kind
from bot.sandbox.slack import Workspace
from bot.slack import bolt
from bot.slack.socket import SocketMode
from bot.web.server import Server

ANNA = "U0ANNA"
OPEN = "apps.connections.open"


@dataclass
class Line:
    """A workspace, and an app that answers ``/try`` over a socket."""

    slack: Workspace
    faults: Faults
    clock: WindableClock
    socket: SocketMode
    channel: str

    async def connected(self, lines: int = 2) -> None:
        await self._until(lambda: self.slack.sockets.connections == lines)

    async def well(self) -> None:
        """Connected, and readiness has nothing to tell."""
        await self.connected()
        async with asyncio.timeout(5):
            while await self.socket.trouble():  # noqa: ASYNC110 - trouble is asked for, it does not tell
                await asyncio.sleep(0.01)

    async def ill(self) -> str:
        """What readiness tells, once it tells something."""
        async with asyncio.timeout(10):
            while not (trouble := await self.socket.trouble()):
                self.clock.wind(0.5)
                await asyncio.sleep(0.01)
        return trouble

    async def works(self) -> bool:
        ack = await self.slack.command(ANNA, self.channel, "/try")
        return ack.text == "heard"

    async def failed(self, times: int) -> None:
        await self._until(lambda: len(self.faults.hits) >= times)

    async def _until(self, true: object) -> None:
        """Wait for it, and make the watchdog's seconds short meanwhile."""
        async with asyncio.timeout(10):
            while not true():  # type: ignore[operator]
                self.clock.wind(0.5)
                await asyncio.sleep(0.01)


@pytest.fixture
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    """With a parameter Slack has answered so, and nothing else, from the beginning."""
    clock, faults = WindableClock(), Faults()
    if refusal := getattr(request, "param", None):
        faults.arm(OPEN, Kind.STATUS, times=None, code=200, body=refusal)
    slack = Workspace(WindableClock(), faults=faults)
    slack.add_person(ANNA, "anna")
    channel = slack.add_channel("general", [ANNA]).id
    server = Server(slack.app)
    await server.start()
    slack.base_url = server.url

    async def hear(args: AsyncArgs) -> None:
        await args.ack("heard")

    app = bolt.build(token=slack.bot_token, api_url=f"{slack.base_url}/api/")
    app.command("/try")(hear)
    socket = SocketMode(app, slack.app_token, clock)
    await socket.start()
    yield Line(slack, faults, clock, socket, channel)
    await socket.stop()
    await slack.close()
    await server.stop()


async def test_there_are_two_connections_so_that_one_is_always_up(line: Line) -> None:
    await line.well()
    assert all([await line.works() for _ in range(4)])


async def test_it_comes_back_after_every_line_was_cut(line: Line) -> None:
    for _ in range(3):
        await line.connected()
        await line.slack.cut_sockets()
        await line.connected()
        assert await line.works()


async def test_it_comes_back_after_slack_asked_for_new_lines(line: Line) -> None:
    await line.connected()
    await line.slack.refresh_sockets()
    await line.connected()
    assert await line.works()


@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.STATUS, Kind.HTML])
async def test_it_comes_back_after_a_slack_that_gives_no_address(line: Line, kind: Kind) -> None:
    await line.connected()
    line.faults.arm(OPEN, kind, times=6)
    await line.slack.cut_sockets()
    await line.failed(6)
    await line.connected()
    assert await line.works()


async def test_it_comes_back_when_slack_itself_sent_it_to_a_dead_address(line: Line) -> None:
    """slack_sdk, left alone, would try that one for ever."""
    await line.connected()
    dead = {"ok": True, "url": "ws://127.0.0.1:9/link/dead"}
    line.faults.arm(OPEN, Kind.STATUS, times=2, code=200, body=dead)
    await line.slack.refresh_sockets()
    await line.failed(2)
    await line.connected()
    assert await line.works()


async def test_it_comes_back_when_slack_itself_sent_it_to_somebody_silent(line: Line, monkeypatch: Any) -> None:
    """slack_sdk, left alone, would wait for five minutes."""
    monkeypatch.setattr("bot.slack.socket._PATIENCE", 0.3)
    await line.connected()
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}/link"
    line.faults.arm(OPEN, Kind.STATUS, times=2, code=200, body={"ok": True, "url": url})
    await line.slack.refresh_sockets()
    await line.failed(2)
    await line.connected()
    assert await line.works()
    silent.close()


async def test_told_twice_to_renew_a_line_it_makes_one(line: Line) -> None:
    """slack_sdk would make two, and read only one of them where that takes long."""
    await line.connected()
    told = line.socket._lines[0]
    async with told._one_at_a_time:  # Slack may know of the connection before we do
        line.faults.arm(OPEN, Kind.HANG, times=None, seconds=0.1)
    await asyncio.gather(*(told.client.connect_to_new_endpoint(force=True) for _ in range(2)))
    assert len(line.faults.hits) == 1
    await line.connected()
    assert all([await line.works() for _ in range(4)])


async def test_it_comes_back_after_a_slack_that_hangs(line: Line) -> None:
    await line.connected(2)
    line.faults.arm(OPEN, Kind.HANG, times=1, seconds=60)
    await line.slack.cut_sockets()
    await line.connected(1)  # the other line does not wait for it
    assert await line.works()


async def test_readiness_tells_of_it_after_fifteen_seconds_without_any_line_and_no_longer(line: Line) -> None:
    await line.well()
    line.faults.arm(OPEN, Kind.STATUS, times=None)
    await line.slack.cut_sockets()
    cut_at = line.clock.monotonic()

    assert "SLACK_APP_TOKEN" in await line.ill()
    assert line.clock.monotonic() - cut_at >= 15, "a moment is no trouble yet"

    line.faults.disarm()
    await line.well()


@pytest.mark.parametrize("line", [{"ok": False, "error": "invalid_auth"}], indirect=True)
async def test_a_bot_that_never_got_a_line_is_not_ready_and_says_why(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    assert await line.socket.trouble() == "starting: not connected to Slack yet"
    await line.failed(2)
    line.clock.wind(16)
    for _ in range(500):  # Slack was asked, and its answer may still be on its way
        if "(invalid_auth)" in str(await line.socket.trouble()):
            break
        await asyncio.sleep(0.01)
    said = "Slack refuses SLACK_APP_TOKEN (invalid_auth): credits-bot doctor says how to mend it"
    assert await line.socket.trouble() == said
    assert {record.getMessage() for record in caplog.records} >= {said}

    line.faults.disarm()
    await line.well()


async def test_a_slack_that_refuses_is_asked_less_and_less_often(line: Line) -> None:
    await line.connected()
    line.faults.arm(OPEN, Kind.STATUS, times=None)
    await line.slack.cut_sockets()
    await line.failed(2)
    for _ in range(600):
        line.clock.wind(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
    assert 2 * 5 <= len(line.faults.hits) <= 2 * 60, "ten minutes, at most four times a minute for each line"


async def test_it_ends_at_once_though_slack_hangs(line: Line) -> None:
    await line.connected()
    line.faults.arm(OPEN, Kind.HANG, times=None, seconds=60)
    await line.slack.cut_sockets()
    await line.failed(1)
    async with asyncio.timeout(3):
        await line.socket.stop()
