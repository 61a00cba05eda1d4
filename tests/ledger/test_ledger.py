"""The ledger on both databases: what is booked stays, once, and what somebody changed behind its back shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.db.engine import Database
from bot.ledger import store
from bot.ledger.model import BelowFloor, Book, Booked, Entry, EntryConflict, book_of, transfer
from bot.ledger.service import Prover, verify
from bot.money import Credits, Usd
from bot.purchases import store as purchases
from bot.purchases.model import PayWith, Purchase, Status

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def bought(cause: str, nano: int, account: str = "acme", **facts: object) -> Entry:
    return transfer(cause, account, Credits(nano), Book.SALES, NOON, **facts)


async def post(database: Database, entry: Entry, at: datetime = NOON) -> Booked:
    return await database.write(lambda tx: store.post(tx, entry, at))


async def balance(database: Database, account: str = "acme") -> Credits:
    async with database.read() as tx:
        return await store.balance(tx, account)


# ── what is booked ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_that_never_bought_has_nothing(database: Database) -> None:
    assert await balance(database) == Credits.ZERO
    assert (await verify(database)).ok


async def test_a_cause_is_booked_once_however_often_it_comes(database: Database) -> None:
    first = await post(database, bought("purchase:pi_1", 25))
    again = await post(database, bought("purchase:pi_1", 25), NOON + timedelta(days=1))

    assert (first.new, first.balance) == (True, Credits(25))
    assert (again.new, again.balance) == (False, Credits(25))
    assert await balance(database) == Credits(25)
    assert (await verify(database)).entries == 1


async def test_the_same_cause_with_other_content_is_loud_and_changes_nothing(database: Database) -> None:
    await post(database, bought("purchase:pi_1", 25))
    for other in (
        bought("purchase:pi_1", 26),
        bought("purchase:pi_1", -25),
        bought("purchase:pi_1", 25, account="other"),
        transfer("purchase:pi_1", "acme", Credits(25), Book.DISPUTES, NOON),
    ):
        with pytest.raises(EntryConflict, match="purchase:pi_1"):
            await post(database, other)
    assert (await balance(database), await balance(database, "other")) == (Credits(25), Credits.ZERO)
    assert (await verify(database)).ok


async def test_an_entry_that_is_no_entry_is_never_booked(database: Database) -> None:
    acme, other = book_of("acme"), book_of("other")
    for flawed in (
        {acme: 5, "sales": -4},
        {acme: 5},
        {"sales": 5, "disputes": -5},
        {other: 5, "sales": -4},
        {},
    ):
        with pytest.raises(ValueError, match="x:1"):
            await post(database, Entry("x:1", NOON, {book: Credits(nano) for book, nano in flawed.items()}))
    assert (await verify(database)).entries == 0


async def test_a_moment_is_the_same_in_every_zone(database: Database) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    await post(database, transfer("purchase:pi_1", "acme", Credits(1), Book.SALES, tokyo), at=tokyo)
    assert (await verify(database)).problems == []
    async with database.read() as tx:
        _, [line] = await store.statement(tx, "acme")
    assert (line.happened_at, line.booked_at) == (NOON, NOON)


async def test_facts_come_back_as_they_were_given(database: Database) -> None:
    await post(database, bought("purchase:pi_1", 1, buyer="U1", note='“æøå” 🙂 \\ "', n=3, none=None))
    async with database.read() as tx:
        _, [line] = await store.statement(tx, "acme")
    assert line.facts == {"buyer": "U1", "note": '“æøå” 🙂 \\ "', "n": 3, "none": None}
    assert (await verify(database)).ok


# ── many at once ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_hundred_entries_at_once_lose_none(database: Database) -> None:
    """With SQLAlchemy's own way to begin on SQLite, 98 of a hundred were lost without a word."""
    await asyncio.gather(*(post(database, bought(f"purchase:pi_{n}", 10**9 + n)) for n in range(100)))

    assert await balance(database) == Credits(sum(10**9 + n for n in range(100)))
    audit = await verify(database)
    assert (audit.entries, audit.problems) == (100, [])


async def test_entries_of_many_accounts_at_once_lose_nothing_and_keep_to_the_floor(database: Database) -> None:
    """Each moves ten of twenty accounts, of which nobody has a balance yet; there is room for the first 30 of 40."""
    names = [f"a{n:02}" for n in range(20)]
    floors = dict.fromkeys(names, Credits(-(10**9))) | {"a09": Credits(-30)}  # all of the entries move that one

    async def debit(n: int) -> bool:
        moved = names[n % 10 : n % 10 + 10]
        postings = {book_of(name): Credits(-1) for name in moved}
        entry = Entry(f"usage:{n + 1}", NOON, {**postings, Book.USAGE: Credits(len(moved))})
        try:
            await database.write(lambda tx: store.post_many(tx, entry, NOON, floors))
        except BelowFloor:
            return False
        return True

    booked = await asyncio.gather(*map(debit, range(40)))

    assert sum(booked) == 30
    moves = [n for n in range(40) if booked[n]]
    for i, name in enumerate(names):
        assert await balance(database, name) == Credits(-sum(n % 10 <= i < n % 10 + 10 for n in moves)), name
    audit = await verify(database)
    assert (audit.entries, audit.problems) == (30, [])


async def test_one_cause_from_twenty_tasks_is_one_entry(database: Database) -> None:
    booked = await asyncio.gather(*(post(database, bought("purchase:pi_1", 25)) for _ in range(20)))

    assert [each.new for each in booked].count(True) == 1
    assert {each.balance for each in booked} == {Credits(25)}
    assert await balance(database) == Credits(25)


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_statement_is_opening_and_movements_and_closing(database: Database) -> None:
    days = [NOON + timedelta(days=n) for n in range(5)]
    for n, day in enumerate(days):
        await post(database, bought(f"purchase:pi_{n}", 10**n), day)
        await post(database, bought(f"purchase:other_{n}", 7, account="other"), day)

    async with database.read() as tx:
        opening, lines = await store.statement(tx, "acme", since=days[1], until=days[4])
    assert opening == Credits(1)
    assert [(line.cause, line.change, line.balance) for line in lines] == [
        ("purchase:pi_1", Credits(10), Credits(11)),
        ("purchase:pi_2", Credits(100), Credits(111)),
        ("purchase:pi_3", Credits(1000), Credits(1111)),
    ]


async def test_a_statement_of_a_time_without_movements_has_an_opening_balance(database: Database) -> None:
    await post(database, bought("purchase:pi_1", 25))
    async with database.read() as tx:
        assert await store.statement(tx, "acme", since=NOON + timedelta(days=1)) == (Credits(25), [])
        assert await store.statement(tx, "acme", until=NOON) == (Credits(0), [])
        assert await store.statement(tx, "nobody") == (Credits(0), [])


async def test_the_newest_entries_come_first_with_their_postings(database: Database) -> None:
    for n in range(3):
        await post(database, bought(f"purchase:pi_{n}", n + 1))
    async with database.read() as tx:
        newest = await store.newest(tx, 2)
    assert [record.cause for record in newest] == ["purchase:pi_2", "purchase:pi_1"]
    assert newest[0].postings == {book_of("acme"): Credits(3), "sales": Credits(-3)}


async def test_a_proof_reads_one_moment_while_others_write(database: Database) -> None:
    writing = asyncio.gather(*(post(database, bought(f"purchase:pi_{n}", 1)) for n in range(30)))
    audits = [await verify(database) for _ in range(5)]
    await writing
    assert [problem for audit in audits for problem in audit.problems] == []


async def test_a_later_look_reads_what_is_new_and_every_balance(database: Database) -> None:
    prover = Prover(database)
    for n in range(3):
        await post(database, bought(f"purchase:pi_{n}", 10))
    assert (await prover.look(NOON + timedelta(minutes=1))).ok
    assert prover.settled == 3

    await post(database, bought("purchase:pi_3", 10), NOON + timedelta(hours=1))
    for _ in range(2):  # the last one is too young to be settled: it is read again, and counted once
        audit = await prover.look(NOON + timedelta(minutes=1))
        assert (audit.entries, audit.total, audit.problems, prover.settled) == (4, Credits(40), [], 3)

    await _sql(database, "UPDATE ledger_balances SET nano = 41")
    assert not (await prover.look(NOON + timedelta(minutes=1))).ok


async def test_an_entry_that_is_committed_after_a_later_one_is_not_passed_over(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: numbers are committed in their order")
    prover, begun, go_on = Prover(database), asyncio.Event(), asyncio.Event()

    async def dawdle(tx: AsyncConnection) -> None:
        await store.post(tx, bought("purchase:pi_1", 1, account="slow"), NOON)
        begun.set()
        await go_on.wait()

    dawdling = asyncio.create_task(database.write(dawdle))
    await begun.wait()
    await post(database, bought("purchase:pi_2", 2))
    assert (await prover.look(NOON)).entries == 1
    go_on.set()
    await dawdling

    audit = await prover.look(NOON + timedelta(minutes=1))
    assert (audit.entries, audit.problems) == (2, [])


# ── what somebody changed behind its back ─────────────────────────────────────────────────────────────────────────


async def test_the_database_itself_refuses_to_change_what_was_booked(database: Database) -> None:
    await post(database, bought("purchase:pi_1", 25))
    await database.write(_one_logged_purchase)
    for table, column in (("ledger_entries", "cause"), ("ledger_postings", "book"), ("purchase_log", "note")):
        for change in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="append only"):
                await _sql(database, change)
    assert (await verify(database)).ok


async def test_postgres_refuses_to_empty_the_books(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match="append only"):
        await _sql(database, "TRUNCATE ledger_entries, ledger_postings")


TAMPERINGS = {
    "a posting": "UPDATE ledger_postings SET nano = nano + 1 WHERE seq = 2 AND book = 'account:acme'",
    "a whole entry, in balance": """
        UPDATE ledger_postings SET nano = 2 * nano WHERE seq = 2;
        UPDATE ledger_balances SET nano = nano + 20 WHERE account_id = 'acme'""",
    "the other book": "UPDATE ledger_postings SET book = 'disputes' WHERE seq = 2 AND book = 'sales'",
    "a posting too many": "INSERT INTO ledger_postings (seq, book, nano) VALUES (2, 'gifts', 5)",
    "a posting gone": "DELETE FROM ledger_postings WHERE seq = 2 AND book = 'sales'",
    "all postings gone": "DELETE FROM ledger_postings WHERE seq = 2",
    "an entry gone, its postings left": "DELETE FROM ledger_entries WHERE seq = 2",
    "an entry gone, in balance": """
        DELETE FROM ledger_entries WHERE seq = 2; DELETE FROM ledger_postings WHERE seq = 2;
        UPDATE ledger_balances SET nano = nano - 20 WHERE account_id = 'acme'""",
    "the newest entry gone, in balance": """
        DELETE FROM ledger_entries WHERE seq = 3; DELETE FROM ledger_postings WHERE seq = 3;
        UPDATE ledger_balances SET nano = nano - 30 WHERE account_id = 'acme'""",
    "all entries gone, in balance": """
        DELETE FROM ledger_entries WHERE seq < 4; DELETE FROM ledger_postings WHERE seq < 4;
        UPDATE ledger_balances SET nano = 0 WHERE account_id = 'acme'""",
    "facts": """UPDATE ledger_entries SET facts = '{"buyer":"U9"}' WHERE seq = 2""",
    "facts of two entries swapped": """
        UPDATE ledger_entries SET facts = '{"n":3}' WHERE seq = 2; UPDATE ledger_entries SET facts = '{"n":2}'
        WHERE seq = 3""",
    "the cause": "UPDATE ledger_entries SET cause = 'purchase:pi_9' WHERE seq = 2",
    "when it happened": "UPDATE ledger_entries SET happened_at = happened_at - 1 WHERE seq = 2",
    "when it was booked": "UPDATE ledger_entries SET booked_at = booked_at - 1 WHERE seq = 2",
    "whose it is": "UPDATE ledger_postings SET book = 'account:other' WHERE seq = 2 AND book = 'account:acme'",
    "whose it is, in balance": """
        UPDATE ledger_postings SET book = 'account:other' WHERE seq = 2 AND book = 'account:acme';
        UPDATE ledger_balances SET nano = nano - 20 WHERE account_id = 'acme';
        UPDATE ledger_balances SET nano = nano + 20 WHERE account_id = 'other'""",
    "the order": """
        UPDATE ledger_entries SET seq = 99 WHERE seq = 2; UPDATE ledger_postings SET seq = 99 WHERE seq = 2""",
    "a hash": "UPDATE ledger_entries SET hash = 'x' WHERE seq = 2",
    "the balance": "UPDATE ledger_balances SET nano = nano + 1 WHERE account_id = 'acme'",
    "the balance gone": "DELETE FROM ledger_balances WHERE account_id = 'acme'",
    "a balance from nowhere": "INSERT INTO ledger_balances (account_id, nano, seq, hash) VALUES ('x', 5, 0, '')",
    "an entry from nowhere": """
        INSERT INTO ledger_entries (seq, cause, happened_at, booked_at, facts, hash)
        VALUES (98, 'gift', 1, 1, '{}', 'x');
        INSERT INTO ledger_postings (seq, book, nano) VALUES (98, 'account:acme', 5), (98, 'sales', -5);
        UPDATE ledger_balances SET nano = nano + 5, seq = 98, hash = 'x' WHERE account_id = 'acme'""",
    "postings from nowhere": "INSERT INTO ledger_postings (seq, book, nano) VALUES (97, 'sales', 5)",
}


async def test_every_change_behind_its_back_shows(database: Database) -> None:
    """Each in a transaction of its own that is undone, so that one database serves them all."""
    for n in (1, 2, 3):
        await post(database, bought(f"purchase:pi_{n}", 10 * n, n=n))
    await post(database, bought("purchase:pi_4", 5, account="other"))
    await database.write(_unlock)
    assert (await verify(database)).problems == UNLOCKED

    unseen = []
    for what, how in TAMPERINGS.items():
        if await _found_after(database, *how.split(";")) == UNLOCKED:
            unseen.append(what)
    assert unseen == []
    assert (await verify(database)).problems == UNLOCKED


TABLES = ("ledger_entries", "ledger_postings")
UNLOCKED = [f"{table} is not append only any more: a trigger is missing" for table in TABLES]
WAYS_ROUND_A_TRIGGER = {
    "sqlite": [
        ["DROP TRIGGER {0}_no_update"],
        ["DROP TRIGGER {0}_no_delete"],
        [
            "DROP TRIGGER {0}_no_delete",
            "CREATE TRIGGER {0}_no_delete BEFORE DELETE ON {0} WHEN 0 BEGIN SELECT RAISE(ABORT, 'no'); END",
        ],
        ["DROP TRIGGER {0}_no_update", "CREATE TRIGGER {0}_no_update BEFORE UPDATE ON {0} BEGIN SELECT 1; END"],
    ],
    "postgresql": [
        ["DROP TRIGGER {0}_append_only ON {0}"],
        ["ALTER TABLE {0} DISABLE TRIGGER {0}_append_only"],
        [
            "CREATE OR REPLACE FUNCTION {0}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NULL; END $$"
        ],
        [
            "DROP TRIGGER {0}_append_only ON {0}",
            "CREATE TRIGGER {0}_append_only BEFORE DELETE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION {0}_append_only()",
        ],
    ],
}


async def test_a_table_that_could_be_changed_again_shows_before_it_is(database: Database) -> None:
    for table, shows in zip(TABLES, UNLOCKED, strict=True):
        for way in WAYS_ROUND_A_TRIGGER[database.url.get_backend_name()]:
            assert await _found_after(database, *(each.format(table) for each in way)) == [shows], way
    assert (await verify(database)).ok


async def test_a_proof_that_finds_much_says_a_little(database: Database) -> None:
    for n in range(30):
        await post(database, bought(f"purchase:pi_{n}", 1))
    await database.write(_unlock)
    await _sql(database, "UPDATE ledger_postings SET nano = nano + 1")
    assert len((await verify(database)).problems) == 20


async def test_money_is_whole_numbers_in_the_database_too(database: Database) -> None:
    halves = ["1.5"] if database.is_sqlite else []  # PostgreSQL rounds them
    for value in ("'many'", "NULL", *halves):
        with pytest.raises(DBAPIError):
            await _sql(
                database, f"INSERT INTO ledger_balances (account_id, nano, seq, hash) VALUES ('x', {value}, 0, '')"
            )
        with pytest.raises(DBAPIError):
            await _sql(database, f"INSERT INTO ledger_postings (seq, book, nano) VALUES (1, 'x', {value})")


class Undone(Exception):
    """Ends a transaction that is not to be kept."""


class Inside:
    """A database that is read from inside an unfinished transaction."""

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx

    @asynccontextmanager
    async def read(self, *, at_length: bool = False) -> AsyncIterator[AsyncConnection]:
        yield self._tx


async def _found_after(database: Database, *statements: str) -> list[str]:
    """What a proof sees of what was done. Afterwards it was not done."""
    seen: list[str] = []

    async def work(tx: AsyncConnection) -> None:
        for statement in statements:
            await tx.exec_driver_sql(statement)
        seen.extend((await verify(cast(Database, Inside(tx)))).problems)
        raise Undone

    with pytest.raises(Undone):
        await database.write(work)
    return seen


async def _sql(database: Database, statement: str) -> None:
    await database.write(lambda tx: tx.exec_driver_sql(statement))


async def _unlock(tx: AsyncConnection) -> None:
    """Take the triggers away, as somebody with the database's password could."""
    for table in TABLES:
        if tx.dialect.name == "sqlite":
            await tx.exec_driver_sql(f"DROP TRIGGER {table}_no_update")
            await tx.exec_driver_sql(f"DROP TRIGGER {table}_no_delete")
        else:
            await tx.exec_driver_sql(f"DROP TRIGGER {table}_append_only ON {table}")


async def _one_logged_purchase(tx: AsyncConnection) -> None:
    home = Workspace("", "T1")
    await accounts.add(tx, Account("acme", "Acme", Plan.ADVANCED, home, frozenset({"U1"})), NOON)
    purchase = Purchase(
        id="pur_1",
        nonce="n",
        account_id="acme",
        workspace=home,
        buyer_id="U1",
        locale=None,
        amount=Usd.dollars(1),
        status=Status.REQUESTED,
        pay_with=PayWith.CHECKOUT,
        created_at=NOON,
        updated_at=NOON,
        check_at=None,
    )
    await purchases.add(tx, purchase)
