"""What the panel shows of the bot's own books: plain data, handed over by whoever started the sandbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    plan: str
    balance: str  # credits, as they are to be read
    exact: str = ""  # with every digit that matters
    waiting: Sequence[str] = ()  # use that is not booked yet, and why


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    at: datetime
    cause: str
    memo: str
    postings: Sequence[tuple[str, str]]  # book, signed amount, as they are to be read
    uses: Sequence[str] = ()  # of models: which, how many tokens, at what cost


@dataclass(frozen=True, slots=True)
class Purchase:
    id: str
    status: str
    amount: str
    buyer: str  # a user id of the workspace, or a name


@dataclass(frozen=True, slots=True)
class LedgerView:
    """Entries and purchases come newest first."""

    accounts: Sequence[Account] = ()
    entries: Sequence[Entry] = ()
    purchases: Sequence[Purchase] = ()
    verified: bool = True
