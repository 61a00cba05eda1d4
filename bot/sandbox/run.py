"""Runs the sandbox: the world, the real bot inside it, and either the page or a tour in the terminal."""

import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import yaml

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.app import Bot
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.purchases import store as purchases
from bot.sandbox.page import Account as AccountLine
from bot.sandbox.page import Entry, LedgerView, Page
from bot.sandbox.page import Purchase as PurchaseLine
from bot.sandbox.world import ACCOUNT, OWNER, ROLES, World
from bot.slack import names
from bot.slack.manifest import manifest
from bot.text import FALLBACK, texts_for
from bot.web.server import Server

_SHOWN = 50
_MEMOS = {"purchase": "Credits bought", "refund": "Refund", "dispute": "Dispute"}


@asynccontextmanager
async def bot_in(world: World, members: Iterable[Account]) -> AsyncIterator[Bot]:
    """The real bot, at work in this world, with these accounts."""
    world.slack.install(yaml.safe_load(manifest()))
    port = _free_port()
    settings = world.settings(port=port, public_url=f"http://127.0.0.1:{port}")
    async with Bot.open(settings, clock=world.clock) as bot:
        world.send_webhooks_to(bot.server.url)
        for account in members:
            await bot.database.write(partial(accounts.add, account=account, at=world.clock.now()))
        await world.slack.until(lambda: world.slack.connected)
        yield bot


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def page(port: int) -> AsyncIterator[str]:
    """The sandbox in the browser; its address."""
    async with World.open() as world, bot_in(world, world.accounts(customer=world.add_customer())) as bot:
        served = Page(
            world.slack, world.stripe, world.clock, partial(books, bot), partial(wind, world, bot), roles=ROLES
        )
        server = Server(served.app, port=port)
        await server.start()
        try:
            yield server.url
        finally:
            await server.stop()


async def wind(world: World, bot: Bot, step: timedelta) -> None:
    """Move everybody's clock, and let whatever became due happen now."""
    world.clock.wind(step.total_seconds())
    world.stripe.expire_due()
    world.answer_bank_debits()
    bot.clockwork.nudge_all()
    bot.outbox.nudge()


async def books(bot: Bot) -> LedgerView:
    """What the panel shows of the bot's own books."""
    show = texts_for(FALLBACK).show
    audit = await verify(bot.database)  # of a sandbox's few entries: the panel shows the proof itself, never a memory
    async with bot.database.read() as tx:
        everybody = await accounts.every(tx)
        return LedgerView(
            accounts=[AccountLine(each.name, each.plan, show(await ledger.balance(tx, each.id))) for each in everybody],
            entries=[
                Entry(
                    entry.seq,
                    entry.booked_at,
                    entry.cause,
                    _MEMOS.get(entry.cause.partition(":")[0], entry.cause),
                    [(book, f"{'+' * (change.nano > 0)}{show(change)}") for book, change in entry.postings.items()],
                )
                for entry in await ledger.newest(tx, _SHOWN)
            ],
            purchases=[
                PurchaseLine(each.id, each.status, show(each.amount), each.buyer_id)
                for each in await purchases.newest(tx, _SHOWN)
            ],
            verified=audit.ok,
        )


# ── the tour ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def headless(say: Callable[[str], object]) -> int:
    """Play two purchases, one on Stripe's page and one by the card saved there. The exit code: 0 when all is right."""
    async with World.open() as world, bot_in(world, world.accounts()) as bot:
        slack, home = world.slack, world.slack.channel_named("ai-credits").id
        say("Anna types /buy-credits 25 in #ai-credits")
        await slack.command(OWNER, home, f"{names.BUY_COMMAND} 25")
        await slack.until(lambda: slack.modal(OWNER))
        await slack.submit(OWNER)
        said = await slack.until(lambda: _said(world, "Stripe’s page"))
        say(f"  Credits: {said}")
        say("She pays on Stripe's page with 4242 4242 4242 4242 and lets it save the card")
        [session] = world.stripe.state.sessions
        await world.stripe.pay(session["id"], "visa", save=True)
        said = await slack.until(lambda: _said(world, "credited"))
        say(f"  Credits: {said}")
        say("She types /buy-credits 100 and presses Buy: the saved card is charged")
        await slack.command(OWNER, home, f"{names.BUY_COMMAND} 100")
        await slack.until(lambda: (form := slack.modal(OWNER)) and "4242" in str(form.blocks))
        await slack.submit(OWNER)
        said = await slack.until(lambda: _said(world, "$100.00", "credited"))
        say(f"  Credits: {said}")
        audit = await verify(bot.database)
        async with bot.database.read() as tx:
            balance = await ledger.balance(tx, ACCOUNT)
        charged = sum(intent["amount_received"] for intent in world.stripe.succeeded_intents())
        say(f"Charged ${charged / 100:.2f}; balance {balance}; {audit.entries} entries; books right: {audit.ok}")
        return 0 if audit.ok and balance == Credits.bought_for(Usd(charged)) == Credits.bought_for(Usd(12500)) else 1


def _said(world: World, *words: str) -> str:
    """What the newest message of the bot to the owner says, once it has all these words; empty until then."""
    said = [message.text for message in world.slack.messages(world.slack.dm(OWNER)) if message.by_bot]
    return said[-1] if said and all(word in said[-1] for word in words) else ""
