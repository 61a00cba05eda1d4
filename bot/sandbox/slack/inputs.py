"""Fields of a form: what they hold at first, what a person may enter, and how Slack writes it down for the bot."""

import re
from decimal import Decimal
from typing import Any

from bot.sandbox.slack.blockkit import options_of
from bot.sandbox.slack.records import CannotDo, Json

VALUE_KEYS = {
    "plain_text_input": "value",
    "number_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
    "static_select": "selected_option",
    "radio_buttons": "selected_option",
    "overflow": "selected_option",
    "multi_static_select": "selected_options",
    "checkboxes": "selected_options",
    "users_select": "selected_user",
    "multi_users_select": "selected_users",
    "channels_select": "selected_channel",
    "multi_channels_select": "selected_channels",
    "conversations_select": "selected_conversation",
    "multi_conversations_select": "selected_conversations",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
}
REQUIRED = "Please complete this required field."


def at_first(element: Json, channel: str) -> Json:
    """The value a field shows before anybody touched it."""
    kind = element["type"]
    key = VALUE_KEYS[kind]
    initial = element.get(key.replace("selected", "initial") if key != "value" else "initial_value")
    if initial is None and element.get("default_to_current_conversation") and channel:
        initial = [channel] if key.endswith("s") else channel
    if initial is None and key.endswith("s"):
        initial = []
    return {"type": kind, key: initial or ([] if key.endswith("s") else None)}


def entered(element: Json, value: Any) -> Json:
    """The value a field holds after a person entered or chose ``value`` (an option by its value or its words)."""
    kind = element["type"]
    key = VALUE_KEYS[kind]
    if key == "selected_option":
        return {"type": kind, key: None if value is None else _option(element, value)}
    if key == "selected_options":
        return {"type": kind, key: [_option(element, item) for item in value or []]}
    if key == "selected_date_time" or key.endswith("s"):
        return {"type": kind, key: value}
    return {"type": kind, key: None if value in (None, "") else str(value)}


def _option(element: Json, wanted: Any) -> Json:
    for option in options_of(element):
        if wanted in (option, option["value"], option["text"]["text"]):
            return option
    raise CannotDo(f"there is no option {wanted!r}")


def complaint(block: Json, held: Json) -> str:
    """Why Slack's window would not send the form because of this input block; empty when it would."""
    element = block["element"]
    value = held[VALUE_KEYS[element["type"]]]
    if value in (None, "", []):
        return "" if block.get("optional") else REQUIRED
    if element["type"] == "number_input":
        return _about_number(element, value)
    if element["type"] == "plain_text_input":
        return _about_length(element, value)
    if element["type"] == "email_text_input" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        return "Enter an email address."
    if element["type"] == "url_text_input" and not re.fullmatch(r"https?://\S+", value):
        return "Enter a web address."
    return ""


def _about_number(element: Json, value: str) -> str:
    if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", value, re.ASCII):
        return "Enter a number."
    amount = Decimal(value)
    if not element["is_decimal_allowed"] and amount != int(amount):
        return "Enter a whole number."
    if "min_value" in element and amount < Decimal(element["min_value"]):
        return f"Enter a number that is at least {element['min_value']}."
    if "max_value" in element and amount > Decimal(element["max_value"]):
        return f"Enter a number that is at most {element['max_value']}."
    return ""


def _about_length(element: Json, value: str) -> str:
    if len(value) < element.get("min_length", 0):
        return f"Enter at least {element['min_length']} characters."
    if len(value) > element.get("max_length", 3000):
        return f"Enter at most {element.get('max_length', 3000)} characters."
    return ""
