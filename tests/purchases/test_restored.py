"""A database that went back to an older state: Stripe knows more than the books, and no payment is left aside."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.app import prove
from bot.ledger.service import Prover

from ..stage import CONFIRMING, SELLING, OpenStage, Stage


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


async def _buy_and_keep(stage: Stage, copy: Path, call: str) -> None:
    """Keep a copy of the books as they are when Stripe is asked this."""
    with stage.held_up(call) as gate, closing(sqlite3.connect(stage.bot.database.file)) as live:
        await stage.buy("25")
        await gate.reached.wait()
        live.execute("VACUUM INTO ?", [str(copy)])


async def _go_back_to(stage: Stage, copy: Path) -> None:
    file = stage.bot.database.file
    stage.seen_twice = True  # what was posted since the copy, nobody remembers
    await stage.stop()
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()
    shutil.copy(copy, file)
    await stage.start()
    await stage.slack.until(lambda: stage.slack.connected)


async def _is_credited_once(stage: Stage) -> None:
    await stage.became("settled", within=120)
    assert stage.charges() == [2500]
    assert await stage.balance() == "25.00"
    await stage.said("Paid and credited: $25.00. The new balance is *25.00* credits.")
    audit = await prove(Prover(stage.bot.database))
    assert audit.ok, audit.problems


async def test_a_card_that_was_charged_after_the_copy(open_small_stage: OpenStage, copy: Path) -> None:
    """The hour in which a charge may begin is over, so nobody asks for it again."""
    stage = await open_small_stage()
    await _buy_and_keep(stage, copy, SELLING)
    await stage.said("credited")
    await stage.wind(minutes=61)
    await _go_back_to(stage, copy)

    await _is_credited_once(stage)


async def test_a_page_that_was_opened_after_the_copy_and_is_paid(open_small_stage: OpenStage, copy: Path) -> None:
    stage = await open_small_stage(card="insufficient_funds")
    await _buy_and_keep(stage, copy, CONFIRMING)
    await stage.said("Pay $25.00")
    await stage.wind(minutes=61)
    await _go_back_to(stage, copy)
    await stage.became("cancelled", within=120)

    await stage.pay("visa")

    await _is_credited_once(stage)


async def test_a_page_that_was_paid_after_the_copy(open_small_stage: OpenStage, copy: Path) -> None:
    stage = await open_small_stage(card="insufficient_funds", webhooks=None)
    await _buy_and_keep(stage, copy, CONFIRMING)
    await stage.said("Pay $25.00")
    await stage.pay("visa")
    await stage.became("settled", within=60)
    await stage.wind(minutes=5)
    await _go_back_to(stage, copy)

    await _is_credited_once(stage)


async def test_a_payment_that_cannot_be_read_at_once_is_read_later(open_small_stage: OpenStage, copy: Path) -> None:
    stage = await open_small_stage()
    await _buy_and_keep(stage, copy, SELLING)
    await stage.said("credited")
    await stage.wind(minutes=61)
    stage.stripe.api.denied.append("GET /v1/checkout/sessions")
    await _go_back_to(stage, copy)
    await stage.became("cancelled", within=120)
    assert await stage.balance() == "0.00"

    stage.stripe.api.denied.clear()
    await stage.wind(hours=1)

    await _is_credited_once(stage)
