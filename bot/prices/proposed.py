"""Prices that the package genai-prices lists, for a person to approve: read offline, never billed from."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bot.money import NANO_PER_CREDIT
from bot.prices.model import Price, PriceList, Unacceptable

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_COUNTED: Final = {"input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok"}
_ASIDE: Final = {  # what a use may cost beside its tokens, and is not billed for
    "cache_write_1h_mtok": "cache writes for an hour",
    "web_searches_kcount": "web searches",
    "storage_searches_kcount": "searches in stored files",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A price as the package has it; ``aside`` names what it does not cover."""

    price: Price
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A model whose price in the package is more than a row of ours can say."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Offered prices beside those that hold."""

    new: list[Price]
    changed: list[tuple[Price, Price]]  # what holds, what is offered
    same: list[Price]
    gone: list[Price]  # they hold, and the package does not list their models

    @property
    def wanted(self) -> list[Price]:
        """What there is to write."""
        return [*self.new, *(offered for _, offered in self.changed)]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the package lists of some providers; of some models only, where any are named."""

    providers: Collection[str]
    models: Collection[str]
    effective_at: datetime
    offers: list[Offer]
    skipped: list[Skipped]

    def against(self, known: Iterable[Price]) -> Comparison:
        """What would change from ``effective_at`` on, were the offers taken."""
        held = PriceList(known)
        compared = Comparison([], [], [], [])
        for price in (offer.price for offer in self.offers):
            holds = held.at(price.provider, price.model, self.effective_at)
            if holds is None:
                compared.new.append(price)
            elif holds.figures != price.figures:
                compared.changed.append((holds, price))
            else:
                compared.same.append(holds)
        listed = {(offer.price.provider, offer.price.model) for offer in self.offers}
        listed |= {(each.provider, each.model) for each in self.skipped}
        for holds in held.holding(self.effective_at):
            asked = holds.provider in self.providers and (not self.models or holds.model in self.models)
            if asked and (holds.provider, holds.model) not in listed:
                compared.gone.append(holds)
        return compared


def providers_listed() -> frozenset[str]:
    """Whose prices there are. Raise ``ModuleNotFoundError`` where the package is not installed."""
    return frozenset(_listed())


def propose(providers: Collection[str], models: Collection[str], effective_at: datetime) -> Proposal:
    """Read the package. Raise ``Unacceptable`` for names that it does not list, else as ``providers_listed``."""
    known = _listed()
    if strange := sorted(set(providers) - known.keys()):
        raise Unacceptable(f"genai-prices lists no provider {strange[0]}, but {', '.join(sorted(known))}")
    asked = [(name, each) for name in providers for each in known[name] if not models or each.id in models]
    if strange := sorted(set(models) - {each.id for _, each in asked}):
        raise Unacceptable(f"genai-prices lists no model {strange[0]} of {', '.join(providers)}")
    read = [_read(provider, each, effective_at) for provider, each in asked]
    return Proposal(
        providers,
        models,
        effective_at,
        [each for each in read if isinstance(each, Offer)],
        [each for each in read if isinstance(each, Skipped)],
    )


def _listed() -> dict[str, "list[ModelInfo]"]:
    from genai_prices.data import providers  # an extra, and it takes a quarter of a second

    return {provider.id: provider.models for provider in providers}


def _read(provider: str, listed: "ModelInfo", effective_at: datetime) -> Offer | Skipped:
    """The model's price, or why a row of ours cannot say it."""
    if isinstance(listed.prices, list):
        return Skipped(provider, listed.id, "the price changes with the date or the hour")
    figures = {name: figure for name, figure in vars(listed.prices).items() if figure is not None}
    if other := sorted(figures.keys() - _COUNTED - _ASIDE.keys()):
        return Skipped(provider, listed.id, f"there is a price for {other[0].rpartition('_')[0].replace('_', ' ')} too")
    counted = {name: figure for name, figure in figures.items() if name in _COUNTED}
    if not {"input_mtok", "output_mtok"} <= counted.keys():
        return Skipped(provider, listed.id, "there is no price for input and output")
    if not all(isinstance(figure, Decimal) for figure in counted.values()):
        return Skipped(provider, listed.id, "the price depends on the length of the prompt")
    nano = {name: figure * NANO_PER_CREDIT for name, figure in counted.items()}
    if any(figure % 1 for figure in nano.values()) or not any(nano.values()):
        return Skipped(provider, listed.id, "the price is nothing, or has more than nine decimals")
    price = Price(
        id=0,
        provider=provider,
        model=listed.id,
        input=int(nano["input_mtok"]),
        cached=int(nano["cache_read_mtok"]) if "cache_read_mtok" in nano else None,
        written=int(nano["cache_write_mtok"]) if "cache_write_mtok" in nano else None,
        output=int(nano["output_mtok"]),
        effective_at=effective_at,
    )
    if price.flaw:
        return Skipped(provider, listed.id, price.flaw)
    aside = [name for key, name in _ASIDE.items() if key in figures] + ["other service tiers"] * bool(
        listed.price_variants
    )
    return Offer(price, tuple(aside))
