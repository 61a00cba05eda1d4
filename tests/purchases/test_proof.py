"""The purchases and the ledger prove each other: what was cut out of one shows in the other."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.app import prove
from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.model import Book, link, transfer
from bot.ledger.service import Prover
from bot.money import Credits

from ..genstudio import use
from ..stage import Stage, tamper


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Stage]:
    """A bot whose books need not be right in the end."""
    async with Stage.open(tmp_path, f"sqlite:///{tmp_path / 'credits.db'}") as stage:
        yield stage


_TAMPERING = {
    "a purchase is made smaller": ("UPDATE purchases SET cents = 1 WHERE cents = 3000", "differ in account or amount"),
    "a purchase is forgotten": (
        "DROP TRIGGER purchase_log_no_delete; DROP TRIGGER purchase_log_no_update; "
        "DELETE FROM purchase_log WHERE purchase_id = (SELECT id FROM purchases WHERE cents = 3000);"
        "DELETE FROM purchases WHERE cents = 3000",
        "belongs to no credited purchase",
    ),
}


_TAMPERING_WITH_A_REFUND = {
    "it is made smaller": ("UPDATE reversals SET cents = 1", "and its entries differ in account or amount"),
    "it is forgotten": ("DELETE FROM reversals", "belong to no refund and no dispute"),
    "its purchase forgets it": ("UPDATE purchases SET reversed_cents = 1", "differ in what went back"),
}


@pytest.mark.parametrize("how", _TAMPERING)
async def test_what_the_ledger_alone_cannot_see_is_found(books: Stage, how: str) -> None:
    tampering, found = _TAMPERING[how]
    await books.bought("25")
    await books.bought("30")
    assert (await prove(Prover(books.bot.database))).ok

    await tamper(books.bot, *tampering.split(";"))

    audit = await prove(Prover(books.bot.database))
    assert [problem for problem in audit.problems if found in problem], audit.problems


@pytest.mark.parametrize("how", _TAMPERING_WITH_A_REFUND)
async def test_what_became_of_a_refund_is_found(books: Stage, how: str) -> None:
    statement, found = _TAMPERING_WITH_A_REFUND[how]
    await books.bought("25")
    books.stripe.refund(books.stripe.succeeded_intents()[0]["id"], 500)
    await books.became("refunded")
    assert (await prove(Prover(books.bot.database))).ok

    await tamper(books.bot, statement)

    audit = await prove(Prover(books.bot.database))
    assert [problem for problem in audit.problems if found in problem], audit.problems


@pytest.mark.parametrize("cut", ["a purchase", "a refund"])
async def test_the_newest_entry_is_cut_off_and_the_chain_made_to_fit(books: Stage, cut: str) -> None:
    await books.bought("25")
    if cut == "a purchase":
        await books.bought("30")
    else:
        books.stripe.refund(books.stripe.succeeded_intents()[0]["id"], 500)
        await books.became("refunded")
    async with books.bot.database.read() as tx:
        guards = (await tx.execute(text("SELECT name, sql FROM sqlite_master WHERE name LIKE 'ledger_%_no_%'"))).all()
        first = (await tx.execute(text("SELECT hash FROM ledger_entries WHERE seq = 1"))).scalar_one()

    await tamper(
        books.bot,
        *(f"DROP TRIGGER {guard.name}" for guard in guards),
        "DELETE FROM ledger_postings WHERE seq = 2",
        "DELETE FROM ledger_entries WHERE seq = 2",
        f"UPDATE ledger_balances SET nano = 25000000000, seq = 1, hash = '{link('', first)}' WHERE account_id = 'acme'",
        *(guard.sql for guard in guards),
    )

    found = (await prove(Prover(books.bot.database))).problems
    assert len(found) == 1, found
    assert {"a purchase": "its entry is missing", "a refund": "and its entries differ"}[cut] in found[0]


@pytest.mark.parametrize("cause", ["purchase:pi_forged", "refund:re_forged:1", "dispute:du_forged:1", "gift:1"])
async def test_money_that_nobody_paid_is_found(books: Stage, cause: str) -> None:
    await books.bought("25")
    now = books.world.clock.now()
    gift = transfer(cause, "acme", Credits.exactly("100000"), Book.SALES, now)
    await books.bot.database.write(lambda tx: ledger.post(tx, gift, now))

    found = (await prove(Prover(books.bot.database))).problems
    assert len(found) == 1, found
    assert ("re_forged" if "re_" in cause else "du_forged" if "du_" in cause else cause) in found[0]


class _Watched(Database):
    """Remembers of each read whether it may take long."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.lengths: list[bool] = []

    def read(self, *, at_length: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        self.lengths.append(at_length)
        return super().read(at_length=at_length)


async def test_a_proof_may_take_as_long_as_the_books_are(stage: Stage) -> None:
    await stage.price()
    await stage.bought("25")
    assert (await (await stage.program()).send(use("1"))).is_success
    watched = _Watched(stage.bot.database.url.render_as_string(hide_password=False))
    audit = await prove(Prover(watched))
    await watched.dispose()
    assert (audit.problems, audit.entries) == ([], 2)
    assert watched.lengths == [True] * 4, "the ledger, the purchases, the usage, what is neither"
