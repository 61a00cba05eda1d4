"""Bearer tokens: what they look like, what they allow, and the hash that is kept of them."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

_TOKEN: Final = re.compile(r"cb_[A-Za-z0-9_-]{43}")
_RANDOM_BYTES: Final = 32  # 43 characters


class Scope(StrEnum):
    """What a token may be used for."""

    USAGE = "usage"  # reporting events, holding credits
    READ = "read"  # balances


@dataclass(frozen=True, slots=True)
class Bearer:
    """The program that a token was made for."""

    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was made once, as far as anybody can still tell."""

    bearer: Bearer
    created_at: datetime
    revoked_at: datetime | None


def new_token() -> str:
    """A token that nobody can guess."""
    return f"cb_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def may_be_token(text: str) -> bool:
    """Whether it has the form of a token: what has not was never made here."""
    return _TOKEN.fullmatch(text) is not None


def hash_of(token: str) -> str:
    """What is stored and compared. The time that comparing takes tells nothing: nobody can choose the hash."""
    return hashlib.sha256(token.encode()).hexdigest()
