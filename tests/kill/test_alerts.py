"""The bot is killed between a debit that empties an account and the message that says so: it is said once."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.alerts import store as alerts
from bot.ledger import store as ledger
from bot.outbox import store as outbox
from bot.sandbox.slack import Message

from ..genstudio import use
from .conftest import NewDatabase
from .lives import KILLED, PATIENCE, Nursery, Setting, Stand, everywhere
from .test_usage import Sender

# Once the debit is committed: before the look, before and after its warning is committed, before the post and after it.
WHEN_CREDITS_RUN_OUT = ("U2 A1", "U2 A2", "U2 A3", "U2 A3 K13", "U2 A3 K14")
ON_POSTGRES = ("U2 A2", "U2 A3 K14")

JUMP = timedelta(hours=3)  # of the clock, while no bot is there: less than until the first reminder
A_CREDIT = 100_000 * 10**6  # nano-credits a million tokens


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_one_warning_is_given_wherever_the_bot_is_killed(
    kind: str, nursery: Nursery, tmp_path: Path, new_database: NewDatabase
) -> None:
    when = WHEN_CREDITS_RUN_OUT if kind == "sqlite" else ON_POSTGRES
    urls = [new_database() if kind == "postgres" else "" for _ in when]
    tales = {each: partial(_run_out, nursery, each.split(), url=url) for each, url in zip(when, urls, strict=True)}
    await everywhere(tmp_path, tales)


async def _run_out(nursery: Nursery, moments: Sequence[str], folder: Path, *, url: str) -> None:
    setting = Setting(card=None, reached=True)
    async with Stand.open(nursery, folder, setting, database_url=url) as stand, stand.program() as program:
        await stand.price(A_CREDIT, 0)
        stand.meanwhile.append(partial(_jump, stand))
        stand.live(moments)
        await _all_is_said(stand)  # or the first look of all, which has begun, sees the debit
        spent = use("use 1", input_tokens=50_000, output_tokens=0)
        await Sender(stand, program).send(["use 1"], json.dumps([spent]).encode())
        await stand.until(lambda: stand.ends, "the bot to die")
        [warning] = await stand.until(lambda: _warnings(stand), "the warning")
        await _all_is_said(stand)
        assert _warnings(stand) == [warning]
        assert "*Acme Labs* is out of credits. The balance is *-5.00*." in warning.text
        assert stand.ends == [KILLED]
        assert await stand.stop() == 0


async def _jump(stand: Stand) -> None:
    stand.world.clock.wind(JUMP.total_seconds())


def _warnings(stand: Stand) -> list[Message]:
    return [each for each in stand.slack.messages(stand.slack.channel_named("ai-credits").id) if each.by_bot]


async def _all_is_said(stand: Stand) -> None:
    """Wait until the account was looked at since it was last moved, and nothing is owed."""
    async with stand.database() as database, asyncio.timeout(PATIENCE):
        while True:
            now = stand.world.clock.now()
            async with database.read() as tx:
                to_look_at = [*await ledger.crossed(tx, 1), *await alerts.due(tx, now, 1)]
                to_look_at += await alerts.never_looked_at(tx, 1)
                if not to_look_at and not (await outbox.waiting(tx)).count:
                    return
            await asyncio.sleep(0.02)
