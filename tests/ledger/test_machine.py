"""The ledger against a dictionary: any order of posts, repeats, conflicts and crowds, on both databases."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.ledger import store
from bot.ledger.model import BelowFloor, Book, Entry, EntryConflict, book_of, transfer
from bot.ledger.service import verify
from bot.money import Credits
from tests.conftest import examples

START = datetime(2026, 1, 1, tzinfo=UTC)

accounts = st.sampled_from(["a", "b", "c"])
changes = st.integers(-(10**14), 10**14).map(Credits)
books = st.sampled_from(Book)


def ledger_machine(database: Database, run: Any, worlds: Any) -> type[RuleBasedStateMachine]:
    """A machine on this database. Each of its worlds has accounts of its own, because books are never emptied."""

    class Ledger(RuleBasedStateMachine):
        entries: Bundle[Entry] = Bundle("entries")

        @initialize()
        def begin(self) -> None:
            self.world = next(worlds)
            self.causes = itertools.count()
            self.now = START
            self.booked: dict[str, Entry] = {}
            self.order: dict[str, list[tuple[datetime, Credits]]] = {}
            self.watched: dict[str, tuple[Credits | None, Credits | None]] = {}
            self.crossed: set[str] = set()
            self.unsure: set[str] = set()

        def entry(self, account: str, change: Credits, book: Book) -> Entry:
            cause = f"purchase:{self.world}:{next(self.causes)}"
            return transfer(cause, f"{self.world}:{account}", change, book, self.now, number=len(self.booked))

        def note(self, entry: Entry) -> None:
            self.booked[entry.cause] = entry
            for account_id, change in entry.accounts.items():
                self.order.setdefault(account_id, []).append((self.now, change))
                low, high = self.watched.get(account_id, (None, None))
                now = self.balance(account_id)
                if (low is not None and now <= low) or (high is not None and now >= high):
                    self.crossed.add(account_id)

        def balance(self, account_id: str) -> Credits:
            return Credits(sum(change.nano for _, change in self.order.get(account_id, [])))

        @rule(target=entries, account=accounts, change=changes, book=books)
        def post(self, account: str, change: Credits, book: Book) -> Entry:
            entry = self.entry(account, change, book)
            booked = run(database.write(lambda tx: store.post(tx, entry, self.now)))
            self.note(entry)
            assert (booked.new, booked.balance) == (True, self.balance(*entry.accounts))
            return entry

        @rule(entry=entries)
        def repeat(self, entry: Entry) -> None:
            booked = run(database.write(lambda tx: store.post(tx, entry, self.now)))
            assert (booked.new, booked.balance) == (False, self.balance(*entry.accounts))

        @rule(entry=entries, account=accounts, change=changes, book=books)
        def contradict(self, entry: Entry, account: str, change: Credits, book: Book) -> None:
            other = transfer(entry.cause, f"{self.world}:{account}", change, book, self.now)
            if other.postings != entry.postings:
                with pytest.raises(EntryConflict):
                    run(database.write(lambda tx: store.post(tx, other, self.now)))

        @rule(target=entries, crowd=st.lists(st.tuples(accounts, changes, books), max_size=6), twice=st.booleans())
        def post_at_once(self, crowd: list[tuple[str, Credits, Book]], twice: bool) -> Any:
            fresh = [self.entry(*each) for each in crowd]

            async def all_of_them() -> list[bool]:
                several = fresh * (2 if twice else 1)
                posts = (database.write(partial(store.post, entry=entry, at=self.now)) for entry in several)
                return [booked.new for booked in await asyncio.gather(*posts)]

            assert run(all_of_them()).count(True) == len(fresh)
            for entry in fresh:
                self.note(entry)
            self.unsure |= {account for entry in fresh for account in entry.accounts}  # in any order they came
            return multiple(*fresh)

        @rule(moved=st.dictionaries(accounts, changes, min_size=1), floor=st.integers(-(10**15), 0))
        def post_many(self, moved: dict[str, Credits], floor: int) -> None:
            cause = f"usage:{self.world}:{next(self.causes)}"
            postings = {book_of(f"{self.world}:{account}"): change for account, change in moved.items()}
            against = Credits(-sum(change.nano for change in moved.values()))
            entry = Entry(cause, self.now, {**postings, Book.USAGE.value: against})
            floors = dict.fromkeys(entry.accounts, Credits(floor))
            low = {
                account_id: self.balance(account_id)
                for account_id, change in entry.accounts.items()
                if self.balance(account_id).nano + change.nano < floor
            }
            posting = database.write(lambda tx: store.post_many(tx, entry, self.now, floors))
            if low:
                with pytest.raises(BelowFloor) as refused:
                    run(posting)
                assert refused.value.balances == low
            else:
                run(posting)
                self.note(entry)

        @rule(account=accounts, low=st.none() | changes, high=st.none() | changes)
        def watch(self, account: str, low: Credits | None, high: Credits | None) -> None:
            account_id = f"{self.world}:{account}"
            run(database.write(partial(_watch, account_id=account_id, low=low, high=high)))
            self.watched[account_id] = low, high
            self.crossed.discard(account_id)
            self.unsure.discard(account_id)

        @rule(hours=st.integers(1, 100))
        def wait(self, hours: int) -> None:
            self.now += timedelta(hours=hours)

        @rule(account=accounts, since=st.integers(0, 500), until=st.integers(0, 500))
        def read_a_statement(self, account: str, since: int, until: int) -> None:
            account_id = f"{self.world}:{account}"
            first, last = (START + timedelta(hours=hours) for hours in (since, max(since, until)))
            opening, lines = run(self._statement(account_id, first, last))
            known = self.order.get(account_id, [])
            assert opening.nano == sum(change.nano for at, change in known if at < first)
            assert sorted(line.change for line in lines) == sorted(c for at, c in known if first <= at < last)
            running = opening.nano
            for line in lines:
                running += line.change.nano
                assert line.balance.nano == running
                assert line.change == self.booked[line.cause].accounts[account_id]
            assert running == sum(change.nano for at, change in known if at < last)

        async def _statement(self, account_id: str, since: datetime, until: datetime) -> Any:
            async with database.read() as tx:
                return await store.statement(tx, account_id, since=since, until=until)

        async def _balance(self, account_id: str) -> Credits:
            async with database.read() as tx:
                return await store.balance(tx, account_id)

        async def _crossed(self) -> set[str]:
            async with database.read() as tx:
                found = await store.crossed(tx, 10_000)
            return {account_id for account_id in found if account_id.startswith(f"{self.world}:")}

        def teardown(self) -> None:
            assert run(self._crossed()) - self.unsure == self.crossed - self.unsure
            for account_id in self.order:
                assert run(self._balance(account_id)) == self.balance(account_id)
            assert run(verify(database)).problems == []

    return Ledger


async def _watch(tx: AsyncConnection, account_id: str, low: Credits | None, high: Credits | None) -> None:
    await store.held_still(tx, account_id)
    await store.watch(tx, account_id, low, high)


def test_the_ledger_keeps_what_a_dictionary_would(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(database_url)
        runner.run(upgrade(database))
        machine = ledger_machine(database, runner.run, itertools.count())
        rounds = settings(
            max_examples=examples(10), stateful_step_count=12, suppress_health_check=[HealthCheck.too_slow]
        )
        run_state_machine_as_test(machine, settings=rounds)
        runner.run(database.dispose())
