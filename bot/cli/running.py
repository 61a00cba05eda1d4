"""Running the bot or parts of it. What that takes is loaded when it is done, and not to tell of it."""

import asyncio
import gc
import json
import logging
import signal
import sys

import click

from bot import logs
from bot.cli.common import JSON, asynchronous, must_be_there
from bot.db.engine import Database
from bot.errors import Unusable
from bot.settings import Settings, forget_proxies


@click.command()
@asynchronous
async def run() -> None:
    """Run the bot until Ctrl+C."""
    from bot.app import Bot

    settings = Settings.read()
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    async with Bot.open(settings):
        gc.collect()
        gc.freeze()  # what is there by now stays: looking through it again and again would take a third of the time
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


@click.command()
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
    forget_proxies()
    if headless:
        sys.exit(await sandboxed.headless(click.echo))
    async with sandboxed.page(port) as url:
        click.echo(f"The sandbox is open: {url}  (Ctrl+C ends it)")
        await _asked_to_stop()


@click.command()
@JSON
@asynchronous
async def doctor(as_json: bool) -> None:
    """Say what is wrong with this set-up, why it matters, and the step that mends it. Exit 0 when nothing blocks."""
    from bot.app import diagnose

    logs.configure("ERROR", sys.stderr)
    report = await diagnose(Settings.read())
    click.echo(report.as_json() if as_json else report.as_text())
    sys.exit(report.exit_code)


@click.command()
@JSON
@asynchronous
async def reconcile(as_json: bool) -> None:
    """Ask Stripe what became of every unsettled purchase, once, and settle it. A running bot does this by itself."""
    from bot.app import Bot

    settings = Settings.read()
    must_be_there(Database(settings.database_url))
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    async with Bot.open(settings, serve=False) as bot:
        looked_at, unsettled = await bot.reconcile()
    told = {"looked_at": looked_at, "unsettled": unsettled}
    click.echo(json.dumps(told) if as_json else f"{looked_at} purchases looked at, {unsettled} still unsettled.")
