"""What a use of a model is, and what names it for ever."""

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import msgspec

from bot.accounts.model import AtZero
from bot.money import Credits
from bot.prices.model import Tokens

MOST_TOKENS: Final = 100_000_000  # of a kind, in one event
LONGEST: Final = 200  # characters of a source, an id, a provider or a model
CAUSE: Final = "usage:"  # how the causes of its ledger entries begin

_OF_BATCH = re.compile(rf"{CAUSE}([1-9][0-9]{{0,17}}|[1-8][0-9]{{18}})")  # 64 bits


class Event(msgspec.Struct, frozen=True, gc=False):  # made in a third of the time that Python's own kinds take
    """One use of a model, as its source told it. ``at`` is None where the source did not say when."""

    source: str
    id: str
    account_id: str
    provider: str
    model: str
    at: datetime | None
    tokens: Tokens


def key_of(event_id: str) -> tuple[bytes, bool]:
    """The sixteen bytes that an id is stored and compared by, and whether the id can be told from them.

    A lower-case UUID is its own key, so that time-ordered ones stay in order. Any other id has a version 8 UUID made
    of its SHA-256: no two of them are known to meet.
    """
    if (key := _of_uuid(event_id)) and event_id[14] != "8":
        return key, True
    hashed = int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:16], "big")
    return (hashed & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62).to_bytes(16, "big"), False


def _of_uuid(text: str) -> bytes | None:
    """Three times quicker than ``uuid.UUID``, which reads much else besides."""
    if len(text) != 36 or text[8:24:5] != "----":
        return None
    digits = text.replace("-", "")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return None
    return key if key.hex() == digits and len(key) == 16 else None


def id_of(key: bytes) -> str:
    """The id that a key was made of, where it can be told."""
    return str(uuid.UUID(bytes=key))


class Parked(StrEnum):
    """Why an event waits, beside the reasons of ``prices.model.Unpriced``: it would go beyond the overdraft."""

    OVERDRAWN = "overdrawn"


class Row(msgspec.Struct, gc=False):
    """An event as it is stored. With a batch it is in the entry ``usage:<batch>``; else it is parked, or given up."""

    source: int
    key: bytes
    id: str | None
    account_id: str
    model: int
    happened_at: int  # microseconds since 1970
    input: int
    cached: int
    written: int
    output: int
    reasoning: int
    price: int | None = None
    markup: int | None = None  # basis points
    nano: int | None = None
    parked: str | None = None

    def same_use(self, other: Self, *, at_any_time: bool) -> bool:
        """Whether both tell of the same use. One whose source gave no time may have been stored at another."""
        return (
            (self.account_id, self.model, self.input, self.cached, self.written, self.output, self.reasoning)
            == (other.account_id, other.model, other.input, other.cached, other.written, other.output, other.reasoning)
        ) and (at_any_time or self.happened_at == other.happened_at)


class HoldState(StrEnum):
    """An open hold that is past its time holds nothing any more, and can still be settled."""

    OPEN = "open"
    SETTLED = "settled"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Hold:
    """Credits reserved before a call of a model, until it is settled, released or timed out."""

    id: str
    account_id: str
    amount: Credits
    created_at: datetime
    expires_at: datetime
    state: HoldState = HoldState.OPEN
    request: str | None = None  # the key under which the sender may repeat its request
    spent: Credits | None = None


def new_batch(at: datetime) -> int:
    """A number for a batch: the millisecond and 21 random bits, so that numbers are unique and in order."""
    return int(at.timestamp() * 1000) << 21 | secrets.randbits(21)


def cause_of(batch: int) -> str:
    """The cause of the ledger entry of a batch."""
    return f"{CAUSE}{batch}"


def batch_of(cause: str) -> int | None:
    """The batch whose ledger entry has this cause; None where it names none."""
    return int(found[1]) if (found := _OF_BATCH.fullmatch(cause)) else None


def events_named(facts: Mapping[str, object]) -> int:
    """Of how many events a ledger entry with these facts says to be; 0 for one of something else."""
    said = facts.get("events")
    return said if isinstance(said, int) else 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account has, read in one moment. ``seq`` is the newest entry in it, 0 before the first."""

    account_id: str
    settled: Credits
    held: Credits
    seq: int
    at_zero: AtZero
    overdraft: Credits

    @property
    def available(self) -> Credits:
        return Credits(self.settled.nano - self.held.nano)

    def bears(self, amount: Credits) -> bool:
        """Whether so much more may be held: to zero, or to the overdraft where the account goes on at zero."""
        lowest = -self.overdraft.nano if self.at_zero is AtZero.GO_ON else 0
        return self.available.nano - amount.nano >= lowest


class NotEnough(Exception):
    """The account does not bear a hold of this amount."""

    def __init__(self, amount: Credits, standing: Standing) -> None:
        super().__init__(amount, standing)
        self.amount = amount
        self.standing = standing


class HoldConflict(Exception):
    """The hold, or the request for one, is at odds with what was done before. Says how."""


class UsageRefused(Exception):
    """Events that cannot be booked: index in the request and reason of each. Nothing of the request was booked."""

    def __init__(self, problems: Sequence[tuple[int, str]], *, conflict: bool = False) -> None:
        super().__init__(problems)
        self.problems = problems
        self.conflict = conflict  # the id was used before, with other content


class Busy(Exception):
    """More events are waiting than can be booked in ``seconds``."""

    def __init__(self, seconds: int = 1) -> None:
        super().__init__(seconds)
        self.seconds = seconds
