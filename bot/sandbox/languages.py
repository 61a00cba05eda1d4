"""The languages on offer in the sandbox: those of the bot, as a profile at Slack names them and by their own names."""

from functools import cache
from typing import Final

from babel import Locale
from babel.core import get_global

from bot.text import languages

_SLACKS: Final = {"es_419": "es-LA", "pt": "pt-PT"}  # what only Slack says, and where most speakers live elsewhere


def of_slack(language: str) -> str:
    """A locale with a territory, such as ``da-DK``: the one with most speakers."""
    base, likely = language.partition("_")[0], get_global("likely_subtags")
    return _SLACKS.get(language) or f"{base}-{(likely.get(language) or likely[base]).rpartition('_')[2]}"


def own_name(language: str) -> str:
    """What its speakers call it, such as ``Español (Latinoamérica)``."""
    own = Locale.parse(language).get_display_name(language) or language
    return own[0].upper() + own[1:]


@cache
def on_offer() -> tuple[tuple[str, str], ...]:
    """Each as Slack's locale and its own name."""
    return tuple((of_slack(language), own_name(language)) for language in languages())
