"""Holds through the door: no two calls spend the same credits, and what is not used is given back."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bot.accounts.model import AtZero
from bot.money import Credits
from bot.sandbox.world import ACCOUNT
from bot.usage import meter

from ..genstudio import MODEL, PROVIDER, Program, errors, use
from ..stage import OpenStage, Stage

HALF = {"output_tokens": 0}  # of a credit


async def amounts(program: Program) -> tuple[str, str, str]:
    told = await program.balance()
    return told["settled"], told["held"], told["available"]


async def held(program: Program, **wanted: Any) -> str:
    """A new hold; its id."""
    answer = await program.hold(**wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_hundred_at_once_get_no_more_than_there_is(open_stage: OpenStage) -> None:
    stage = await open_stage()
    genstudio = await stage.program()
    await stage.bought("10")
    answers = await asyncio.gather(*(genstudio.hold() for _ in range(100)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 402: 90}
    assert await amounts(genstudio) == ("10.00", "10.00", "0.00")

    refused = next(answer for answer in answers if answer.status_code == 402)
    assert refused.headers["content-type"] == "application/problem+json"
    told = refused.json()
    assert (told["needed"], told["available"], told["at_zero"]) == ("1.00", "0.00", "stop")
    got = [answer.json() for answer in answers if answer.status_code == 201]
    assert {(each["state"], each["amount"], each["amount_nano"]) for each in got} == {("open", "1.00", 10**9)}
    assert len({each["id"] for each in got}) == 10
    releases = await asyncio.gather(*(genstudio.release(each["id"]) for each in got[:3] * 5))
    assert {answer.status_code for answer in releases} == {204}
    again = await asyncio.gather(*(genstudio.hold() for _ in range(20)))
    assert Counter(answer.status_code for answer in again) == {201: 3, 402: 17}


async def test_settling_books_what_it_was_and_gives_the_hold_back(open_stage: OpenStage) -> None:
    stage = await open_stage(change=lambda account: account)
    await stage.price()
    genstudio = await stage.program()
    await stage.bought("10")
    hold = await held(genstudio, credits="4.000000001")
    assert await amounts(genstudio) == ("10.00", "4.000000001", "5.999999999")

    events = use("1"), use("2", **HALF), use("3", model="new")
    answers = await asyncio.gather(*(genstudio.settle(hold, *events) for _ in range(10)))
    answers.append(await genstudio.settle(hold, *events))
    assert {answer.status_code for answer in answers} == {200}
    told = [answer.json() for answer in answers]
    assert all(each == told[0] for each in told)
    assert told[0] == {
        **{"id": hold, "state": "settled", "spent": "1.50", "spent_nano": 1_500_000_000, "parked": 1},
        **await genstudio.balance(),
    }
    assert await amounts(genstudio) == ("8.50", "0.00", "8.50")

    for others in ([use("4")], [*events, use("4")]):
        answer = await genstudio.settle(hold, *others)
        assert (answer.status_code, answer.json()["detail"]) == (409, "the hold was settled with other events.")
    assert (await genstudio.settle(hold, use("1", **HALF))).status_code == 409
    assert (await genstudio.release(hold)).status_code == 409
    assert (await genstudio.send(*events)).status_code == 204, "sent once more the other way, and known"
    assert await amounts(genstudio) == ("8.50", "0.00", "8.50")

    smaller = await held(genstudio, credits="0.1")
    assert (await genstudio.settle(smaller, use("5"))).json()["spent"] == "1.00", "it was more than was held"
    known = await held(genstudio)
    assert (await genstudio.settle(known, use("5"))).json()["spent"] == "1.00", "it was reported before"
    assert await amounts(genstudio) == ("7.50", "0.00", "7.50")


@pytest.mark.parametrize("processes", [1, 2])
async def test_of_those_who_settle_a_hold_at_once_with_other_events_one_is_booked(
    open_stage: OpenStage, processes: int
) -> None:
    stage = await open_stage()
    if processes == 2 and stage.bot.database.is_sqlite:
        pytest.skip("one bot at a time has an SQLite file")
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON)
    async with AsyncExitStack() as life:
        doors = [await stage.program()]
        if processes == 2:
            other = Program((await life.enter_async_context(stage.second_bot())).server.url, doors[0].token)
            life.push_async_callback(other.aclose)
            doors.append(other)
        for n in range(3):
            hold, other_hold = await held(doors[0]), await held(doors[0])
            settling = [doors[i % processes].settle(hold, use(f"{n}-{i // 2}")) for i in range(12)]
            async with stage.held_database():
                sending = asyncio.gather(*settling, doors[0].settle(other_hold, use(f"{n}-other")))
                await asyncio.sleep(0.3)
            *answers, beside = await sending
            assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 10}, "both who sent the same"
            refused = {answer.json()["detail"] for answer in answers if answer.status_code == 409}
            assert refused == {"the hold was settled with other events."}
            assert beside.status_code == 200
            assert await doors[0].has() == f"-{2 * (n + 1)}.00"


@pytest.mark.parametrize("other_wins", [True, False])
async def test_a_conflict_that_went_with_its_transaction_is_none(open_stage: OpenStage, other_wins: bool) -> None:
    """Of two who settle a hold in one batch the second one gives way, and then the first one is not booked at all."""
    stage = await open_stage(webhooks=None)
    if stage.bot.database.is_sqlite:
        pytest.skip("one bot at a time has an SQLite file")
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON)
    async with AsyncExitStack() as life:
        one = await stage.program()
        bot = await life.enter_async_context(stage.second_bot())
        other = Program(bot.server.url, one.token)
        life.push_async_callback(other.aclose)
        hold = await held(one)
        write = bot.database.write
        booking = asyncio.Event()
        tries = 0

        async def write_or_be_overtaken(work: Any) -> Any:
            nonlocal tries
            if getattr(work, "func", None) == bot.meter._store:
                booking.set()
            try:
                return await write(work)
            except Exception as reason:
                if type(reason).__module__ == meter.__name__ and not tries:
                    tries += 1
                    sent = one.settle(hold, use("second")) if other_wins else one.send(use("first", **HALF))
                    assert (await sent).is_success
                raise

        bot.database.write = write_or_be_overtaken  # type: ignore[method-assign]
        async with stage.held_database():
            waiting = [asyncio.create_task(other.send(use("before")))]
            await booking.wait()  # the writer has it, and cannot go on: the others queue up
            for n, id in enumerate(("first", "second"), 1):
                waiting.append(asyncio.create_task(other.settle(hold, use(id))))
                await stage.until(lambda n=n: len(bot.meter._queue) == n)
        _, first, second = await asyncio.gather(*waiting)
    assert tries == 1, "both were in one batch"
    assert (first.status_code, second.status_code) == (409, 200)
    assert ("other events" if other_wins else "other content") in first.text
    assert second.json()["spent"] == "1.00"
    assert await one.has() == ("-2.00" if other_wins else "-2.50")


async def test_what_is_released_while_it_is_settled_is_one_or_the_other(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON)
    genstudio = await stage.program()
    booked = 0
    for n in range(10):
        hold = await held(genstudio)
        settled, released = await asyncio.gather(genstudio.settle(hold, use(str(n))), genstudio.release(hold))
        assert {settled.status_code, released.status_code} in ({200, 409}, {409, 204})
        booked += settled.status_code == 200
        assert await genstudio.has() == f"{-booked}.00"


async def test_what_cannot_be_settled_leaves_the_hold_as_it_was(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda account: account)
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON)
    genstudio = await stage.program()
    await genstudio.send(use("0"))
    hold = await held(genstudio)
    for events, status in (([use("1", "trial")], 409), ([use("1"), use("2", "trial")], 409)):
        answer = await genstudio.settle(hold, *events)
        assert (answer.status_code, answer.json()["detail"]) == (status, "the hold is one of account acme.")
    answer = await genstudio.settle(hold, use("1"), use("0", **HALF))
    assert (answer.status_code, errors(answer)[0][0]) == (409, 1)
    answer = await genstudio.settle(hold, use("1"), use("2", output_tokens=-1))
    assert (answer.status_code, errors(answer)[0][0]) == (400, 1)
    for unknown in ("hold_nobody", "%00"):
        assert (await genstudio.settle(unknown, use("1"))).status_code == 404
        assert (await genstudio.release(unknown)).status_code == 404
    assert await amounts(genstudio) == ("-1.00", "1.00", "-2.00")

    for _ in range(2):
        assert (await genstudio.release(hold)).status_code == 204
    answer = await genstudio.settle(hold, use("1"))
    assert (answer.status_code, "released" in answer.json()["detail"]) == (409, True)
    assert await amounts(genstudio) == ("-1.00", "0.00", "-1.00")


async def test_a_hold_that_nobody_closes_gives_back_when_its_time_is_over(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON, overdraft=Credits.exactly("3"))
    genstudio = await stage.program()
    usual, long = await held(genstudio), await held(genstudio, credits="2", seconds=86_400)
    assert (await genstudio.hold()).status_code == 402
    stage.world.clock.wind(minutes=14)
    assert await amounts(genstudio) == ("0.00", "3.00", "-3.00")
    stage.world.clock.wind(minutes=1)
    assert await amounts(genstudio) == ("0.00", "2.00", "-2.00")
    another = await held(genstudio)
    stage.world.clock.wind(hours=23, minutes=44)
    assert (await amounts(genstudio))[1] == "2.00"
    stage.world.clock.wind(minutes=1)
    assert await amounts(genstudio) == ("0.00", "0.00", "0.00")

    assert (await genstudio.settle(usual, use("1"))).json()["spent"] == "1.00", "what was used was used"
    assert (await genstudio.settle(usual, use("1"))).json()["spent"] == "1.00"
    for hold in (long, another):
        assert (await genstudio.release(hold)).status_code == 204
    assert await amounts(genstudio) == ("-1.00", "0.00", "-1.00")


async def test_whether_it_goes_on_at_zero_is_the_accounts_to_say_and_the_answer_says_it(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.change(overdraft=Credits.exactly("3"))
    genstudio = await stage.program()
    refused = await genstudio.hold()
    assert (refused.status_code, refused.json()["at_zero"]) == (402, "stop")
    await stage.change(at_zero=AtZero.GO_ON)
    answers = await asyncio.gather(*(genstudio.hold() for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {201: 3, 402: 7}
    assert {answer.json()["at_zero"] for answer in answers} == {"go_on"}
    assert {answer.json()["overdraft"] for answer in answers} == {"3.00"}
    await stage.change(at_zero=AtZero.STOP)
    assert (await genstudio.balance())["at_zero"] == "stop"
    assert (await genstudio.hold(credits="0.000000001")).status_code == 402


async def test_a_request_that_is_repeated_under_its_key_makes_one_hold(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.change(at_zero=AtZero.GO_ON)
    genstudio, other = await stage.program(), await stage.program("other")
    answers = await asyncio.gather(*(genstudio.hold("call 1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await amounts(genstudio) == ("0.00", "1.00", "-1.00")

    for wanted in ({"credits": "2"}, {"account": "trial", "credits": "1"}):
        answer = await genstudio.hold("call 1", **wanted)
        assert (answer.status_code, "idempotency key" in answer.json()["detail"]) == (409, True)
    assert (await other.hold("call 1")).json()["id"] != answers[0].json()["id"], "keys are each program's own"
    [hold] = {answer.json()["id"] for answer in answers}
    assert (await genstudio.release(hold)).status_code == 204
    again = (await genstudio.hold("call 1")).json()
    assert (again["id"], again["state"]) == (hold, "released")
    assert await amounts(genstudio) == ("0.00", "1.00", "-1.00")

    await stage.change("trial", at_zero=AtZero.GO_ON)
    at_once = [genstudio.hold("call 2", account=each, credits="1") for each in (ACCOUNT, "trial") * 10]
    assert Counter(answer.status_code for answer in await asyncio.gather(*at_once)) == {201: 10, 409: 10}


async def test_a_hold_by_tokens_is_the_most_that_the_call_can_cost(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price("2", "8", "0.5", "2.5", until=stage.ago(days=-1))
    await stage.price("3", "9", model="plain")
    await stage.change(at_zero=AtZero.GO_ON)
    genstudio = await stage.program()
    call: dict[str, Any] = {"provider": PROVIDER, "model": MODEL, "input_tokens": 400_000, "output_tokens": 100_000}

    assert (await genstudio.hold(**call)).json()["amount"] == "1.80", "all of it may be written to the cache"
    assert (await genstudio.hold(**call | {"model": "plain"})).json()["amount"] == "2.10"
    assert (await genstudio.hold(**call | {"input_tokens": 0, "output_tokens": 1})).json()["amount_nano"] == 8_000
    await stage.markup(f"account:{ACCOUNT}", 1_000)
    assert (await genstudio.hold(**call)).json()["amount"] == "1.98"
    answer = await genstudio.hold(**call | {"model": "unknown"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "openai unknown has no price now.")
    await stage.wind(days=1)
    assert (await genstudio.hold(**call)).status_code == 400


async def test_what_is_wrong_with_a_request_is_said_as_it_is_of_an_event(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    genstudio = await stage.program()
    for body, detail in (
        (b"{", "not JSON: Input data was truncated."),
        (b'{"account": "acme", "credits": "1", "seconds": 86401}', "seconds: expected int <= 86400."),
        (b'{"account": "\xff", "credits": "1"}', "not UTF-8."),
    ):
        answer = await genstudio.ask("POST", "holds", content=body)
        assert (answer.status_code, answer.json()["detail"]) == (400, detail)


@pytest.mark.parametrize("account", [ACCOUNT, "nobody"])
async def test_rubbish_is_refused(stage: Stage, account: str) -> None:
    await stage.price()
    await stage.change(at_zero=AtZero.GO_ON, overdraft=Credits.exactly("100000000"))
    genstudio = await stage.program()
    call = {"provider": PROVIDER, "model": MODEL, "input_tokens": 1, "output_tokens": 1}
    credits: list[Any] = ["0", "-1", "1e5", "", " 1", "1.0000000001", "1000000.000000001", "٣", "nan", 1, 1.5, None]
    rubbish: list[Any] = [
        *({"account": account, "credits": each} for each in credits),
        *({"account": account, "credits": "1", "seconds": each} for each in (0, -1, 86_401, "60", 1.5, None)),
        *({"account": account, **call, name: each} for name in call for each in (None, -1, True, [])),
        *({"account": account, **call, "input_tokens": each} for each in (100_000_001, 0.5, "1")),
        {"account": account},
        {"account": account, "credits": "1", **call},
        {"account": account, "credits": "1", "model": MODEL},
        {"account": account, "credits": "1", "cerdits": "1"},
        {"account": None, "credits": "1"},
        {"credits": "1"},
        *([], "", 1, None),
    ]
    for each in rubbish:
        answer = await genstudio.ask("POST", "holds", json=each)
        refused = (400,) if account == ACCOUNT else (400, 404)
        assert (answer.status_code in refused, answer.headers["content-type"]) == (True, "application/problem+json"), (
            each
        )
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"account": "\\ud800", "credits": "1"}'):
        assert (await genstudio.ask("POST", "holds", content=body)).status_code in (400, 404), body[:20]
    assert (await genstudio.hold(account="\0", credits="1")).status_code == 404
    assert await amounts(genstudio) == ("0.00", "0.00", "0.00")
