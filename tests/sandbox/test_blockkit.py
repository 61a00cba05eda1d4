"""Block Kit's limits: what slack_sdk builds is accepted; a refusal names the reason and the place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models import blocks as kit
from slack_sdk.models.views import View

from bot.sandbox.slack.blockkit import check_blocks, check_view, complete

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str = "x", **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(action_id: str = "a", **more: Any) -> Json:
    return {"type": "button", "text": plain("Go"), "action_id": action_id, **more}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


def field(element: Json, **more: Any) -> Json:
    return {"type": "input", "label": plain("Field"), "element": element, **more}


def number(**more: Any) -> Json:
    return {"type": "number_input", "is_decimal_allowed": True, **more}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Title"), "submit": plain("Send"), "blocks": list(blocks), **more}


def options(count: int) -> list[Json]:
    return [{"text": plain(f"Option {n}"), "value": str(n)} for n in range(count)]


def select(**more: Any) -> Json:
    return {"type": "static_select", "options": options(2), **more}


def chart(series: int = 1, points: int = 3, **more: Any) -> Json:
    labels = [f"day {n}" for n in range(points)]
    data = [{"label": label, "value": n} for n, label in enumerate(labels)]
    lines = [{"name": f"line {n}", "data": data} for n in range(series)]
    plot = {"type": "line", "series": lines, "axis_config": {"categories": labels}}
    return {"type": "data_visualization", "title": "Usage", "chart": plot | more}


def table(rows: int, cells: int) -> Json:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * cells] * rows}


# --- what is right


def test_what_slack_sdk_builds_is_accepted() -> None:
    option = kit.Option(text="One", value="1")
    confirm = kit.ConfirmObject(title="Sure?", text="Really?", confirm="Yes", deny="No", style="danger")
    blocks = [
        kit.HeaderBlock(text="Header"),
        kit.SectionBlock(text="*bold*", fields=["one", "two"], accessory=kit.ButtonElement(text="Go", action_id="go")),
        kit.SectionBlock(text="x", accessory=kit.ImageElement(image_url="https://example.com/a.png", alt_text="a")),
        kit.DividerBlock(),
        kit.ContextBlock(elements=[kit.MarkdownTextObject(text="small")]),
        kit.ImageBlock(image_url="https://example.com/a.png", alt_text="a", title="A"),
        kit.ActionsBlock(
            elements=[
                kit.ButtonElement(text="Pay", action_id="1", style="primary", value="v", confirm=confirm),
                kit.LinkButtonElement(text="Open", url="https://example.com"),
                kit.StaticSelectElement(placeholder="Which?", action_id="2", options=[option], initial_option=option),
                kit.OverflowMenuElement(action_id="3", options=[option, kit.Option(text="Two", value="2")]),
                kit.RadioButtonsElement(action_id="4", options=[option], initial_option=option),
                kit.CheckboxesElement(action_id="5", options=[option]),
                kit.DatePickerElement(action_id="6", initial_date="2026-11-22"),
                kit.UserSelectElement(action_id="7", placeholder="Who?"),
                kit.ConversationSelectElement(action_id="8", placeholder="Where?"),
            ]
        ),
    ]
    assert check_blocks([block.to_dict() for block in blocks], "message") == []


def test_a_modal_of_slack_sdk_is_accepted() -> None:
    view = View(
        type="modal",
        callback_id="buy",
        title="Buy credits",
        submit="Buy",
        close="Cancel",
        private_metadata="x" * 3000,
        blocks=[
            kit.InputBlock(
                block_id="amount",
                label="Amount",
                hint="In US dollars",
                element=kit.NumberInputElement(
                    action_id="amount", is_decimal_allowed=True, min_value="1", max_value="100000", initial_value="25"
                ),
            ),
            kit.InputBlock(
                label="Note",
                optional=True,
                element=kit.PlainTextInputElement(action_id="n", multiline=True, max_length=9),
            ),
            kit.InputBlock(label="Mail", element=kit.EmailInputElement(action_id="mail")),
            {"type": "alert", "level": "warning", "text": plain("Cannot be refunded")},
        ],
    )
    assert check_view(view.to_dict(), "modal") == []


def test_charts_and_tables_belong_into_messages() -> None:
    assert check_blocks([chart(series=6, points=20), chart(), table(100, 20)], "message") == []
    assert check_blocks([chart(), chart(), chart()], "message") == [
        "no more than 2 of type data_visualization allowed [json-pointer:/blocks]"
    ]
    for block in (chart(), table(1, 1)):
        assert check_blocks([block], "modal") == [f"unsupported type: {block['type']} [json-pointer:/blocks/0/type]"]
    assert check_blocks([{"type": "alert", "text": plain("x")}], "message") != []


# --- what is refused, and why


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (section("x" * 3001), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        (section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        (section(colour="red"), "invalid additional property: colour [json-pointer:/blocks/0]"),
        ({"type": "section"}, "missing required field: text or fields [json-pointer:/blocks/0]"),
        ({"type": "sektion"}, "unsupported type: sektion [json-pointer:/blocks/0/type]"),
        (section(fields=[plain("x")] * 11), "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
        (
            {"type": "header", "text": plain("x" * 151)},
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
            "must be one of plain_text [json-pointer:/blocks/0/text/type]",
        ),
        (
            actions(*[button(str(n)) for n in range(26)]),
            "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (actions(), "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
        (actions(button(), button()), "action_id 'a' is there more than once [json-pointer:/blocks/0]"),
        (
            actions(button(value="x" * 2001)),
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        (
            actions(button(style="green")),
            "must be one of primary, danger [json-pointer:/blocks/0/elements/0/style]",
        ),
        (
            actions(button(url="javascript:alert(1)")),
            "must have the right format [json-pointer:/blocks/0/elements/0/url]",
        ),
        (actions(number()), "unsupported type: number_input [json-pointer:/blocks/0/elements/0/type]"),
        (
            actions(select(options=options(101))),
            "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            actions(select(options=[{"text": plain("x" * 76), "value": "1"}])),
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/options/0/text/text]",
        ),
        (
            actions(select(initial_option={"text": plain("Other"), "value": "9"})),
            "the initial option must match one of the options exactly [json-pointer:/blocks/0/elements/0]",
        ),
        (
            {"type": "context", "elements": [plain("x")] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (field(number(min_value=1)), "must be a number in a string [json-pointer:/blocks/0/element/min_value]"),
        (
            field({"type": "number_input"}),
            "missing required field: is_decimal_allowed [json-pointer:/blocks/0/element]",
        ),
        (
            field(number(initial_value="0", min_value="1")),
            "min_value, initial_value and max_value must be in order [json-pointer:/blocks/0/element]",
        ),
        (chart(series=7), "no more than 6 items allowed [json-pointer:/blocks/0/chart/series]"),
        (chart(points=21), "no more than 20 items allowed [json-pointer:/blocks/0/chart/series/0/data]"),
        (
            chart(axis_config={"categories": ["other"]}),
            "labels must match the categories of axis_config [json-pointer:/blocks/0/chart/series/0/data]",
        ),
        (table(101, 1), "no more than 100 items allowed [json-pointer:/blocks/0/rows]"),
        (table(1, 21), "no more than 20 items allowed [json-pointer:/blocks/0/rows/0]"),
    ],
)
def test_a_refusal_names_the_reason_and_the_place(block: Json, reason: str) -> None:
    assert reason in check_blocks([block], "message")


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (modal(title=plain("x" * 25)), "must be less than 25 characters [json-pointer:/view/title/text]"),
        (modal(submit=plain("x" * 25)), "must be less than 25 characters [json-pointer:/view/submit/text]"),
        (modal(private_metadata="x" * 3001), "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
        (modal(callback="x"), "invalid additional property: callback [json-pointer:/view]"),
        (modal(*[section()] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
        (modal(section("x" * 3001)), "must be less than 3001 characters [json-pointer:/view/blocks/0/text/text]"),
        (
            {"type": "modal", "title": plain("x"), "blocks": [field(number())]},
            "missing required field: submit [json-pointer:/view]",
        ),
        (
            modal(field(number(focus_on_load=True)), field(number(focus_on_load=True))),
            "only one element may have focus_on_load [json-pointer:/view/blocks]",
        ),
        ({"type": "home", "blocks": []}, "unsupported type: home [json-pointer:/view/type]"),
    ],
)
def test_a_refused_modal_names_the_reason_and_the_place(view: Json, reason: str) -> None:
    assert reason in check_view(view, "modal")


def test_a_message_has_fifty_blocks_and_a_view_a_hundred() -> None:
    assert check_blocks([section()] * 50, "message") == []
    assert check_blocks([section()] * 51, "message") == ["no more than 50 items allowed [json-pointer:/blocks]"]
    assert check_blocks([section()] * 100, "modal") == []
    assert check_view({"type": "home", "blocks": [section()] * 100}, "home") == []


def test_block_ids_are_unique() -> None:
    twice = [section(block_id="b"), section(block_id="b")]
    assert check_blocks(twice, "message") == ["block_id 'b' is there more than once [json-pointer:/blocks]"]


def test_slack_adds_the_ids_that_were_left_out() -> None:
    ids = iter("abcdef")
    sent = [section(), actions({"type": "button", "text": plain("Go")}, block_id="mine")]
    first, second = complete(sent, lambda: next(ids))
    assert (first["block_id"], second["block_id"], second["elements"][0]["action_id"]) == ("a", "mine", "b")
    assert first["text"]["verbatim"] is False
    assert second["elements"][0]["text"]["emoji"] is True
    assert "block_id" not in sent[0]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "elements", "element", "options", "value", "blocks", "title", "accessory"]
            ),
            inner | st.sampled_from(["section", "actions", "input", "static_select", "plain_text", "modal", "table"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_rubbish_never_breaks_the_check_and_what_is_accepted_can_be_shown(rubbish: Any) -> None:
    assert all("[json-pointer:/blocks" in reason for reason in check_blocks(rubbish, "message"))
    if not check_blocks([rubbish], "message"):
        assert complete([rubbish], lambda: "new")[0]["block_id"]
    if not check_view(rubbish, "modal"):
        assert set(rubbish) >= {"title", "blocks"}
