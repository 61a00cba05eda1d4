"""Usage from files: the same events as over the wire, a line at a time, and taken up again where it was left."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.prices.model import Tokens
from bot.usage.files import COLUMNS, LONGEST_LINE, Line, events_in
from bot.usage.model import Event

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HEADER = ",".join(COLUMNS)
ROW = "genstudio,1,acme,2026-11-03T11:00:00Z,openai,gpt-5,1200,1000,,350,128,true"
JSON = json.dumps(
    {
        "specversion": "1.0",
        "type": "usage",
        "source": "genstudio",
        "id": "1",
        "subject": "acme",
        "time": "2026-11-03T11:00:00Z",
        "data": {
            "provider": "openai",
            "model": "gpt-5",
            "input_tokens": 1200,
            "cached_input_tokens": 1000,
            "output_tokens": 350,
            "reasoning_tokens": 128,
            "input_includes_cached": True,
        },
    }
)
READ = Event(
    "genstudio", "1", "acme", "openai", "gpt-5", NOON - timedelta(hours=1), Tokens(200, 1000, 0, 350, reasoning=128)
)


def found(text: str | bytes, name: str) -> list[Line]:
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return list(events_in(file, name, NOON))


def in_table(*rows: str) -> list[Line]:
    return found("\n".join([HEADER, *rows]), "use.csv")


def test_a_line_and_a_row_are_the_event_that_came_over_the_wire() -> None:
    assert found(JSON, "use.ndjson") == [Line(1, len(JSON), READ)]
    assert in_table(ROW) == [Line(2, len(HEADER) + 1 + len(ROW), READ)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_are_read_whatever_system_wrote_them(end: str, mark: str) -> None:
    lines = found(mark + end.join([JSON, "", "   ", JSON]), "use.jsonl")
    assert [(line.number, line.found) for line in lines] == [(1, READ), (4, READ)]
    lines = found(mark + end.join([HEADER, ROW, "", ROW, ""]), "USE.CSV")
    assert [(line.number, line.found) for line in lines] == [(2, READ), (4, READ)]


def test_a_bad_line_is_named_and_the_others_are_read() -> None:
    bad = JSON.replace("input_tokens", "input_token", 1)
    lines = found("\n".join([JSON, bad, "{", f"[{JSON}]", JSON]), "use.ndjson")
    assert [(line.number, line.found) for line in lines] == [
        (1, READ),
        (2, "data: object contains unknown field input_token"),
        (3, "not JSON: Input data was truncated"),
        (4, "expected object, got array"),
        (5, READ),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("1200", "1200.0"), "input_tokens: expected int, got str"),
        (ROW.replace("1200", " 1200"), "input_tokens: expected int, got str"),
        (ROW.replace("1200", "+1200"), "input_tokens: expected int, got str"),
        (ROW.replace("1200", "-1"), "input_tokens: expected int, got str"),
        (ROW.replace("1200", "１２００"), "input_tokens: expected int, got str"),
        (ROW.replace("1200", "9" * 10), "input_tokens: expected int <= 100000000"),
        (ROW.replace("1200", "9" * 5000), "input_tokens: expected int, got str"),
        (ROW.replace("1200", ""), "object missing required field input_tokens"),
        (ROW.replace("1000", "1201"), "more cached_input_tokens"),
        (ROW.replace("128", "351"), "more reasoning_tokens"),
        (ROW.replace("true", ""), "object missing required field input_includes_cached"),
        (ROW.replace("true", "1"), "input_includes_cached: expected bool, got str"),
        (ROW.replace("acme", ""), "object missing required field subject"),
        (ROW.replace("acme", "a" * 201), "subject: expected str of length <= 200"),
        (ROW.replace("acme", "a\0c"), "a text with a NUL in it"),
        (ROW.replace("11:00:00Z", "11:00:00"), "time: expected datetime with a timezone"),
        (ROW.replace("2026", "2027"), "time: more than an hour in the future"),
        (ROW + ",", "13 cells for 12 columns"),
        (ROW.rpartition(",")[0], "11 cells for 12 columns"),
        (ROW.replace("acme", '"ac"me'), "not a row of a table: "),
        ("x" * (LONGEST_LINE + 1), f"longer than {LONGEST_LINE} bytes"),
    ],
    ids=lambda value: value[:70],
)
def test_a_bad_row_is_refused_with_the_reason(row: str, reason: str) -> None:
    before, bad, after = in_table(ROW, row, ROW)
    assert isinstance(bad.found, str)
    assert bad.found.startswith(reason)
    assert (before.found, bad.number, after.number, after.found) == (READ, 3, 4, READ)


def test_what_is_no_utf8_is_told() -> None:
    [bad, good] = found(f"{HEADER}\n{ROW}\n{ROW}".encode().replace(b"acme", b"ac\xffme", 1), "use.csv")
    assert (bad.found, good.found) == ("not UTF-8", READ)
    [bad, good] = found(f"{JSON}\n{JSON}".encode().replace(b"acme", b"ac\xffme", 1), "use.ndjson")
    assert (str(bad.found)[:9], good.found) == ("not UTF-8", READ)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "without the columns source, id, subject"),
        (HEADER.replace("input_includes_cached", "includes_cached"), "no such column: 'includes_cached'; the columns"),
        (HEADER.replace(",", ";"), "no such column: "),
        (HEADER.replace("cached_input_tokens", "input_tokens", 1), "two columns of one name"),
        (HEADER.removesuffix(",input_includes_cached"), "without the columns input_includes_cached"),
        ('"', "unexpected end of data"),
    ],
    ids=lambda value: value[:40],
)
def test_a_table_without_the_right_columns_is_not_read_at_all(header: str, reason: str) -> None:
    [line] = found(header if header == '"' or not header else f"{header}\n{ROW}\n{ROW}", "use.csv")
    assert isinstance(line.found, str)
    assert line.found.startswith(reason)


def test_columns_stand_in_any_order_and_some_may_be_missing() -> None:
    header = "model,provider,id,source,subject,input_includes_cached,output_tokens,input_tokens"
    [line] = found(f"{header}\ngpt-5,openai,1,g,acme,FALSE,2,3", "use.csv")
    assert line.found == Event("g", "1", "acme", "openai", "gpt-5", None, Tokens(input=3, output=2))


def test_a_cell_may_have_anything_in_it_that_a_table_allows() -> None:
    [line, after] = in_table(ROW.replace("acme", '"ac""me, and\nsons"'), ROW)
    assert isinstance(line.found, Event)
    assert (line.found.account_id, line.number, after.number) == ('ac"me, and\nsons', 3, 4)


class Endless(io.RawIOBase):
    """A file without end, that counts what was read of it."""

    def __init__(self, head: bytes, again: bytes) -> None:
        self._head, self._again = head, again
        self.given = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def readinto(self, buffer: Any) -> int:
        piece = (self._head or self._again)[: len(buffer)]
        self._head = self._head[len(piece) :]
        buffer[: len(piece)] = piece
        self.given += len(piece)
        return len(piece)


@pytest.mark.parametrize(
    ("name", "head", "again"),
    [("use.ndjson", b"", f"{JSON}\n".encode()), ("use.csv", f"{HEADER}\n".encode(), f"{ROW}\n".encode())],
)
def test_no_more_is_read_than_is_asked_for(name: str, head: bytes, again: bytes) -> None:
    file = Endless(head, again)
    lines: Iterator[Line] = events_in(io.BufferedReader(file), name, NOON)
    assert [line.found for line in islice(lines, 1000)] == [READ] * 1000
    assert file.given < len(head) + 1001 * len(again) + io.DEFAULT_BUFFER_SIZE


def test_a_line_of_any_length_is_passed_over_without_keeping_it(tmp_path: Path) -> None:
    for name, head, row in (("use.ndjson", "", JSON), ("use.csv", f"{HEADER}\n", ROW)):
        text = f"{head}{row}\n{'x' * 5_000_000}\n{row}\n"
        first, long, last = found(text, name)
        assert (first.found, long.found, last.found) == (READ, f"longer than {LONGEST_LINE} bytes", READ)
        assert last.position == len(text)


@given(st.sampled_from(["use.csv", "use.ndjson"]), st.binary(max_size=300), st.integers(0, 200))
@settings(deadline=None)
def test_rubbish_crashes_nothing(name: str, rubbish: bytes, at: int) -> None:
    good = f"{HEADER}\n{ROW}\n{ROW}\n" if name == "use.csv" else f"{JSON}\n{JSON}\n"
    for text in (rubbish, good.encode()[:-at] + rubbish, good.encode()[:at] + rubbish + good.encode()[at:]):
        for line in found(text, name):
            assert isinstance(line.found, Event) or line.found
            assert 0 <= line.position <= len(text)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200), min_size=1
    )
)
@settings(deadline=None)
def test_any_text_that_python_writes_into_a_table_is_read_again(subjects: list[str]) -> None:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for subject in subjects:
        writer.writerow([{"subject": subject, "time": ""}.get(name, "1") for name in COLUMNS[:-1]] + ["false"])
    read = [line.found for line in found(table.getvalue(), "use.csv")]
    assert [event.account_id if isinstance(event, Event) else event for event in read] == subjects
