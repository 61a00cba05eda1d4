"""The world in which the outbox is tested."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from bot import faultpoint
from bot.db.engine import Database
from bot.outbox.service import Outbox
from bot.sandbox.slack import Workspace
from bot.slack.client import SlackClient
from bot.web.server import Server

from .world import OWNER, HastyClock, World


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    clock = HastyClock()
    workspace = Workspace(clock)
    workspace.add_person(OWNER, "ada")
    server = Server(workspace.app)
    await server.start()
    workspace.base_url = server.url
    slack = SlackClient(workspace.bot_token, f"{server.url}/api/")
    await slack.open()
    yield World(database, workspace, clock, slack, Outbox(database, slack, clock, jitter=lambda: 0.0))
    await slack.close()
    await server.stop()


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faultpoint.arm(lambda name: None)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot.outbox")
