"""The common part of standard Markdown, for Slack's ``markdown`` block, as safe HTML."""

import re

from markupsafe import Markup, escape

from bot.sandbox.page import emoji
from bot.sandbox.page.mrkdwn import BREAK, WRAPS, link

_LISTS = {"ul": Markup("<ul>{}</ul>"), "ol": Markup("<ol>{}</ol>")}
_FENCE = re.compile(r"```\w*\n?(.*?)\n?```", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})\s+(.*)$")
_ITEM = re.compile(r"^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$")
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\[(?P<label>[^\]\n]+)\]\((?P<href>https?://[^\s)]+)\)"
    r"|\*\*(?P<bold>[^*\n]+)\*\*|(?<!\w)[*_](?P<italic>[^*_\n]+)[*_](?!\w)|~~(?P<strike>[^~\n]+)~~"
)


def render(text: str) -> Markup:
    parts = _FENCE.split(text)
    html = [WRAPS["pre"].format(part) if index % 2 else _blocks(part) for index, part in enumerate(parts)]
    return Markup("").join(html)


def _blocks(text: str) -> Markup:
    return Markup("").join(_block(chunk.split("\n")) for chunk in re.split(r"\n{2,}", text.strip("\n")) if chunk)


def _block(lines: list[str]) -> Markup:
    html: list[Markup] = []
    rest = list(lines)
    while rest:
        kind = _kind(rest[0])
        run = [rest.pop(0)]
        while rest and kind not in ("heading", "rule") and _kind(rest[0]) == kind:
            run.append(rest.pop(0))
        html.append(_run(kind, run))
    return Markup("").join(html)


def _kind(line: str) -> str:
    if _HEADING.match(line):
        return "heading"
    if re.fullmatch(r"\s*(-{3,}|\*{3,})\s*", line):
        return "rule"
    if item := _ITEM.match(line):
        return "ol" if item[1] else "ul"
    return "quote" if line.startswith(">") else "text"


def _run(kind: str, lines: list[str]) -> Markup:
    if kind == "heading":
        heading = _HEADING.match(lines[0])
        return Markup('<p class="md-heading">{}</p>').format(inline(heading[2] if heading else lines[0]))
    if kind == "rule":
        return Markup("<hr>")
    if kind in ("ul", "ol"):
        items = Markup("").join(Markup("<li>{}</li>").format(inline(_ITEM.sub(r"\2", line))) for line in lines)
        return _LISTS[kind].format(items)
    if kind == "quote":
        return WRAPS["quote"].format(_lines([line[1:].lstrip() for line in lines]))
    return Markup("<p>{}</p>").format(_lines(lines))


def _lines(lines: list[str]) -> Markup:
    return BREAK.join(inline(line) for line in lines)


def inline(text: str) -> Markup:
    html: list[Markup] = []
    end = 0
    for match in _INLINE.finditer(text):
        html += [_text(text[end : match.start()]), _span(match)]
        end = match.end()
    return Markup("").join([*html, _text(text[end:])])


def _span(match: re.Match[str]) -> Markup:
    if match["href"]:
        return link(match["href"], match["label"])
    if match["code"]:
        return WRAPS["code"].format(match["code"])
    kind = next(kind for kind in ("bold", "italic", "strike") if match[kind])
    return WRAPS[kind].format(inline(match[kind]))


def _text(text: str) -> Markup:
    return escape(emoji.replace(text))
