"""Entries and their postings. Every entry moves credits between books and sums to zero."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from bot.money import Credits


class Book(StrEnum):
    """The books of the house. What a customer has is in a book of its own: see ``book_of``."""

    SALES = "sales"  # credits sold; paid back by refunds
    USAGE = "usage"  # credits used up by models
    DISPUTES = "disputes"  # credits taken back while a bank disputes their payment


_ACCOUNT = "account:"


def book_of(account_id: str) -> str:
    """The book that holds an account's credits."""
    return f"{_ACCOUNT}{account_id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause, one entry. ``cause`` is unique for ever, such as ``purchase:pi_…``."""

    cause: str
    happened_at: datetime  # when the cause happened; the ledger notes itself when it was booked
    postings: Mapping[str, Credits]  # book -> change
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def flaw(self) -> str | None:
        """What is wrong with the postings, if anything."""
        if total := sum(change.nano for change in self.postings.values()):
            return f"{self.cause} sums to {Credits(total).exact}, not to zero"
        if not any(book.startswith(_ACCOUNT) for book in self.postings):
            return f"{self.cause} moves nobody's credits"
        return None

    @property
    def accounts(self) -> dict[str, Credits]:
        """By how much the balance of each account moves, in the order of their ids: the order in which to lock them."""
        return accounts_in(self.postings)


def accounts_in(postings: Mapping[str, Credits]) -> dict[str, Credits]:
    """The changes of accounts' balances among these postings, by id and in the order of ids."""
    books = sorted(book for book in postings if book.startswith(_ACCOUNT))
    return {book.removeprefix(_ACCOUNT): postings[book] for book in books}


def transfer(
    cause: str, account_id: str, change: Credits, against: Book, happened_at: datetime, **facts: object
) -> Entry:
    """An entry of two postings: the account's balance moves by ``change``, ``against`` by the opposite."""
    postings = {book_of(account_id): change, against.value: Credits(-change.nano)}
    return Entry(cause, happened_at, postings, facts)


def digest(entry: Entry, booked_at: datetime) -> str:
    """The hash of an entry's whole content, so that a changed one shows."""
    content = json.dumps(
        [
            entry.cause,
            *(moment.astimezone(UTC).isoformat(timespec="microseconds") for moment in (entry.happened_at, booked_at)),
            sorted((book, change.nano) for book, change in entry.postings.items()),
            entry.facts,
        ],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(content.encode()).hexdigest()


def link(previous: str, digest: str) -> str:
    """The head of an account's chain after one more entry, so that a missing or added one shows.

    Two hashes, and not one over everything, so that PostgreSQL can move the heads of thousands of accounts in the
    statement that moves their balances.
    """
    return hashlib.sha256(f"{previous} {digest}".encode()).hexdigest()


class EntryConflict(Exception):
    """The same cause was booked before with other content."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What ``post`` did: the entry's number, the account's balance after it, and whether it was new."""

    seq: int
    balance: Credits
    new: bool


class BelowFloor(Exception):
    """An entry would take balances lower than they may go; ``balances`` names them as they are, by account."""

    def __init__(self, balances: Mapping[str, Credits]) -> None:
        super().__init__(", ".join(sorted(balances)))
        self.balances = balances
