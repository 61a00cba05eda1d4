"""Slack's mrkdwn as safe HTML. Everything that is not known markup is escaped, whoever wrote it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from bot.sandbox.page import emoji
from bot.sandbox.page.dates import Reader, moment_of

_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_QUOTE = re.compile(r"^(?:&gt;|>) ?")
_ANGLES = r"<[^<>\n]*>"


def _span(mark: str, name: str) -> str:
    """The pattern of text between two marks: words outside, no space just inside."""
    inner = rf"(?:{_ANGLES}|`[^`\n]*`|[^{mark}\n])+?"
    return rf"(?<![\w{mark}]){mark}(?=\S)(?P<{name}>{inner})(?<=\S){mark}(?![\w{mark}])"


_INLINE = re.compile(
    "|".join(
        (
            r"`(?P<code>[^`\n]+)`",
            rf"(?P<token>{_ANGLES})",
            _span(r"\*", "bold"),
            _span("_", "italic"),
            _span("~", "strike"),
            r"(?P<url>https?://[^\s<>|]+[^\s<>|.,;:!?)])",
        )
    )
)
BREAK = Markup("<br>")
WRAPS = {
    "bold": Markup("<strong>{}</strong>"),
    "italic": Markup("<em>{}</em>"),
    "strike": Markup("<s>{}</s>"),
    "code": Markup("<code>{}</code>"),
    "pre": Markup("<pre>{}</pre>"),
    "quote": Markup("<blockquote>{}</blockquote>"),
}


@dataclass(frozen=True, slots=True)
class Names:
    """What ids are called, for mentions."""

    people: Mapping[str, str]
    channels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mrkdwn:
    """Renders for one reader."""

    names: Names
    reader: Reader

    def __call__(self, text: str) -> Markup:
        html: list[Markup] = []
        for index, part in enumerate(_FENCE.split(text)):
            if index % 2:  # every second part was inside a fence
                html.append(WRAPS["pre"].format(unescape(part)))
            elif part.strip("\n"):
                html.append(self._lines(part.strip("\n")))
        return Markup("").join(html)

    def _lines(self, text: str) -> Markup:
        """Lines outside a fence; those that follow each other behind ``>`` are one quotation."""
        html: list[Markup] = []
        for quoted, run in groupby(text.split("\n"), lambda line: bool(_QUOTE.match(line))):
            lines = BREAK.join(self.inline(_QUOTE.sub("", line)) for line in run)
            html.append(WRAPS["quote"].format(lines) if quoted else lines)
        return Markup("").join(html)

    def inline(self, text: str) -> Markup:
        """One line: spans, mentions, links, emoji."""
        html: list[Markup] = []
        end = 0
        for match in _INLINE.finditer(text):
            html.append(plain(text[end : match.start()]))
            html.append(self._inline_match(match))
            end = match.end()
        html.append(plain(text[end:]))
        return Markup("").join(html)

    def _inline_match(self, match: re.Match[str]) -> Markup:
        kind, inner = match.lastgroup or "", match[match.lastgroup or 0]
        if kind == "code":
            return WRAPS["code"].format(unescape(inner))
        if kind == "token":
            return self._token(inner[1:-1])
        if kind == "url":
            return link(unescape(inner), unescape(inner))
        return WRAPS[kind].format(self.inline(inner))

    def _token(self, token: str) -> Markup:
        target, _, label = token.partition("|")
        if target.startswith("@"):
            return self.person(target[1:], label)
        if target.startswith("#"):
            return self.channel(target[1:], label)
        if target.startswith("!"):
            return self._special(target[1:], label)
        if _linkable(unescape(target)):
            return link(unescape(target), unescape(label) or unescape(target))
        return escape(f"<{unescape(token)}>")

    def person(self, user_id: str, label: str = "") -> Markup:
        name = self.names.people.get(user_id) or unescape(label) or user_id
        return Markup('<span class="mention" data-user="{}">@{}</span>').format(user_id, name)

    def channel(self, channel_id: str, label: str = "") -> Markup:
        name = self.names.channels.get(channel_id) or unescape(label) or channel_id
        return Markup('<span class="mention">#{}</span>').format(name)

    def _special(self, command: str, label: str) -> Markup:
        kind, *rest = command.split("^")
        if kind == "date" and len(rest) >= 2 and rest[0].isdigit():
            return self.date(rest[0], unescape(rest[1]), rest[2] if len(rest) > 2 else "")
        if kind in ("here", "channel", "everyone"):
            return Markup('<span class="mention broadcast">@{}</span>').format(kind)
        return Markup('<span class="mention">{}</span>').format(unescape(label) or f"@{kind}")

    def date(self, unix: str, template: str, target: str = "") -> Markup:
        moment = moment_of(unix)
        words = Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), self.reader.date(moment, template))
        return link(unescape(target), words) if target and _linkable(unescape(target)) else words


def unescape(text: str) -> str:
    """Undo the three escapes that Slack asks for, once."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def plain(text: str) -> Markup:
    """Text with emoji and nothing else."""
    return escape(emoji.replace(unescape(text)))


def link(target: str, label: str | Markup) -> Markup:
    shown = label if isinstance(label, Markup) else escape(emoji.replace(label.removeprefix("mailto:")))
    return Markup('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(target, shown)


def _linkable(target: str) -> bool:
    return urlsplit(target).scheme in ("http", "https", "mailto", "tel")
