"""The purchases and the ledger prove each other: what was cut out of one shows in the other."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.app import prove
from bot.db.engine import Database
from bot.ledger.service import Prover

from ..genstudio import use
from ..stage import Stage

_CUT = """
DROP TRIGGER ledger_entries_no_update; DROP TRIGGER ledger_entries_no_delete;
DROP TRIGGER ledger_postings_no_update; DROP TRIGGER ledger_postings_no_delete;
DELETE FROM ledger_postings WHERE seq = 2; DELETE FROM ledger_entries WHERE seq = 2;
UPDATE ledger_balances SET (nano, seq, hash) = (SELECT 25000000000, seq, hash FROM ledger_entries WHERE seq = 1)
"""
_TAMPERING = {
    "the newest entry is cut off and the chain made to fit": (_CUT, "its entry is missing"),
    "a purchase is made smaller": ("UPDATE purchases SET cents = 1 WHERE cents = 3000", "differ in account or amount"),
    "a purchase is forgotten": (
        "DROP TRIGGER purchase_log_no_delete; DROP TRIGGER purchase_log_no_update; "
        "DELETE FROM purchase_log WHERE purchase_id = (SELECT id FROM purchases WHERE cents = 3000);"
        "DELETE FROM purchases WHERE cents = 3000",
        "belongs to no credited purchase",
    ),
}


@pytest.mark.parametrize("how", _TAMPERING)
async def test_what_the_ledger_alone_cannot_see_is_found(tmp_path: Path, how: str) -> None:
    async with Stage.open(tmp_path, f"sqlite:///{tmp_path / 'credits.db'}") as stage:
        await _tampered(stage, *_TAMPERING[how])


async def _tampered(stage: Stage, tampering: str, found: str) -> None:
    await stage.bought("25")
    await stage.bought("30")
    assert (await prove(Prover(stage.bot.database))).ok

    for statement in tampering.split(";"):
        await stage.bot.database.write(partial(_execute, statement))

    audit = await prove(Prover(stage.bot.database))
    assert [problem for problem in audit.problems if found in problem], audit.problems


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
    assert watched.lengths == [True, True, True], "the ledger, the purchases, the usage"


async def _execute(statement: str, tx: AsyncConnection) -> None:
    await tx.execute(text(statement))
