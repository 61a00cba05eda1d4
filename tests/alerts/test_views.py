"""Everything that people read of warnings, in every language: within Slack's limits, whole, honest about time, safe."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.views import View

from bot.alerts.answers import read_settings
from bot.alerts.digest import digest
from bot.alerts.forecast import HORIZON, RunOut
from bot.alerts.forms import MOST_CHANNELS, Settings, ask_shared, settings
from bot.alerts.model import Episode, Snooze
from bot.alerts.rules import Amount, Days, Level, Percent, Quiet, Rules, Trigger
from bot.alerts.views import (
    Outlook,
    Said,
    chosen_snooze,
    dead_route,
    recovered,
    reminder,
    spike,
    warning,
    why,
    withdrawn,
)
from bot.alerts.views import test as trial  # so named, it is no test of pytest's
from bot.money import GREATEST, Credits, Usd
from bot.sandbox.slack.blockkit import check_blocks, check_view
from bot.sandbox.slack.inputs import at_first
from bot.slack import names
from bot.text import Texts, languages, texts_for

from ..outline import Shown, as_sent, outline, unseen

Json = dict[str, Any]

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
MONDAY = datetime(2026, 11, 2, 11, tzinfo=UTC)  # noon in Copenhagen
ENGLISH, DANISH = texts_for("en"), texts_for("da")
LONG = "Acme " * 60
ACCOUNTS = ("Acme Labs", LONG, "<!channel> & <https://evil.example|Acme>")
TRIGGERS: tuple[Trigger, ...] = (Days(1), Days(7), Percent(20), Amount(Credits.bought_for(Usd.dollars(10))))
ERRORS = ("is_archived", "not_in_channel", "channel_not_found", "user_disabled", "a_code_of_next_year")


def after(**time: int) -> datetime:
    return MONDAY + timedelta(**time)


def run_out(early: datetime, likely: datetime, late: datetime | None) -> RunOut:
    return RunOut(early, likely, late, per_day=1_209_999_999)


THIS_WEEK = run_out(after(days=1), after(days=3), after(days=5))
RUN_OUTS = [
    None,
    THIS_WEEK,
    run_out(after(hours=1), after(hours=3), after(hours=9)),
    run_out(after(days=2), after(days=2), after(days=2)),
    run_out(after(days=5), after(days=17), after(days=80)),
    run_out(after(days=90), after(days=200), None),
    run_out(after(days=380), after(days=400), None),
]
ACME = Outlook("Acme Labs", Credits(12_349_999_999), THIS_WEEK, MONDAY, COPENHAGEN)


def episode(level: Level = Level.LOW, **more: Any) -> Episode:
    plain = Episode("epi_1", level, "C1", opened_at=MONDAY, said="", said_at=MONDAY, remind_at=None)
    return replace(plain, **more)


ACKNOWLEDGED = episode(acknowledged_by="U1", acknowledged_at=MONDAY)
SNOOZED = episode(snoozed_by="U2", snoozed_until=after(hours=1))
WEEK = [date(2026, 10, 26) + timedelta(days=n) for n in range(7)]


def spend(models: Sequence[str]) -> Mapping[date, Mapping[str, Credits]]:
    """Each model cost as many credits a day as the place it has; nothing was used at the weekend."""
    day = {model: Credits.bought_for(Usd.dollars(n)) for n, model in enumerate(models, 1)}
    return {each: day if each.weekday() < 5 else {} for each in WEEK}


SPENDS = [
    spend(["openai gpt-5"]),
    spend(["openai gpt-5", "openai gpt-5-mini"]),
    spend([f"provider a-model-of-a-rather-long-name-{n}" for n in range(6)]),
    spend([f"provider {'m' * 180}{n}" for n in range(40)]),
    spend(["Others", "<!channel>", *(f"m{n}" for n in range(9))]),
    {date(2026, 12, 28) + timedelta(days=n): {"m": Credits(10**18)} for n in range(7)},
    {each: {f"m{n}": Credits(1) for n in range(3)} for each in WEEK},
]
SETTINGS = [
    Settings((), Rules(), "en", digest=False),
    Settings(
        ("C1", "C2"),
        Rules(
            {Level.LOW: Percent(20), Level.EMPTY: Amount(Credits.bought_for(GREATEST))},
            recovery=150,
            quiet=Quiet(time(22), time(7, 30)),
            time_zone="America/Argentina/ComodRivadavia",
            spikes=False,
        ),
        "da",
        digest=True,
    ),
]


def outlooks() -> Iterator[Outlook]:
    yield from (replace(ACME, run_out=found, balance=Credits(10**18)) for found in RUN_OUTS)
    yield from (replace(ACME, balance=Credits(nano)) for nano in (0, -(10**18)))
    yield from (replace(ACME, account=name) for name in ACCOUNTS)


def messages(texts: Texts) -> Iterator[Said]:
    for outlook in outlooks():
        yield from (warning(texts, episode(level), outlook) for level in Level)
        yield from (warning(texts, each, outlook) for each in (ACKNOWLEDGED, SNOOZED))
        yield recovered(texts, outlook)
        yield withdrawn(texts, outlook)
        yield from (reminder(texts, each, outlook, "epi_1:1793620800") for each in (episode(), ACKNOWLEDGED, SNOOZED))
        yield spike(texts, outlook, today=Credits(10**18), usual=Credits.ZERO)
        yield trial(texts, outlook, "U1")
        yield from (digest(texts, outlook, spent) for spent in SPENDS[:2])
    yield from (digest(texts, ACME, spent) for spent in SPENDS)
    for name in ACCOUNTS:
        for set_by in (None, "U1"):
            yield from (why(texts, name, trigger, set_by) for trigger in TRIGGERS)
        for route, instead in (("C1", "C2"), ("C1", "U1"), ("U1", None)):
            yield from (dead_route(texts, name, route=route, error=error, instead=instead) for error in ERRORS)


def forms(texts: Texts) -> Iterator[View]:
    for each in SETTINGS:
        yield from (settings(texts, name, each) for name in ACCOUNTS)
        for shared, unknown in ((("C1",), ()), (("C1", "C2"), ("C3",)), ((), ("C1", "C2"))):
            yield ask_shared(texts, shared, unknown, each)


# ── how it is drawn ───────────────────────────────────────────────────────────────────────────────────────────────


def drawn(what: Shown) -> str:
    """As ``outline`` draws it, and the charts, tables and choices that only warnings have."""
    view = as_sent(what)
    if isinstance(view, list):
        return "\n".join(line for block in view for line in _lines(block))
    return "\n".join(
        [
            f"# {view['title']['text']}",
            *(line for block in view["blocks"] for line in _lines(block)),
            f"[{view['close']['text']}] [{view['submit']['text']}]",
        ]
    )


def _lines(block: Json) -> Iterator[str]:
    match block:
        case {"type": "table", "rows": rows}:
            yield from (" | ".join(cell["text"] for cell in row) for row in rows)
        case {"type": "data_visualization", "title": title, "chart": chart}:
            yield f"({chart['type']}) {title}: {', '.join(series['name'] for series in chart['series'])}"
        case {"type": "actions", "elements": elements}:
            yield " ".join(_action(element) for element in elements)
        case {"type": "input", "label": label, "element": element, **others}:
            yield f"{label['text']}: {_field(element)}"
            if "hint" in others:
                yield f"· {others['hint']['text']}"
        case _:
            yield outline([block])


def _action(element: Json) -> str:
    if element["type"] == "button":
        return f"[{element['text']['text']}]"
    choices = (option["text"]["text"] for option in element["options"])
    return f"[{element['placeholder']['text']}: {' / '.join(choices)}]"


def _field(element: Json) -> str:
    match element["type"]:
        case "plain_text_input":
            return f"<{element.get('initial_value', '')}>"
        case "static_select":
            chosen = element["initial_option"]
            marks = (
                f"{'(x)' if option == chosen else '( )'} {option['text']['text']}" for option in element["options"]
            )
            return " ".join(marks)
        case "checkboxes":
            mark = "[x]" if element.get("initial_options") else "[ ]"
            return f"{mark} {element['options'][0]['text']['text']}"
        case "timepicker":
            return f"<{element.get('initial_time', '')}> {element['timezone']}"
        case "multi_conversations_select":
            return f"<{' '.join(element.get('initial_conversations', [])) or element['placeholder']['text']}>"
    raise ValueError(element["type"])


def the_message(said: Said) -> str:
    return drawn(said[1])


# ── the gallery ───────────────────────────────────────────────────────────────────────────────────────────────────


class Gallery(NamedTuple):
    """Every message and every form in one language, as it is sent and as it is drawn."""

    language: str
    messages: list[tuple[str, list[Json]]]
    forms: list[Json]
    drawn: list[str]


@pytest.fixture(scope="module", params=languages())
def gallery(request: pytest.FixtureRequest) -> Gallery:
    texts = texts_for(request.param)
    said = [(text, as_sent(blocks)) for text, blocks in messages(texts)]
    views = [as_sent(view) for view in forms(texts)]
    return Gallery(request.param, said, views, [*(drawn(blocks) for _, blocks in said), *map(drawn, views)])


def test_slack_takes_every_message_in_every_language(gallery: Gallery) -> None:
    for said, blocks in gallery.messages:
        assert check_blocks(blocks, "message") == [], drawn(blocks)
        assert said.strip() == said
        assert 0 < len(said) < 3000


def test_slack_takes_every_form_in_every_language(gallery: Gallery) -> None:
    for view in gallery.forms:
        assert check_view(view, "modal") == [], drawn(view)


def test_the_text_of_a_message_and_its_first_block_both_say_it_all(gallery: Gallery) -> None:
    """Phones notify with the text alone, and computers with the blocks."""
    for said, blocks in gallery.messages:
        assert outline(blocks[:1]) == said


def test_no_hole_is_left_in_a_sentence_and_no_key_shows(gallery: Gallery) -> None:
    for shown in gallery.drawn:
        shown = re.sub("<!date[^>]*>", "at noon", shown.replace(LONG, "Acme"))
        assert "  " not in shown
        assert not re.search(r"\{[a-z]+\}|\bNone\b|\b(alert|chart)\.[a-z]", shown), shown


def test_every_sentence_about_warnings_is_shown_somewhere(gallery: Gallery) -> None:
    """What nothing shows would only be translated in vain."""
    never = unseen(gallery.language, ("alert.", "chart."), gallery.drawn)
    assert [key for key in never if not key.startswith("alert.error_")] == []


@pytest.mark.parametrize("language", languages())
def test_nothing_is_said_by_an_emoji_alone(language: str) -> None:
    def words(said: Said) -> str:
        return re.sub(r":[a-z_]+:|[0-9]", "", said[0])

    texts = texts_for(language)
    kinds = [
        *(warning(texts, each, ACME) for each in (*map(episode, Level), ACKNOWLEDGED, SNOOZED)),
        *(told(texts, ACME) for told in (recovered, withdrawn)),
        reminder(texts, episode(), ACME, "epi_1:1"),
        trial(texts, ACME, "U1"),
    ]
    assert len({words(said) for said in kinds}) == len(kinds)


@given(name=st.text("<>&!@#|*_~`:abc \n", max_size=60))
def test_what_somebody_typed_is_only_text(name: str) -> None:
    outlook = replace(ACME, account=name)
    spent = {each: {name or "m": Credits(10**9)} for each in WEEK}
    said = [
        *(warning(ENGLISH, each, outlook) for each in (*map(episode, Level), ACKNOWLEDGED, SNOOZED)),
        *(told(ENGLISH, outlook) for told in (recovered, withdrawn)),
        reminder(ENGLISH, episode(), outlook, "epi_1:1"),
        spike(ENGLISH, outlook, today=Credits(1), usual=Credits(1)),
        trial(ENGLISH, outlook, "U1"),
        why(ENGLISH, name, Days(7), "U1"),
        dead_route(ENGLISH, name, route="C1", error=name, instead="U1"),
        digest(ENGLISH, outlook, spent),
    ]
    ours = re.compile(r"<(@U[0-9]|#C[0-9]|!date\^[0-9]+\^[^<>]*)>")
    for text, _ in said:
        assert not re.search("[<>]", ours.sub("", text))
    about = outline(settings(ENGLISH, name, SETTINGS[0]).blocks[:1])
    assert not re.search("[<>]", about)


# ── what a warning reads like ─────────────────────────────────────────────────────────────────────────────────────


def test_a_warning() -> None:
    assert the_message(warning(ENGLISH, episode(), ACME)) == (
        "*Acme Labs* is low on credits: *12.34* left. At the present pace of 1.21 a day the credits will probably "
        "run out *Thursday, between Tuesday and Saturday*.\n"
        "[Buy credits] [Ask the owner] [Acknowledge] [Snooze: For 1 hour / For 1 day / Until Monday] "
        "[Why do I see this?]"
    )


def test_a_warning_in_danish() -> None:
    assert the_message(warning(DANISH, episode(Level.CRITICAL), ACME)) == (
        ":warning: *Acme Labs* har næsten ingen kredit tilbage: kun *12,34*. Med det nuværende forbrug på 1,21 om "
        "dagen er kreditten formentlig brugt op *torsdag, mellem tirsdag og lørdag*.\n"
        "[Køb kredit] [Spørg kontoejeren] [Jeg tager mig af det] [Udsæt: I 1 time / I 1 dag / Til mandag] "
        "[Hvorfor ser jeg dette?]"
    )


def test_one_that_somebody_looks_after_says_who_and_asks_nobody_else() -> None:
    lines = the_message(warning(ENGLISH, ACKNOWLEDGED, ACME)).splitlines()
    assert lines[1:] == [
        ":eyes: <@U1> looks after it: there are no more reminders.",
        "[Buy credits] [Ask the owner] [Why do I see this?]",
    ]


def test_one_that_is_put_off_says_by_whom_and_until_when() -> None:
    lines = the_message(warning(ENGLISH, SNOOZED, ACME)).splitlines()
    assert lines[1:] == [
        ":zzz: <@U2> put reminders off until <!date^1793620800^{date_short_pretty} {time}|2026-11-02 12:00 UTC>.",
        "[Buy credits] [Ask the owner] [Acknowledge] [Snooze: For 1 hour / For 1 day / Until Monday] "
        "[Why do I see this?]",
    ]


def test_buttons_know_their_episode_and_what_they_mean() -> None:
    _, blocks = warning(ENGLISH, episode(), ACME)
    buy, _, acknowledge, snooze, ask = blocks[1].to_dict()["elements"]
    assert buy["action_id"] == names.OPEN_BUY_FORM
    assert "value" not in buy
    assert [(each["action_id"], each["value"]) for each in (acknowledge, ask)] == [
        (names.ACKNOWLEDGE_ALERT, "epi_1"),
        (names.WHY_ALERT, "epi_1"),
    ]
    chosen = [chosen_snooze(option["value"]) for option in snooze["options"]]
    assert chosen == [(choice, "epi_1") for choice in Snooze]
    with pytest.raises(ValueError):
        chosen_snooze("forever epi_1")


def test_an_edited_message_forgets_what_was_chosen_in_it() -> None:
    """Slack goes on showing a choice in a block whose id it knows, and does not report it a second time."""
    for each in (episode(), SNOOZED, ACKNOWLEDGED):
        assert not any("block_id" in block.to_dict() for block in warning(ENGLISH, each, ACME)[1])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (THIS_WEEK, "run out *Thursday, between Tuesday and Saturday*."),
        (run_out(after(days=2), after(days=2), after(days=2, hours=1)), "run out *Wednesday*."),
        (run_out(after(days=5), after(days=7), after(days=80)), "*November 9, between Saturday and January 21, 2027*."),
        (run_out(after(days=20), after(days=40), None), "run out *December 12, and not before November 22*."),
        (run_out(after(days=380), MONDAY + HORIZON, None), "not run out before *November 17, 2027*."),
        (run_out(after(days=80), MONDAY + HORIZON, None), "not run out before *January 21, 2027*."),
    ],
    ids=["this week", "one day", "farther", "open", "for ever", "nearly for ever"],
)
def test_the_end_is_said_as_exactly_as_it_is_known(found: RunOut, said: str) -> None:
    assert warning(ENGLISH, episode(), replace(ACME, run_out=found))[0].endswith(said)


def test_the_end_within_a_day_is_said_in_moments_of_the_readers_own_zone() -> None:
    found = run_out(after(hours=1), after(hours=3), after(hours=23))
    said, _ = warning(ENGLISH, episode(), replace(ACME, run_out=found))
    assert re.findall(r"<!date\^([0-9]+)\^", said) == [
        str(int(moment.timestamp())) for moment in (found.likely, found.early, found.late) if moment
    ]
    assert "day," not in said


def test_days_are_the_accounts_own() -> None:
    """Late on Wednesday in Copenhagen is Thursday in Auckland."""
    at = datetime(2026, 11, 4, 20, tzinfo=UTC)
    found = run_out(at, at, at)
    for zone, day in (("Europe/Copenhagen", "Wednesday"), ("Pacific/Auckland", "Thursday")):
        assert (
            f"*{day}*" in reminder(ENGLISH, episode(), replace(ACME, run_out=found, zone=ZoneInfo(zone)), "epi_1:1")[0]
        )


@given(days=st.integers(1, 399), zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Los_Angeles"]))
def test_a_name_of_a_day_is_only_said_of_the_nearest(days: int, zone: str) -> None:
    """“Monday”, a week before it, would be taken for today."""
    at = after(days=days)
    said, _ = reminder(ENGLISH, episode(), replace(ACME, run_out=run_out(at, at, at), zone=ZoneInfo(zone)), "epi_1:1")
    local = at.astimezone(ZoneInfo(zone))
    assert (f"{local:%A}" in said) == (days < 7)
    assert (f"{local:%B} {local.day}" in said) == (days >= 7)


@pytest.mark.parametrize("language", languages())
def test_without_a_forecast_no_date_and_no_pace_is_said(language: str) -> None:
    texts = texts_for(language)
    for level in Level:
        said, _ = warning(texts, episode(level), replace(ACME, run_out=None))
        assert "<!date" not in said
        assert re.findall("[0-9]+", said) == ["12", "34"]


def test_where_nothing_is_left_the_pace_is_said_and_no_day() -> None:
    outlook = replace(ACME, balance=Credits(-1_500_000_000))
    assert warning(ENGLISH, episode(Level.EMPTY), outlook)[0] == (
        ":rotating_light: *Acme Labs* is out of credits. The balance is *-1.50*. "
        "At the present pace 1.21 credits are used a day."
    )


# ── what else is said ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("language", languages())
def test_only_a_warning_and_its_reminders_have_buttons(language: str) -> None:
    """There is nothing that a test could mute, and nothing to be done about what is over."""
    texts = texts_for(language)
    for _, blocks in (
        recovered(texts, ACME),
        withdrawn(texts, ACME),
        spike(texts, ACME, today=Credits(10**9), usual=Credits(1)),
        trial(texts, ACME, "U1"),
        why(texts, "Acme", Days(7), None),
        dead_route(texts, "Acme", route="C1", error="is_archived", instead=None),
        digest(texts, replace(ACME, run_out=None), SPENDS[-1]),
    ):
        assert not {"actions", "input"} & {block.type for block in blocks}


def test_what_is_said_beside_the_warnings() -> None:
    silent = replace(ACME, run_out=None)
    assert [
        recovered(ENGLISH, silent)[0],
        withdrawn(ENGLISH, silent)[0],
        reminder(ENGLISH, episode(), silent, "epi_1:1")[0],
        spike(ENGLISH, silent, today=Credits(30 * 10**9), usual=Credits(4 * 10**9))[0],
        trial(ENGLISH, silent, "U1")[0],
    ] == [
        ":white_check_mark: *Acme Labs* has enough credits again: *12.34*.",
        "This warning about *Acme Labs* is not set up any more. The balance is *12.34*.",
        "Reminder: *Acme Labs* still needs credits. The balance is *12.34*.",
        ":chart_with_upwards_trend: *Acme Labs* has used *30.00* credits today, far more than the usual 4.00 by this "
        "hour. *12.34* are left.",
        ":bell: This is a test, sent by <@U1>. Warnings about *Acme Labs* will arrive here. The balance is *12.34*.",
    ]


@pytest.mark.parametrize(
    ("trigger", "set_by", "said"),
    [
        (Days(7), None, "the credits last for no more than 7 days at the present pace. It is so by default"),
        (Days(1), "U1", "the credits last for no more than 1 day at the present pace. <@U1> set this up."),
        (Percent(20), "U1", "no more than 20 % of the last purchase is left. <@U1> set this up."),
        (Amount(Credits(10**10)), "U1", "no more than 10.00 credits are left. <@U1> set this up."),
    ],
)
def test_who_asks_why_hears_the_rule_and_whose_it_is(trigger: Trigger, set_by: str | None, said: str) -> None:
    answer, _ = why(ENGLISH, "Acme Labs", trigger, set_by)
    assert answer.startswith(f"You see this because *Acme Labs* is to be warned when {said}")
    assert answer.endswith("An owner can change it with `/buy-credits alerts`.")


@pytest.mark.parametrize(
    ("error", "instead", "said"),
    [
        ("is_archived", "C2", "it was archived. From now on they go to <#C2>."),
        ("not_in_channel", "U1", "this app is not in it. From now on they go to <@U1>."),
        ("no_such_code", None, "Slack answers “no_such_code”. There is no other place to send them to."),
    ],
)
def test_an_owner_hears_where_warnings_do_not_arrive_and_why(error: str, instead: str | None, said: str) -> None:
    told, _ = dead_route(ENGLISH, "Acme Labs", route="C1", error=error, instead=instead)
    assert told.startswith(f":warning: Warnings about *Acme Labs* do not arrive at <#C1> any more: {said}")


# ── the digest ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_digest() -> None:
    spent = spend(["openai gpt-5-mini", "openai gpt-5"])
    assert the_message(digest(ENGLISH, ACME, spent)) == (
        "*Acme Labs* used *15.00* credits in the week of October 26\u2009–\u2009November 1, and *12.34* are left. "
        "At the present pace of 1.21 a day the credits will probably run out "
        "*Thursday, between Tuesday and Saturday*. "
        "Most went to openai gpt-5: 10.00. Advice: buy $22 to have enough for four weeks.\n"
        "(bar) Credits by day and model: openai gpt-5, openai gpt-5-mini\n"
        "Day | openai gpt-5 | openai gpt-5-mini | Total\n"
        "Mon, Oct 26 | 2.00 | 1.00 | 3.00\n"
        "Tue, Oct 27 | 2.00 | 1.00 | 3.00\n"
        "Wed, Oct 28 | 2.00 | 1.00 | 3.00\n"
        "Thu, Oct 29 | 2.00 | 1.00 | 3.00\n"
        "Fri, Oct 30 | 2.00 | 1.00 | 3.00\n"
        "Sat, Oct 31 | 0.00 | 0.00 | 0.00\n"
        "Sun, Nov 1 | 0.00 | 0.00 | 0.00\n"
        "Total | 10.00 | 5.00 | 15.00\n"
        "[Buy credits] [Ask the owner]"
    )


@pytest.mark.parametrize("spent", SPENDS, ids=range(len(SPENDS)))
def test_the_chart_and_the_table_have_the_same_figures(spent: Mapping[date, Mapping[str, Credits]]) -> None:
    _, (_, chart, table, *_) = digest(ENGLISH, ACME, spent)
    series = chart.to_dict()["chart"]["series"]
    rows = [[cell["text"].replace(",", "") for cell in row[1:]] for row in table.to_dict()["rows"]]
    charted = [[f"{point['value']:.2f}" for point in each["data"]] for each in series]
    assert [list(column) for column in zip(*rows[1:-1], strict=True)][:-1] == charted
    assert rows[-1][-1] == str(Credits(sum(cost.nano for day in spent.values() for cost in day.values())))
    assert len(series) <= 6
    assert len({each["name"] for each in series}) == len(series)


def test_models_beyond_the_costliest_five_are_one() -> None:
    _, (_, chart, table, *_) = digest(ENGLISH, ACME, spend([f"m{n}" for n in range(1, 8)]))
    assert [each["name"] for each in chart.to_dict()["chart"]["series"]] == ["m7", "m6", "m5", "m4", "m3", "Others"]
    assert [cell["text"] for cell in table.to_dict()["rows"][1]][1:] == [
        *("7.00", "6.00", "5.00", "4.00", "3.00", "3.00", "28.00")
    ]


@pytest.mark.parametrize(
    ("outlook", "models", "advice"),
    [
        (ACME, ["a"], "Advice: buy $22 to have enough for four weeks."),
        (replace(ACME, balance=Credits(-1_000_000_000)), ["a"], "Advice: buy $35 to have enough for four weeks."),
        (replace(ACME, run_out=None, balance=Credits.ZERO), ["a"], "Advice: buy $20 to have enough for four weeks."),
        (replace(ACME, run_out=RUN_OUTS[4]), ["a"], "Nothing needs to be done."),
        (replace(ACME, run_out=RUN_OUTS[4]), ["a", "b"], "Advice: b makes up 66 % of the spend"),
        (replace(ACME, run_out=RUN_OUTS[4]), ["a", "b", "c", "d"], "Nothing needs to be done."),
    ],
)
def test_a_digest_ends_with_one_advice(outlook: Outlook, models: list[str], advice: str) -> None:
    said, _ = digest(ENGLISH, outlook, spend(models))
    assert advice in said
    assert len(re.findall("Advice|Nothing needs", said)) == 1


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


def submitted(view: View, **entered: Any) -> Mapping[str, Mapping[str, Any]]:
    """The form as it was opened, but for what was ``entered`` into its fields, by their names."""
    values: dict[str, dict[str, Any]] = {}
    for block in view.to_dict()["blocks"]:
        if block["type"] == "input":
            element = block["element"]
            held = at_first(element, "")
            if element["action_id"] in entered:
                held[next(key for key in held if key != "type")] = entered[element["action_id"]]
            values[block["block_id"]] = {element["action_id"]: held}
    return values


def option(value: str) -> Json:
    return {"value": value}


def test_the_form() -> None:
    assert drawn(settings(ENGLISH, "Acme Labs", SETTINGS[0])) == (
        "# Credit warnings\n"
        "Who is warned before the credits of *Acme Labs* run out, and when.\n"
        "Channels: <Choose channels>\n"
        "· Invite this app into them first. Without a channel the owners are warned in their messages.\n"
        "Low: warn by: (x) Days left at the present pace ( ) Percent of the last purchase ( ) Credits left"
        " ( ) No warning\n"
        "Low: at so many or fewer: <7>\n"
        "Critical: warn by: ( ) Days left at the present pace ( ) Percent of the last purchase (x) Credits left"
        " ( ) No warning\n"
        "Critical: at so many or fewer: <10>\n"
        "Empty: warn by: ( ) Days left at the present pace ( ) Percent of the last purchase (x) Credits left"
        " ( ) No warning\n"
        "Empty: at so many or fewer: <0>\n"
        "Recovered: at so many percent of the level: <110>\n"
        "· At 110, a warning at 10 credits ends when there are 11 again.\n"
        "Quiet from: <> UTC\n"
        "Quiet until: <> UTC\n"
        "· Critical and empty get through. The same time twice means that it is never quiet.\n"
        "Time zone: <UTC>\n"
        "· In which your days begin and quiet hours are meant: a city such as Copenhagen, or Europe/Copenhagen.\n"
        "Language in channels: ( ) Dansk ( ) Deutsch (x) English ( ) Español ( ) Español (Latinoamérica) ( ) Suomi"
        " ( ) Français ( ) Italiano ( ) 日本語 ( ) 한국어 ( ) Norsk bokmål ( ) Nederlands ( ) Polski ( ) Português"
        " ( ) Português (Brasil) ( ) Svenska ( ) Türkçe ( ) Українська ( ) Tiếng Việt ( ) 中文 (简体) ( ) 中文 (繁體)\n"
        "Digest: [ ] Once a week: balance, forecast and spend by model\n"
        "Unusual days: [x] Tell on a day on which far more is used than usual\n"
        "[Send a test]\n"
        "· The test goes where the saved settings say.\n"
        "[Cancel] [Save]"
    )


amounts = st.integers(0, GREATEST.cents).map(lambda cents: Amount(Credits.bought_for(Usd(cents))))
triggers = st.fixed_dictionaries(
    {},
    optional={
        Level.LOW: st.one_of(amounts, st.builds(Percent, st.integers(50, 100)), st.builds(Days, st.integers(50, 90))),
        Level.CRITICAL: st.one_of(st.builds(Percent, st.integers(9, 20)), st.builds(Days, st.integers(9, 20))),
        Level.EMPTY: st.one_of(st.builds(Percent, st.integers(1, 5)), st.builds(Days, st.integers(1, 5))),
    },
)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
hours = st.one_of(
    st.none(),
    st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Quiet(*pair)),
)
rules = st.builds(
    Rules, triggers, st.integers(101, 300), hours, st.sampled_from(["UTC", "Europe/Copenhagen"]), st.booleans()
)
chosen = st.builds(
    Settings,
    st.lists(st.from_regex("C[A-Z0-9]{10}", fullmatch=True), max_size=MOST_CHANNELS).map(tuple),
    rules,
    st.sampled_from(languages()),
    st.booleans(),
)


@given(now=chosen, language=st.sampled_from(languages()))
def test_who_changes_nothing_saves_what_there_was(now: Settings, language: str) -> None:
    texts = texts_for(language)
    assert read_settings(texts, submitted(settings(texts, "Acme", now))) == now


@given(now=chosen)
def test_the_question_about_shared_channels_carries_what_was_chosen(now: Settings) -> None:
    view = ask_shared(ENGLISH, now.channels[:1] or ("C1",), now.channels[1:], now).to_dict()
    assert check_view(view, "modal") == []
    assert Settings.loads(view["private_metadata"]) == now


def test_everything_may_change() -> None:
    was, becomes = SETTINGS
    values = submitted(
        settings(DANISH, "Acme", was),
        alert_channels=["C1", "C2"],
        alert_unit_low=option("percent"),
        alert_figure_low=" ２０ ",
        alert_unit_critical=option("off"),
        alert_figure_critical="whatever",
        alert_figure_empty="100.000,00",
        alert_quiet_from="22:00",
        alert_quiet_until="07:30",
        alert_recovery="150",
        alert_zone="america/argentina/comodrivadavia ",
        alert_language=option("da"),
        alert_digest=[option("yes")],
        alert_spikes=[],
    )
    assert read_settings(DANISH, values) == becomes


@pytest.mark.parametrize(("language", "shown"), [("cs-CZ", "en"), ("da-DK", "da")])
def test_a_language_without_sentences_is_shown_as_the_one_that_is_written(language: str, shown: str) -> None:
    values = submitted(settings(ENGLISH, "Acme", replace(SETTINGS[0], language=language)))
    read = read_settings(ENGLISH, values)
    assert isinstance(read, Settings)
    assert read.language == shown


@pytest.mark.parametrize(
    ("typed", "zone"),
    [("Copenhagen", "Europe/Copenhagen"), (" new york", "America/New_York"), ("europe/LONDON", "Europe/London")],
)
def test_a_city_names_its_time_zone(typed: str, zone: str) -> None:
    read = read_settings(ENGLISH, submitted(settings(ENGLISH, "Acme", SETTINGS[0]), alert_zone=typed))
    assert isinstance(read, Settings)
    assert read.rules.time_zone == zone


def test_the_same_time_twice_is_never_quiet() -> None:
    """Slack's window has no way to empty a time again."""
    values = submitted(settings(ENGLISH, "Acme", SETTINGS[1]), alert_quiet_from="08:00", alert_quiet_until="08:00")
    read = read_settings(ENGLISH, values)
    assert isinstance(read, Settings)
    assert read.rules.quiet is None


@pytest.mark.parametrize(
    ("entered", "wrong"),
    [
        ({"alert_figure_low": "0"}, {"alert_figure_low": "Write a whole number from 1 to 90."}),
        ({"alert_figure_low": "91"}, {"alert_figure_low": "Write a whole number from 1 to 90."}),
        ({"alert_figure_low": None}, {"alert_figure_low": "Write a whole number from 1 to 90."}),
        ({"alert_figure_low": "٧"}, {"alert_figure_low": "Write a whole number from 1 to 90."}),
        (
            {"alert_unit_low": option("percent"), "alert_figure_low": "7.5"},
            {"alert_figure_low": "Write a whole number from 1 to 100."},
        ),
        (
            {"alert_figure_critical": "-1"},
            {"alert_figure_critical": "“-1” is not an amount that we can read. Write it like 10.50."},
        ),
        (
            {"alert_figure_critical": "1.234"},
            {"alert_figure_critical": "“1.234” could mean $1,234.00 or $1.23. Please write 1,234 or 1.23."},
        ),
        ({"alert_figure_critical": "100000.01"}, {"alert_figure_critical": "Write 100,000 or less."}),
        ({"alert_figure_empty": "10"}, {"alert_figure_empty": "This must be less than at “Critical”."}),
        (
            {"alert_unit_empty": option("days"), "alert_figure_empty": "7"},
            {"alert_figure_empty": "This must be less than at “Low”."},
        ),
        ({"alert_recovery": "100"}, {"alert_recovery": "Write a whole number from 101 to 300."}),
        ({"alert_quiet_from": "22:00"}, {"alert_quiet_until": "Choose both times, or none."}),
        ({"alert_quiet_until": "22:00"}, {"alert_quiet_from": "Choose both times, or none."}),
        (
            {"alert_zone": "Atlantis"},
            {"alert_zone": "“Atlantis” is no time zone that we know. Write one such as Europe/Copenhagen."},
        ),
        (
            {"alert_zone": "../../etc/passwd"},
            {"alert_zone": "“../../etc/passwd” is no time zone that we know. Write one such as Europe/Copenhagen."},
        ),
        (
            {"alert_zone": "istanbul"},
            {
                "alert_zone": "“istanbul” is the name of several time zones: Asia/Istanbul, Europe/Istanbul."
                " Write one of them."
            },
        ),
        (
            {"alert_figure_low": "x", "alert_figure_empty": "y", "alert_quiet_from": "22:00"},
            {
                "alert_figure_low": "Write a whole number from 1 to 90.",
                "alert_figure_empty": "“y” is not an amount that we can read. Write it like 10.50.",
                "alert_quiet_until": "Choose both times, or none.",
            },
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field(entered: Mapping[str, Any], wrong: Mapping[str, str]) -> None:
    view = settings(ENGLISH, "Acme", SETTINGS[0])
    assert read_settings(ENGLISH, submitted(view, **entered)) == wrong
    assert wrong.keys() <= {block["block_id"] for block in view.to_dict()["blocks"] if "block_id" in block}
