"""Slack's markup: what a person typed is escaped and never becomes part of it."""

import re
from collections.abc import Iterable
from datetime import datetime


def escape(text: str) -> str:
    """Text as text: no mention, link or channel-wide call gets through."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """What a person typed, from what Slack makes of it in a command or a message."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def mention(user_id: str) -> str:
    return f"<@{user_id}>"


def mentions(user_ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(mention(user_id) for user_id in user_ids)


def moment(at: datetime) -> str:
    """A moment that each reader sees in their own time zone."""
    stamp = int(at.timestamp())
    return f"<!date^{stamp}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>"


def fact(value: object) -> object:
    """A fact of a sentence that stands in markup: people become mentions, text is escaped, the rest stays."""
    match value:
        case str():
            return escape(value)
        case tuple():
            return mentions(value)
    return value


def link(address: str, words: str) -> str:
    return f"<{escape(address)}|{words}>"


def plain(markup: str) -> str:
    """Markup as text that a person could have typed: names, links and times by their words."""
    shown = re.sub(r"<[^<>|]*\|([^<>]*)>", r"\1", markup)
    shown = re.sub(r"<(?:mailto:|tel:)?([^<>]*)>", r"\1", shown)
    return unescape(shown)
