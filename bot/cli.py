"""The command line. What a program may read has ``--json``; mistakes are told in a sentence, never in a traceback."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click
from sqlalchemy.exc import IntegrityError

from bot import logs
from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.app import Bot, Unusable, diagnose
from bot.clock import SystemClock
from bot.db.engine import AlreadyRunning, Database
from bot.db.migrate import current, newest, upgrade
from bot.errors import Outage
from bot.ledger import store as ledger
from bot.money import Credits
from bot.purchases.proof import prove
from bot.settings import Settings, SettingsError
from bot.slack.manifest import manifest as slack_manifest
from bot.text import languages
from bot.web.server import CannotListen

P = ParamSpec("P")
T = TypeVar("T")

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def asynchronous(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run a coroutine as a command; what can be expected to go wrong becomes one line and exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return asyncio.run(command(*args, **kwargs))
        except (SettingsError, Unusable, CannotListen, Outage) as wrong:
            raise click.ClickException(str(wrong)) from None
        except AlreadyRunning as other:
            raise click.ClickException(f"another bot is already at work on {other}") from None

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="skydeck-credits-bot")
def main() -> None:
    """Sells prepaid AI credits in Slack. Settings come from the environment or a file .env; see README.md."""


# ── running ───────────────────────────────────────────────────────────────────────────────────────────────────────


@main.command()
@asynchronous
async def run() -> None:
    """Run the bot until Ctrl+C."""
    settings = Settings.read()
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    async with Bot.open(settings):
        await _asked_to_stop()


async def _asked_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(sign, stop.set)
        except NotImplementedError:  # Windows: Ctrl+C raises KeyboardInterrupt by itself
            logging.getLogger(__name__).debug("no signal handlers here")
    await stop.wait()


@main.command()
@click.option("--headless", is_flag=True, help="Play a whole purchase in the terminal, without a browser.")
@click.option("--port", default=8090, type=click.IntRange(0, 65535), show_default=True, help="Of the page.")
@asynchronous
async def sandbox(headless: bool, port: int) -> None:
    """Try everything with a Slack and a Stripe of its own on this machine, in the browser. Needs nothing else."""
    try:
        from bot.sandbox import run as sandboxed
    except ModuleNotFoundError as missing:
        raise Unusable(f"{missing.name} is missing: pip install -e '.[sandbox]'") from None
    logs.configure("WARNING", sys.stderr)
    if headless:
        sys.exit(await sandboxed.headless(click.echo))
    async with sandboxed.page(port) as url:
        click.echo(f"The sandbox is open: {url}  (Ctrl+C ends it)")
        await _asked_to_stop()


@main.command()
@asynchronous
async def migrate() -> None:
    """Bring the database to the shape that this version needs. Safe to repeat."""
    async with _Opened() as database:
        await upgrade(database)
        click.echo(f"The database is at {await current(database)}.")


@main.command()
@_JSON
@asynchronous
async def doctor(as_json: bool) -> None:
    """Say what is wrong with this set-up, why it matters, and the step that mends it. Exit 0 when nothing blocks."""
    logs.configure("ERROR", sys.stderr)
    report = await diagnose(Settings.read())
    click.echo(report.as_json() if as_json else report.as_text())
    sys.exit(report.exit_code)


@main.command()
@_JSON
@asynchronous
async def reconcile(as_json: bool) -> None:
    """Ask Stripe what became of every unsettled purchase, once, and settle it. A running bot does this by itself."""
    settings = Settings.read()
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    async with Bot.open(settings, serve=False) as bot:
        looked_at, unsettled = await bot.reconcile()
    told = {"looked_at": looked_at, "unsettled": unsettled}
    click.echo(json.dumps(told) if as_json else f"{looked_at} purchases looked at, {unsettled} still unsettled.")


@main.command()
@click.option("--url", help="The bot's public address: prints the variant for HTTP instead of Socket Mode.")
def manifest(url: str | None) -> None:
    """Print the Slack app manifest, ready to paste."""
    try:
        click.echo(slack_manifest(url), nl=False)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@main.group(name="accounts")
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
@_JSON
@asynchronous
async def accounts_add(id: str, as_json: bool, owners: tuple[str, ...], **given: str | None) -> None:
    """Add the account ID. Needs at least --name, --plan, --team and --owner."""
    missing = [name for name in ("name", "plan", "team") if not given[name]] + ([] if owners else ["owner"])
    if missing:
        raise click.UsageError(f"missing: {', '.join(f'--{name}' for name in missing)}")
    account = _changed(Account(id, "", Plan.FREE_TRIAL, Workspace("", ""), frozenset()), owners, given)
    async with _Opened(migrated=True) as database:
        try:
            await database.write(lambda tx: accounts.add(tx, account, SystemClock().now()))
        except IntegrityError:
            raise click.ClickException(
                f"{id} exists already, or another account has workspace {given['team']}"
            ) from None
    _show(account, Credits.ZERO, as_json)


@accounts_group.command(name="edit")
@click.argument("id")
@_account_options
@_JSON
@asynchronous
async def accounts_edit(id: str, as_json: bool, owners: tuple[str, ...], **given: str | None) -> None:
    """Change the account ID. --owner replaces all owners; an empty --channel takes the channel away."""
    async with _Opened(migrated=True) as database:

        async def change(tx: Any) -> tuple[Account, Credits]:
            account = _changed(await _found(tx, id), owners, given)
            await accounts.replace(tx, account)
            return account, await ledger.balance(tx, id)

        try:
            account, balance = await database.write(change)
        except IntegrityError:
            raise click.ClickException(f"another account has workspace {given['team']}") from None
    _show(account, balance, as_json)


@accounts_group.command(name="show")
@click.argument("id")
@_JSON
@asynchronous
async def accounts_show(id: str, as_json: bool) -> None:
    """Show the account ID and its balance."""
    async with _Opened(migrated=True) as database, database.read() as tx:
        account, balance = await _found(tx, id), await ledger.balance(tx, id)
    _show(account, balance, as_json)


@accounts_group.command(name="list")
@_JSON
@asynchronous
async def accounts_list(as_json: bool) -> None:
    """List all accounts with their balances."""
    async with _Opened(migrated=True) as database, database.read() as tx:
        rows = [(account, await ledger.balance(tx, account.id)) for account in await accounts.every(tx)]
    if as_json:
        click.echo(json.dumps([_facts(account, balance) for account, balance in rows], indent=2))
    for account, balance in () if as_json else rows:
        click.echo(f"{account.id}  {account.name}  {account.plan}  {balance}")


async def _found(tx: Any, id: str) -> Account:
    account = await accounts.of_id(tx, id)
    if account is None:
        raise click.ClickException(f"there is no account {id}: credits-bot accounts list shows them all")
    return account


def _changed(account: Account, owners: tuple[str, ...], given: dict[str, str | None]) -> Account:
    """The account with whatever options were given. Ids are checked by their first letter: they are easily mixed up."""
    for name, letters in (("team", "T"), ("enterprise", "E"), ("channel", "CG"), ("customer", "c")):
        if (value := given[name]) and value[0] not in letters:
            raise click.UsageError(f"--{name} takes an id that begins with {' or '.join(letters)}, not {value}")
    for owner in owners:
        if owner[:1] not in ("U", "W"):
            raise click.UsageError(f"--owner takes a Slack user id that begins with U or W, not {owner}")
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


# ── the books ─────────────────────────────────────────────────────────────────────────────────────────────────────


@main.group(name="ledger")
def ledger_group() -> None:
    """The books: prove them, read them."""


@ledger_group.command(name="verify")
@_JSON
@asynchronous
async def ledger_verify(as_json: bool) -> None:
    """Prove that entries sum to zero, balances equal them, none was changed, and each purchase has its own."""
    async with _Opened(migrated=True) as database:
        audit = await prove(database)
    if as_json:
        told = {"ok": audit.ok, "entries": audit.entries, "accounts": audit.accounts, "credits": audit.total.exact}
        click.echo(json.dumps({**told, "problems": audit.problems}, indent=2))
    else:
        for problem in audit.problems:
            click.echo(f"wrong: {problem}")
        click.echo(f"{audit.entries} entries, {audit.accounts} accounts, {audit.total.exact} credits held")
        click.echo("The books are right." if audit.ok else "The books are WRONG.")
    sys.exit(0 if audit.ok else 1)


@ledger_group.command(name="statement")
@click.argument("account_id", metavar="ID")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, in UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day after the last, in UTC.")
@_JSON
@asynchronous
async def ledger_statement(account_id: str, since: Any, until: Any, as_json: bool) -> None:
    """Every movement of the account ID: opening balance + movements = closing balance."""
    from datetime import UTC

    bounds = {"since": since and since.replace(tzinfo=UTC), "until": until and until.replace(tzinfo=UTC)}
    async with _Opened(migrated=True) as database, database.read() as tx:
        await _found(tx, account_id)
        opening, lines = await ledger.statement(tx, account_id, **bounds)
    closing = lines[-1].balance if lines else opening
    if as_json:
        movements = [
            {
                "seq": line.seq,
                "booked_at": line.booked_at.isoformat(),
                "happened_at": line.happened_at.isoformat(),
                "cause": line.cause,
                "change": line.change.exact,
                "balance": line.balance.exact,
                "facts": line.facts,
            }
            for line in lines
        ]
        told = {"account": account_id, "opening": opening.exact, "movements": movements, "closing": closing.exact}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{'opening balance':>83} {opening.exact:>20}")
    for line in lines:
        click.echo(
            f"{line.booked_at:%Y-%m-%d %H:%M:%S} {line.cause:42} {line.change.exact:>20} {line.balance.exact:>20}"
        )
    click.echo(f"{'closing balance':>83} {closing.exact:>20}")


class _Opened:
    """The database of the settings, closed after use."""

    def __init__(self, *, migrated: bool = False) -> None:
        self._migrated = migrated
        self._database = Database(Settings.read().database_url)

    async def __aenter__(self) -> Database:
        if self._migrated and self._database.is_sqlite:
            await upgrade(self._database)
        elif self._migrated and await current(self._database) != newest():
            raise Unusable("the database is not of this version: run credits-bot migrate")
        return self._database

    async def __aexit__(self, *error: object) -> None:
        await self._database.dispose()
