"""The statement of an account: opening balance + every movement = closing balance, and the uses behind each debit.

What the uses of a debit cost adds up to its change, to the last digit.
"""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.store import Line
from bot.money import Credits
from bot.prices.model import percent
from bot.usage import store
from bot.usage.model import batch_of, events_named
from bot.usage.store import Debit

COLUMNS: Final = (
    *("kind", "seq", "booked_at", "happened_at", "cause", "change", "balance"),
    *("source", "id", "provider", "model"),
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("input_price", "cached_input_price", "cache_write_price", "output_price", "markup_percent", "cost"),
)
_FROM_OUTSIDE: Final = ("source", "id", "provider", "model")
_FORMULA: Final = re.compile(r"['\s]*[=+\-@＝＋－＠]|'*[\t\r\n]")  # how a cell begins that a spreadsheet may run
_AT_ONCE: Final = 5_000  # events in memory, about

Movement = tuple[Line, Sequence[Debit] | None]  # with the uses behind it, where they were asked for


@dataclass(frozen=True, slots=True)
class Statement:
    """What moved an account's balance in some time."""

    account_id: str
    opening: Credits
    lines: Sequence[Line]

    @property
    def closing(self) -> Credits:
        return self.lines[-1].balance if self.lines else self.opening


async def statement_of(
    database: Database, account_id: str, since: datetime | None = None, until: datetime | None = None
) -> Statement:
    """What was booked from ``since`` to before ``until``."""
    async with database.read() as tx:
        return Statement(account_id, *await ledger.statement(tx, account_id, since=since, until=until))


async def movements(statement: Statement) -> AsyncIterator[Movement]:
    """Each movement by itself."""
    for line in statement.lines:
        yield line, None


async def movements_with_debits(statement: Statement, database: Database) -> AsyncIterator[Movement]:
    """Each movement with its uses. They are read some at a time, and no transaction is open in between."""
    for some in _pages(statement.lines):
        batches = [batch for line in some if (batch := batch_of(line.cause))]
        async with database.read() as tx:
            found = await store.debits(tx, statement.account_id, batches)
        for line in some:
            yield line, found.get(batch_of(line.cause) or 0, ())


def _pages(lines: Iterable[Line]) -> Iterator[list[Line]]:
    page: list[Line] = []
    events = 0
    for line in lines:
        page.append(line)
        events += events_named(line.facts)  # of all accounts
        if events >= _AT_ONCE:
            yield page
            page, events = [], 0
    yield page


# ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────


async def as_text(statement: Statement, moved: AsyncIterator[Movement]) -> AsyncIterator[str]:
    """Lines with the figures under each other."""
    yield f"{'opening balance':>83} {statement.opening.exact:>20}\n"
    async for line, debits in moved:
        yield f"{line.booked_at:%Y-%m-%d %H:%M:%S} {line.cause:42} {line.change.exact:>20} {line.balance.exact:>20}\n"
        for debit in debits or ():
            model, change = f"{debit.provider} {debit.model}", Credits(-debit.cost.nano)
            yield f"    {debit.happened_at:%Y-%m-%d %H:%M:%S} {model:38} {change.exact:>20}  {_in_words(debit)}\n"
    yield f"{'closing balance':>83} {statement.closing.exact:>20}\n"


def _in_words(debit: Debit) -> str:
    """``1200 input at 2.00, 300 output (100 reasoning) at 8.00, +10 %``: tokens, and dollars for a million of them."""
    tokens = debit.tokens
    output = f"output ({tokens.reasoning} reasoning)" if tokens.reasoning else "output"
    kinds = ((tokens.input, "input"), (tokens.cached, "cached input"), (tokens.written, "cache write"))
    said = [
        f"{count} {kind} at {Credits(figure).exact}"
        for (count, kind), figure in zip((*kinds, (tokens.output, output)), debit.price.figures, strict=True)
        if count and figure is not None
    ]
    return ", ".join([*said, f"+{percent(debit.markup)} %"] if debit.markup else said)


# ── for programs ──────────────────────────────────────────────────────────────────────────────────────────────────


async def as_json(statement: Statement, moved: AsyncIterator[Movement]) -> AsyncIterator[str]:
    """One object, a movement at a time."""
    yield f'{{"account": {json.dumps(statement.account_id)}, "opening": "{statement.opening.exact}", "movements": ['
    between = "\n"
    async for line, debits in moved:
        told = _facts(line) | {"facts": line.facts}
        yield between + json.dumps(told if debits is None else told | {"debits": [*map(_debit_facts, debits)]})
        between = ",\n"
    yield f'\n], "closing": "{statement.closing.exact}"}}\n'


async def as_csv(statement: Statement, moved: AsyncIterator[Movement]) -> AsyncIterator[str]:
    """A table in which the changes add up, and the costs below each change to it.

    An apostrophe stands before what a program wrote and a spreadsheet would run.
    """
    yield _cells(dict(zip(COLUMNS, COLUMNS, strict=True)))
    yield _cells({"kind": "opening", "balance": statement.opening.exact})
    async for line, debits in moved:
        yield _cells({"kind": "movement", **_facts(line)})
        for debit in debits or ():
            facts = _debit_facts(debit)
            harmless = {name: _harmless(str(facts[name])) for name in _FROM_OUTSIDE}
            yield _cells({"kind": "debit", "seq": line.seq, **facts, **harmless})
    yield _cells({"kind": "closing", "balance": statement.closing.exact})


def _facts(line: Line) -> dict[str, object]:
    return {
        "seq": line.seq,
        "booked_at": line.booked_at.isoformat(),
        "happened_at": line.happened_at.isoformat(),
        "cause": line.cause,
        "change": line.change.exact,
        "balance": line.balance.exact,
    }


def _debit_facts(debit: Debit) -> dict[str, object]:
    """Input tokens are those read anew; reasoning tokens are a part of the output."""
    tokens = debit.tokens
    read, cached, written, output = [None if each is None else Credits(each).exact for each in debit.price.figures]
    return {
        "source": debit.source,
        "id": debit.id,
        "happened_at": debit.happened_at.isoformat(),
        "provider": debit.provider,
        "model": debit.model,
        "input_tokens": tokens.input,
        "cached_input_tokens": tokens.cached,
        "cache_write_tokens": tokens.written,
        "output_tokens": tokens.output,
        "reasoning_tokens": tokens.reasoning,
        "input_price": read,
        "cached_input_price": cached,
        "cache_write_price": written,
        "output_price": output,
        "markup_percent": percent(debit.markup),
        "cost": debit.cost.exact,
    }


def _cells(row: Mapping[str, object]) -> str:
    out = io.StringIO()
    csv.DictWriter(out, COLUMNS).writerow(row)
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
