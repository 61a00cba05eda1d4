"""Usage as programs send it: CloudEvents in JSON, the way OpenMeter's clients do, read strictly.

A count that is misspelt, missing or said twice is money that nobody pays, so nothing is guessed and nothing passed
over: inside ``data`` every name has to be known, and a source has to say what its input count includes. Outside of it
stand CloudEvents' own attributes and the extensions of whoever likes them, which are none of ours.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bot.prices.model import Tokens
from bot.usage.model import LONGEST, MOST_TOKENS, Event

SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
EITHER: Final = "application/json"

MOST_EVENTS: Final = 1_000
MOST_PROBLEMS: Final = 20  # that are named of one batch
DEEPEST: Final = 100  # arrays and objects inside each other; what Python can read depends on its version and its stack
AHEAD: Final = timedelta(hours=1)  # that a source's clock may be
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # many a program writes the year 1 or 1970 when it means "unknown"

_LONGEST_REASON: Final = 200
_FIXED: Final = {"specversion": "1.0", "datacontenttype": "application/json"}
_TYPE: Final = re.compile(r'\s*([\w.+-]+/[\w.+-]+)\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.ASCII | re.IGNORECASE)
_ARRAY: Final = re.compile(rb"\s*\[")
_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_QUOTED: Final = re.compile(rb'"[^"]*"?')
_NO_MARK: Final = bytes(set(range(256)) - set(b'[]{}"'))

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Usage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The ``data`` of an event. ``input_includes_cached`` says whose manner of counting it is:

    true is OpenAI's and OpenTelemetry's, whose input counts all that was read, from a cache and into one too;
    false is Anthropic's, whose input counts only what was read anew, beside the other two.
    """

    provider: Text
    model: Text
    input_tokens: Count
    output_tokens: Count
    input_includes_cached: bool
    cached_input_tokens: Count | UnsetType = UNSET
    cache_write_tokens: Count | UnsetType = UNSET
    reasoning_tokens: Count | UnsetType = UNSET


class CloudEvent(msgspec.Struct, gc=False):
    """One event, before its counts are compared with each other. ``subject`` is the id of the account."""

    specversion: Literal["1.0"]
    type: Text
    id: Text
    source: Text
    subject: Text
    data: Usage
    time: Moment | None = None
    datacontenttype: Literal["application/json"] | None = None


class BadEvents(Exception):
    """What is wrong: the index of each bad event, or None for the whole, and why. ``status`` is the one for HTTP."""

    def __init__(self, problems: Sequence[tuple[int | None, str]], status: int = 400) -> None:
        super().__init__(problems)
        self.problems = problems
        self.status = status


class Unfit(Exception):
    """Why one event cannot be taken."""


_one = msgspec.json.Decoder(CloudEvent)
_many = msgspec.json.Decoder(list[CloudEvent])
_one_unread = msgspec.json.Decoder(msgspec.Raw)
_many_unread = msgspec.json.Decoder(list[msgspec.Raw])


def parse(content_type: str, body: bytes, now: datetime) -> list[Event]:
    """The events of a request, in their order. Raise ``BadEvents`` when a single one of them cannot be taken."""
    is_array = _is_array(content_type, body)
    try:
        body.decode()  # msgspec looks at no text that it does not need
    except UnicodeDecodeError as error:
        raise BadEvents([(None, f"not UTF-8: byte {error.start}")]) from None
    latest = now + AHEAD
    try:
        told = _many.decode(body) if is_array else [_one.decode(body)]
        events = [event(each, latest) for each in told]
        escaped = b"\\" in body
        if 0 < len(told) <= MOST_EVENTS and not (escaped and b"\\u0000" in body):
            if escaped or sum(map(_quotes, told)) != body.count(b'"'):
                _refuse_depth(body)
                _refuse_repeated_names(body)
            return events
    except (msgspec.DecodeError, RecursionError, Unfit):
        pass
    return _one_by_one(body, is_array, latest)


def event(told: CloudEvent, latest: datetime) -> Event:
    """What was told, with counts that do not overlap. Raise ``Unfit`` where they contradict each other."""
    usage = told.data
    read, output = usage.input_tokens, usage.output_tokens
    cached = 0 if usage.cached_input_tokens is UNSET else usage.cached_input_tokens
    written = 0 if usage.cache_write_tokens is UNSET else usage.cache_write_tokens
    reasoning = 0 if usage.reasoning_tokens is UNSET else usage.reasoning_tokens
    if usage.input_includes_cached:
        read -= cached + written
        if read < 0:
            raise Unfit("more cached_input_tokens and cache_write_tokens than the input_tokens that include them")
    if reasoning > output:
        raise Unfit("more reasoning_tokens than the output_tokens that include them")
    at = told.time
    if at is not None and not EARLIEST <= at <= latest:
        raise Unfit("time: before the year 2000" if at < EARLIEST else "time: more than an hour in the future")
    return Event(
        told.source,
        told.id,
        told.subject,
        usage.provider,
        usage.model,
        at,
        Tokens(read, cached, written, output, reasoning),
    )


def without_nul(taken: Event) -> Event:
    """The same event. Raise ``Unfit`` where a text holds a NUL, which PostgreSQL cannot store."""
    if "\0" in f"{taken.source}{taken.id}{taken.account_id}{taken.provider}{taken.model}":
        raise Unfit("a text with a NUL in it")
    return taken


def plain(error: msgspec.DecodeError) -> str:
    """What a decoder found wrong, and where."""
    what, _, where = str(error).partition(" - at `$")
    what, where = what.replace("`", ""), where.strip(".`")
    if not isinstance(error, msgspec.ValidationError):
        what = f"not JSON: {what.removeprefix('JSON is malformed: ')}"
    if where in _FIXED:
        what = f"has to be {_FIXED[where]}"
    return (f"{where}: " * bool(where) + what[:1].lower() + what[1:])[:_LONGEST_REASON]


def _is_array(content_type: str, body: bytes) -> bool:
    found = _TYPE.fullmatch(content_type)
    kind = found[1].lower() if found else ""
    if kind not in (SINGLE, BATCH, EITHER):
        raise BadEvents([(None, f"the content type has to be {SINGLE}, {BATCH} or {EITHER}, in UTF-8")], 415)
    return kind == BATCH or (kind == EITHER and _ARRAY.match(body) is not None)


def _quotes(told: CloudEvent) -> int:
    """How many an event needs. Where there are no more, and nothing is escaped, each name can only stand there once:

    names and texts are what lies between quotes. This is ten times quicker than reading all names, which is what is
    left to do otherwise: because of extensions, for instance.
    """
    usage = told.data
    return (
        36
        + (4 if told.time else 0)
        + (4 if told.datacontenttype else 0)
        + (0 if usage.cached_input_tokens is UNSET else 2)
        + (0 if usage.cache_write_tokens is UNSET else 2)
        + (0 if usage.reasoning_tokens is UNSET else 2)
    )


def _refuse_depth(body: bytes) -> None:
    """Raise ``BadEvents`` where the brackets outside of texts are too many inside each other."""
    marks = _ESCAPED.sub(b"", body).translate(None, _NO_MARK).replace(b'""', b"")  # few texts have brackets
    depths = accumulate(1 if each in b"[{" else -1 for each in _QUOTED.sub(b"", marks))
    if max(depths, default=0) > DEEPEST:
        raise BadEvents([(None, "nested too deeply")])


def _refuse_repeated_names(text: bytes) -> None:
    """Programs disagree about which of two values counts. Raise ``Unfit`` where there is such a choice."""
    json.loads(text, object_pairs_hook=_each_once, parse_int=str)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise Unfit(f"{name[:_LONGEST_REASON]}: said twice")


def _one_by_one(body: bytes, is_array: bool, latest: datetime) -> list[Event]:
    """As ``parse``, several times slower, and able to tell which events are bad."""
    _refuse_depth(body)
    try:
        unread = _many_unread.decode(body) if is_array else [_one_unread.decode(body)]
    except msgspec.DecodeError as error:
        raise BadEvents([(None, plain(error))]) from None
    if not unread:
        raise BadEvents([(None, "no events")])
    if len(unread) > MOST_EVENTS:
        raise BadEvents([(None, f"{len(unread)} events: {MOST_EVENTS} at most")], 413)
    events: list[Event] = []
    problems: list[tuple[int | None, str]] = []
    for index, each in enumerate(unread):
        try:
            events.append(_carefully(bytes(each), latest))
        except Unfit as unfit:
            if len(problems) == MOST_PROBLEMS:
                problems.append((None, f"only the first {MOST_PROBLEMS} bad events are named"))
                break
            problems.append((index, str(unfit)))
    if problems:
        raise BadEvents(problems)
    return events


def _carefully(text: bytes, latest: datetime) -> Event:
    try:
        taken = without_nul(event(_one.decode(text), latest))
        _refuse_repeated_names(text)
    except msgspec.DecodeError as error:
        raise Unfit(plain(error)) from None
    return taken
