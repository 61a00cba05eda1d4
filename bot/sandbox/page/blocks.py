"""Block Kit as HTML: every block and element that a bot may send, drawn by ``templates/blocks.html``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape

from bot.sandbox.page import chart, emoji, markdown
from bot.sandbox.page.mrkdwn import BREAK, WRAPS, Mrkdwn, link, plain, unescape

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """What a person has put into a view so far, and what the bot said was wrong with it, by block id."""

    values: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


class Templates:
    """The page's HTML. Everything put into a template is escaped, unless it is ``Markup`` already."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("bot.sandbox.page"),
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(initials=initials)

    def render(self, name: str, **facts: object) -> Markup:
        return Markup(self._environment.get_template(f"{name}.html").render(facts))  # noqa: S704  escaped by Jinja2


class Blocks:
    """Draws blocks for one reader."""

    def __init__(self, templates: Templates, mrkdwn: Mrkdwn) -> None:
        self._templates = templates
        self._mrkdwn = mrkdwn

    def __call__(self, blocks: Sequence[Json], form: Form | None = None, *, key: str = "") -> Markup:
        """HTML of the blocks. ``key`` keeps the ids of form fields apart when several views are on one page."""
        return self._templates.render("blocks", blocks=blocks, form=form or Form(), key=key, draw=self)

    def text(self, thing: Json | str | None) -> Markup:
        """A text object (or the bare string some fields allow)."""
        if not thing:
            return Markup("")
        if isinstance(thing, str):
            return plain(thing)
        if thing["type"] == "mrkdwn":
            return self._mrkdwn(thing["text"])
        return plain(thing["text"]).replace("\n", BREAK)

    def words(self, thing: Json | None) -> str:
        """A text object as bare words, for attributes and options."""
        return emoji.replace(unescape(thing["text"])) if thing else ""

    def markdown(self, text: str) -> Markup:
        return markdown.render(text)

    def chart(self, block: dict[str, Any]) -> chart.Chart:
        return chart.chart_of(block)

    def value(self, form: Form, block_id: str, element: Json) -> Json:
        """What the field holds: what the person gave, else what the bot put there at first."""
        given = form.values.get(block_id, {}).get(element.get("action_id", ""))
        return given if given is not None else _initial(element)

    def rich(self, element: Json) -> Markup:
        """One inline piece of a ``rich_text`` block."""
        return _styled(self._rich_piece(element), element.get("style") or {})

    def _rich_piece(self, element: Json) -> Markup:
        match element["type"]:
            case "link":
                return link(element["url"], element.get("text") or element["url"])
            case "user":
                return self._mrkdwn.person(element["user_id"])
            case "channel":
                return self._mrkdwn.channel(element["channel_id"])
            case "emoji":
                return escape(emoji.replace(f":{element['name']}:"))
            case "broadcast":
                return Markup('<span class="mention broadcast">@{}</span>').format(element["range"])
            case "date":
                return self._mrkdwn.date(str(element["timestamp"]), element["format"], element.get("url", ""))
        return escape(element.get("text", element.get("value", ""))).replace("\n", BREAK)

    @staticmethod
    def chosen(value: Json) -> Sequence[str]:
        """The values of the options that are chosen."""
        if one := value.get("selected_option"):
            return [one["value"]]
        several = value.get("selected_options") or []
        names = ("selected_user", "selected_channel", "selected_conversation")
        named = [value[name] for name in names if value.get(name)]
        many = [each for name in names for each in value.get(f"{name}s") or []]
        return [option["value"] for option in several] + named + many

    def options(self, element: Json) -> list[Json]:
        """What a menu or a list to tick offers, outside of groups."""
        match element["type"].removeprefix("multi_"):
            case "users_select":
                return [_option(name, key) for key, name in self._mrkdwn.names.people.items()]
            case "channels_select" | "conversations_select":
                return [_option(f"#{name}", key) for key, name in self._mrkdwn.names.channels.items()]
        return list(element.get("options", []))

    @staticmethod
    def web_link(url: str) -> bool:
        return urlsplit(url).scheme in ("http", "https")

    @staticmethod
    def local_image(url: str) -> bool:
        """Whether a picture may be shown: the page loads nothing from elsewhere."""
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost", "::1")


def _initial(element: Json) -> Json:
    if "initial_value" in element:
        return {"value": element["initial_value"]}
    if "initial_option" in element:
        return {"selected_option": element["initial_option"]}
    if "initial_options" in element:
        return {"selected_options": element["initial_options"]}
    for name in ("date", "time", "user", "channel", "conversation", "users", "channels", "conversations"):
        if f"initial_{name}" in element:
            return {f"selected_{name}": element[f"initial_{name}"]}
    return {}


def _option(words: str, value: str) -> Json:
    return {"text": {"type": "plain_text", "text": words}, "value": value}


def _styled(html: Markup, style: Json) -> Markup:
    for name in ("code", "strike", "italic", "bold"):
        if style.get(name):
            html = WRAPS[name].format(html)
    return html


def initials(name: str) -> str:
    words = [word for word in name.replace("(", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()
