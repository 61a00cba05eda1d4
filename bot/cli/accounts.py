"""``credits-bot accounts``: who may buy, and what for."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import click
from sqlalchemy.exc import IntegrityError

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.cli.common import JSON, Opened, asynchronous, found
from bot.clock import SystemClock
from bot.db.engine import Database, must
from bot.ledger import store as ledger
from bot.money import Credits
from bot.text import languages

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LONGEST_NAME: Final = 80


@click.group(name="accounts")
def accounts_group() -> None:
    """Who may buy: accounts, their plan, owners, Slack workspace and channel."""


def _account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--name", help="The customer's name, as buyers see it."),
            click.option("--plan", type=click.Choice([plan.value for plan in Plan])),
            click.option("--team", help="The Slack workspace: T…"),
            click.option("--enterprise", help="Its Enterprise Grid organisation, if any: E…"),
            click.option("--owner", "owners", multiple=True, help="A Slack user who may buy: U… May be repeated."),
            click.option("--channel", help="The channel that hears of purchases: C…"),
            click.option("--customer", help="The customer at Stripe: cus_…"),
            click.option("--language", type=click.Choice(languages()), help="Of what is written into the channel."),
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
    async with Opened(migrated=True) as database:
        try:
            await database.write(lambda tx: accounts.add(tx, account, SystemClock().now()))
        except IntegrityError:
            raise click.ClickException(await _taken(database, account)) from None
    _show(account, Credits.ZERO, as_json)


@accounts_group.command(name="edit")
@click.argument("id")
@_account_options
@JSON
@asynchronous
async def accounts_edit(id: str, as_json: bool, owners: tuple[str, ...], **given: str | None) -> None:
    """Change the account ID. --owner replaces all owners; an empty --channel takes the channel away."""
    _check(owners, given)
    async with Opened(migrated=True) as database:

        async def wanted(tx: Any) -> Account:
            return _changed(await found(tx, id), owners, given)

        async def change(tx: Any) -> tuple[Account, Credits]:
            account = await wanted(tx)
            await accounts.replace(tx, account)
            return account, await ledger.balance(tx, id)

        try:
            account, balance = await database.write(change)
        except IntegrityError:
            async with database.read() as tx:
                workspace = (await wanted(tx)).workspace
            raise click.ClickException(await _has(database, workspace)) from None
    _show(account, balance, as_json)


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
    """Show the account ID and its balance."""
    async with Opened(migrated=True) as database, database.read() as tx:
        account, balance = await found(tx, id), await ledger.balance(tx, id)
    _show(account, balance, as_json)


@accounts_group.command(name="list")
@JSON
@asynchronous
async def accounts_list(as_json: bool) -> None:
    """List all accounts with their balances."""
    async with Opened(migrated=True) as database, database.read() as tx:
        rows = [(account, await ledger.balance(tx, account.id)) for account in await accounts.every(tx)]
    if as_json:
        click.echo(json.dumps([_facts(account, balance) for account, balance in rows], indent=2))
    for account, balance in () if as_json else rows:
        click.echo(f"{account.id}  {account.name}  {account.plan}  {balance}")


def _check(owners: tuple[str, ...], given: dict[str, str | None]) -> None:
    """Refuse what no account may have. Slack's and Stripe's ids are told by their first letter: they are mixed up."""
    for option in ("name", "team"):
        if given[option] is not None and not str(given[option]).strip():
            raise click.UsageError(f"--{option} cannot be empty")
    if (name := given["name"]) and not (name.isprintable() and len(name) <= _LONGEST_NAME):
        raise click.UsageError(f"--name takes up to {_LONGEST_NAME} characters that can be printed")
    for option, letters in (("team", "T"), ("enterprise", "E"), ("channel", "CG"), ("customer", "c")):
        if (value := given[option]) and value[0] not in letters:
            raise click.UsageError(f"--{option} takes an id that begins with {' or '.join(letters)}, not {value}")
    for owner in owners:
        if owner[:1] not in ("U", "W"):
            raise click.UsageError(f"--owner takes a Slack user id that begins with U or W, not {owner}")


def _changed(account: Account, owners: tuple[str, ...], given: dict[str, str | None]) -> Account:
    """The account with whatever options were given."""
    plain = {name: given[name] or None for name in ("channel", "customer") if given[name] is not None}
    named = {name: given[name] for name in ("name", "language") if given[name]}
    home = account.workspace
    return replace(
        account,
        plan=Plan(given["plan"]) if given["plan"] else account.plan,
        owners=frozenset(owners) or account.owners,
        workspace=Workspace(
            home.enterprise_id if given["enterprise"] is None else given["enterprise"], given["team"] or home.team_id
        ),
        **plain,  # type: ignore[arg-type]
        **named,  # type: ignore[arg-type]
    )


def _facts(account: Account, balance: Credits) -> dict[str, object]:
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
        "balance": balance.exact,
        "balance_nano": balance.nano,
    }


def _show(account: Account, balance: Credits, as_json: bool) -> None:
    facts = _facts(account, balance)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        click.echo(
            f"{name:13} {', '.join(value) if isinstance(value, list) else '–' if value in (None, '') else value}"
        )
