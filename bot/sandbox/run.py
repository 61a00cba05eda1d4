"""Runs the sandbox: the world, the real bot inside it, and either the page or a tour in the terminal."""

import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import yaml
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.app import Bot
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.prices import store as prices
from bot.prices.files import starting_table
from bot.sandbox.books import Books
from bot.sandbox.genstudio import WORKS, GenStudio, Model
from bot.sandbox.genstudio import Account as StudioAccount
from bot.sandbox.languages import on_offer
from bot.sandbox.page import Page
from bot.sandbox.world import ACCOUNT, OWNER, ROLES, World
from bot.slack import names
from bot.slack.manifest import OPTIONAL_SCOPES, manifest
from bot.tokens import store as tokens
from bot.tokens.model import Bearer, Scope, hash_of, new_token
from bot.web.server import Server

_STRANGER = StudioAccount("nobody", "An unknown account")
_UNPRICED = Model("unlisted", "brand-new", note="no price yet")
_MODEL = Model("openai", "gpt-4.1")
_WORK = WORKS[1]
_COST = Credits.exactly("0.392")  # by the starting table: 180,000 tokens at $2 a million, and 4,000 at $8


@asynccontextmanager
async def bot_in(world: World, members: Iterable[Account]) -> AsyncIterator[Bot]:
    """The real bot, at work in this world, with these accounts."""
    world.slack.install(yaml.safe_load(manifest()), optional=True)
    port = _free_port()
    settings = world.settings(port=port, public_url=f"http://127.0.0.1:{port}")
    async with Bot.open(settings, clock=world.clock) as bot:
        world.send_webhooks_to(bot.server.url)
        for account in members:
            await bot.database.write(partial(accounts.add, account=account, at=world.clock.now()))
        await world.slack.until(lambda: world.slack.connected)
        yield bot


async def genstudio_for(world: World, bot: Bot) -> GenStudio:
    """GenStudio with a token for this bot, which gets the starting table of prices for it."""
    token, priced = new_token(), starting_table()

    async def welcome(tx: AsyncConnection) -> Sequence[Account]:
        await tokens.add(tx, Bearer("genstudio", frozenset(Scope)), hash_of(token), world.clock.now())
        await prices.add_all(tx, priced, world.clock.now())
        return await accounts.every(tx)

    known = await bot.database.write(welcome)
    return GenStudio(
        bot.server.url,
        token,
        world.clock,
        [*(StudioAccount(each.id, each.name) for each in known), _STRANGER],
        [*(Model(each.provider, each.model) for each in priced), _UNPRICED],
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def page(port: int) -> AsyncIterator[str]:
    """The sandbox in the browser; its address."""
    async with World.open() as world, bot_in(world, world.accounts(customer=world.add_customer())) as bot:
        world.slack.scopes |= OPTIONAL_SCOPES.keys()  # whoever installs the bot may grant them: here is what it is like
        studio = await genstudio_for(world, bot)
        served = Page(
            world.slack,
            world.stripe,
            studio,
            world.clock,
            Books(bot).read,
            partial(wind, world, bot),
            languages=on_offer(),
            mails=world.mail.mails,
            roles=ROLES,
        )
        server = Server(served.app, port=port, chosen_by="--port chooses another")
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
    bot.clockwork.wind(step.total_seconds())
    bot.outbox.nudge()


# ── the tour ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def headless(say: Callable[[str], object]) -> int:
    """Play two purchases, one on Stripe's page and one by the card saved there, and a use of what was bought.

    The exit code: 0 when all is right.
    """
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
        say(f"GenStudio, a program, uses {_MODEL.name} for {_WORK.name} and reports the tokens")
        answer = await (await genstudio_for(world, bot)).use(ACCOUNT, _MODEL, _WORK)
        say(f"  The bot answers: {answer.status} {answer.phrase}")
        shown = await Books(bot).read()
        say(f"  The books say: {', '.join(shown.entries[0].uses)}")
        audit = await verify(bot.database)
        async with bot.database.read() as tx:
            balance = await ledger.balance(tx, ACCOUNT)
        charged = Usd(sum(intent["amount_received"] for intent in world.stripe.succeeded_intents()))
        say(f"Charged ${charged}; balance {balance.exact}; {audit.entries} entries; books right: {audit.ok}")
        left = Credits(Credits.bought_for(charged).nano - _COST.nano)
        return 0 if audit.ok and charged == Usd(12500) and balance == left else 1


def _said(world: World, *words: str) -> str:
    """What the newest message of the bot to the owner says, once it has all these words; empty until then."""
    said = [message.text for message in world.slack.messages(world.slack.dm(OWNER)) if message.by_bot]
    return said[-1] if said and all(word in said[-1] for word in words) else ""
