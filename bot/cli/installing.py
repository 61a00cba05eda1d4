"""What comes before the bot runs: its manifest at Slack, the shape of its database."""

import click

from bot.cli.common import Opened, asynchronous
from bot.db.migrate import current, upgrade
from bot.slack.manifest import manifest as slack_manifest


@click.command()
@asynchronous
async def migrate() -> None:
    """Bring the database to the shape that this version needs. Safe to repeat."""
    async with Opened() as database:
        await upgrade(database)
        click.echo(f"The database is at {await current(database)}.")


@click.command()
@click.option("--url", help="The bot's public address: prints the variant for HTTP instead of Socket Mode.")
def manifest(url: str | None) -> None:
    """Print the Slack app manifest, ready to paste."""
    try:
        click.echo(slack_manifest(url), nl=False)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None
