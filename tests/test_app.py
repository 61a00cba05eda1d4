"""The bot as a whole: how it starts, what it refuses to start with, and that several ways in and several bots agree."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from bot.app import Bot
from bot.db.engine import AlreadyRunning, must
from bot.errors import Unusable
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.money import Credits
from bot.sandbox.faults import Kind
from bot.sandbox.world import MEMBER, OWNER, SECOND_OWNER, World

from .genstudio import use
from .stage import OpenStage, Stage, buttons, says, tamper


async def ready(stage: Stage) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{stage.bot.server.url}/readyz")
    return answer.status_code, answer.json()


# ── starting ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_bot_that_works_is_alive_ready_and_counts(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.wind(minutes=5)  # the books are proved

    await stage.until(lambda: _is_ready(stage))
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{stage.bot.server.url}/healthz")).text == "alive\n"
        await stage.until(lambda: stage.bot.audit.entries == 1)
        counted = (await client.get(f"{stage.bot.server.url}/metrics")).text
    assert "credits_bot_books_ok 1.0" in counted
    assert "credits_bot_credits_held 25.0" in counted


async def test_a_bot_is_not_ready_before_slack_and_stripe_have_answered(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.stop()
    refusing = stage.faults.arm("apps.connections.open", Kind.STATUS, None)
    with stage.held_up("GET /v1/events"):
        await stage.start()
        status, body = await ready(stage)
        assert (status, sorted(body["wrong"])) == (503, ["slack", "stripe"])
        assert {why.partition(":")[0] for why in body["wrong"].values()} == {"starting"}
        refusing.where = "nothing"

    await stage.wind(2)
    await stage.until(lambda: _is_ready(stage))


@pytest.mark.parametrize(("code", "why"), [(401, "the API key is refused"), (500, "no usable answer (HTTP 500)")])
async def test_readiness_says_what_stripe_last_answered(open_small_stage: OpenStage, code: int, why: str) -> None:
    stage = await open_small_stage()
    await stage.until(lambda: _is_ready(stage))
    stage.faults.arm("GET /v1/events", Kind.STATUS, None, code=code)
    await stage.wind(15)
    assert await stage.until(lambda: _wrong(stage)) == {"stripe": why}

    stage.faults.disarm()
    await stage.wind(15)
    await stage.until(lambda: _is_ready(stage))


async def test_a_token_that_slack_refuses_is_said_at_once_and_until_it_is_mended(open_small_stage: OpenStage) -> None:
    """Socket Mode has a token of its own: the bot hears people all the same, and could not answer them."""
    stage = await open_small_stage(slack_bot_token="xoxb-of-yesterday")
    said = "Slack refuses SLACK_BOT_TOKEN (invalid_auth): credits-bot doctor says how to mend it"
    await stage.until(lambda: _is_wrong(stage, {"slack": said}))
    assert [line for line in stage.interesting() if said in line]

    del stage.settings["slack_bot_token"]
    await stage.restart()
    await stage.until(lambda: _is_ready(stage))
    stage.slack.token_trouble = "token_revoked"
    await stage.wind(60)
    await stage.until(lambda: _is_wrong(stage, {"slack": said.replace("invalid_auth", "token_revoked")}))
    stage.slack.token_trouble = ""
    await stage.wind(60)
    await stage.until(lambda: _is_ready(stage))


async def _is_wrong(stage: Stage, wrong: dict[str, str]) -> bool:
    return await _wrong(stage) == wrong


async def _is_ready(stage: Stage) -> bool:
    return (await ready(stage))[0] == 200


async def _wrong(stage: Stage) -> dict[str, str]:
    wrong: dict[str, str] = (await ready(stage))[1]["wrong"]
    return wrong


async def test_a_bot_without_its_settings_says_which_is_missing(tmp_path: Path) -> None:
    async with World.open(tmp_path) as world:
        for missing, said in (
            ({"slack_bot_token": None}, "SLACK_BOT_TOKEN"),
            ({"slack_bot_token": "  "}, "SLACK_BOT_TOKEN"),
            ({"stripe_api_key": None}, "STRIPE_API_KEY"),
            ({"slack_app_token": None}, "SLACK_APP_TOKEN .* or SLACK_SIGNING_SECRET"),
            ({"slack_app_token": None, "slack_signing_secret": ""}, "SLACK_APP_TOKEN .* or SLACK_SIGNING_SECRET"),
        ):
            with pytest.raises(Unusable, match=said):
                async with Bot.open(world.settings(**missing)):
                    pass


async def test_a_second_bot_on_one_sqlite_file_is_refused(stage: Stage) -> None:
    if not stage.bot.database.is_sqlite:
        pytest.skip("PostgreSQL takes many")
    with pytest.raises(AlreadyRunning):
        async with stage.second_bot():
            pass

    await stage.bought()


async def test_a_bot_on_a_postgres_that_nobody_migrated_says_what_to_do(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server = request.getfixturevalue("postgres")
    async with World.open(tmp_path) as world:
        settings = world.settings(database_url=server.render_as_string(hide_password=False))
        with pytest.raises(Unusable, match="credits-bot migrate"):
            async with Bot.open(settings):
                pass


async def test_a_bot_does_not_start_on_a_database_of_a_newer_one(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await tamper(stage.bot, "UPDATE alembic_version SET version_num = '9999'")
    await stage.stop()
    with pytest.raises(Unusable, match="of a newer version"):
        await stage.start()


async def test_a_restart_loses_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.restart()
    await stage.bought("30")

    assert await stage.balance() == "55.00"


# ── ways in ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_everything_works_over_http_alone(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(socket=False, http=True, card="insufficient_funds")
    assert stage.slack.sockets.connections == 0

    form = await stage.form("7")
    await stage.slack.press(OWNER, form, buttons(form)["$25"]["action_id"])
    await stage.until(lambda: "25" in str(form.state))
    assert (await stage.slack.submit(OWNER, amount="nonsense")).errors
    assert (await stage.slack.submit(OWNER, amount="25")).ok
    card = await stage.said("Pay $25.00")
    await stage.slack.press(OWNER, card, "cancel_purchase")
    await stage.said("was cancelled")
    await stage.slack.open_home(OWNER)
    assert "*Acme Labs*" in await stage.until(lambda: (view := stage.slack.home(OWNER)) and says(view))
    await stage.slack.command(MEMBER, stage.home, "/buy-credits")
    assert "Only an owner" in await stage.whisper(MEMBER)
    assert stage.slack.timeouts == []
    await stage.until(lambda: _is_ready(stage))


async def test_a_request_over_http_that_is_sent_again_buys_nothing_more(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(socket=False, http=True)
    await stage.buy("25")
    submit = stage.slack.deliveries[-1]
    await stage.said("credited")

    for _ in range(5):
        assert (await stage.slack.replay(submit)).response_action == "update"

    assert len(await stage.purchases()) == 1


async def test_a_forged_request_over_http_is_turned_away(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(socket=False, http=True)
    await stage.form("25")
    stage.slack.deliverer.signing_secret = "somebody else's"

    ack = await stage.slack.submit(OWNER)
    stage.slack.deliverer.signing_secret = stage.settings["slack_signing_secret"]

    assert ack.error == "dispatch_failed"
    assert await stage.purchases() == []


async def test_both_ways_in_are_open_at_once(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(http=True)
    over_http = f"{stage.bot.server.url}/slack/events"

    form = await stage.form("25")
    stage.slack.request_url = over_http
    await stage.slack.submit(OWNER, form)
    submit = stage.slack.deliveries[-1]
    await stage.said("credited")
    stage.slack.request_url = ""
    await stage.slack.replay(submit)
    await stage.bought("30")

    assert stage.charges() == [2500, 3000]


async def test_buyers_come_back_to_our_page_where_there_is_one(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, public_url="https://credits.example.com")
    await stage.buy("25")
    await stage.said("Pay $25.00")

    assert stage.page["success_url"] == "https://credits.example.com/checkout/done?session_id={CHECKOUT_SESSION_ID}"
    assert stage.page["cancel_url"] == "https://credits.example.com/checkout/cancelled"


# ── the database ──────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Somebody else holds what a submit needs."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        other = sqlite3.connect(str(url.database), isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()
    else:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(plain) as connection:
            await connection.execute("LOCK TABLE purchases IN ACCESS EXCLUSIVE MODE")
            yield


async def test_a_submit_that_cannot_be_stored_in_time_says_so_and_buys_once_when_pressed_again(
    open_stage: OpenStage, database_url: str
) -> None:
    stage = await open_stage()
    form = await stage.form("25")
    async with locked(database_url):
        ack = await stage.slack.submit(OWNER, form)

        assert ack.seconds < 3
        assert list(ack.errors.values()) == [
            "We could not write your purchase down in time, and nothing was charged. Please press the button once "
            "more: the same form never buys twice."
        ]
        assert stage.slack.timeouts == []

    assert (await stage.slack.submit(OWNER, form)).ok
    await stage.until(lambda: stage.charges() == [2500], timeout=15)
    await stage.said("credited")


async def test_a_database_that_is_locked_in_the_middle_of_a_charge_is_waited_for(
    open_stage: OpenStage, database_url: str
) -> None:
    stage = await open_stage()
    with stage.held_up("POST /v1/payment_intents/*/confirm") as gate:
        await stage.buy("25")
        await gate.reached.wait()
        async with locked(database_url):
            gate.opened.set()
            await stage.until(lambda: stage.charges())
            await asyncio.sleep(0.3)

    await stage.became("settled", within=120)
    assert stage.charges() == [2500]


async def test_a_disk_that_takes_nothing_more_is_told_until_it_does(stage: Stage) -> None:
    if not stage.bot.database.is_sqlite:
        pytest.skip("PostgreSQL has a disk of its own")
    program = await stage.program()
    await stage.until(lambda: _is_ready(stage))
    await _let_write(stage, False)
    for number in range(3):
        assert (await program.send(use(f"call-{number}"))).status_code == 503
    assert (await ready(stage))[0] == 503
    assert "readonly" in (await _wrong(stage))["database"]
    assert len([line for line in stage.interesting() if "a request of a program is refused: database: " in line]) == 1

    await _let_write(stage, True)
    await stage.until(lambda: _is_ready(stage))
    assert (await program.send(use("call-0"))).status_code == 204


async def _let_write(stage: Stage, yes: bool) -> None:
    """Whether what is written reaches the disk; it can be read all the same, as when the disk is full."""
    writer = await stage.bot.database._writer.raw_connection()
    await must(writer.driver_connection).execute(f"PRAGMA query_only = {not yes}")
    writer.close()


# ── two bots ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_two_bots_on_one_database_do_everything_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    async with stage.second_bot() as other:
        await stage.slack.until(lambda: stage.slack.sockets.connections == 4)
        stage.world.stripe.webhooks.endpoints.append(
            type(stage.world.stripe.webhooks.endpoints[0])(f"{other.server.url}/stripe/webhook", "whsec_sandbox", False)
        )
        for number in range(4):
            await stage.bought(str(25 + number), (OWNER, SECOND_OWNER)[number % 2])
        form = await stage.form("50")
        await asyncio.gather(*(stage.slack.submit(OWNER, form) for _ in range(4)))
        await stage.became(*["settled"] * 5, within=10)
        stage.stripe.refund(stage.stripe.succeeded_intents()[0]["id"], 500)
        await stage.became("refunded", *["settled"] * 4)
        await stage.check()

    assert stage.charges() == [2500, 2600, 2700, 2800, 5000]
    assert await stage.balance() == "151.00"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_what_one_bot_left_behind_the_other_one_finishes(open_stage: OpenStage) -> None:
    stage = await open_stage()
    async with stage.second_bot() as other:
        with stage.held_up("POST /v1/payment_intents/*/confirm") as gate:
            await stage.buy("25")
            await gate.reached.wait()
            for bot in (stage.bot, other):
                if bot._workers.busy:
                    await bot._workers.stop()
            for _ in range(3):
                await stage.wind(30)
                other.clockwork.wind(3600)
            await stage.until(lambda: len(stage.faults.hits) >= 2)

        await stage.became("settled", within=120)
    assert stage.charges() == [2500]


# ── the books ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_books_that_are_wrong_stop_the_selling_and_nothing_else(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.bought("25")
    stage.books_are_broken = True
    await tamper(stage.bot, "UPDATE ledger_balances SET nano = nano + 1 WHERE account_id = 'acme'")
    await stage.wind(minutes=6)
    await stage.until(lambda: not stage.bot.audit.ok)

    await stage.form("30")
    await stage.slack.submit(OWNER)

    assert says(stage.slack.modal(OWNER)) == (
        "Buying is paused while we check our books. Nothing was charged. "
        "Please try again later or write to support@skydeck.ai.\nContact support"
    )
    status, body = await ready(stage)
    assert (status, list(body["wrong"])) == (503, ["books"])
    assert "acme has a balance of 25.000000001 but postings of 25.00" in body["wrong"]["books"]
    await stage.slack.open_home(OWNER)
    assert "*25.00*" in await stage.until(lambda: (view := stage.slack.home(OWNER)) and says(view))
    assert stage.charges() == [2500]

    await tamper(stage.bot, "UPDATE ledger_balances SET nano = nano - 1 WHERE account_id = 'acme'")
    await stage.wind(minutes=6)
    await stage.until(lambda: stage.bot.audit.ok)
    stage.books_are_broken = False
    await stage.bought("30")


async def test_books_that_are_wrong_stay_wrong_until_they_are_mended(open_small_stage: OpenStage) -> None:
    """Each proof reads only what is new: what it found it would have forgotten the next time."""
    stage = await open_small_stage()
    await stage.bought("25")
    stage.books_are_broken = True
    now = stage.world.clock.now()
    gift = transfer("gift:1", "acme", Credits.exactly("1"), Book.SALES, now)
    await stage.bot.database.write(lambda tx: ledger.post(tx, gift, now))
    audits = []
    for _ in range(4):
        before = stage.bot.audit
        await stage.wind(minutes=6)
        audits.append(await stage.until(lambda before=before: stage.bot.audit is not before and stage.bot.audit))

    assert ["gift:1" in each for audit in audits for each in audit.problems] == [True] * 4


async def test_money_that_arrives_while_the_selling_is_stopped_is_still_credited(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.books_are_broken = True
    await tamper(stage.bot, "INSERT INTO ledger_postings (seq, book, nano) VALUES (99, 'sales', 1)")
    await stage.wind(minutes=6)
    await stage.until(lambda: not stage.bot.audit.ok)
    await stage.pay()

    await stage.became("settled", within=60)
    assert await stage.balance() == "25.00"
