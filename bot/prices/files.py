"""Prices as people write them, in CSV or JSON: read strictly, and written so that they can be read again."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Final, TypeVar

from bot.money import NANO_PER_CREDIT, Credits
from bot.prices.model import Price, when, with_ends

T = TypeVar("T")
_Row = tuple[tuple[str, object], ...]  # columns and what stands in them

FIGURES: Final = ("input", "cached_input", "cache_write", "output")
COLUMNS: Final = ("provider", "model", *FIGURES, "effective_date", "expired_date")
_OPTIONAL: Final = {"cached_input", "cache_write", "expired_date"}
_DOLLARS: Final = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,9}))?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(  # RFC 3339 has no hour 24; Python reads one from 3.14 on
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_FORMULA: Final = re.compile(r"'*[=+\-@＝＋－＠]")  # how a cell begins that a spreadsheet takes for a formula
_START: Final = Path(__file__).with_name("start.csv")


class BadRows(ValueError):
    """Rows that are no prices: where each stands, and why. Nothing of the file may be used."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{where}: {reason}" for where, reason in problems))
        self.problems = problems


def read(content: bytes) -> list[tuple[str, Price]]:
    """The prices of a CSV or JSON file, each with where it stands. Raise ``BadRows`` naming all that are bad."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRows([("file", "it is not text in UTF-8")]) from None
    rows = _json_rows(text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text)
    found: list[tuple[str, Price]] = []
    problems: list[tuple[str, str]] = []
    for where, row in rows:
        try:
            found.append((where, _price(row)))
        except ValueError as wrong:
            problems.append((where, str(wrong)))
    if problems:
        raise BadRows(problems)
    return _without_needless_ends(found)


def starting_table() -> list[Price]:
    """The prices of some well-known models that come with the bot. Nobody is billed by them until they are imported."""
    return [price for _, price in read(_START.read_bytes())]


def to_csv(prices: Iterable[Price]) -> str:
    """A table that ``read`` takes, and in which no spreadsheet finds a formula."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for price in with_ends(prices):
        row = facts(price)
        writer.writerow({**row, "provider": _harmless(price.provider), "model": _harmless(price.model)})
    return out.getvalue()


def to_json(prices: Iterable[Price]) -> str:
    """A list that ``read`` takes."""
    return json.dumps([facts(price) for price in with_ends(prices)], indent=2)


def facts(price: Price) -> dict[str, str | None]:
    """The columns of a price: dollars per million tokens as decimals, moments as days where they are days."""
    figures = [None if figure is None else Credits(figure).exact for figure in price.figures]
    dates = [when(price.effective_at), None if price.expires_at is None else when(price.expires_at)]
    return dict(zip(COLUMNS, [price.provider, price.model, *figures, *dates], strict=True))


def dollars(text: str) -> int:
    """Decimal dollars in nano-credits, the unit of prices. Raise ``ValueError``."""
    found = _DOLLARS.fullmatch(text)
    if found is None:
        raise ValueError(f"{_quoted(text)} is no price: write dollars per million tokens, such as 2.50 or 0.075")
    return int(found[1]) * NANO_PER_CREDIT + int((found[2] or "").ljust(9, "0"))


def moment(text: str) -> datetime:
    """The beginning of a day in UTC, or an RFC 3339 instant. Raise ``ValueError``."""
    with suppress(ValueError, OverflowError):
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    raise ValueError(f"{_quoted(text)} is no date: write a day such as 2026-11-03, or 2026-11-03T12:00:00Z")


def _csv_rows(text: str) -> list[tuple[str, _Row]]:
    """The rows below the header; lines that begin with # may stand above it."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[tuple[str, _Row]] = []
    try:
        for cells in reader:
            where = f"line {reader.line_num}"
            if not cells or (not header and cells[0].startswith("#")):
                continue
            if header:
                rows.append((where, tuple(zip_longest(header, map(_bare, cells), fillvalue=""))))
                continue
            if wrong := _wrong_columns(cells):
                raise BadRows([(where, wrong)])
            header = cells
    except csv.Error as broken:
        raise BadRows([(f"line {reader.line_num}", f"this is no CSV: {broken}")]) from None
    if not header:
        raise BadRows([("file", "it is empty")])
    return rows


def _json_rows(text: str) -> list[tuple[str, _Row]]:
    """The objects of a list. Numbers stay the text they are, so that none is ever a float."""
    try:
        rows = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=tuple)
    except json.JSONDecodeError as broken:
        raise BadRows([(f"line {broken.lineno}", f"this is no JSON: {broken.msg}")]) from None
    except RecursionError:
        raise BadRows([("file", "this is no list of prices: it is nested too deeply")]) from None
    if not isinstance(rows, list):
        raise BadRows([("file", "this is no list of prices")])
    return [(f"row {n}", row if isinstance(row, tuple) else ()) for n, row in enumerate(rows, 1)]


def _price(row: _Row) -> Price:
    """The price of a row. Raise ``ValueError``."""
    if wrong := _wrong_columns([column for column, _ in row]):
        raise ValueError(wrong)
    if odd := [column for column, cell in row if not isinstance(cell, str | None)]:
        raise ValueError(f"{odd[0]} must be text or a number")
    cells = {column: cell for column, cell in row if isinstance(cell, str) and cell}
    if empty := [column for column in COLUMNS if column not in cells and column not in _OPTIONAL]:
        raise ValueError(f"{empty[0]} is missing")
    price = Price(
        id=0,
        provider=cells["provider"],
        model=cells["model"],
        input=_cell(cells, "input", dollars),
        cached=_cell(cells, "cached_input", dollars) if "cached_input" in cells else None,
        written=_cell(cells, "cache_write", dollars) if "cache_write" in cells else None,
        output=_cell(cells, "output", dollars),
        effective_at=_cell(cells, "effective_date", moment),
        expires_at=_cell(cells, "expired_date", moment) if "expired_date" in cells else None,
    )
    if price.flaw:
        raise ValueError(price.flaw)
    return price


def _wrong_columns(columns: Sequence[str]) -> str | None:
    if unknown := [column for column in columns if column not in COLUMNS]:
        return f"there is no column {_quoted(unknown[0])}: the columns are {', '.join(COLUMNS)}"
    if twice := [column for column in COLUMNS if columns.count(column) > 1]:
        return f"{twice[0]} stands there twice"
    if missing := [column for column in COLUMNS if column not in columns and column not in _OPTIONAL]:
        return f"there is no {missing[0]}"
    return None


def _cell(cells: Mapping[str, str], column: str, reading: Callable[[str], T]) -> T:
    try:
        return reading(cells[column])
    except ValueError as wrong:
        raise ValueError(f"{column}: {wrong}") from None


def _without_needless_ends(rows: list[tuple[str, Price]]) -> list[tuple[str, Price]]:
    """Where the model's next price in the same file begins, the one before ends anyhow."""
    begin = {(price.provider, price.model, price.effective_at) for _, price in rows}
    return [
        (where, replace(price, expires_at=None))
        if price.expires_at and (price.provider, price.model, price.expires_at) in begin
        else (where, price)
        for where, price in rows
    ]


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _bare(text: str) -> str:
    """The cell without the apostrophe that made it harmless."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
