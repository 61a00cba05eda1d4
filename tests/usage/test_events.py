"""Events through the door: booked once and for ever, all of a request or nothing, and readable straight after."""

import asyncio
import json
from collections import Counter
from functools import partial
from typing import Any

import pytest

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.ledger import store as ledger
from bot.sandbox.world import ACCOUNT, OWNER
from bot.slack import names
from bot.tokens import store as tokens
from bot.tokens.model import Scope, new_token
from bot.usage import wire

from ..genstudio import Program, errors, use
from ..stage import OpenStage, Stage

OTHER = "trial"  # the other account of the stage


async def used(stage: Stage) -> list[int]:
    """How many events each entry of the ledger names, newest first."""
    async with stage.bot.database.read() as tx:
        return [int(str(each.facts["events"])) for each in await ledger.caused_by(tx, ["usage:"])][::-1]


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_used_is_in_the_balance_at_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    genstudio = await stage.program()

    assert (await genstudio.send(use("1"))).status_code == 204
    assert await genstudio.has() == "-1.00"
    answer = await genstudio.send(use("2"), use("3"), use("4", OTHER))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [await genstudio.has(), await genstudio.has(OTHER)] == ["-3.00", "-1.00"]
    array = [use("5", output_tokens=0), use("6", OTHER, input_tokens=0)]
    assert (await genstudio.ask("POST", "events", json=array)).status_code == 204
    assert (await genstudio.ask("POST", "events", json=use("7"))).status_code == 204

    told = await genstudio.balance()
    assert told == {
        "account": ACCOUNT,
        **{"settled": "-4.50", "held": "0.00", "available": "-4.50"},
        **{"settled_nano": -4_500_000_000, "held_nano": 0, "available_nano": -4_500_000_000},
        **{"at_zero": "stop", "overdraft": "100.00", "entry": told["entry"]},
    }
    async with stage.bot.database.read() as tx:
        [newest, *_] = await ledger.newest(tx, 1)
    assert told["entry"] == newest.seq
    assert (await genstudio.balance(OTHER))["entry"] == newest.seq - 1
    assert sorted(await used(stage)) == [1, 1, 2, 3], "a request's events are one entry, whoever's they are"


@pytest.mark.parametrize(
    ("counts", "credits"),
    [
        # 1,000 read of which 600 from the cache and 100 into it: 300 x 2 + 600 x 0.5 + 100 x 2.5 + 50 x 8, per million
        ({"input_tokens": 1000, "input_includes_cached": True}, "0.00155"),
        ({"input_tokens": 300, "input_includes_cached": False}, "0.00155"),
        # 1,000 read beside the cache: 1,000 x 2 + 600 x 0.5 + 100 x 2.5 + 50 x 8
        ({"input_tokens": 1000, "input_includes_cached": False}, "0.00295"),
    ],
)
async def test_cached_tokens_are_counted_in_the_manner_that_the_source_names(
    stage: Stage, counts: dict[str, Any], credits: str
) -> None:
    await stage.price()
    genstudio = await stage.program()
    cached = {"cached_input_tokens": 600, "cache_write_tokens": 100, "output_tokens": 50, "reasoning_tokens": 20}
    assert (await genstudio.send(use("1", **counts, **cached))).status_code == 204
    assert await genstudio.has() == f"-{credits}"


# ── once ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_event_counts_once_however_it_is_repeated(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    genstudio = await stage.program()
    event, timed = use("1"), use("2", at=stage.ago(minutes=5))
    in_the_other_manner = use("2", at=stage.ago(minutes=5), input_includes_cached=False, cached_input_tokens=0)
    in_the_other_manner["time"] = timed["time"]

    for events in ([event, event, timed, event], [event], [timed, in_the_other_manner], [event, use("3"), timed]):
        assert (await genstudio.send(*events)).status_code == 204
    crowd = [use(str(n)) for n in range(4, 24)]
    answers = await asyncio.gather(*(genstudio.send(event, *crowd[n:], *crowd[:n]) for n in range(20)))
    assert [answer.status_code for answer in answers] == [204] * 20
    assert await genstudio.has() == "-23.00"

    await stage.restart()
    stage.world.clock.wind(days=400)
    assert (await genstudio.send(event, timed, *crowd)).status_code == 204
    assert (await genstudio.send(use("1", source="elsewhere"))).status_code == 204
    assert await genstudio.has() == "-24.00", "only the one of another source is another"


async def test_an_id_that_comes_with_other_content_is_a_conflict_and_nothing_of_its_request_is_booked(
    open_stage: OpenStage,
) -> None:
    stage = await open_stage()
    await stage.price()
    await stage.price(model="other")
    genstudio = await stage.program()
    at = stage.ago(minutes=5)
    assert (await genstudio.send(use("1", at=at))).status_code == 204

    for n, other in enumerate(
        [
            use("1", at=at, output_tokens=62_501),
            use("1", at=at, model="other"),
            use("1", OTHER, at=at),
            use("1", at=stage.ago(minutes=6)),
            use("1", at=at, reasoning_tokens=1),
        ]
    ):
        answer = await genstudio.send(use(f"new {n}"), use("1", at=at), other)
        assert answer.status_code == 409
        assert errors(answer) == [(2, "the id 1 was used before, with other content")]
    answer = await genstudio.send(use("2"), use("2", output_tokens=1))
    assert (answer.status_code, errors(answer)[0][0]) == (409, 1)
    assert await genstudio.has() == "-1.00"


async def test_what_is_wrong_with_one_request_does_not_touch_those_that_are_booked_with_it(
    open_stage: OpenStage,
) -> None:
    stage = await open_stage()
    await stage.price()
    genstudio = await stage.program()
    assert (await genstudio.send(use("1"))).status_code == 204

    async with stage.held_database():
        sending, waiting = [], 0
        for events in ([use("2")], [use("3"), use("4")], [use("5"), use("1", output_tokens=1)], [use("6"), use("1")]):
            sending.append(asyncio.create_task(genstudio.send(*events)))
            waiting += len(events)
            await stage.until(lambda waiting=waiting: stage.bot.meter._waiting == waiting)
    answers = await asyncio.gather(*sending)

    assert [answer.status_code for answer in answers] == [204, 204, 409, 204]
    assert await genstudio.has() == "-5.00"
    assert await used(stage) == [3, 1, 1], "what waited together was booked together"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_two_bots_on_one_database_count_an_event_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    one = await stage.program()
    async with stage.second_bot() as second:
        other = Program(second.server.url, one.token)
        events = [use(str(n), (ACCOUNT, OTHER)[n % 2], model=("gpt", "new")[n % 3 == 0]) for n in range(40)]
        sending = (program.send(*events[n:], *events[:n]) for n in range(20) for program in (one, other))
        assert {answer.status_code for answer in await asyncio.gather(*sending)} == {204}
        assert await other.has() == await one.has() == "-13.00"
        assert (await other.send(use("1", output_tokens=1))).status_code == 409

        await stage.price(model="new")
        for bot in (stage.bot, second):
            bot.clockwork.wind(3600)
        await stage.until(lambda: _nothing_is_parked(stage))
        assert [await other.has(), await one.has(OTHER)] == ["-20.00", "-20.00"]
        await other.aclose()


async def _nothing_is_parked(stage: Stage) -> bool:
    return not await stage.parked()


# ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_that_is_not_there_is_named_and_nothing_is_booked(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price()
    genstudio = await stage.program()
    answer = await genstudio.send(use("1"), use("2", "nobody"), use("3"), use("4", "Acme"))
    assert answer.status_code == 400
    assert errors(answer) == [(1, "there is no account nobody"), (3, "there is no account Acme")]
    assert await genstudio.has() == "0.00"

    founded = Account("nobody", "Nobody", Plan.ADVANCED, Workspace("", "T0NOBODY"), frozenset())
    await stage.bot.database.write(partial(accounts.add, account=founded, at=stage.world.clock.now()))
    assert (await genstudio.send(use("1"), use("2", "nobody"))).status_code == 204
    assert [await genstudio.has(), await genstudio.has("nobody")] == ["-1.00", "-1.00"]


async def test_a_bad_event_is_named_and_nothing_is_booked(stage: Stage) -> None:
    await stage.price()
    genstudio = await stage.program()
    silent = use("2")
    del silent["data"]["input_includes_cached"]
    answer = await genstudio.send(use("1"), silent, use("3", output_tokens=-1))
    assert answer.status_code == 400
    assert [index for index, _ in errors(answer)] == [1, 2]
    assert "input_includes_cached" in errors(answer)[0][1]
    assert await genstudio.has() == "0.00"


async def test_too_much_in_one_request_is_refused(stage: Stage) -> None:
    await stage.price()
    genstudio = await stage.program()
    assert (await genstudio.send(*(small(str(n)) for n in range(1_001)))).status_code == 413
    assert (await genstudio.send(use("x" * 256 * 1024))).status_code == 413
    assert (await genstudio.send(*(small(str(n)) for n in range(1_000)))).status_code == 204
    assert await genstudio.has() == "-0.002"


def small(id: str) -> dict[str, Any]:
    """An event that costs 2,000 nano-credits, and of which a thousand fit into a request."""
    return use(id, source="s", input_tokens=1, output_tokens=0)


async def test_only_a_token_that_may_is_heard(stage: Stage) -> None:
    await stage.price()
    reporter, reader = await stage.program("reporter", Scope.USAGE), await stage.program("reader", Scope.READ)
    nobody, stranger = Program(stage.bot.server.url, None), Program(stage.bot.server.url, new_token())
    ways = {"events": use("1"), "holds": {"account": ACCOUNT, "credits": "1"}, "holds/h/settle": use("1")}
    try:
        for path, body in ways.items():
            for program, status in ((nobody, 401), (stranger, 401), (reader, 403)):
                answer = await program.ask("POST", path, json=body)
                assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        for program, status in ((nobody, 401), (stranger, 401), (reporter, 403), (reader, 200)):
            assert (await program.ask("GET", f"accounts/{ACCOUNT}/balance")).status_code == status
        assert (await reader.ask("DELETE", "holds/h")).status_code == 403
    finally:
        await asyncio.gather(nobody.aclose(), stranger.aclose())

    assert (await reporter.send(use("1"))).status_code == 204
    await stage.bot.database.write(partial(tokens.revoke, name="reporter", at=stage.world.clock.now()))
    await stage.wind(3)
    assert (await reporter.send(use("2"))).status_code == 401
    assert await reader.has() == "-1.00"


async def test_a_balance_is_of_an_account_that_is_there(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    genstudio = await stage.program()
    for account in ("nobody", "%00", "%ff", "acme%0a", "x" * 2_000):
        assert (await genstudio.ask("GET", f"accounts/{account}/balance")).status_code == 404
    assert await genstudio.has() == "0.00"


# ── floods ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_flood_is_held_up_and_neither_others_nor_slack_are(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price()
    flooder, other = await stage.program("flooder"), await stage.program("other")
    assert (await other.send(small("0"))).status_code == 204
    bodies = [json.dumps([small(f"{n}-{m}") for m in range(1_000)]) for n in range(25)]
    batch = {"Content-Type": wire.BATCH}

    async with stage.held_database():
        flood = [asyncio.create_task(flooder.ask("POST", "events", content=each, headers=batch)) for each in bodies]
        await stage.until(lambda: sum(task.done() for task in flood) == 5)
        patient = asyncio.create_task(other.send(small("1")))
        await stage.until(lambda: stage.bot.meter._waiting == 20_001)
        form = await stage.form("25")
        assert form.view["callback_id"] == names.BUY_FORM
        assert not patient.done()
    assert (await patient).status_code == 204
    answers = await asyncio.gather(*flood)
    assert Counter(answer.status_code for answer in answers) == {204: 20, 429: 5}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} == {"1"}

    again = [asyncio.create_task(flooder.ask("POST", "events", content=each, headers=batch)) for each in bodies]
    ack = await stage.slack.command(OWNER, stage.home, names.BUY_COMMAND)
    assert (await other.send(small("2"))).status_code == 204
    assert ack.ok
    assert not all(task.done() for task in again), "both got through while the flood went on"
    heard = [answer.status_code for answer in await asyncio.gather(*again)]
    for body, status in zip(bodies, heard, strict=True):
        if status == 429:
            assert (await flooder.ask("POST", "events", content=body, headers=batch)).status_code == 204
    assert await other.has() == "-0.050006"
