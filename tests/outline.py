"""Draws a form, a message or a Home tab as a few lines of text, so that a reviewer reads these and not its JSON."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.text import catalog

Json = dict[str, Any]
Shown = View | Sequence[Block] | Json | Sequence[Json]
"""A form or a Home tab, or a message; as the bot makes it or as it is sent."""


def as_sent(what: Shown) -> Any:
    """Its JSON. To make it takes longer than all that is asked of it afterwards."""
    if isinstance(what, View):
        return what.to_dict()
    return what if isinstance(what, dict) else [each if isinstance(each, dict) else each.to_dict() for each in what]


def outline(what: Shown) -> str:
    """Titles behind ``#``, fields as ``<…>``, buttons in brackets, small print behind ``·``."""
    view = as_sent(what)
    if isinstance(view, list):
        return "\n".join(line for block in view for line in _block(block))
    title = [f"# {view['title']['text']}"] if "title" in view else []
    end = [f"[{view[name]['text']}]" for name in ("close", "submit") if name in view]
    return "\n".join(
        [*title, *(line for block in view["blocks"] for line in _block(block)), *([" ".join(end)] if end else [])]
    )


def unseen(language: str, keys: tuple[str, ...], drawn: Iterable[str]) -> list[str]:
    """The keys, of those that begin so, of the sentences which none of it shows: they were translated in vain."""
    shown = "\n".join({line for each in drawn for line in each.splitlines()})
    return [
        key
        for message in catalog(language)
        if (key := message.id if isinstance(message.id, str) else message.id[0]).startswith(keys)
        for sentence in (message.string if isinstance(message.string, tuple) else (str(message.string),))
        if not all(_is_in(line, shown) for line in sentence.splitlines())
    ]


def _is_in(line: str, shown: str) -> bool:
    pieces = re.split(r"\{[a-z_]+\}", line)
    return max(pieces, key=len) in shown and re.search(".*".join(map(re.escape, pieces)), shown) is not None


def _block(block: Json) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield f"## {block['text']['text']}"
        case "section":
            yield " ".join([block["text"]["text"], *([_button(block["accessory"])] if "accessory" in block else [])])
        case "context":
            yield from (f"· {element['text']}" for element in block["elements"])
        case "divider":
            yield "---"
        case "actions":
            yield " ".join(_button(element) for element in block["elements"])
        case "input":
            yield f"{block['label']['text']}: {_field(block['element'])}"
            if hint := block.get("hint"):
                yield f"· {hint['text']}"
        case other:
            raise ValueError(f"no way to draw {other}")


def _button(element: Json) -> str:
    if element["type"] == "static_select":
        chosen = element["initial_option"]["text"] if "initial_option" in element else element["placeholder"]
        return f"({chosen['text']})"
    return f"[{element['text']['text']}{' -> ' + element['url'] if 'url' in element else ''}]"


def _field(element: Json) -> str:
    match element["type"]:
        case "plain_text_input":
            return f"<{element.get('initial_value') or element['placeholder']['text']}>"
        case "radio_buttons":
            return " ".join(
                f"({'x' if option == element['initial_option'] else ' '}) {option['text']['text']}"
                f" ({option['description']['text']})"
                for option in element["options"]
            )
    raise ValueError(f"no way to draw {element['type']}")
