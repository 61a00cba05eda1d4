"""Usage over the wire: what it means, that nothing is guessed, and that nothing sent can crash the reader."""

import copy
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import openmeter.aio
import openmeter.models
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.prices.model import Tokens
from bot.usage.model import LONGEST, MOST_TOKENS, Event, key_of
from bot.usage.wire import BATCH, DEEPEST, EITHER, MOST_EVENTS, MOST_PROBLEMS, SINGLE, BadEvents, parse
from bot.web.build import build
from bot.web.server import Server

from ..conftest import examples

Json = dict[str, Any]

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
GOOD: Json = {
    "specversion": "1.0",
    "type": "usage",
    "id": "019a4a3e-7c00-7000-8000-000000000001",
    "source": "genstudio",
    "subject": "acme",
    "time": "2026-11-03T11:59:58Z",
    "data": {
        "provider": "openai",
        "model": "gpt-5",
        "input_tokens": 1200,
        "output_tokens": 350,
        "cached_input_tokens": 1000,
        "input_includes_cached": True,
    },
}
READ = Event("genstudio", GOOD["id"], "acme", "openai", "gpt-5", NOON - timedelta(seconds=2), Tokens(200, 1000, 0, 350))
MINIMAL: Json = {
    "provider": "openai",
    "model": "gpt-5",
    "input_tokens": 0,
    "output_tokens": 0,
    "input_includes_cached": False,
}


def changed(**attributes: Any) -> Json:
    return {**GOOD, **attributes}


def with_data(**said: Any) -> Json:
    return changed(data={**GOOD["data"], **said})


def without(*names: str) -> Json:
    data = {name: value for name, value in GOOD["data"].items() if name not in names}
    return {name: value for name, value in changed(data=data).items() if name not in names}


def one(told: Json | str | bytes, content_type: str = SINGLE) -> Event:
    [event] = parse(content_type, _bytes(told), NOON)
    return event


def wrong(told: Any, content_type: str = SINGLE) -> list[tuple[int | None, str]]:
    with pytest.raises(BadEvents) as bad:
        parse(content_type, _bytes(told), NOON)
    assert bad.value.status == 400
    return list(bad.value.problems)


def _bytes(told: Any) -> bytes:
    return told if isinstance(told, bytes) else told.encode() if isinstance(told, str) else json.dumps(told).encode()


# ── what counts mean ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        pytest.param(  # prompt_tokens 2006, of them cached_tokens 1920; completion_tokens 300, reasoning_tokens 128
            {
                "provider": "openai",
                "model": "gpt-5",
                "input_tokens": 2006,
                "cached_input_tokens": 1920,
                "output_tokens": 300,
                "reasoning_tokens": 128,
                "input_includes_cached": True,
            },
            Tokens(input=86, cached=1920, written=0, output=300, reasoning=128),
            id="OpenAI",
        ),
        pytest.param(  # input_tokens 50, cache_read_input_tokens 100000, cache_creation_input_tokens 248
            {
                "provider": "anthropic",
                "model": "claude-sonnet-4-5",
                "input_tokens": 50,
                "cached_input_tokens": 100_000,
                "cache_write_tokens": 248,
                "output_tokens": 503,
                "input_includes_cached": False,
            },
            Tokens(input=50, cached=100_000, written=248, output=503, reasoning=0),
            id="Anthropic",
        ),
        pytest.param(  # gen_ai.usage.input_tokens 10000 with cache_read 6000 and cache_creation 3000
            {
                "provider": "anthropic",
                "model": "claude-sonnet-4-5",
                "input_tokens": 10_000,
                "cached_input_tokens": 6_000,
                "cache_write_tokens": 3_000,
                "output_tokens": 1,
                "input_includes_cached": True,
            },
            Tokens(input=1_000, cached=6_000, written=3_000, output=1, reasoning=0),
            id="OpenTelemetry",
        ),
        pytest.param(
            {**MINIMAL, "input_tokens": 7, "cached_input_tokens": 7, "input_includes_cached": True},
            Tokens(input=0, cached=7),
            id="all of it from the cache",
        ),
        pytest.param({**MINIMAL, "output_tokens": 9, "reasoning_tokens": 9}, Tokens(output=9, reasoning=9), id="mused"),
        pytest.param(MINIMAL, Tokens(), id="nothing used"),
        pytest.param(
            {**MINIMAL, "cached_input_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0},
            Tokens(),
            id="nothing used and all of it said",
        ),
        pytest.param(
            {**MINIMAL, **dict.fromkeys(["input_tokens", "cached_input_tokens", "output_tokens"], MOST_TOKENS)},
            Tokens(MOST_TOKENS, MOST_TOKENS, 0, MOST_TOKENS),
            id="the most",
        ),
    ],
)
def test_both_manners_of_counting_become_counts_that_do_not_overlap(said: Json, meant: Tokens) -> None:
    assert one(changed(data=said)).tokens == meant


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (with_data(cached_input_tokens=1201), "more cached_input_tokens and cache_write_tokens than the input_tokens"),
        (with_data(cache_write_tokens=201), "more cached_input_tokens and cache_write_tokens than the input_tokens"),
        (with_data(reasoning_tokens=351), "more reasoning_tokens than the output_tokens"),
        (without("input_includes_cached"), "data: object missing required field input_includes_cached"),
        (with_data(input_includes_cached=None), "data.input_includes_cached: expected bool, got null"),
        (with_data(input_includes_cached=1), "data.input_includes_cached: expected bool, got int"),
        (with_data(input_includes_cached="true"), "data.input_includes_cached: expected bool, got str"),
        (with_data(cached_tokens=0), "data: object contains unknown field cached_tokens"),
        (with_data(Input_tokens=0), "data: object contains unknown field Input_tokens"),
        (with_data(input_tokens=1200.0), "data.input_tokens: expected int, got float"),
        (with_data(input_tokens="1200"), "data.input_tokens: expected int, got str"),
        (with_data(input_tokens=True), "data.input_tokens: expected int, got bool"),
        (with_data(input_tokens=None), "data.input_tokens: expected int, got null"),
        (with_data(reasoning_tokens=None), "data.reasoning_tokens: expected int, got null"),
        (with_data(output_tokens=-1), "data.output_tokens: expected int >= 0"),
        (with_data(cache_write_tokens=MOST_TOKENS + 1), "data.cache_write_tokens: expected int <= 100000000"),
        (with_data(output_tokens=10**30), "data.output_tokens: "),
        (with_data(output_tokens=float("1e300")), "data.output_tokens: expected int, got float"),
        (without("input_tokens"), "data: object missing required field input_tokens"),
        (without("output_tokens"), "data: object missing required field output_tokens"),
        (without("provider"), "data: object missing required field provider"),
        (without("model"), "data: object missing required field model"),
        (with_data(model=""), "data.model: expected str of length >= 1"),
        (with_data(provider="p" * (LONGEST + 1)), f"data.provider: expected str of length <= {LONGEST}"),
        (without("data"), "object missing required field data"),
        (changed(data=None), "data: expected object, got null"),
        (changed(data=[]), "data: expected object, got array"),
        (changed(data=json.dumps(GOOD["data"])), "data: expected object, got str"),
        (without("specversion"), "object missing required field specversion"),
        (changed(specversion="0.3"), "specversion: has to be 1.0"),
        (changed(specversion=1.0), "specversion: has to be 1.0"),
        (without("id"), "object missing required field id"),
        (changed(id=5), "id: expected str, got int"),
        (changed(id="i" * (LONGEST + 1)), f"id: expected str of length <= {LONGEST}"),
        (without("source"), "object missing required field source"),
        (changed(source=""), "source: expected str of length >= 1"),
        (without("subject"), "object missing required field subject"),
        (changed(subject=None), "subject: expected str, got null"),
        (without("type"), "object missing required field type"),
        (changed(datacontenttype="application/xml"), "datacontenttype: has to be application/json"),
        (changed(time="2026-11-03"), "time: invalid RFC3339 encoded datetime"),
        (changed(time="2026-11-03T12:00:00"), "time: expected datetime with a timezone component"),
        (changed(time=1_793_707_200), "time: expected datetime | null, got int"),
        (changed(time="2026-11-03T13:00:01Z"), "time: more than an hour in the future"),
        (changed(time="2026-11-03T12:00:01-01:00"), "time: more than an hour in the future"),
        (changed(time="9999-12-31T23:59:59.999999-23:59"), "time: more than an hour in the future"),
        (changed(time="0001-01-01T00:00:00Z"), "time: before the year 2000"),
        (changed(time="0001-01-01T00:00:00+23:59"), "time: before the year 2000"),
        (changed(time="1970-01-01T00:00:00Z"), "time: before the year 2000"),
        ([GOOD], "expected object, got array"),
        ("7", "expected object, got int"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_bad_event_is_refused_with_the_reason(told: Any, reason: str) -> None:
    [(index, said)] = wrong(told)
    assert (index, said[: len(reason)]) == (0, reason)
    [(index, said)] = wrong(f"[{_bytes(GOOD).decode()},{_bytes(told).decode()}]", BATCH)
    assert (index, said[: len(reason)]) == (1, reason)


# ── the envelope ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "told",
    [
        GOOD,
        changed(datacontenttype="application/json"),
        changed(datacontenttype=None, dataschema=None),
        changed(dataschema="https://example.com/usage.json", traceparent="00-1-1-01", sequence=5, odd={"a": [1e99]}),
        changed(time="2026-11-03T12:59:58+01:00"),
        changed(time="2026-11-03T11:59:58.000000Z"),
        changed(time="2026-11-03t11:59:58z"),
        changed(type="com.example.anything"),
        json.dumps(GOOD, indent=4),
        json.dumps(GOOD).replace("acme", "\\u0061cme").replace("usage", "us\\/age"),
        json.dumps(GOOD).replace('"model"', '"mod\\u0065l"'),
        " \n" + json.dumps(GOOD) + "\t",
    ],
    ids=itertools.count().__next__ and str,
)
def test_what_stands_around_it_changes_nothing(told: Json | str) -> None:
    assert one(told) == one(told, EITHER) == READ


def test_an_event_may_leave_out_when_it_happened() -> None:
    assert one(without("time")).at is None
    assert one(changed(time=None)).at is None


def test_a_clock_may_be_ahead_by_an_hour_and_an_event_late_by_years() -> None:
    assert one(changed(time="2026-11-03T13:00:00Z")).at == NOON + timedelta(hours=1)
    assert one(changed(time="2000-01-01T00:00:00Z")).at == datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (SINGLE, GOOD),
        (BATCH, [GOOD]),
        (EITHER, GOOD),
        (EITHER, [GOOD]),
        (f"{SINGLE}; charset=utf-8", GOOD),
        (f'{BATCH};charset="UTF-8"', [GOOD]),
        ("Application/JSON ; Charset=UTF-8", [GOOD]),
    ],
)
def test_single_events_and_batches_come_as_openmeter_sends_them(content_type: str, body: Any) -> None:
    assert parse(content_type, _bytes(body), NOON) == [READ]


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "json", "text/plain", "application/x-www-form-urlencoded", "application/cloudevents", "application/*"),
        *("application/cloudevents+avro", "application/json; charset=latin-1", "application/json, text/html"),
        *("application/json; charset=utf-8; charset=utf-7", "application/jsoń", f"{SINGLE}\n{BATCH}", ";" * 9999),
    ],
)
def test_any_other_content_type_is_415(content_type: str) -> None:
    with pytest.raises(BadEvents) as bad:
        parse(content_type, _bytes(GOOD), NOON)
    assert bad.value.status == 415
    [(index, reason)] = bad.value.problems
    assert index is None
    assert SINGLE in reason


def test_a_batch_is_an_array_and_a_single_event_is_none() -> None:
    assert wrong(GOOD, BATCH) == [(None, "expected array, got object")]
    assert wrong([GOOD], SINGLE) == [(0, "expected object, got array")]


# ── batches ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_events_come_in_their_order() -> None:
    ids = [str(n) for n in range(MOST_EVENTS)]
    assert [event.id for event in parse(BATCH, _bytes([changed(id=id) for id in ids]), NOON)] == ids


def test_there_is_a_most_and_a_least_of_events() -> None:
    assert wrong([], BATCH) == [(None, "no events")]
    for body in ([GOOD] * (MOST_EVENTS + 1), [1] * (MOST_EVENTS + 1)):
        with pytest.raises(BadEvents) as bad:
            parse(BATCH, _bytes(body), NOON)
        assert (bad.value.status, list(bad.value.problems)) == (413, [(None, "1001 events: 1000 at most")])


def test_every_bad_event_is_named_and_not_only_the_first() -> None:
    batch = [GOOD, with_data(input_token=5), 7, GOOD, changed(id=""), with_data(reasoning_tokens=999)]
    assert wrong(batch, BATCH) == [
        (1, "data: object contains unknown field input_token"),
        (2, "expected object, got int"),
        (4, "id: expected str of length >= 1"),
        (5, "more reasoning_tokens than the output_tokens that include them"),
    ]


def test_of_many_bad_events_the_first_are_named() -> None:
    assert [index for index, _ in wrong([GOOD, *[{}] * 900], BATCH)] == [*range(1, MOST_PROBLEMS + 1), None]
    assert wrong([{}] * 900, BATCH)[-1] == (None, f"only the first {MOST_PROBLEMS} bad events are named")
    assert wrong([*[{}] * MOST_PROBLEMS, GOOD], BATCH)[-1][0] == MOST_PROBLEMS - 1, "there are no more"


def test_a_reason_is_short_whatever_was_sent() -> None:
    for told in (with_data(**{"x" * 100_000: 1}), changed(specversion="x" * 100_000)):
        [(_, reason)] = wrong(told)
        assert len(reason) <= 200
    twice = json.dumps(GOOD).replace("{", f'{{"{"x" * 90_000}": 1, "{"x" * 90_000}": 2,', 1)
    [(_, reason)] = wrong(twice)
    assert len(reason) <= 220


# ── names that stand there twice ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*GOOD, *(name for name in GOOD["data"])])
def test_a_name_that_is_said_twice_is_refused(name: str) -> None:
    """JSON does not say which of the two counts, and a proxy that reads the other one sees another bill."""
    text = json.dumps(GOOD)
    value = json.dumps(GOOD.get(name, GOOD["data"].get(name)))
    twice = text.replace(f'"{name}"', f'"{name}": {value}, "{name}"', 1)
    escaped = twice.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"', 1)
    assert json.loads(twice) == json.loads(escaped) == GOOD
    for body in (twice, escaped):
        assert wrong(body) == [(0, f"{name}: said twice")]
        assert wrong(f"[{text},{body}]", BATCH) == [(1, f"{name}: said twice")]


def test_names_are_counted_in_each_event_and_not_in_the_batch() -> None:
    """One that says a count twice, beside one that leaves it out: as many names as in two that say it once."""
    twice = json.dumps(GOOD).replace('"cached_input_tokens"', '"cached_input_tokens": 0, "cached_input_tokens"')
    assert wrong(f"[{twice},{json.dumps(without('cached_input_tokens'))}]", BATCH) == [
        (0, "cached_input_tokens: said twice")
    ]
    assert wrong(f"[{twice},{json.dumps(without('time'))}]", BATCH) == [(0, "cached_input_tokens: said twice")]


def test_reading_a_great_many_names_takes_no_longer_than_their_number() -> None:
    names = ",".join(f'"{n}":0' for n in range(20_000))
    [(_, reason)] = wrong(json.dumps(GOOD).replace("{", f'{{{names},"19999":0,', 1))
    assert reason == "19999: said twice"


# ── what is no text and no JSON ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"NaN", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (_bytes(GOOD)[:-1], "not JSON"),
        (_bytes(GOOD) + b"]", "not JSON"),
        (_bytes(GOOD).replace(b"1200", b"01200"), "not JSON"),
        (_bytes(GOOD).replace(b"1200", b"NaN"), "not JSON"),
        (_bytes(GOOD).replace(b"true", b"True"), "not JSON"),
        (_bytes(GOOD).replace(b"acme", b"ac\x00me"), "not JSON"),
        (_bytes(GOOD).replace(b"acme", b"ac\nme"), "not JSON"),
        (_bytes(GOOD).replace(b"acme", b"\\ud83d and no other half"), "not JSON"),
        (_bytes(GOOD).replace(b"acme", b"\\udc00"), "not JSON"),
        (b"\xef\xbb\xbf" + _bytes(GOOD), "not JSON"),
        (_bytes(GOOD).decode().encode("utf-16"), "not UTF-8"),
        (_bytes(GOOD).replace(b"acme", b"ac\xffme"), "not UTF-8: byte"),
        (_bytes(GOOD).replace(b"acme", b"\xed\xa0\x80"), "not UTF-8: byte"),
        (_bytes(changed(note="x")).replace(b'"x"', b'"\xff"'), "not UTF-8: byte"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 40_000, "nested too deeply"),
        (_bytes(changed(note=1)).replace(b": 1}", b": " + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_read_is_told(body: bytes, reason: str) -> None:
    for content_type, sent in ((SINGLE, body), (BATCH, b"[" + body + b"]")):
        [(index, said)] = wrong(sent, content_type)
        assert said.startswith(reason) or (sent != body and said.startswith("no events"))
        assert index is None


@pytest.mark.parametrize("escaped", [b"", b"\\n"])
def test_how_deep_an_extension_may_go_is_the_same_on_every_python(escaped: bytes) -> None:
    def noting(depth: int, within: bytes = b"") -> bytes:
        note = b'{"a":[' * (depth // 2) + b"[" * (depth % 2) + within + b"]" * (depth % 2) + b"]}" * (depth // 2)
        return _bytes(GOOD)[:-1] + b', "some' + escaped + b'note": ' + note + b"}"

    assert one(noting(DEEPEST - 1, b'"[[{{ \\" [["')) == READ, "brackets in a text are none"
    assert parse(BATCH, b"[" + b",".join([noting(DEEPEST - 2)] * 3) + b"]", NOON) == [READ] * 3
    assert wrong(noting(DEEPEST)) == [(None, "nested too deeply")]
    assert wrong(b"[" + noting(DEEPEST - 1) + b"]", BATCH) == [(None, "nested too deeply")]


def test_a_number_without_end_is_refused_where_it_counts_and_passed_over_elsewhere() -> None:
    for number in (b"9" * 50_000, b"1e999999"):
        [(index, reason)] = wrong(_bytes(GOOD).replace(b"1200", number))
        assert (index, reason.partition(":")[0]) == (0, "data.input_tokens")
        assert one(_bytes(changed(note=77)).replace(b"77", number)) == READ


@pytest.mark.parametrize("place", ["id", "source", "subject", "provider", "model"])
def test_a_nul_is_refused_because_postgresql_cannot_store_it(place: str) -> None:
    told = changed(**{place: "a\0b"}) if place in GOOD else with_data(**{place: "a\0b"})
    assert wrong([GOOD, told], BATCH) == [(1, "a text with a NUL in it")]


def test_what_only_looks_like_a_nul_is_a_text_like_others() -> None:
    assert one(changed(id="\\u0000")).id == "\\u0000"
    assert one(changed(id="🦊 é \u2028 \uffff")).id == "🦊 é \u2028 \uffff"
    assert one(changed(note="\0")) == READ, "nobody stores that"


# ── any order of anything ─────────────────────────────────────────────────────────────────────────────────────────

counts = st.integers(0, MOST_TOKENS)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=LONGEST)
moments = st.datetimes(datetime(2000, 1, 2), datetime(2026, 11, 3), timezones=st.timezones())
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["1.0", "acme", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
content_types = st.sampled_from([SINGLE, BATCH, EITHER])
spaces = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@st.composite
def usages(draw: st.DrawFn) -> tuple[Json, Tokens]:
    """What a source says, in one of the manners, and what it means."""
    meant = Tokens(draw(counts), draw(counts), draw(counts), output := draw(counts), draw(st.integers(0, output)))
    within = draw(st.booleans()) and meant.input + meant.cached + meant.written <= MOST_TOKENS
    said = {
        "provider": draw(texts),
        "model": draw(texts),
        "input_tokens": meant.input + (meant.cached + meant.written if within else 0),
        "output_tokens": output,
        "input_includes_cached": within,
        "cached_input_tokens": meant.cached,
        "cache_write_tokens": meant.written,
        "reasoning_tokens": meant.reasoning,
    }
    optional = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    unsaid = {name for name in optional if said[name] == 0 and draw(st.booleans())}
    kept = {name: value for name, value in said.items() if name not in unsaid}
    return dict(draw(st.permutations(list(kept.items())))), meant


@st.composite
def told_events(draw: st.DrawFn) -> tuple[Json, Event]:
    said, meant = draw(usages())
    source, id, subject, at = draw(texts), draw(texts | st.uuids().map(str)), draw(texts), draw(st.none() | moments)
    told = {
        **{"specversion": "1.0", "type": draw(texts), "source": source, "id": id, "subject": subject, "data": said},
        **({"time": at.isoformat()} if at and at.utcoffset() == _whole_minutes(at) else {}),
        **draw(st.sampled_from([{}, {"datacontenttype": "application/json"}, {"datacontenttype": None}])),
        **draw(st.sampled_from([{}, {"dataschema": "x"}, {"extension": {"model": "gpt"}}])),
    }
    event = Event(source, id, subject, said["provider"], said["model"], at if "time" in told else None, meant)
    return dict(draw(st.permutations(list(told.items())))), event


def _whole_minutes(at: datetime) -> timedelta:
    """RFC 3339 has no seconds in an offset, and some places had them long ago."""
    offset = at.utcoffset()
    assert offset is not None
    return timedelta(minutes=offset // timedelta(minutes=1))


@given(st.lists(told_events(), min_size=1, max_size=4), spaces, st.booleans())
def test_what_is_said_well_is_read_as_it_is_meant(
    told: list[tuple[Json, Event]], separators: tuple[str, str], ascii_only: bool
) -> None:
    written = [json.dumps(said, ensure_ascii=ascii_only, separators=separators).encode() for said, _ in told]
    meant = [in_utc(event) for _, event in told]
    read = parse(BATCH, b"[" + b",".join(written) + b"]", NOON)
    assert [in_utc(event) for event in read] == meant
    assert [in_utc(one(text)) for text in written] == meant


def in_utc(event: Event) -> Event:
    """Where a clock shows an hour twice, Python takes the same moment in two zones for different."""
    return replace(event, at=event.at and event.at.astimezone(UTC))


@given(content_types, st.binary(max_size=200) | anything.map(_bytes) | st.lists(anything, max_size=4).map(_bytes))
@example(EITHER, b"[")
def test_rubbish_is_refused_and_crashes_nothing(content_type: str, body: bytes) -> None:
    assert not _read(content_type, body)


@given(st.data(), st.lists(st.none() | anything, min_size=1, max_size=5))
@settings(max_examples=examples(100))
def test_an_event_with_rubbish_in_it_is_an_event_or_refused(data: st.DataObject, rubbish: list[Any]) -> None:
    """And a batch is refused for exactly those events that are refused alone."""
    batch = []
    for thing in rubbish:
        told = copy.deepcopy(GOOD)
        if thing is not None:
            place = data.draw(st.sampled_from([told, told["data"]]))
            place[data.draw(st.sampled_from([*place, "other"]))] = thing
        batch.append(told)
    bad = {n for n, told in enumerate(batch) if not _read(SINGLE, _bytes(told))}
    whole = _read(BATCH, _bytes(batch))
    assert len(whole) == (0 if bad else len(batch))
    if bad:
        assert {index for index, _ in wrong(batch, BATCH)} == bad or not _is_json(batch)


@given(st.integers(0, 700), st.integers(0, 30), st.binary(max_size=10), content_types)
@settings(max_examples=examples(200))
def test_an_event_that_was_damaged_on_its_way_is_an_event_or_refused(
    at: int, length: int, damage: bytes, content_type: str
) -> None:
    body = _bytes([GOOD, without("time")] if content_type == BATCH else GOOD)
    _read(content_type, body[:at] + damage + body[at + length :])


def _read(content_type: str, body: bytes) -> list[Event]:
    """The events, each fit to be stored, or none where they were refused."""
    try:
        events = parse(content_type, body, NOON)
    except BadEvents as refused:
        _check(refused)
        return []
    for event in events:
        tokens = event.tokens
        assert min(tokens.input, tokens.cached, tokens.written, tokens.output, tokens.reasoning) >= 0
        assert max(tokens.input, tokens.cached, tokens.written, tokens.output) <= MOST_TOKENS
        assert tokens.reasoning <= tokens.output
        assert event.at is None or (NOON + timedelta(hours=1) - event.at).days < 10_000
        for text in (event.source, event.id, event.account_id, event.provider, event.model):
            assert 0 < len(text.encode()) <= 4 * LONGEST
            assert "\0" not in text
        key_of(event.id)
    return events


def _check(refused: BadEvents) -> None:
    assert refused.problems
    assert refused.status in (400, 413)
    assert all(reason and (index is None or index >= 0) for index, reason in refused.problems)
    json.dumps(refused.problems, ensure_ascii=False).encode()


def _is_json(told: Any) -> bool:
    """Python writes NaN and halves of surrogate pairs, which nobody else reads: those make a whole batch unreadable."""
    try:
        json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


# ── the published client ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[str, list[Event]]]:
    """An endpoint that takes usage and remembers it."""
    taken: list[Event] = []

    async def events(request: Request) -> Response:
        taken.extend(parse(request.headers["content-type"], await request.body(), NOON))
        return Response(status_code=204)

    server = Server(build([Route("/api/v1/events", events, methods=["POST"])]))
    await server.start()
    yield server.url, taken
    await server.stop()


async def test_what_openmeters_client_sends_is_understood(endpoint: tuple[str, list[Event]]) -> None:
    url, taken = endpoint
    ids = [str(uuid.uuid4()) for _ in range(4)]
    first, *rest = [{**GOOD, "id": id, "time": NOON} for id in ids]
    async with openmeter.aio.Client(endpoint=url, token="cb_1") as client:
        await client.events.ingest_event(first)
        await client.events.ingest_events(rest[:2])
        await client.events.ingest_events_json(rest[2:])
        await client.events.ingest_events_json(openmeter.models.Event(**first))
    assert [event.id for event in taken] == [*ids, ids[0]]
    assert {(event.at, event.tokens) for event in taken} == {(NOON, READ.tokens)}
