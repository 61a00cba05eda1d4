"""Block Kit as Slack accepts it: the keys and types of each block, how long, how many; with every reason to refuse."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Literal

from bot.sandbox.slack.records import Json

Surface = Literal["message", "modal", "home"]
MOST_BLOCKS: dict[Surface, int] = {"message": 50, "modal": 100, "home": 100}
VIEW_BYTES = 250_000


class Report:
    """The reasons found so far, each with the place it is about."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def say(self, reason: str, at: str) -> None:
        self.reasons.append(f"{reason} [json-pointer:{at}]")


Rule = Callable[[Report, Any, str], None]


# --- rules for single values


def string(most: int, least: int = 1, pattern: str = "") -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if not isinstance(value, str):
            report.say("must be a string", at)
        elif len(value) > most:
            report.say(f"must be less than {most + 1} characters", at)
        elif len(value) < least:
            report.say(f"must be more than {least - 1} characters", at)
        elif pattern and not re.fullmatch(pattern, value):
            report.say("must have the right format", at)

    return check


def integer(least: int, most: int) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            report.say("must be an integer", at)
        elif not least <= value <= most:
            report.say(f"must be between {least} and {most}", at)

    return check


def number(report: Report, value: Any, at: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        report.say("must be a number", at)


def decimal_string(report: Report, value: Any, at: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII):
        report.say("must be a number in a string", at)


def boolean(report: Report, value: Any, at: str) -> None:
    if not isinstance(value, bool):
        report.say("must be a boolean", at)


def mapping(report: Report, value: Any, at: str) -> None:
    if not isinstance(value, dict):
        report.say("must be an object", at)


def one_of(*allowed: str) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if value not in allowed:
            report.say(f"must be one of {', '.join(allowed)}", at)

    return check


def many(rule: Rule, least: int, most: int) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if not isinstance(value, list):
            report.say("must be an array", at)
            return
        if len(value) > most:
            report.say(f"no more than {most} items allowed", at)
        if len(value) < least:
            report.say(f"no fewer than {least} items allowed", at)
        for index, item in enumerate(value[:most]):
            rule(report, item, f"{at}/{index}")

    return check


def shape(required: dict[str, Rule], optional: dict[str, Rule] | None = None, *extra: Rule) -> Rule:
    """An object with these keys and no others; ``extra`` rules see it as a whole once its parts are right."""
    known = {**required, **(optional or {})}

    def check(report: Report, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            report.say("must be an object", at)
            return
        before = len(report.reasons)
        for key in required.keys() - value.keys():
            report.say(f"missing required field: {key}", at)
        for key, item in value.items():
            if key in known:
                known[key](report, item, f"{at}/{key}")
            else:
                report.say(f"invalid additional property: {key}", at)
        if len(report.reasons) == before:
            for rule in extra:
                rule(report, value, at)

    return check


def by_type(shapes: dict[str, Rule]) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if not isinstance(value, dict):
            report.say("must be an object", at)
        elif not isinstance(value.get("type"), str) or value["type"] not in shapes:
            report.say(f"unsupported type: {value.get('type')}", f"{at}/type")
        else:
            shapes[value["type"]](report, value, at)

    return check


def exactly_one(*keys: str) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if sum(key in value for key in keys) != 1:
            report.say(f"must have exactly one of {', '.join(keys)}", at)

    return check


def at_least_one(*keys: str) -> Rule:
    def check(report: Report, value: Any, at: str) -> None:
        if not any(value.get(key) for key in keys):
            report.say(f"missing required field: {' or '.join(keys)}", at)

    return check


# --- composition objects


def plain(most: int) -> Rule:
    return shape({"type": one_of("plain_text"), "text": string(most)}, {"emoji": boolean})


def text(most: int) -> Rule:
    mrkdwn = shape({"type": one_of("mrkdwn"), "text": string(most)}, {"verbatim": boolean})
    return by_type({"plain_text": plain(most), "mrkdwn": mrkdwn})


ADDRESS = string(3000, pattern=r"(https?|mailto|slack|tel):\S+")
WEB_ADDRESS = string(3000, pattern=r"https?://\S+")
CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)


def option(label: Rule, **more: Rule) -> Rule:
    return shape({"text": label, "value": string(150)}, {"description": text(75), **more})


PLAIN_OPTION = option(plain(75))
RICH_OPTION = option(text(75))
GROUP = shape({"label": plain(75), "options": many(PLAIN_OPTION, 1, 100)})
DISPATCH = shape({}, {"trigger_actions_on": many(one_of("on_enter_pressed", "on_character_entered"), 1, 2)})
FILTER = shape(
    {},
    {
        "include": many(one_of("im", "mpim", "private", "public"), 1, 4),
        "exclude_external_shared_channels": boolean,
        "exclude_bot_users": boolean,
    },
)


def options_of(element: Json) -> list[Json]:
    """All options of a select, grouped or not."""
    grouped = [option for group in element.get("option_groups", []) for option in group["options"]]
    return [*element.get("options", []), *grouped]


def _initial_among_options(report: Report, element: Any, at: str) -> None:
    chosen = element.get("initial_options", [element["initial_option"]] if "initial_option" in element else [])
    offered = options_of(element)
    if any(choice not in offered for choice in chosen):
        report.say("the initial option must match one of the options exactly", at)


def _distinct_values(report: Report, element: Any, at: str) -> None:
    values = [option.get("value") for option in options_of(element)]
    if len(values) != len(set(values)):
        report.say("each option must have a value of its own", at)


def _number_in_bounds(report: Report, element: Any, at: str) -> None:
    bounds = {key: Decimal(element[key]) for key in ("min_value", "initial_value", "max_value") if key in element}
    if list(bounds.values()) != sorted(bounds.values()):
        report.say("min_value, initial_value and max_value must be in order", at)
    if not element["is_decimal_allowed"] and any(value != int(value) for value in bounds.values()):
        report.say("decimals are not allowed", at)


def _text_in_bounds(report: Report, element: Any, at: str) -> None:
    least, most = element.get("min_length", 0), element.get("max_length", 3000)
    if least > most:
        report.say("min_length must not be more than max_length", at)
    initial = element.get("initial_value", "")
    if initial and not least <= len(initial) <= most:
        report.say("initial_value must be as long as min_length and max_length say", f"{at}/initial_value")


# --- elements


def element(kind: str, required: dict[str, Rule], optional: dict[str, Rule], *extra: Rule) -> tuple[str, Rule]:
    return kind, shape({"type": one_of(kind), **required}, {"action_id": string(255), **optional}, *extra)


FOCUS: dict[str, Rule] = {"focus_on_load": boolean}
HINTED: dict[str, Rule] = {**FOCUS, "placeholder": plain(150)}
TYPED: dict[str, Rule] = {**HINTED, "dispatch_action_config": DISPATCH}
CHOSEN: dict[str, Rule] = {**HINTED, "confirm": CONFIRM}
LISTS: dict[str, Rule] = {"options": many(PLAIN_OPTION, 1, 100), "option_groups": many(GROUP, 1, 100)}
SEVERAL: dict[str, Rule] = {"max_selected_items": integer(1, 100)}
IDS = many(string(255), 0, 100)
CHECKED_OPTIONS = (_initial_among_options, _distinct_values)
PICTURE: dict[str, Rule] = {"image_url": WEB_ADDRESS, "slack_file": mapping}

ELEMENTS: dict[str, Rule] = dict(
    [
        element(
            "button",
            {"text": plain(75)},
            {
                "url": ADDRESS,
                "value": string(2000, least=0),
                "style": one_of("primary", "danger"),
                "confirm": CONFIRM,
                "accessibility_label": string(75),
            },
        ),
        element(
            "checkboxes",
            {"options": many(RICH_OPTION, 1, 10)},
            {**FOCUS, "confirm": CONFIRM, "initial_options": many(RICH_OPTION, 1, 10)},
            *CHECKED_OPTIONS,
        ),
        element(
            "radio_buttons",
            {"options": many(RICH_OPTION, 1, 10)},
            {**FOCUS, "confirm": CONFIRM, "initial_option": RICH_OPTION},
            *CHECKED_OPTIONS,
        ),
        element(
            "overflow",
            {"options": many(option(plain(75), url=ADDRESS), 1, 5)},
            {"confirm": CONFIRM},
            _distinct_values,
        ),
        element(
            "static_select",
            {},
            {**CHOSEN, **LISTS, "initial_option": PLAIN_OPTION},
            exactly_one("options", "option_groups"),
            *CHECKED_OPTIONS,
        ),
        element(
            "multi_static_select",
            {},
            {**CHOSEN, **LISTS, **SEVERAL, "initial_options": many(PLAIN_OPTION, 1, 100)},
            exactly_one("options", "option_groups"),
            *CHECKED_OPTIONS,
        ),
        element("users_select", {}, {**CHOSEN, "initial_user": string(255)}),
        element("multi_users_select", {}, {**CHOSEN, **SEVERAL, "initial_users": IDS}),
        element("channels_select", {}, {**CHOSEN, "initial_channel": string(255), "response_url_enabled": boolean}),
        element("multi_channels_select", {}, {**CHOSEN, **SEVERAL, "initial_channels": IDS}),
        element(
            "conversations_select",
            {},
            {
                **CHOSEN,
                "initial_conversation": string(255),
                "default_to_current_conversation": boolean,
                "response_url_enabled": boolean,
                "filter": FILTER,
            },
        ),
        element(
            "multi_conversations_select",
            {},
            {
                **CHOSEN,
                **SEVERAL,
                "initial_conversations": IDS,
                "default_to_current_conversation": boolean,
                "filter": FILTER,
            },
        ),
        element("datepicker", {}, {**CHOSEN, "initial_date": string(10, pattern=r"\d{4}-\d{2}-\d{2}")}),
        element(
            "timepicker",
            {},
            {**CHOSEN, "initial_time": string(5, pattern=r"\d{2}:\d{2}"), "timezone": string(100)},
        ),
        element(
            "datetimepicker",
            {},
            {**FOCUS, "confirm": CONFIRM, "initial_date_time": integer(1_000_000_000, 9_999_999_999)},
        ),
        element("email_text_input", {}, {**TYPED, "initial_value": string(3000)}),
        element("url_text_input", {}, {**TYPED, "initial_value": string(3000)}),
        element(
            "number_input",
            {"is_decimal_allowed": boolean},
            {**TYPED, "initial_value": decimal_string, "min_value": decimal_string, "max_value": decimal_string},
            _number_in_bounds,
        ),
        element(
            "plain_text_input",
            {},
            {
                **TYPED,
                "initial_value": string(3000, least=0),
                "multiline": boolean,
                "min_length": integer(0, 3000),
                "max_length": integer(1, 3000),
            },
            _text_in_bounds,
        ),
    ]
)
IMAGE = shape({"type": one_of("image"), "alt_text": string(2000)}, PICTURE, exactly_one("image_url", "slack_file"))
TEXT_INPUTS = ("plain_text_input", "number_input", "email_text_input", "url_text_input")
CLICKABLE = [kind for kind in ELEMENTS if kind not in TEXT_INPUTS]
FILLABLE = [kind for kind in ELEMENTS if kind not in ("button", "overflow")]


def elements(*kinds: str, image: bool = False) -> Rule:
    return by_type({kind: ELEMENTS[kind] for kind in kinds} | ({"image": IMAGE} if image else {}))


# --- charts and tables

POINT = shape({"label": string(20), "value": number})
SERIES = shape({"name": string(20), "data": many(POINT, 1, 20)})
AXES = shape({"categories": many(string(20), 1, 20)}, {"x_label": string(50), "y_label": string(50)})


def _series_fit_axes(report: Report, chart: Any, at: str) -> None:
    names = [series["name"] for series in chart["series"]]
    if len(names) != len(set(names)):
        report.say("series must have different names", f"{at}/series")
    categories = chart["axis_config"]["categories"]
    for index, series in enumerate(chart["series"]):
        if [point["label"] for point in series["data"]] != categories:
            report.say("labels must match the categories of axis_config", f"{at}/series/{index}/data")


def plotted(kind: str) -> Rule:
    return shape({"type": one_of(kind), "series": many(SERIES, 1, 6), "axis_config": AXES}, {}, _series_fit_axes)


CHART = by_type(
    {kind: plotted(kind) for kind in ("line", "bar", "area")}
    | {"pie": shape({"type": one_of("pie"), "segments": many(POINT, 1, 6)})}
)
RICH_PART = by_type(
    {
        kind: lambda report, value, at: many(mapping, 0, 10_000)(report, value.get("elements"), f"{at}/elements")
        for kind in ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
    }
)
RICH_TEXT = shape({"type": one_of("rich_text"), "elements": many(RICH_PART, 0, 10_000)}, {"block_id": string(255)})
CELL = by_type(
    {"raw_text": shape({"type": one_of("raw_text"), "text": string(3000, least=0)}), "rich_text": RICH_TEXT},
)
COLUMN = shape({}, {"align": one_of("left", "center", "right"), "is_wrapped": boolean})

# --- blocks


def block(
    kind: str, required: dict[str, Rule], optional: dict[str, Rule] | None = None, *extra: Rule
) -> tuple[str, Rule]:
    return kind, shape({"type": one_of(kind), **required}, {"block_id": string(255), **(optional or {})}, *extra)


BLOCKS: dict[str, Rule] = dict(
    [
        block(
            "section",
            {},
            {
                "text": text(3000),
                "fields": many(text(2000), 1, 10),
                "accessory": elements(*CLICKABLE, image=True),
                "expand": boolean,
            },
            at_least_one("text", "fields"),
        ),
        block("actions", {"elements": many(elements(*CLICKABLE), 1, 25)}),
        block(
            "context",
            {"elements": many(by_type({"plain_text": text(3000), "mrkdwn": text(3000), "image": IMAGE}), 1, 10)},
        ),
        block("divider", {}),
        block("header", {"text": plain(150)}),
        block(
            "image",
            {"alt_text": string(2000)},
            {**PICTURE, "title": plain(2000)},
            exactly_one("image_url", "slack_file"),
        ),
        block(
            "input",
            {"label": plain(2000), "element": elements(*FILLABLE)},
            {"hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
        ),
        ("rich_text", RICH_TEXT),
        block("markdown", {"text": string(12_000)}),
        block("alert", {"text": text(3000)}, {"level": one_of("default", "info", "warning", "error", "success")}),
        block("table", {"rows": many(many(CELL, 1, 20), 1, 100)}, {"column_settings": many(COLUMN, 0, 20)}),
        block("data_visualization", {"title": string(50), "chart": CHART}),
    ]
)
ONLY_ON: dict[str, Surface] = {
    "alert": "modal",
    "table": "message",
    "data_visualization": "message",
    "markdown": "message",
}
MOST_OF_A_KIND = {"table": 1, "data_visualization": 2}


def check_blocks(blocks: Any, surface: Surface, at: str = "/blocks") -> list[str]:
    """Every reason why Slack would refuse these blocks on this surface; empty when it would not."""
    report = Report()
    many(by_type(BLOCKS), 0, MOST_BLOCKS[surface])(report, blocks, at)
    if not report.reasons:
        _look_at_all(report, blocks, surface, at)
    return report.reasons


def _look_at_all(report: Report, blocks: list[Json], surface: Surface, at: str) -> None:
    for index, one in enumerate(blocks):
        if ONLY_ON.get(one["type"], surface) != surface:
            report.say(f"unsupported type: {one['type']}", f"{at}/{index}/type")
        _unique(report, [part.get("action_id") for part in interactive(one)], "action_id", f"{at}/{index}")
    _unique(report, [one.get("block_id") for one in blocks], "block_id", at)
    for kind, most in MOST_OF_A_KIND.items():
        if sum(one["type"] == kind for one in blocks) > most:
            report.say(f"no more than {most} of type {kind} allowed", at)
    if sum(part.get("focus_on_load", False) for one in blocks for part in interactive(one)) > 1:
        report.say("only one element may have focus_on_load", at)


def _unique(report: Report, ids: list[str | None], name: str, at: str) -> None:
    given = [id for id in ids if id]
    for repeated in sorted({id for id in given if given.count(id) > 1}):
        report.say(f"{name} {repeated!r} is there more than once", at)


def interactive(block: Json) -> Iterator[Json]:
    """The elements of a block that a person can use."""
    if block["type"] == "input":
        yield block["element"]
    elif block["type"] == "actions":
        yield from block["elements"]
    elif block["type"] == "section" and block.get("accessory", {}).get("type", "image") != "image":
        yield block["accessory"]


VIEW_KEYS: dict[str, Rule] = {
    "private_metadata": string(3000, least=0),
    "callback_id": string(255, least=0),
    "external_id": string(255, least=0),
}
MODAL = shape(
    {"type": one_of("modal"), "title": plain(24), "blocks": many(mapping, 0, 100)},
    {
        **VIEW_KEYS,
        "submit": plain(24),
        "close": plain(24),
        "clear_on_close": boolean,
        "notify_on_close": boolean,
        "submit_disabled": boolean,
    },
)
HOME = shape({"type": one_of("home"), "blocks": many(mapping, 0, 100)}, VIEW_KEYS)


def check_view(view: Any, kind: Literal["modal", "home"]) -> list[str]:
    """Every reason why Slack would refuse this view; empty when it would not."""
    report = Report()
    by_type({kind: MODAL if kind == "modal" else HOME})(report, view, "/view")
    if report.reasons:
        return report.reasons
    reasons = check_blocks(view["blocks"], kind, "/view/blocks")
    if not reasons and kind == "modal" and "submit" not in view and any(b["type"] == "input" for b in view["blocks"]):
        report.say("missing required field: submit", "/view")
    return report.reasons + reasons


def complete(blocks: list[Json], new_id: Callable[[], str]) -> list[Json]:
    """A copy with what Slack adds by itself: block and action ids, ``emoji`` and ``verbatim``."""
    completed = [_with_text_defaults(one) for one in blocks]
    for one in completed:
        one["block_id"] = one.get("block_id") or new_id()
        for part in interactive(one):
            part["action_id"] = part.get("action_id") or new_id()
    return completed


def _with_text_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_text_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _with_text_defaults(item) for key, item in value.items()}
    if copied.get("type") == "plain_text":
        copied.setdefault("emoji", True)
    elif copied.get("type") == "mrkdwn":
        copied.setdefault("verbatim", False)
    return copied
