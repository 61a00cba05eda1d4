"""``credits-bot cases``: what people wrote to support, read, closed, and erased."""

import json
from datetime import datetime
from functools import partial
from typing import Any

import click

from bot.cli.common import JSON, Opened, asynchronous
from bot.clock import SystemClock
from bot.support import store
from bot.support.erasure import StillOnItsWay, erase
from bot.support.model import Case, Entry
from bot.text import printable


@click.group(name="cases")
def cases_group() -> None:
    """Cases: what people wrote to support."""


@cases_group.command(name="list")
@click.option("--all", "closed", is_flag=True, help="Those that are closed, too.")
@JSON
@asynchronous
async def cases_list(closed: bool, as_json: bool) -> None:
    """List the cases that are open, the newest first."""
    now = SystemClock().now()
    async with Opened(migrated=True) as database, database.read() as tx:
        known = await store.every(tx, open_at=None if closed else now)
    if as_json:
        click.echo(json.dumps([_facts(case, now) for case in known], indent=2))
    elif not known:
        click.echo("There are no cases yet." if closed else "No case is open.", err=True)
    for case in () if as_json else known:
        click.echo(f"{case.number}  {_state(case, now)}  {case.opened_at:%Y-%m-%d %H:%M:%S}  {printable(case.subject)}")


@cases_group.command(name="show")
@click.argument("number")
@JSON
@asynchronous
async def cases_show(number: str, as_json: bool) -> None:
    """Show the case NUMBER and what was written to it."""
    now = SystemClock().now()
    async with Opened(migrated=True) as database, database.read() as tx:
        case = await _found(tx, number)
        written = await store.entries_of(tx, case.number)
    facts = _facts(case, now)
    if as_json:
        click.echo(json.dumps({**facts, "entries": [_entry(each) for each in written]}, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name:11} {'–' if value is None else printable(str(value))}")
    for each in written:
        click.echo(f"\n{each.at:%Y-%m-%d %H:%M:%S}  {each.user_id or 'the bot'}  {each.address or '–'}  {each.state}")
        for line in each.words.splitlines():
            click.echo(f"  {printable(line)}")


@cases_group.command(name="close")
@click.argument("number")
@JSON
@asynchronous
async def cases_close(number: str, as_json: bool) -> None:
    """Close the case NUMBER. What is written about its purchase from now on is another case."""
    now = SystemClock().now()
    async with Opened(migrated=True) as database:

        async def close(tx: Any) -> Case:
            case = await _found(tx, number)
            if case.is_open(now):
                await store.keep_open(tx, case.number, now)
            return await _found(tx, number)

        case = await database.write(close)
    click.echo(json.dumps(_facts(case, now), indent=2) if as_json else f"{case.number} is closed.")


@cases_group.command(name="erase")
@click.argument("number")
@JSON
@asynchronous
async def cases_erase(number: str, as_json: bool) -> None:
    """Erase what was written in the case NUMBER. Mail addresses too; it is closed, and the books do not change."""
    now = SystemClock().now()
    async with Opened(migrated=True) as database, database.read() as tx:
        case = await _found(tx, number)
        try:
            await database.write(partial(erase, number=case.number, now=now))
        except StillOnItsWay:
            raise click.ClickException(f"{case.number} is on its way still: erase it when it has arrived") from None
    told = {"number": case.number, "erased_at": now.isoformat()}
    click.echo(json.dumps(told, indent=2) if as_json else f"What was written in {case.number} is erased here.")


async def _found(tx: Any, number: str) -> Case:
    case = await store.of_number(tx, number.upper())
    if case is None:
        raise click.ClickException(f"there is no case {number}: credits-bot cases list --all shows them all")
    return case


def _facts(case: Case, now: datetime) -> dict[str, object]:
    return {
        "number": case.number,
        "state": _state(case, now),
        "subject": case.subject,
        "account": case.account_id,
        "purchase": case.purchase_id,
        "team": case.workspace.team_id,
        "opened_by": case.opened_by,
        "opened_at": case.opened_at.isoformat(),
        "open_until": case.open_until.isoformat(),
    }


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "at": entry.at.isoformat(),
        "by": entry.user_id,
        "address": entry.address,
        "about": entry.about,
        "mail": entry.state.value,
        "words": entry.words,
    }


def _state(case: Case, now: datetime) -> str:
    return "open" if case.is_open(now) else "closed"
