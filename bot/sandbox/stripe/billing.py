"""What a buyer types on the page beside the card: who they are, where, their tax id; and the tax that follows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.stripe.errors import JsonObject

EUROPE = ("DE", "DK", "ES", "FI", "FR", "IT", "NL", "PL", "PT", "SE")
COUNTRIES = {
    **{"DE": "Germany", "DK": "Denmark", "ES": "Spain", "FI": "Finland", "FR": "France", "GB": "United Kingdom"},
    **{"IT": "Italy", "JP": "Japan", "NL": "Netherlands", "NO": "Norway", "PL": "Poland", "PT": "Portugal"},
    **{"SE": "Sweden", "US": "United States"},
}
PERCENT = {"DE": 19, "DK": 25, "ES": 21, "FI": 25, "FR": 20, "GB": 20, "IT": 22, "NL": 21, "PL": 23, "PT": 23, "SE": 25}
"""Where this merchant is registered for taxes, and how much they are. Elsewhere there are none."""

_TAX_IDS = {
    **{country: ("eu_vat", rf"{country}[0-9A-Z]{{2,13}}") for country in EUROPE},
    "GB": ("gb_vat", r"GB[0-9]{9}"),
    "NO": ("no_vat", r"[0-9]{9}MVA"),
    "US": ("us_ein", r"[0-9]{2}-[0-9]{7}"),
}


@dataclass(frozen=True, slots=True)
class Buyer:
    """What was typed. ``fields`` are the page's own fields by their keys."""

    name: str = ""
    line1: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""
    tax_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> JsonObject | None:
        if not self.country:
            return None
        return {
            "city": self.city or None,
            "country": self.country,
            "line1": self.line1 or None,
            "line2": None,
            "postal_code": self.postal_code or None,
            "state": None,
        }

    @property
    def tax_ids(self) -> list[dict[str, str]]:
        kind, pattern = _TAX_IDS.get(self.country, ("", ""))
        return [{"type": kind, "value": self.tax_id}] if kind and re.fullmatch(pattern, self.tax_id) else []

    def complaint(self, session: JsonObject) -> str:
        """Why the page does not take this yet; empty when it does."""
        if session["billing_address_collection"] == "required" and not (self.name and self.line1 and self.country):
            return "Your billing address is incomplete."
        if self.country and self.country not in COUNTRIES:
            return "The sandbox does not know this country."
        if self.tax_id and not self.tax_ids:
            return "Your tax ID is not valid."
        for each in session["custom_fields"]:
            typed = self.fields.get(each["key"], "")
            if not typed and not each["optional"]:
                return f"{each['label']['custom']} is required."
            if len(typed) > (each["text"]["maximum_length"] or 255):
                return f"{each['label']['custom']} is too long."
        return ""


SOMEBODY = Buyer("Acme Labs", "1 Main Street", "94107", "San Francisco", "US")
"""Who pays where a story does not say who: in a country without taxes."""


def tax_on(subtotal: int, address: JsonObject | None, *, business: bool) -> int:
    """In cents, on top. A business elsewhere in Europe accounts for it by itself (reverse charge)."""
    country = (address or {}).get("country")
    if not country or (business and country in EUROPE):
        return 0
    return (subtotal * PERCENT.get(country, 0) + 50) // 100
