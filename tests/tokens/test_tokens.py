"""Bearer tokens from the terminal to the door: shown once, kept as a hash, refused when revoked."""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bot.cli import main
from bot.db.engine import Database
from bot.sandbox.clock import WindableClock
from bot.settings import Settings
from bot.tokens.model import Scope, new_token
from bot.tokens.service import LOOKUPS, WAITING, Gate
from bot.web.build import build

Run = Callable[..., Awaitable[Result]]


class Watched(Database):
    """A database that counts who reads, and lets them wait while ``open`` is not set."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.open = asyncio.Event()
        self.open.set()
        self.reads = self.readers = self.most_readers = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        self.reads += 1
        self.readers += 1
        self.most_readers = max(self.readers, self.most_readers)
        try:
            await self.open.wait()
            async with super().read() as tx:
                yield tx
        finally:
            self.readers -= 1


class Program:
    """Something that speaks to a process of the bot, with its own gate and memory."""

    def __init__(self, database: Database, clock: WindableClock) -> None:
        gate = Gate(database, clock)

        async def usage(request: Request) -> PlainTextResponse:
            return PlainTextResponse((await gate.admit(request.headers, Scope.USAGE)).name)

        async def balance(request: Request) -> PlainTextResponse:
            return PlainTextResponse((await gate.admit(request.headers, Scope.READ)).name)

        transport = httpx.ASGITransport(build([Route("/usage", usage), Route("/balance", balance)]))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://bot")

    async def ask(self, path: str, token: str | None = None, **headers: Any) -> httpx.Response:
        return await self._client.get(path, headers={"Authorization": f"Bearer {token}"} if token else headers)

    async def passes(self, token: str, path: str = "/usage") -> bool:
        return (await self.ask(path, token)).status_code == 200


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in a terminal; it must end with an exit code, never with a traceback."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)

    async def run(*words: str, code: int = 0) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["tokens", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    database = Watched(database_url)
    database.reads = database.most_readers = 0
    yield database
    await database.dispose()


@pytest.fixture
def clock() -> WindableClock:
    return WindableClock()


@pytest.fixture
def program(watched: Watched, clock: WindableClock) -> Program:
    return Program(watched, clock)


async def test_a_token_lets_a_program_in(run: Run, program: Program) -> None:
    made = await run("create", "genstudio")
    token = made.stdout.strip()
    assert re.fullmatch(r"cb_[A-Za-z0-9_-]{40,}", token), "stdout is the token and nothing else, for scripts"
    assert "not shown again" in made.stderr

    for path in ("/usage", "/balance"):
        answer = await program.ask(path, token)
        assert (answer.status_code, answer.text) == (200, "genstudio")
    assert (await program.ask("/usage", Authorization=f"bearer {token}")).status_code == 200


async def test_a_token_is_kept_as_its_hash_and_nowhere_else(run: Run, watched: Watched) -> None:
    told = json.loads((await run("create", "genstudio", "--json")).stdout)
    assert told == {"name": "genstudio", "scopes": ["read", "usage"], "token": told["token"]}

    async with watched.read() as tx:
        [row] = (await tx.execute(text("SELECT * FROM api_tokens"))).mappings()
    assert row["hash"] == hashlib.sha256(told["token"].encode()).hexdigest()
    assert told["token"] not in str(dict(row))
    for words in (("list",), ("list", "--json"), ("revoke", "genstudio")):
        assert told["token"].removeprefix("cb_") not in (await run(*words)).output


async def test_a_token_may_do_what_it_was_made_for(run: Run, program: Program) -> None:
    reporter = (await run("create", "meter", "--may", "usage")).stdout.strip()
    reader = (await run("create", "dashboard", "--may", "read")).stdout.strip()
    assert [await program.passes(reporter), await program.passes(reader, "/balance")] == [True, True]

    refused = await program.ask("/balance", reporter)
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="read"'
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await program.ask("/usage", reader)).status_code == 403


async def test_without_a_token_of_ours_nobody_passes(program: Program, watched: Watched) -> None:
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Basic Y2I6Y2I="}, {"Authorization": new_token()}):
        answer = await program.ask("/usage", **headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for wrong in (new_token(), "", "cb_", "cb_" + "é" * 43, f"{new_token()} {new_token()}", f"{new_token()}x"):
        answer = await program.ask("/usage", Authorization=f"Bearer {wrong}".encode())
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert answer.json()["title"] == "Unauthorized"
    assert watched.reads == 1, "what has not the form of a token is not looked up"


async def test_a_revoked_token_is_refused_by_every_process_two_seconds_later(
    run: Run, watched: Watched, clock: WindableClock
) -> None:
    one, other = Program(watched, clock), Program(watched, clock)
    token = (await run("create", "genstudio")).stdout.strip()
    assert [await one.passes(token), await other.passes(token)] == [True, True]

    await run("revoke", "genstudio")
    clock.wind(2)
    assert [await one.passes(token), await other.passes(token)] == [False, False]
    assert not await Program(watched, clock).passes(token)


async def test_a_name_has_one_token_and_another_after_the_first_was_revoked(
    run: Run, program: Program, clock: WindableClock
) -> None:
    first = (await run("create", "genstudio")).stdout.strip()
    taken = await run("create", "genstudio", code=1)
    assert taken.stderr == (
        "Error: genstudio has a token: credits-bot tokens revoke genstudio makes place for a new one\n"
    )
    assert taken.stdout == ""

    await run("revoke", "genstudio")
    second = (await run("create", "genstudio", "--may", "read")).stdout.strip()
    assert await program.passes(second, "/balance")
    assert not await program.passes(first, "/balance")
    assert not await program.passes(second), "the new token has its own scopes"


async def test_the_list_tells_what_was_made_and_revoked(run: Run) -> None:
    await run("create", "meter", "--may", "usage")
    await run("create", "dashboard")
    await run("revoke", "meter", "--json")
    dashboard, meter = json.loads((await run("list", "--json")).stdout)
    assert (dashboard["name"], dashboard["scopes"], dashboard["revoked_at"]) == ("dashboard", ["read", "usage"], None)
    assert (meter["name"], meter["scopes"]) == ("meter", ["usage"])
    assert meter["created_at"] < meter["revoked_at"]
    lines = (await run("list")).stdout.splitlines()
    assert ["revoked" in line for line in lines] == [False, True]


async def test_mistakes_are_told_in_a_line(run: Run) -> None:
    await run("create", "gone")
    await run("revoke", "gone")
    for words in (("revoke", "nobody"), ("revoke", "gone")):
        assert "has no token" in (await run(*words, code=1)).stderr
    for name in ("", "a b", "x" * 65, "-x", "é", "a\n"):
        assert (await run("create", "--", name, code=2)).stdout == ""
    assert "everything" in (await run("create", "x", "--may", "everything", code=2)).stderr


async def test_a_known_token_is_looked_up_every_two_seconds_however_often_it_comes(
    run: Run, program: Program, watched: Watched, clock: WindableClock
) -> None:
    token = (await run("create", "genstudio")).stdout.strip()
    for _ in range(3):
        assert await program.passes(token)
    assert watched.reads == 1

    clock.wind(2)
    assert all(await asyncio.gather(*(program.passes(token) for _ in range(50))))
    assert watched.reads == 2, "one looked it up, and the others waited for what it found"


async def test_guesses_neither_swamp_the_database_nor_keep_a_known_program_out(
    run: Run, program: Program, watched: Watched, clock: WindableClock
) -> None:
    token = (await run("create", "genstudio")).stdout.strip()
    assert await program.passes(token)
    clock.wind(2)
    watched.open.clear()
    guesses = [asyncio.create_task(program.ask("/usage", new_token())) for _ in range(WAITING + 100)]
    await asyncio.wait(guesses[WAITING:], timeout=10)
    assert watched.readers == LOOKUPS

    known = asyncio.create_task(program.passes(token))
    await asyncio.wait({known}, timeout=0.2)
    assert watched.readers == LOOKUPS + 1, "it does not stand in the queue of the guesses"
    watched.open.set()
    assert await known
    answers = await asyncio.gather(*guesses)
    assert Counter(answer.status_code for answer in answers) == {401: WAITING, 503: 100}
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
    assert watched.most_readers == LOOKUPS + 1
    assert not await program.passes(new_token()), "the queue is open again"


class Nowhere(Database):
    """A database that must not be asked."""

    def __init__(self) -> None:
        super().__init__("sqlite+aiosqlite:///nowhere.db")

    def read(self) -> Any:
        raise AssertionError("asked")


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"Bearer " + rest)))
@settings(deadline=None)
async def test_whatever_stands_in_the_header_the_answer_is_401(rubbish: bytes) -> None:
    answer = await Program(Nowhere(), WindableClock()).ask("/usage", Authorization=rubbish)
    assert answer.status_code == 401
