"""Buttons that any part of the bot may show: each is known by its name, and another part listens to it."""

from slack_sdk.models.blocks import ButtonElement

from bot.slack import names
from bot.text import Texts

_LONGEST_VALUE = 2_000  # characters


def contact_support(texts: Texts, about: str, said: str = "") -> ButtonElement:
    """Leads to the form that reaches a person.

    ``about`` says what it is pressed for, as a kind and a name: ``purchase:pur_…``, ``refusal:refusal.not_owner``,
    ``bug:3f9a1b2c``, ``outage:Stripe``, or only where it stands: ``home``. ``said`` is what the person was told just
    now: the form begins with it.
    """
    value = f"{about}\n{said}"[:_LONGEST_VALUE]
    return ButtonElement(text=texts("support.button"), action_id=names.CONTACT_SUPPORT, value=value)


def pressed_for(value: str) -> tuple[str, str]:
    """What ``contact_support`` put into its button: what it is about, and what was said."""
    about, _, said = value.partition("\n")
    return about, said


def ask_the_owner(texts: Texts, amount: str = "") -> ButtonElement:
    """Leads to the form in which somebody who may not buy asks an owner to. ``amount`` as the reader would type it."""
    return ButtonElement(text=texts("ask.button"), action_id=names.OPEN_ASK_FORM, value=amount)
