"""Running the bot or parts of it. What that takes is loaded when it is done, and not to tell of it."""

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import click

from bot import logs
from bot.cli.common import JSON, asynchronous, must_be_there, when_told
from bot.db.engine import Database, must
from bot.errors import Unusable
from bot.settings import Settings, forget_proxies

T = TypeVar("T")


@click.command()
@asynchronous
async def run() -> None:
    """Run the bot until Ctrl+C."""
    from bot.app import Bot

    settings = Settings.read()
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    await _stay_open(Bot.open(settings), _at_work)


def _at_work(bot: object) -> None:
    gc.collect()
    gc.freeze()  # what is there by now stays: looking through it again and again would take a third of the time


async def _stay_open(opening: AbstractAsyncContextManager[T], begin: Callable[[T], None]) -> None:
    """Until Ctrl+C, SIGTERM or the end of the terminal. Where that comes while it opens, it is closed in order, too."""
    asked, task, is_open = asyncio.Event(), must(asyncio.current_task()), False

    def stop() -> None:
        if not (is_open or asked.is_set()):
            task.cancel()
        asked.set()

    try:
        with when_told(stop, "SIGINT", "SIGTERM", "SIGHUP"):
            async with opening as opened:
                is_open = True
                begin(opened)
                await asked.wait()
    except asyncio.CancelledError:
        if not asked.is_set():
            raise


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
    await _stay_open(sandboxed.page(port), lambda url: click.echo(f"The sandbox is open: {url}  (Ctrl+C ends it)"))


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
