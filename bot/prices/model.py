"""Prices with dates, and the cost of tokens: whole numbers in, whole numbers out, the same on every machine."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import Final

import msgspec

from bot.money import NANO_PER_CREDIT, Credits

PER: Final = 1_000_000  # prices are for a million tokens
DEAREST: Final = 10_000 * NANO_PER_CREDIT  # a million tokens of any model
STEEPEST: Final = 100_000  # markup in basis points: 1,000 %
LONGEST: Final = 200  # characters of a provider or a model
_WHOLE: Final = 10_000  # basis points in one
_DIVISOR: Final = PER * _WHOLE


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Token counts of one use of a model. The first three never overlap; ``reasoning`` is a part of ``output``."""

    input: int = 0  # read anew
    cached: int = 0  # read from a cache
    written: int = 0  # written to a cache
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs from ``effective_at`` on, until the next price of that model or ``expires_at``.

    Prices are nano-credits per million tokens. ``None``: this model has no such price, which is not the same as free.
    ``id`` is 0 until the database has given one.
    """

    id: int
    provider: str
    model: str
    input: int
    output: int
    effective_at: datetime
    cached: int | None = None
    written: int | None = None
    expires_at: datetime | None = None

    @property
    def figures(self) -> tuple[int, int | None, int | None, int]:
        """The four prices, in the order in which people see them: input, cached input, cache write, output."""
        return self.input, self.cached, self.written, self.output

    @property
    def flaw(self) -> str | None:
        """What is wrong with this price by itself, if anything."""
        for name, text in (("provider", self.provider), ("model", self.model)):
            if not 1 <= len(text) <= LONGEST or not text.isprintable() or text != text.strip():
                return f"{name} must be 1 to {LONGEST} printable characters, without spaces around them"
        if any(figure is not None and not 0 <= figure <= DEAREST for figure in self.figures):
            return f"a price must be from 0 to {DEAREST // NANO_PER_CREDIT:,} dollars per million tokens"
        if self.expires_at is not None and self.expires_at < self.effective_at:
            return f"it expires on {when(self.expires_at)}, before it begins on {when(self.effective_at)}"
        return None

    def __str__(self) -> str:
        return f"{self.provider} {self.model} from {when(self.effective_at)}"


class Unacceptable(ValueError):
    """A price or a markup that cannot be written beside the others. Says why."""


class Unpriced(StrEnum):
    """Why a use has no cost yet."""

    NO_PRICE = "no_price"
    NO_CACHED_PRICE = "no_cached_price"
    NO_WRITTEN_PRICE = "no_written_price"


def cost(price: Price, tokens: Tokens, markup: int) -> int | Unpriced:
    """Nano-credits, with a markup in basis points, rounded once, up to the next whole one: no use is ever free."""
    exact = tokens.input * price.input + tokens.output * price.output
    if tokens.cached:
        if price.cached is None:
            return Unpriced.NO_CACHED_PRICE
        exact += tokens.cached * price.cached
    if tokens.written:
        if price.written is None:
            return Unpriced.NO_WRITTEN_PRICE
        exact += tokens.written * price.written
    return -(exact * (_WHOLE + markup) // -_DIVISOR)


class PriceList:
    """All prices, to be asked which one held when."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._of: dict[tuple[str, str], tuple[list[datetime], list[Price]]] = {}
        for price in sorted(prices, key=_start):
            starts, known = self._of.setdefault((price.provider, price.model), ([], []))
            starts.append(price.effective_at)
            known.append(price)

    def at(self, provider: str, model: str, moment: datetime) -> Price | None:
        """The price that holds at that moment: the newest that has begun, unless it has expired."""
        starts, known = self._of.get((provider, model), ((), ()))
        n = bisect_right(starts, moment)
        if n == 0 or ((end := known[n - 1].expires_at) is not None and end <= moment):
            return None
        return known[n - 1]

    def holding(self, moment: datetime) -> list[Price]:
        """The prices of all models that have one at that moment, by provider and model."""
        return [price for key in sorted(self._of) if (price := self.at(*key, moment))]


class Markups:
    """Markups with dates, per account or per plan; the account's own comes first."""

    def __init__(self, dated: Iterable[tuple[str, datetime, int]]) -> None:
        self._of_account: dict[str, tuple[list[datetime], list[int]]] = {}
        self._of_plan: dict[str, tuple[list[datetime], list[int]]] = {}
        for scope, effective_at, basis_points in sorted(dated):
            kind, _, name = scope.partition(":")
            of = self._of_account if kind == "account" else self._of_plan
            starts, known = of.setdefault(name, ([], []))
            starts.append(effective_at)
            known.append(basis_points)

    def at(self, account_id: str, plan: str, moment: datetime) -> int:
        """Basis points on top of the price; 0 where nothing was set."""
        for dated in (self._of_account.get(account_id), self._of_plan.get(plan)):
            if dated is not None and (n := bisect_right(dated[0], moment)):
                return dated[1][n - 1]
        return 0


def beside(new: Price, known: Sequence[Price], now: datetime) -> Price | None:
    """What has to be written so that ``new`` holds beside the ``known`` prices of its model, oldest first.

    Either ``new`` itself, or the known price that it repeats with the end that it adds, or nothing: it holds already.
    Raise ``Unacceptable`` when it contradicts a known price, or overlaps with one.
    """
    if new.flaw:
        raise Unacceptable(new.flaw)
    n = bisect_left(known, new.effective_at, key=_start)
    if n < len(known) and known[n].effective_at == new.effective_at:
        return _repeated(new, known[n], known[n + 1 : n + 2], now)
    if n and (end := known[n - 1].expires_at) and end > new.effective_at:
        raise Unacceptable(f"it overlaps with {known[n - 1]}, which holds until {when(end)}")
    _leave_room(new.expires_at, known[n : n + 1])
    return new


def _repeated(new: Price, held: Price, following: Sequence[Price], now: datetime) -> Price | None:
    if held.figures != new.figures:
        raise Unacceptable(
            f"{held} costs {_told(held)} already and cannot cost {_told(new)}: a change needs a new date"
        )
    shown = held.expires_at or next((price.effective_at for price in following), None)
    if new.expires_at in (None, shown):
        return None
    return ended(held, new.expires_at, following, now)


def ended(price: Price, end: datetime, following: Sequence[Price], now: datetime) -> Price:
    """The price with an end that it did not have, which is the one change a price may see. ``following``: the next."""
    if price.expires_at is not None:
        raise Unacceptable(f"{price} expires on {when(price.expires_at)} already")
    if end < now:
        raise Unacceptable(f"{price} cannot expire on {when(end)}: that is in the past, and what was used is booked")
    if end < price.effective_at:
        raise Unacceptable(f"{price} cannot expire on {when(end)}, before it begins")
    _leave_room(end, following)
    return replace(price, expires_at=end)


def _leave_room(end: datetime | None, following: Sequence[Price]) -> None:
    if end is not None and following and end > following[0].effective_at:
        raise Unacceptable(f"until {when(end)} it overlaps with {following[0]}")


def with_ends(prices: Iterable[Price]) -> list[Price]:
    """The prices as people see them: each with the end that it has, be it only because the next one begins."""
    ordered = sorted(prices, key=lambda price: (price.provider, price.model, price.effective_at))
    return [
        replace(price, expires_at=later.effective_at)
        if price.expires_at is None and later and (later.provider, later.model) == (price.provider, price.model)
        else price
        for price, later in zip(ordered, [*ordered[1:], None], strict=False)
    ]


def when(moment: datetime) -> str:
    """A moment as it is written in tables of prices: a day where one begins in UTC, else to the second or finer."""
    moment = moment.astimezone(UTC)
    if moment.time() == time():
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + "Z"


def percent(basis_points: int) -> str:
    """A markup as people write it: ``12.5``."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".")


def _told(price: Price) -> str:
    names = ("input", "cached input", "cache write", "output")
    return ", ".join(
        f"{name} {Credits(figure).exact}"
        for name, figure in zip(names, price.figures, strict=True)
        if figure is not None
    )


def _start(price: Price) -> datetime:
    return price.effective_at
