"""Cases: what they are called, what is taken out of what people typed, and how many one person may open. Rules only."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import quote

from bot.accounts.model import Account, Workspace
from bot.errors import Refusal
from bot.logs import redact
from bot.money import Usd

WITHIN: Final = timedelta(hours=1)
MOST_CASES: Final = 3  # that one person opens within that time
MOST_ENTRIES: Final = 10  # that one person writes within it, new cases or not
OPEN_FOR: Final = timedelta(days=30)
"""After its last entry; whatever is written about the purchase later is another case."""

LONGEST_WORDS: Final = 3_000
_LONGEST_LINK: Final = 1_800  # some mail programs take no more than 2,000 characters
_SIGNS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is mistaken for another when it is read out


class TooManyCases(Refusal):
    key = "refusal.too_many_cases"


class State(StrEnum):
    """Where what somebody wrote is now."""

    ON_ITS_WAY = "on_its_way"
    ACCEPTED = "accepted"  # by support's mail server
    GIVEN_UP = "given_up"
    BY_HAND = "by_hand"  # the bot has no mail server: the person sends it


class Attach(StrEnum):
    """What of a purchase goes along."""

    PURCHASE = "purchase"
    STATES = "states"
    IDS = "ids"


class Purchase(Protocol):
    """What support knows of a purchase."""

    @property
    def id(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def buyer_id(self) -> str: ...
    @property
    def amount(self) -> Usd: ...
    @property
    def status(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def facts(self) -> Mapping[str, str]: ...
    @property
    def states(self) -> Sequence[tuple[datetime, str, str | None]]: ...
    @property
    def ids(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Case:
    """What support calls one trouble. All that is written about it carries its number."""

    number: str
    workspace: Workspace
    account_id: str | None  # None: the workspace is linked to none
    purchase_id: str | None
    subject: str  # of its mails, behind the number
    opened_by: str | None  # None: the bot itself
    opened_at: datetime
    open_until: datetime

    def is_open(self, now: datetime) -> bool:
        """Whether what is written about its purchase belongs to it still."""
        return self.open_until > now


@dataclass(frozen=True, slots=True)
class Entry:
    """What was written at one time. ``cause`` is unique: a form, or what the bot noticed."""

    number: str
    n: int
    cause: str
    at: datetime
    user_id: str | None
    locale: str | None
    about: str  # where it was written from, and what for: see ``bot.slack.buttons``
    words: str
    address: str | None  # where support answers
    state: State

    @property
    def kind(self) -> str:
        return self.about.partition(":")[0]


def new_number() -> str:
    """A number that nobody guesses and everybody can read out: ``SKY-7F3K2``."""
    return "SKY-" + "".join(secrets.choice(_SIGNS) for _ in range(5))


def mail_key(number: str, n: int | str = "") -> str:
    """Of the mail of an entry; without ``n`` what all keys of the case begin with."""
    return f"case:{number}:{n}"


def entry_of(key: str) -> tuple[str, int] | None:
    """Whose mail this is: number and n; None for a copy, or for somebody else's mail."""
    parts = key.split(":")
    return (parts[1], int(parts[2])) if parts[0] == "case" and len(parts) == 3 else None


def masked(words: str) -> str:
    """What somebody typed, without card numbers, keys and tokens, and without signs that no database keeps."""
    kept = "".join(sign for sign in words if sign.isprintable() or sign in "\n\t" or not sign.isascii())
    return redact(kept.encode("utf-8", "replace").decode("utf-8"))[:LONGEST_WORDS].strip()


def check_pace(cases: int, entries: int, *, opens: bool) -> None:
    """Raise when this person has opened, or written, as much as one may within ``WITHIN``."""
    if (opens and cases >= MOST_CASES) or entries >= MOST_ENTRIES:
        raise TooManyCases()


def may_see(account: Account | None, user_id: str, purchase: Purchase | None) -> bool:
    """Whether a purchase is this person's to write about: it is theirs, or they own its account."""
    if account is None or purchase is None or purchase.account_id != account.id:
        return False
    return user_id == purchase.buyer_id or user_id in account.owners


def ready_mail(to: str, subject: str, body: str) -> str:
    """A link that opens a mail program with all of it filled in; a body too long for that is cut."""
    link = f"mailto:{quote(to, safe='@')}?subject={quote(subject, safe='')}&body="
    left = _LONGEST_LINK - len(link)
    while len(written := quote(body.replace("\n", "\r\n"), safe="")) > left:
        body = body[: len(body) * left // len(written)] if len(written) > left + 9 else body[:-1]
    return link + written
