"""Sentences by key, in the reader's language, with money, numbers and plurals as that language writes them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError, negotiate_locale
from babel.core import get_global
from babel.dates import format_date
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_decimal_symbol, get_group_symbol
from babel.support import Translations

from bot.money import GREATEST, LEAST, Credits, Usd, parse_usd

FALLBACK: Final = "en"
_FOLDER: Final = Path(__file__).parent / "locales"
_ALIASES: Final = {
    "es_LA": "es_419",
    "zh": "zh_Hans",
    "zh_CN": "zh_Hans",
    "zh_TW": "zh_Hant",
    "no": "nb",
    "no_NO": "nb",
}
_COUNTRIES: Final = {"pt": "pt_PT"}  # CLDR writes the money of "pt" as Brazil does, which has a catalogue of its own


class Texts:
    """One language's sentences. ``texts("buy.title")``; facts are formatted by their type, never by the caller."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.locale = Locale.parse(_COUNTRIES.get(language, language))
        self._sentences = _translations(language)

    def __call__(self, key: str, **facts: object) -> str:
        """The sentence of ``key`` with its facts filled in; a fact ``n`` chooses the plural. Unknown: ``KeyError``."""
        n = facts.get("n")
        found = self._sentences.ngettext(key, key, n) if isinstance(n, int) else self._sentences.gettext(key)
        if found == key:
            raise KeyError(f"{key} ({self.language})")
        return found.format_map({name: self.show(fact) for name, fact in facts.items()})

    def show(self, fact: object) -> str:
        """One fact as this language writes it."""
        match fact:
            case Usd(cents):
                return format_currency(Decimal(cents) / 100, "USD", locale=self.locale)
            case Credits():
                return format_decimal(Decimal(fact.cents) / 100, format=self._two_places, locale=self.locale)
            case bool():
                raise TypeError("a sentence has no place for a bool")
            case int():
                return format_decimal(fact, locale=self.locale)
            case datetime():
                return format_date(fact, format="long", locale=self.locale)
            case str():
                return fact
            case tuple():
                return format_list(fact, style="or", locale=self.locale)
        raise TypeError(f"no way to show {type(fact).__name__} in a sentence")

    def exactly(self, credits: Credits) -> str:
        """Every digit that matters, at least two decimals: figures that a reader may add up."""
        exact = Decimal(credits.nano).scaleb(-9)
        return format_decimal(exact, format=f"{self._two_places}#######", locale=self.locale)

    @property
    def _two_places(self) -> str:
        pattern: str = self.locale.decimal_formats[None].pattern.split(";")[0]
        return f"{pattern.partition('.')[0]}.00"

    def read_amount(self, typed: str) -> Usd:
        """A typed amount, read as this language writes it. Errors: see ``bot.money.parse_usd``."""
        return parse_usd(typed, decimal=get_decimal_symbol(self.locale), group=get_group_symbol(self.locale))

    def write_amount(self, amount: Usd) -> str:
        """The amount as a person would type it: ``read_amount`` gives it back."""
        pattern = "#,##0" if amount.cents % 100 == 0 else "#,##0.00"
        return format_decimal(Decimal(amount.cents) / 100, format=pattern, locale=self.locale)

    def short(self, amount: Usd) -> str:
        """The amount as on a price tag: ``$25``, but ``$25.50``."""
        if amount.cents % 100:
            return self.show(amount)
        pattern = self.locale.currency_formats["standard"].pattern.replace(".00", "")
        return format_currency(amount.cents // 100, "USD", pattern, self.locale, currency_digits=False)

    @property
    def limits(self) -> Mapping[str, str]:
        """The least and the greatest amount, as facts for a sentence."""
        return {"least": self.short(LEAST), "greatest": self.short(GREATEST)}


def printable(text: str) -> str:
    """What somebody else wrote, so that it can stand in a terminal without steering it."""
    return text if text.isprintable() else ascii(text)


@cache
def languages() -> tuple[str, ...]:
    """The languages that have a catalogue."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.po")))


@lru_cache(maxsize=500)  # and no more: a browser may ask for any language it makes up
def texts_for(locale: str | None) -> Texts:
    """The sentences for a Slack locale such as ``da-DK``; English for one that has no catalogue."""
    asked = (locale or FALLBACK).replace("-", "_")
    asked = _ALIASES.get(asked, asked)
    try:
        script = str(Locale.parse(asked, resolve_likely_subtags=True).script)
    except (ValueError, UnknownLocaleError):
        return Texts(FALLBACK)
    parent = get_global("parent_exceptions").get(asked, asked)  # of Mexican Spanish: that of Latin America
    wanted = [asked, parent, f"{asked.partition('_')[0]}_{script}", asked.partition("_")[0]]
    return Texts(negotiate_locale(wanted, languages()) or FALLBACK)


@cache
def catalog(language: str) -> Catalog:
    """The catalogue as Babel reads it: no compiling, no build step."""
    with (_FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def _translations(language: str) -> Translations:
    buffer = BytesIO()
    write_mo(buffer, catalog(language))
    buffer.seek(0)
    return Translations(buffer)
