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
    DISPUTES = "disputes"  # credits taken back while a bank disputes their payment


def book_of(account_id: str) -> str:
    """The book that holds an account's credits."""
    return f"account:{account_id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause, one entry. ``cause`` is unique for ever, such as ``purchase:pi_…``."""

    cause: str
    account_id: str
    happened_at: datetime  # when the cause happened; the ledger notes itself when it was booked
    postings: Mapping[str, Credits]  # book -> change
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def flaw(self) -> str | None:
        """What is wrong with the postings, if anything."""
        if total := sum(change.nano for change in self.postings.values()):
            return f"{self.cause} sums to {Credits(total).exact}, not to zero"
        if [book for book in self.postings if book.startswith("account:")] != [book_of(self.account_id)]:
            return f"{self.cause} must move the credits of {self.account_id} and of nobody else"
        return None

    @property
    def change(self) -> Credits:
        """By how much the account's balance moves."""
        return self.postings[book_of(self.account_id)]


def transfer(
    cause: str, account_id: str, change: Credits, against: Book, happened_at: datetime, **facts: object
) -> Entry:
    """An entry of two postings: the account's balance moves by ``change``, ``against`` by the opposite."""
    postings = {book_of(account_id): change, against.value: Credits(-change.nano)}
    return Entry(cause, account_id, happened_at, postings, facts)


def link(previous: str, entry: Entry, booked_at: datetime) -> str:
    """The hash that chains an entry to the account's previous one, so that a changed or missing entry shows."""
    content = json.dumps(
        [
            previous,
            entry.cause,
            entry.account_id,
            *(moment.astimezone(UTC).isoformat(timespec="microseconds") for moment in (entry.happened_at, booked_at)),
            sorted((book, change.nano) for book, change in entry.postings.items()),
            entry.facts,
        ],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(content.encode()).hexdigest()


class EntryConflict(Exception):
    """The same cause was booked before with other content."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What ``post`` did: the entry's number, the account's balance after it, and whether it was new."""

    seq: int
    balance: Credits
    new: bool
