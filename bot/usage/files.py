"""Usage from files: the events that programs send, one CloudEvent in a line, or in a table of comma-separated values.

A file is read a line at a time, whatever its size, and can be left and taken up again at any line.
"""

import csv
import re
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Final, NamedTuple

import msgspec

from bot.usage import wire
from bot.usage.model import Event

LONGEST_LINE: Final = 64 * 1024  # bytes
COLUMNS: Final = (
    *("source", "id", "subject", "time", "provider", "model"),
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    "input_includes_cached",
)
_OPTIONAL: Final = {"time", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"}
_OF_THE_EVENT: Final = {"source", "id", "subject", "time"}
_STRAY: Final = re.compile("[\ud800-\udfff]")  # what bytes that are no UTF-8 were read as
_DIGITS: Final = 20  # of a count, at most


class Line(NamedTuple):
    """What was found, the number of the line where it ends, and how many bytes of the file are behind it then."""

    number: int
    position: int
    found: Event | str  # the event, or why it cannot be taken


def events_in(file: BinaryIO, name: str, now: datetime) -> Iterator[Line]:
    """The lines of a file. Its name says what it is: it ends in .csv, or it is NDJSON.

    Empty lines are passed over.
    """
    return (_table if name.lower().endswith(".csv") else _ndjson)(file, now)


def _ndjson(file: BinaryIO, now: datetime) -> Iterator[Line]:
    lines = _Lines(file)
    for line in lines:
        if lines.too_long:
            yield Line(lines.number, lines.position, _TOO_LONG)
        elif line.strip():
            yield Line(lines.number, lines.position, _event(line, now))


def _event(line: bytes, now: datetime) -> Event | str:
    try:
        [event] = wire.parse(wire.SINGLE, line, now)
    except wire.BadEvents as bad:
        [(_, reason)] = bad.problems
        return reason
    return event


def _table(file: BinaryIO, now: datetime) -> Iterator[Line]:
    lines = _Lines(file)
    rows = filter(None, csv.reader((line.decode(errors="surrogateescape") for line in lines), strict=True))
    try:
        columns = _columns(next(rows, []))
    except (csv.Error, wire.Unfit) as wrong:
        yield Line(lines.number, lines.position, str(wrong))
        return
    while (found := _next(rows, columns, now)) is not None:
        yield Line(lines.number, lines.position, _TOO_LONG if lines.too_long else found)


def _columns(names: list[str]) -> list[str]:
    """The columns of a table, in any order. Raise ``Unfit`` where one is missing, strange or there twice."""
    if unknown := [name for name in names if name not in COLUMNS]:
        raise wire.Unfit(f"no such column: {unknown[0][:50]!a}; the columns are {','.join(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in names and name not in _OPTIONAL]:
        raise wire.Unfit(f"without the columns {', '.join(missing)}")
    if len(set(names)) < len(names):
        raise wire.Unfit("two columns of one name")
    return names


def _next(rows: Iterator[list[str]], columns: list[str], now: datetime) -> Event | str | None:
    """The event of the next row, or why it is none; None behind the last row."""
    try:
        row = next(rows, None)
        return None if row is None else _of_row(columns, row, now)
    except csv.Error as error:
        return f"not a row of a table: {error}"
    except msgspec.ValidationError as error:
        return wire.plain(error).removeprefix("data: ").removeprefix("data.")
    except wire.Unfit as unfit:
        return str(unfit)


def _of_row(columns: list[str], row: list[str], now: datetime) -> Event:
    if len(row) != len(columns):
        raise wire.Unfit(f"{len(row)} cells for {len(columns)} columns")
    if _STRAY.search("".join(row)):
        raise wire.Unfit("not UTF-8")
    said = {name: _value(name, cell) for name, cell in zip(columns, row, strict=True) if cell}
    usage = {name: said.pop(name) for name in columns if name in said and name not in _OF_THE_EVENT}
    told = msgspec.convert({"specversion": "1.0", "type": "usage", "data": usage, **said}, wire.CloudEvent)
    return wire.without_nul(wire.event(told, now + wire.AHEAD))


def _value(name: str, cell: str) -> str | int | bool:
    """What a cell means. What means nothing stays text, and is refused as such."""
    if name.endswith("_tokens") and cell.isascii() and cell.isdigit() and len(cell) <= _DIGITS:
        return int(cell)
    if name == "input_includes_cached":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return cell


class _Lines:
    """The lines of a file, without the mark that some programs put before the first one, and how far it was read.

    Of a line that is too long the beginning is given, and the rest is left out.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.too_long = False
        self.number = 0
        self.position = 0

    def __iter__(self) -> Iterator[bytes]:
        while line := self._file.readline(LONGEST_LINE):
            first = self.position == 0
            self.number += 1
            self.position += len(line)
            self.too_long = len(line) == LONGEST_LINE and not line.endswith(b"\n")
            if self.too_long:
                self._leave_out_the_rest()
            yield line.removeprefix(b"\xef\xbb\xbf") if first else line

    def _leave_out_the_rest(self) -> None:
        while rest := self._file.readline(LONGEST_LINE):
            self.position += len(rest)
            if rest.endswith(b"\n"):
                return


_TOO_LONG: Final = f"longer than {LONGEST_LINE} bytes"
