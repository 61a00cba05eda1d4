"""Money as integers with names: dollars that are paid, credits that are owed, and how a typed amount is read."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

NANO_PER_CREDIT = 1_000_000_000
NANO_PER_CENT = NANO_PER_CREDIT // 100


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount of US dollars in cents: what Stripe charges."""

    cents: int

    @classmethod
    def dollars(cls, dollars: int) -> Self:
        return cls(dollars * 100)

    def __str__(self) -> str:
        return _decimal(self.cents, 2, 2)


LEAST = Usd.dollars(1)
GREATEST = Usd.dollars(100_000)


@dataclass(frozen=True, slots=True, order=True)
class Credits:
    """An amount of credits in billionths: what the ledger holds. One credit is bought for one dollar."""

    nano: int
    ZERO: ClassVar[Self]

    @classmethod
    def bought_for(cls, price: Usd) -> Self:
        """The only bridge between the two kinds of money."""
        return cls(price.cents * NANO_PER_CENT)

    @classmethod
    def exactly(cls, text: str) -> Self:
        """Read what ``exact`` writes, and anything like it. Raise ``UnreadableAmount``."""
        if not (found := re.fullmatch(r"(-?)([0-9]{1,9})(?:\.([0-9]{1,9}))?", text, re.ASCII)):
            raise UnreadableAmount(text)
        nano = int(found[2]) * NANO_PER_CREDIT + int((found[3] or "").ljust(9, "0"))
        return cls(-nano if found[1] else nano)

    @property
    def exact(self) -> str:
        """Every digit that matters, at least two decimals: ``12.345678901``."""
        return _decimal(self.nano, 9, 2)

    @property
    def cents(self) -> int:
        """Whole hundredths, towards zero: nobody is shown more than they have."""
        return abs(self.nano) // NANO_PER_CENT * (1 if self.nano >= 0 else -1)

    def __str__(self) -> str:
        return _decimal(self.cents, 2, 2)


Credits.ZERO = Credits(0)


def _decimal(value: int, places: int, least_places: int) -> str:
    whole, fraction = divmod(abs(value), 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0").ljust(least_places, "0")
    return f"{'-' if value < 0 else ''}{whole}.{digits}"


class UnreadableAmount(ValueError):
    """The text names no amount of dollars and cents."""


class AmbiguousAmount(ValueError):
    """The text could mean several amounts; ``readings`` names them, in cents where they are whole cents."""

    def __init__(self, readings: tuple[Usd, Usd]) -> None:
        super().__init__(readings)
        self.readings = readings


_SPACES = re.compile(r"[\s\u00a0\u202f\u2009]+")
_FULL_WIDTH = {code + 0xFEE0: code for code in range(0x21, 0x7F)}  # what a Japanese or Chinese keyboard writes
_CURRENCY = re.compile(r"^(?:US\$|\$US|USD|\$)|(?:US\$|\$US|USD|\$)$", re.IGNORECASE)
_NO_CENTS = re.compile(r"(?<=[0-9])([.,]) ?[-–—]{1,2}$")  # 50,- as Danes write it, 50.– as the Swiss do
_SIGNS = ".,'’"


def half_width(text: str) -> str:
    """The digits and signs of a Japanese or Chinese keyboard as any other writes them."""
    return text.translate(_FULL_WIDTH)


def parse_usd(text: str, *, decimal: str, group: str) -> Usd:
    """Read a typed amount with the reader's separators (``decimal`` and ``group``, one character each).

    Raises ``UnreadableAmount`` when it is no amount, and ``AmbiguousAmount`` when readers elsewhere would
    see another amount and the reader's own convention does not decide: a part of a cent that one of its readings
    has is rounded there. Limits are not checked here.
    """
    typed = _SPACES.sub(" ", half_width(text)).strip()
    typed = _NO_CENTS.sub(r"\g<1>00", _CURRENCY.sub("", typed, count=1).strip())
    if not re.fullmatch(r"[0-9][0-9 .,'’]*", typed) or len(typed) > 24:
        raise UnreadableAmount(text)
    own = _read(typed, decimal, " " if group.isspace() else group)
    if own is not None:
        return own
    signs = [sign for sign in _SIGNS if sign in typed]
    meanings = {
        cents
        for mark in [*signs, None]
        for thousands in [*signs, " ", None]
        if mark != thousands and (cents := _read(typed, mark, thousands)) is not None
    }
    if len(meanings) != 1:
        raise UnreadableAmount(text)
    meaning = meanings.pop()
    if thousandths := re.fullmatch(r"([1-9][0-9]{0,2})[.,]([0-9]{3})", typed):
        # In the reader's own convention this is a decimal with three places; elsewhere it is thousands.
        raise AmbiguousAmount((meaning, Usd(int(thousandths[1]) * 100 + (int(thousandths[2]) + 5) // 10)))
    return meaning


def _read(typed: str, decimal: str | None, group: str | None) -> Usd | None:
    """The amount when ``typed`` is well formed with these separators: groups of three, one or two decimals."""
    fraction = rf"(?:{re.escape(decimal)}(?P<fraction>[0-9]{{1,2}}))?" if decimal else "(?P<fraction>)"
    grouped = rf"[1-9][0-9]{{0,2}}(?:{re.escape(group)}[0-9]{{3}})+|" if group else ""
    found = re.fullmatch(rf"(?P<whole>{grouped}0|[1-9][0-9]*){fraction}", typed)
    if not found:
        return None
    whole = re.sub(r"[^0-9]", "", found["whole"])
    return Usd(int(whole) * 100 + int((found["fraction"] or "").ljust(2, "0")))
