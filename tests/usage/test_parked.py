"""What cannot be booked yet waits in sight, and is booked at its own time's price as soon as it can be."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.money import Credits
from bot.prices import store as prices
from bot.sandbox.world import ACCOUNT
from bot.usage import store
from bot.usage.store import Waiting

from ..genstudio import MODEL, PROVIDER, use
from ..stage import OpenStage, Stage

OTHER = "trial"  # the other account of the stage, on another plan
HALF = {"output_tokens": 0}  # of a credit
TEN = {"input_tokens": 5_000_000, "output_tokens": 0}  # credits


async def booked(stage: Stage, account: str = ACCOUNT) -> dict[str, Credits]:
    """What each event cost, by its id."""
    async with stage.bot.database.read() as tx:
        batches = [batch async for batch, *_ in _batches(tx)]
        found = await store.debits(tx, account, batches)
    return {debit.id: debit.cost for debits in found.values() for debit in debits}


async def _batches(tx: Any) -> Any:
    for row in await tx.exec_driver_sql("SELECT DISTINCT batch FROM usage_events WHERE batch IS NOT NULL"):
        yield row


async def looked(stage: Stage, parked: dict[str, int]) -> None:
    """Whoever looks at what is parked has looked once more, and this is left."""
    await stage.wind(5)
    await stage.until(lambda: _are_parked(stage, parked))


async def _are_parked(stage: Stage, parked: dict[str, int]) -> bool:
    return await stage.parked() == parked


# ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_has_no_price_waits_in_sight_and_is_booked_when_the_price_arrives(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.price(until=stage.world.clock.now())
    genstudio = await stage.program()
    old, older = stage.ago(days=40), stage.ago(days=45)
    unknown = [use("1", model="new"), use("2", model="new", at=old), use("3", OTHER, model="new")]
    at_no_price = [use("4", at=old), use("5", at=older), use("6")]
    assert (await genstudio.send(*unknown, use("7", at=stage.ago(days=20)), *at_no_price)).status_code == 204
    assert [await genstudio.has(), await genstudio.has(OTHER)] == ["-1.00", "0.00"]

    async with stage.bot.database.read() as tx:
        waiting = await store.waiting(tx)
        assert await store.waiting(tx, OTHER) == waiting[-1:]
    assert waiting == [
        Waiting(ACCOUNT, PROVIDER, MODEL, "no_price", 3, older),
        Waiting(ACCOUNT, PROVIDER, "new", "no_price", 2, old),
        Waiting(OTHER, PROVIDER, "new", "no_price", 1, waiting[-1].oldest),
    ]
    assert (await genstudio.send(*unknown)).status_code == 204, "a repeat of what waits is a repeat"
    assert (await genstudio.send(use("1", model="new", **HALF))).status_code == 409

    await stage.price("20", "80", model="new", since=stage.ago(days=41))
    await looked(stage, {"no_price": 3})
    assert [await genstudio.has(), await genstudio.has(OTHER)] == ["-21.00", "-10.00"]
    await stage.price("4", "16", since=stage.ago(days=42), until=stage.ago(days=31))
    await looked(stage, {"no_price": 2})
    assert await genstudio.has() == "-23.00"
    assert (await genstudio.send(*unknown, *at_no_price)).status_code == 204
    assert await genstudio.has() == "-23.00"


async def test_cached_tokens_wait_for_a_price_of_their_own(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price("2", "8")
    genstudio = await stage.program()
    cached, written = {"cached_input_tokens": 1_000_000}, {"cache_write_tokens": 1_000_000}
    beside = {"input_includes_cached": False}
    events = [use("1", **cached, **beside), use("2", **written, **beside), use("3", **cached, **written, **beside)]
    assert (await genstudio.send(*events, use("4", cached_input_tokens=0))).status_code == 204
    assert (await genstudio.has(), await stage.parked()) == ("-1.00", {"no_cached_price": 2, "no_written_price": 1})

    await stage.price("2", "8", "1", since=stage.ago(days=20))
    await looked(stage, {"no_written_price": 2})
    assert await genstudio.has() == "-3.00"
    await stage.price("2", "8", "1", "4", since=stage.ago(days=10))
    await looked(stage, {})
    assert await booked(stage) == {str(n): Credits.exactly(cost) for n, cost in zip((1, 2, 3, 4), "2561", strict=True)}


async def test_late_events_land_at_the_price_and_the_markup_of_their_own_time(open_stage: OpenStage) -> None:
    stage = await open_stage()
    now = stage.world.clock.now()
    await stage.price("2", "8", since=stage.ago(days=30))
    await stage.price("4", "16", since=stage.ago(days=20), until=stage.ago(days=10))
    await stage.price("6", "24", since=stage.ago(days=9))
    await stage.markup("plan:advanced", 5_000, since=stage.ago(days=25))
    await stage.markup(f"account:{ACCOUNT}", 1_000, since=stage.ago(days=5))
    await stage.markup("account:somebody", 10_000)
    genstudio = await stage.program()
    days = {28: "1", 23: "1.5", 20.001: "1.5", 19.999: "3", 15: "3", 7: "4.5", 1: "3.3"}
    for day in (1, 20.001, 7, 28, 15, 23, 19.999):
        assert (await genstudio.send(use(str(day), at=stage.ago(days=day)))).status_code == 204
    assert await booked(stage) == {str(day): Credits.exactly(cost) for day, cost in days.items()}
    await genstudio.send(use("gap", at=stage.ago(days=9.5)), use("theirs", OTHER, at=stage.ago(days=7)))
    assert await stage.parked() == {"no_price": 1}
    assert await booked(stage, OTHER) == {"theirs": Credits.exactly("3")}, "of another plan"
    await genstudio.send(
        use("tiny", input_tokens=1, output_tokens=0, at=now), use("no", input_tokens=0, output_tokens=0)
    )
    assert {id: cost.nano for id, cost in (await booked(stage)).items() if id in ("tiny", "no")} == {
        "tiny": 6_600,
        "no": 0,
    }


async def test_a_changed_price_or_markup_changes_no_old_debit(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price()
    genstudio = await stage.program()
    old, at = use("1", at=stage.ago(days=3)), stage.ago(days=5)
    assert (await genstudio.send(old)).status_code == 204

    await stage.price("20", "80", since=at)
    assert (await genstudio.send(old, use("2", at=stage.ago(days=3)))).status_code == 204
    await stage.markup(f"account:{ACCOUNT}", 10_000, since=at)
    expire = partial(
        prices.expire, provider=PROVIDER, model=MODEL, end=stage.world.clock.now(), at=stage.ago(seconds=1)
    )
    await stage.bot.database.write(expire)
    assert (await genstudio.send(old, use("3", at=stage.ago(days=3)), use("4"))).status_code == 204
    await looked(stage, {"no_price": 1})
    assert await booked(stage) == {"1": Credits.exactly("1"), "2": Credits.exactly("10"), "3": Credits.exactly("20")}


async def test_what_is_stored_while_its_price_arrives_is_not_forgotten(open_stage: OpenStage) -> None:
    stage = await open_stage()
    genstudio = await stage.program()
    await genstudio.send(use("0", model="other"))
    async with stage.held_database():
        sending = asyncio.create_task(genstudio.send(use("1")))
        await stage.until(lambda: stage.bot.meter._waiting)
        pricing = asyncio.create_task(stage.price())
        if not stage.bot.database.is_sqlite:  # there, prices have to wait as well
            await pricing
        await stage.wind(5)
        await asyncio.sleep(0.3)
    assert (await sending).status_code == 204
    await pricing
    await stage.wind(61)
    await stage.until(lambda: _are_parked(stage, {"no_price": 1}))
    assert await genstudio.has() == "-1.00"


# ── what nobody will ever price ───────────────────────────────────────────────────────────────────────────────────


async def run(stage: Stage, *words: str, code: int = 0, typed: str = "") -> str:
    """What a command says, that somebody gives in a terminal while the bot is at work."""
    here = CliRunner(env={"DATABASE_URL": stage.settings["database_url"], "USER": "olga"})
    done = await asyncio.to_thread(here.invoke, main, ["usage", *words], typed)
    assert (done.exit_code, type(done.exception) in (type(None), SystemExit)) == (code, True), done.output
    return done.output


async def test_what_will_never_have_a_price_is_given_up_and_stays_so(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    await stage.change(overdraft=Credits.exactly("1"))
    genstudio = await stage.program()
    typo = [use(str(n), model="gtp") for n in range(3)]
    others = [
        use("theirs", OTHER, model="gtp"),
        use("another", model="new"),
        use("1-gpt"),
        use("overdrawn"),
        use("old", at=stage.ago(days=40)),
    ]
    assert (await genstudio.send(*typo, *others)).status_code == 204
    listed = json.loads(await run(stage, "parked", "--json"))
    assert [(each["account"], each["model"], each["reason"], each["events"]) for each in listed] == [
        (ACCOUNT, "gpt", "no_price", 1),
        (ACCOUNT, "gpt", "overdrawn", 1),
        (ACCOUNT, "gtp", "no_price", 3),
        (ACCOUNT, "new", "no_price", 1),
        (OTHER, "gtp", "no_price", 1),
    ]
    assert f"{ACCOUNT}  openai gtp  no_price  3  since 2" in await run(stage, "parked")

    these = ("discard", ACCOUNT, PROVIDER, "gtp", "--why", "a typo")
    assert "Discard 3 uses of openai gtp of acme?" in await run(stage, *these, code=1, typed="n\n")
    assert "say --yes" in await run(stage, *these, "--json", code=2)
    assert "cannot be empty" in await run(stage, *these[:-1], "", code=2)
    assert await stage.parked() == {"overdrawn": 1, "no_price": 6}
    assert await run(stage, *these, "--yes") == "3 uses discarded.\n"
    early = ("discard", ACCOUNT, PROVIDER, MODEL, "--why", "before our time")
    assert await run(stage, *early, "--yes") == "1 use discarded.\n"
    for again in (these, early):
        assert "nothing of that waits" in await run(stage, *again, code=1)
    assert await stage.parked() == {"overdrawn": 1, "no_price": 2}

    await stage.price(model="gtp")
    await looked(stage, {"overdrawn": 1, "no_price": 1})
    assert (await genstudio.send(*typo)).status_code == 204, "known"
    assert (await genstudio.send(use("0", model="gtp", **HALF))).status_code == 409, "and taken"
    await stage.bought("10")
    await looked(stage, {"no_price": 1})
    assert [await genstudio.has(), await genstudio.has(OTHER)] == ["8.00", "-1.00"]

    _, told = json.loads(await run(stage, "discarded", "--json"))
    assert told.pop("at")
    known = {"account": ACCOUNT, "provider": PROVIDER, "model": "gtp", "events": 3, "who": "olga", "why": "a typo"}
    assert told == known
    assert "olga  a typo" in await run(stage, "discarded")


# ── overdraft ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at_once", [True, False])
async def test_no_balance_goes_below_the_overdraft_and_the_rest_waits(open_stage: OpenStage, at_once: bool) -> None:
    stage = await open_stage()
    await stage.price()
    await stage.change(overdraft=Credits.exactly("3"))
    genstudio = await stage.program()
    events = [use(str(n)) for n in range(5)] + [use(str(n), OTHER) for n in range(5, 10)]
    requests = [events] if at_once else [[event] for event in events]
    answers = await asyncio.gather(*(genstudio.send(*each) for each in requests))
    assert {answer.status_code for answer in answers} == {204}
    assert [await genstudio.has(), await genstudio.has(OTHER)] == ["-3.00", "-5.00"]
    assert await stage.parked() == {"overdrawn": 2}

    assert (await genstudio.send(use("10", **HALF), use("11", input_tokens=0, output_tokens=0))).status_code == 204
    assert (await genstudio.has(), await stage.parked()) == ("-3.00", {"overdrawn": 3}), "what costs nothing is booked"
    assert (await genstudio.send(*events)).status_code == 204
    await looked(stage, {"overdrawn": 3})
    assert await genstudio.has() == "-3.00"


async def test_what_waits_for_credit_is_booked_oldest_first_after_a_purchase(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.price()
    await stage.change(overdraft=Credits.exactly("5"))
    genstudio = await stage.program()
    for day in (3, 9, 1, 5, 7):
        assert (await genstudio.send(use(str(day), at=stage.ago(days=day), **TEN))).status_code == 204
    assert (await genstudio.has(), await stage.parked()) == ("0.00", {"overdrawn": 5})
    await stage.price("2000", "8000", since=stage.ago(days=20))

    await stage.bought("25")
    await looked(stage, {"overdrawn": 2})
    assert await genstudio.has() == "-5.00"
    assert await booked(stage) == dict.fromkeys(("9", "7", "5"), Credits.exactly("10")), "at the price they came with"
    await stage.bought("10")
    await looked(stage, {"overdrawn": 1})
    assert await genstudio.has() == "-5.00"
    await stage.change(overdraft=Credits.exactly("15"))
    await looked(stage, {})
    assert await genstudio.has() == "-15.00"


async def test_a_greater_overdraft_lets_in_what_waits_though_nothing_was_ever_booked(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.price()
    await stage.change(overdraft=Credits.ZERO)
    genstudio = await stage.program()
    assert (await genstudio.send(use("1"), use("2"))).status_code == 204
    assert (await genstudio.has(), await stage.parked()) == ("0.00", {"overdrawn": 2})
    await stage.change(overdraft=Credits.exactly("1"))
    await looked(stage, {"overdrawn": 1})
    assert await genstudio.has() == "-1.00"


async def test_more_than_a_page_waits_and_is_booked(stage: Stage) -> None:
    genstudio = await stage.program()
    for first in range(0, 2_400, 800):
        events = [use(str(n), source="s", input_tokens=1, output_tokens=0) for n in range(first, first + 800)]
        assert (await genstudio.send(*events)).status_code == 204
    assert await stage.parked() == {"no_price": 2_400}
    await stage.price()
    await looked(stage, {})
    assert await genstudio.has() == "-0.0048"
