"""``credits-bot usage``: what was used, from files; and what waits, or was given up."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import click

from bot.cli.common import JSON, Opened, asynchronous
from bot.clock import SystemClock
from bot.db.engine import Database
from bot.doctor.report import count
from bot.text import printable
from bot.usage import store
from bot.usage.files import Line, events_in
from bot.usage.meter import Meter
from bot.usage.model import Event, Parked, UsageRefused
from bot.usage.rating import Rater

_AT_ONCE: Final = 1_000  # events
_SHOWN: Final = 20  # bad lines


@dataclass(slots=True)
class _Tally:
    """What became of the lines so far."""

    new: int = 0
    repeated: int = 0
    parked: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)  # line and reason
    complete: bool = False


@click.group(name="usage")
def usage_group() -> None:
    """Uses of models: bring them in from files; see what waits to be booked, and give up what never will be."""


@usage_group.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@JSON
@asynchronous
async def usage_import(file: Path, as_json: bool) -> None:
    """Book the events of FILE: a CSV, or NDJSON with a CloudEvent in each line, as POST /api/v1/events takes them.

    It works beside a running bot, and can be stopped and started again: each event counts once. Of each thousand lines
    all are booked or none; where one is wrong, the import ends before them.
    """
    tally = _Tally()
    async with Opened(migrated=True) as database, _metering(database) as meter:
        try:
            await _import(file, meter, tally, bar=sys.stderr.isatty() and not as_json)
        finally:  # whoever stops it hears how far it came
            _tell(tally, as_json)
    if not tally.complete:
        sys.exit(1)


@usage_group.command(name="parked")
@JSON
@asynchronous
async def usage_parked(as_json: bool) -> None:
    """List the uses that wait to be booked: for a price, or for credits beyond an overdraft."""
    async with Opened(migrated=True) as database, database.read() as tx:
        waiting = await store.waiting(tx)
    if as_json:
        click.echo(json.dumps([{"account": each.account_id, **each.facts} for each in waiting], indent=2))
    elif not waiting:
        click.echo("Nothing waits to be booked.", err=True)
    for each in () if as_json else waiting:
        model = printable(f"{each.provider} {each.model}")
        click.echo(f"{each.account_id}  {model}  {each.reason}  {each.count}  since {each.oldest:%Y-%m-%d %H:%M:%S}")


@usage_group.command(name="discard")
@click.argument("account", metavar="ID")
@click.argument("provider")
@click.argument("model")
@click.option("--why", required=True, help="Is kept, with who and when.")
@click.option("--who", required=True, envvar=["USER", "USERNAME"], help="Whoever is logged in here, unless said.")
@click.option("--yes", is_flag=True, help="Without asking.")
@JSON
@asynchronous
async def usage_discard(account: str, provider: str, model: str, why: str, who: str, yes: bool, as_json: bool) -> None:
    """Give up the account ID's uses of MODEL that wait for a price. Nobody pays for them, and their ids stay taken."""
    if not (why.strip() and who.strip()):
        raise click.UsageError("--why and --who cannot be empty")
    async with Opened(migrated=True) as database:
        async with database.read() as tx:
            waiting = await store.waiting(tx, account)
        of_model = [each for each in waiting if (each.provider, each.model) == (provider, model)]
        unpriced = sum(each.count for each in of_model if each.reason != Parked.OVERDRAWN)
        if not unpriced:
            raise click.ClickException("nothing of that waits for a price: credits-bot usage parked shows what does")
        if not yes:
            if as_json:
                raise click.UsageError("--json asks nothing: say --yes")
            click.confirm(
                f"Discard {count(unpriced, 'use')} of {printable(f'{provider} {model}')} of {account}?", abort=True
            )
        now = SystemClock().now()
        write = partial(store.discard, account_id=account, provider=provider, model=model, at=now, who=who, why=why)
        discarded = await database.write(write)
    click.echo(json.dumps({"discarded": discarded}) if as_json else f"{count(discarded, 'use')} discarded.")


@usage_group.command(name="discarded")
@JSON
@asynchronous
async def usage_discarded(as_json: bool) -> None:
    """List what was given up, by whom, when and why, the newest first."""
    async with Opened(migrated=True) as database, database.read() as tx:
        given_up = await store.discarded(tx)
    if as_json:
        click.echo(json.dumps([asdict(each) | {"at": each.at.isoformat()} for each in given_up], indent=2))
    elif not given_up:
        click.echo("Nothing was given up.", err=True)
    for each in () if as_json else given_up:
        model, who, why = map(printable, (f"{each.provider} {each.model}", each.who, each.why))
        click.echo(f"{each.at:%Y-%m-%d %H:%M:%S}  {each.account}  {model}  {each.events}  {who}  {why}")


async def _import(file: Path, meter: Meter, tally: _Tally, *, bar: bool) -> None:
    with file.open("rb") as content:
        size = os.fstat(content.fileno()).st_size
        with click.progressbar(length=size, label=file.name, file=sys.stderr, hidden=not bar) as progress:
            for lines in _some(events_in(content, file.name, SystemClock().now())):
                await _book(lines, meter, tally)
                if tally.problems:
                    return
                progress.update(lines[-1].position - progress.pos)
    tally.complete = True


async def _book(lines: list[Line], meter: Meter, tally: _Tally) -> None:
    """Book all of these or none."""
    events = [line.found for line in lines if isinstance(line.found, Event)]
    tally.problems = [(line.number, line.found) for line in lines if isinstance(line.found, str)]
    if tally.problems:
        return
    try:
        receipt = await meter.book(events)
    except UsageRefused as refused:
        tally.problems = [(lines[index].number, reason) for index, reason in refused.problems]
        return
    tally.new += receipt.new
    tally.repeated += len(events) - receipt.new
    tally.parked += receipt.parked


def _some(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(lines)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


@asynccontextmanager
async def _metering(database: Database) -> AsyncIterator[Meter]:
    """A meter at work, without the bot around it."""
    from bot.clockwork import Clockwork

    clockwork = Clockwork()
    meter = Meter(database, SystemClock(), Rater(database))
    meter.nudge = clockwork.every(1.0, "usage", meter.work).nudge
    clockwork.start()
    try:
        yield meter
    finally:
        await clockwork.stop()


def _tell(tally: _Tally, as_json: bool) -> None:
    counts = {"new": tally.new, "repeated": tally.repeated, "parked": tally.parked}
    if as_json:
        problems = [{"line": line, "reason": reason} for line, reason in tally.problems[:_SHOWN]]
        click.echo(json.dumps({"complete": tally.complete, **counts, "problems": problems}, indent=2))
        return
    for line, reason in tally.problems[:_SHOWN]:
        click.echo(f"line {line}: {reason}", err=True)
    if len(tally.problems) > _SHOWN:
        click.echo(f"and {len(tally.problems) - _SHOWN} more", err=True)
    click.echo(f"Events: {tally.new} new, {tally.repeated} there already.")
    if tally.parked:
        are, wait = ("is", "it waits") if tally.parked == 1 else ("are", "they wait")
        told = f"{tally.parked} of all these {are} parked and not booked yet"
        click.echo(f"{told}: credits-bot doctor says what {wait} for.")
    if not tally.complete:
        mend = "mend it and " if tally.problems else ""
        click.echo(f"The rest of the file is not booked: {mend}import it again to go on.", err=True)
