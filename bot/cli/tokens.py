"""``credits-bot tokens``: which programs may speak to the bot over HTTP."""

import json
import re
from typing import Final

import click
from sqlalchemy.exc import IntegrityError

from bot.cli.common import JSON, Opened, asynchronous
from bot.clock import SystemClock
from bot.tokens import store as tokens
from bot.tokens.model import Bearer, Scope, hash_of, new_token

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@click.group(name="tokens")
def tokens_group() -> None:
    """Bearer tokens: which programs may report usage and read balances."""


@tokens_group.command(name="create")
@click.argument("name")
@click.option(
    "--may",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="usage: report events, hold credits. read: balances. May be repeated; both if not given.",
)
@JSON
@asynchronous
async def tokens_create(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token for the program NAME and show it, this once."""
    if not _NAME.fullmatch(name):
        raise click.UsageError("NAME takes up to 64 letters, digits, dots, dashes and underscores")
    token = new_token()
    bearer = Bearer(name, frozenset(map(Scope, scopes or Scope)))
    async with Opened(migrated=True) as database:
        try:
            await database.write(lambda tx: tokens.add(tx, bearer, hash_of(token), SystemClock().now()))
        except IntegrityError:
            raise click.ClickException(
                f"{name} has a token: credits-bot tokens revoke {name} makes place for a new one"
            ) from None
    if as_json:
        click.echo(json.dumps({"name": name, "scopes": sorted(bearer.scopes), "token": token}, indent=2))
        return
    click.echo(token)
    click.echo("Keep it well: it is not shown again.", err=True)


@tokens_group.command(name="list")
@JSON
@asynchronous
async def tokens_list(as_json: bool) -> None:
    """List all tokens, those that were revoked too. Not the tokens themselves: nobody has them."""
    async with Opened(migrated=True) as database, database.read() as tx:
        issued = await tokens.every(tx)
    if as_json:
        told = [
            {
                "name": each.bearer.name,
                "scopes": sorted(each.bearer.scopes),
                "created_at": each.created_at.isoformat(),
                "revoked_at": each.revoked_at and each.revoked_at.isoformat(),
            }
            for each in issued
        ]
        click.echo(json.dumps(told, indent=2))
    elif not issued:
        click.echo("There are no tokens yet: credits-bot tokens create --help", err=True)
    for each in () if as_json else issued:
        end = f"  revoked {each.revoked_at:%Y-%m-%d %H:%M:%S}" if each.revoked_at else ""
        click.echo(
            f"{each.bearer.name}  {','.join(sorted(each.bearer.scopes))}  {each.created_at:%Y-%m-%d %H:%M:%S}{end}"
        )


@tokens_group.command(name="revoke")
@click.argument("name")
@JSON
@asynchronous
async def tokens_revoke(name: str, as_json: bool) -> None:
    """Refuse the token of the program NAME from now on. A running bot notices within two seconds."""
    now = SystemClock().now()
    async with Opened(migrated=True) as database:
        if not await database.write(lambda tx: tokens.revoke(tx, name, now)):
            raise click.ClickException(f"{name} has no token: credits-bot tokens list shows them all")
    told = {"name": name, "revoked_at": now.isoformat()}
    click.echo(json.dumps(told, indent=2) if as_json else f"The token of {name} is refused from now on.")
