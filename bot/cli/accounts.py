"""``credits-bot accounts``: who may buy, and what for."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import click
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, AtZero, Plan, Workspace
from bot.alerts import store as alerts
from bot.cli.common import JSON, Opened, asynchronous, found
from bot.clock import SystemClock
from bot.db.engine import Database, must
from bot.ledger import store as ledger
from bot.money import Credits, UnreadableAmount, Usd
from bot.text import languages, printable
from bot.usage import hold_store
from bot.usage import store as usage
from bot.usage.store import Waiting

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LONGEST_NAME: Final = 80
_AT_ZERO: Final = {"stop": AtZero.STOP, "go-on": AtZero.GO_ON}
_GREATEST_OVERDRAFT: Final = Credits.bought_for(Usd.dollars(1_000_000))


class _Id(click.ParamType[str]):
    """An id of Slack or Stripe, or nothing. They are mixed up, and what is mistyped would match nobody."""

    name = "id"

    def __init__(self, beginnings: str, rest: str = "[A-Z0-9]+") -> None:
        self._beginnings = beginnings
        self._rest = rest

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        id = value.strip()
        if id and not re.fullmatch(f"(?:{self._beginnings}){self._rest}", id):
            again = "; say the option again for each of several" if "," in id else ""
            begins = " or ".join(f"{each}…" for each in self._beginnings.split("|"))
            self.fail(f"{id!r} is no id such as {begins}{again}", param, ctx)
        return id


@click.group(name="accounts")
def accounts_group() -> None:
    """Who may buy: accounts, their plan, owners, Slack workspace and channel."""


def _account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--name", help="The customer's name, as buyers see it."),
            click.option("--plan", type=click.Choice([plan.value for plan in Plan])),
            click.option("--team", type=_Id("T"), help="The Slack workspace: T…"),
            click.option("--enterprise", type=_Id("E"), help="Its Enterprise Grid organisation, if any: E…"),
            click.option("--owner", "owners", type=_Id("U|W"), multiple=True, help="Who may buy: U… May be repeated."),
            click.option("--channel", type=_Id("C|G"), help="The channel that hears of purchases: C…"),
            click.option("--customer", type=_Id("cus_", "[A-Za-z0-9]+"), help="The customer at Stripe: cus_…"),
            click.option("--language", type=click.Choice(languages()), help="Of what is written into the channel."),
            click.option(
                "--at-zero", type=click.Choice(_AT_ZERO), help="Whether calls of models may go on below zero."
            ),
            click.option("--overdraft", metavar="CREDITS", help="How far below zero use may bring the balance."),
            click.option(
                "--trial-ends",
                metavar="YYYY-MM-DD",
                help="The day, in UTC, on which a free trial is over; empty: it is not known.",
            ),
        ]
    ):
        command = option(command)
    return command


@accounts_group.command(name="add")
@click.argument("id")
@_account_options
@JSON
@asynchronous
async def accounts_add(id: str, as_json: bool, owners: tuple[str, ...], **given: str | None) -> None:
    """Add the account ID. Needs at least --name, --plan, --team and --owner."""
    missing = [name for name in ("name", "plan", "team") if not given[name]] + ([] if owners else ["owner"])
    if missing:
        raise click.UsageError(f"missing: {', '.join(f'--{name}' for name in missing)}")
    if not _ID.fullmatch(id):
        raise click.UsageError(f"an ID has up to 63 small letters, digits and dashes, no dash first: not {id!r}")
    _check(owners, given)
    account = _changed(Account(id, "", Plan.FREE_TRIAL, Workspace("", ""), frozenset()), owners, given)
    async with Opened(migrated=True, makes=True) as database:
        try:
            await database.write(lambda tx: accounts.add(tx, account, SystemClock().now()))
        except IntegrityError:
            raise click.ClickException(await _taken(database, account)) from None
        await _show(database, account, as_json)


@accounts_group.command(name="edit")
@click.argument("id")
@_account_options
@JSON
@asynchronous
async def accounts_edit(id: str, as_json: bool, owners: tuple[str, ...], **given: str | None) -> None:
    """Change the account ID. --owner replaces all owners; an empty --channel or --trial-ends takes it away."""
    _check(owners, given)
    async with Opened(migrated=True) as database:

        async def wanted(tx: Any) -> Account:
            return _changed(await found(tx, id), owners, given)

        async def change(tx: Any) -> Account:
            account = await wanted(tx)
            await accounts.replace(tx, account)
            await ledger.held_still(tx, id)
            await alerts.look_again(tx, id, SystemClock().now())  # its warnings may belong elsewhere now
            return account

        try:
            account = await database.write(change)
        except IntegrityError:
            async with database.read() as tx:
                workspace = (await wanted(tx)).workspace
            raise click.ClickException(await _has(database, workspace)) from None
        await _show(database, account, as_json)


async def _taken(database: Database, account: Account) -> str:
    """Why an account cannot be added: there is one of its id, or one of its workspace."""
    async with database.read() as tx:
        known = await accounts.of_id(tx, account.id)
    if known:
        return f"{account.id} exists already: credits-bot accounts edit {account.id} changes it"
    return await _has(database, account.workspace)


async def _has(database: Database, workspace: Workspace) -> str:
    async with database.read() as tx:
        other = must(await accounts.of_workspace(tx, workspace))
    return f"the account {other.id} has workspace {workspace.team_id} already"


@accounts_group.command(name="show")
@click.argument("id")
@JSON
@asynchronous
async def accounts_show(id: str, as_json: bool) -> None:
    """Show the account ID, its balance, and the uses of models that wait to be booked."""
    async with Opened(migrated=True) as database:
        async with database.read() as tx:
            account = await found(tx, id)
        await _show(database, account, as_json)


@accounts_group.command(name="list")
@JSON
@asynchronous
async def accounts_list(as_json: bool) -> None:
    """List all accounts with their balances."""
    async with Opened(migrated=True) as database, database.read() as tx:
        known = await accounts.every(tx)
        if as_json:
            parked = await usage.waiting(tx)
            click.echo(json.dumps([await _facts(tx, account, parked) for account in known], indent=2))
        elif not known:
            click.echo("There are no accounts yet: credits-bot accounts add --help", err=True)
        for account in () if as_json else known:
            balance = await ledger.balance(tx, account.id)
            click.echo(f"{account.id}  {account.name}  {account.plan}  {balance}")


def _check(owners: tuple[str, ...], given: dict[str, str | None]) -> None:
    """Refuse what no account may have."""
    for option, value in (*((name, given[name]) for name in ("name", "team")), *(("owner", owner) for owner in owners)):
        if value is not None and not value.strip():
            raise click.UsageError(f"--{option} cannot be empty")
    if (name := given["name"]) and not (name.isprintable() and len(name) <= _LONGEST_NAME):
        raise click.UsageError(f"--name takes up to {_LONGEST_NAME} characters that can be printed")
    if (overdraft := given["overdraft"]) is not None and not Credits.ZERO <= _read(overdraft) <= _GREATEST_OVERDRAFT:
        raise click.UsageError(f"--overdraft takes 0 to {_GREATEST_OVERDRAFT} credits, not {overdraft}")
    _read_day(given["trial_ends"] or "")


def _read(credits: str) -> Credits:
    try:
        return Credits.exactly(credits)
    except UnreadableAmount:
        raise click.UsageError(f"--overdraft takes credits, such as 250 or 0.50, not {credits!r}") from None


def _read_day(day: str) -> datetime | None:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) if day else None
    except ValueError:
        raise click.UsageError(f"--trial-ends takes a day, such as 2026-12-24, not {day!r}") from None


def _changed(account: Account, owners: tuple[str, ...], given: dict[str, str | None]) -> Account:
    """The account with whatever options were given."""
    plain = {name: given[name] or None for name in ("channel", "customer") if given[name] is not None}
    named = {name: given[name] for name in ("name", "language") if given[name]}
    home = account.workspace
    return replace(
        account,
        plan=Plan(given["plan"]) if given["plan"] else account.plan,
        owners=frozenset(owners) or account.owners,
        at_zero=_AT_ZERO[given["at_zero"]] if given["at_zero"] else account.at_zero,
        overdraft=account.overdraft if given["overdraft"] is None else _read(given["overdraft"]),
        trial_ends_at=account.trial_ends_at if given["trial_ends"] is None else _read_day(given["trial_ends"]),
        workspace=Workspace(
            home.enterprise_id if given["enterprise"] is None else given["enterprise"], given["team"] or home.team_id
        ),
        **plain,  # type: ignore[arg-type]
        **named,  # type: ignore[arg-type]
    )


async def _facts(tx: AsyncConnection, account: Account, parked: Iterable[Waiting]) -> dict[str, object]:
    balance = await ledger.balance(tx, account.id)
    held = await hold_store.held(tx, account.id, SystemClock().now())
    return {
        "id": account.id,
        "name": account.name,
        "plan": account.plan.value,
        "enterprise": account.workspace.enterprise_id,
        "team": account.workspace.team_id,
        "owners": sorted(account.owners),
        "channel": account.channel,
        "language": account.language,
        "customer": account.customer,
        "at_zero": account.at_zero.value,
        "overdraft": account.overdraft.exact,
        "trial_ends_at": account.trial_ends_at and account.trial_ends_at.isoformat(),
        "balance": balance.exact,
        "balance_nano": balance.nano,
        "held": held.exact,
        "available": Credits(balance.nano - held.nano).exact,
        "parked": [each.facts for each in parked if each.account_id == account.id],
    }


async def _show(database: Database, account: Account, as_json: bool) -> None:
    async with database.read() as tx:
        parked = await usage.waiting(tx, account.id)
        facts = await _facts(tx, account, parked)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    words = [f"{each.count} of {printable(f'{each.provider} {each.model}')} ({each.reason})" for each in parked]
    at_zero = account.at_zero.value.replace("_", "-")  # as the option takes it
    for name, value in (facts | {"at_zero": at_zero, "parked": words}).items():
        told = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{name:13} {'–' if told in (None, '') else told}")
