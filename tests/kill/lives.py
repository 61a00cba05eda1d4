"""A world with a bot in it that dies and is started again, a person who does not give up, and what must hold then."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml
from sqlalchemy import func, or_, select

from bot.accounts import store as accounts
from bot.db.engine import Database
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.outbox import store as outbox
from bot.outbox.tables import outbox as messages
from bot.prices import store as prices
from bot.prices.model import Price
from bot.purchases import store as purchases
from bot.purchases.model import LEASE, Status
from bot.purchases.tables import purchases as rows
from bot.sandbox.slack import Ack, CannotDo, Delivery, Message
from bot.sandbox.world import ACCOUNT, ENTERPRISE, OWNER, SECOND_OWNER, STRIPE_KEY, TEAM, WEBHOOK_SECRET, World
from bot.slack import names
from bot.slack.manifest import manifest
from bot.tokens import store as tokens
from bot.tokens.model import Bearer, Scope, hash_of, new_token

from ..genstudio import MODEL, PROVIDER, Program
from ..ports import free_port
from .child import THE_WORD

AT_ONCE = 5  # worlds
PATIENCE = 25.0  # seconds that any wait may take; less than a lease, so that nobody waits for one to run out
KILLED = -signal.SIGKILL

Moments = Sequence[str]


# ── processes ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Nursery:
    """Where bots come from. Belongs to no event loop, so that one serves all tests.

    ``tables`` is an SQLite file with all tables, which a world's database is copied from.
    """

    def __init__(self, tables: Path) -> None:
        self.tables = tables
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.child"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    async def start(self, order: dict[str, Any]) -> "Process":
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(order).encode() + b"\n")
        return Process(int(await reader.readline()), reader, writer)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Process:
    """A process that was started. ``end`` is done when it is gone, with its exit code or minus the signal."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.end = asyncio.create_task(self._wait(reader, writer))

    async def _wait(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            return int(await reader.readline())
        finally:
            writer.close()

    def signal(self, number: signal.Signals) -> None:
        if not self.end.done():
            os.kill(self.pid, number)


# ── the world and the bot's lives in it ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Setting:
    """What a story begins with."""

    card: str | None = "visa"  # saved at Stripe; None: no customer yet
    webhooks: str = ""  # "", "snapshot" or "thin"
    founded: bool = True  # the database has its tables and the account
    reached: bool = False  # by programs, over HTTP


class Stand:
    """The world, the bot's process of the moment, and the people who buy.

    ``ends`` is how the lives so far ended; ``meanwhile`` happens each time while no bot is there.
    """

    def __init__(self, world: World, nursery: Nursery, setting: Setting, database_url: str) -> None:
        self.world = world
        self.slack = world.slack
        self.stripe = world.stripe
        self.ends: list[int] = []
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []
        self.submitted: dict[str, Delivery] = {}  # by person: the form, as it last went to the bot
        self._nursery = nursery
        self._setting = setting
        self._database_url = database_url
        self._port = free_port() if setting.webhooks or setting.reached else 0
        self._hands = asyncio.Lock()  # one act, or one restart, at a time
        self._process: Process | None = None
        self._on_word = False
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, nursery: Nursery, folder: Path, setting: Setting = Setting(), *, database_url: str = ""
    ) -> AsyncIterator[Self]:
        async with World.open(folder) as world:
            world.slack.install(yaml.safe_load(manifest()))
            world.slack.scopes.add("channels:history")  # optional: with it no message is ever posted twice
            stand = cls(world, nursery, setting, database_url or f"sqlite+aiosqlite:///{folder / 'credits.db'}")
            if setting.webhooks:
                world.send_webhooks_to(f"http://127.0.0.1:{stand._port}", thin=setting.webhooks == "thin")
            try:
                with stand._explained():
                    if setting.founded:
                        await stand._found()
                    yield stand
            finally:
                await stand.stop(signal.SIGKILL)

    async def _found(self) -> None:
        """Begin with what an administrator makes: the tables, and the account."""
        if not self._database_url.startswith("postgres"):
            shutil.copy(self._nursery.tables, self.world.folder / "credits.db")
        customer = self.world.add_customer(self._setting.card) if self._setting.card else None
        account, _ = self.world.accounts(customer=customer)
        async with self.database() as database:
            await database.write(partial(accounts.add, account=account, at=self.world.clock.now()))

    async def add_account(self) -> None:
        """What an administrator types."""
        facts = {
            "name": "Acme Labs",
            "plan": "advanced",
            "enterprise": ENTERPRISE,
            "team": TEAM,
            "channel": self.slack.channel_named("ai-credits").id,
        }
        if self._setting.card:
            facts["customer"] = self.world.add_customer(self._setting.card)
        given = [*facts.items(), ("owner", OWNER), ("owner", SECOND_OWNER)]
        options = [word for name, fact in given for word in (f"--{name}", fact)]
        assert await (await self.start(command=["accounts", "add", ACCOUNT, *options])).end == 0

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = Database(self._database_url)
        try:
            yield database
        finally:
            await database.dispose()

    @asynccontextmanager
    async def program(self) -> AsyncIterator[Program]:
        """A program with a token."""
        token, now = new_token(), self.world.clock.now()
        bearer = Bearer("genstudio", frozenset(Scope))
        async with self.database() as database:
            await database.write(partial(tokens.add, bearer=bearer, hash=hash_of(token), at=now))
        program = Program(f"http://127.0.0.1:{self._port}", token)
        try:
            yield program
        finally:
            await program.aclose()

    async def price(self, read: int, output: int) -> None:
        """A price in nano-credits per million tokens, a day old."""
        now = self.world.clock.now()
        price = Price(0, PROVIDER, MODEL, read, output, now - timedelta(days=1))
        async with self.database() as database:
            await database.write(partial(prices.add, price=price, at=now))

    # --- lives

    def live(self, *deaths: Moments, on_word: bool = False) -> None:
        """Start the bot, and start it again whenever it died.

        ``deaths`` is for the first lives, one each: the moments that they pass until they die (``child.die_at``).
        With ``on_word`` a life counts them only from ``give_the_word`` on.
        """
        self._on_word = on_word
        self._keeper = asyncio.create_task(self._keep(deaths))

    async def _keep(self, deaths: Sequence[Moments]) -> None:
        for moments in itertools.chain(deaths, itertools.repeat(())):
            async with self._hands:
                for happens in self.meanwhile if self.ends else ():
                    await happens()
                self._process = await self.start(moments)
            self.ends.append(await asyncio.shield(self._process.end))

    def give_the_word(self) -> None:
        assert self._process is not None
        self._process.signal(THE_WORD)

    async def start(self, moments: Moments = (), command: Sequence[str] = ("run",)) -> Process:
        ahead = self.world.clock.ahead.total_seconds()
        return await self._nursery.start(
            {
                "settings": self._environment(),
                "folder": str(self.world.folder),
                "log": str(self.log),
                "moments": moments,
                "on_word": self._on_word,
                "ahead": ahead if command[0] == "run" else 0,
                "command": command,
            }
        )

    def _environment(self) -> dict[str, str]:
        return {
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_APP_TOKEN": self.slack.app_token,
            "SLACK_API_URL": f"{self.slack.base_url}/api/",
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_URL": self.stripe.base_url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "DATABASE_URL": self._database_url,
            "SMTP_URL": self.world.mail.url,
            "PORT": str(self._port),
        }

    async def wait_for_leases(self) -> None:
        """Time goes by until nothing is in the hands of the dead any more."""
        self.world.clock.wind((LEASE + timedelta(seconds=1)).total_seconds())

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the life of the moment for good. How it ended."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if not self._process:
            return 0
        self._process.signal(how)
        async with asyncio.timeout(PATIENCE):
            return await self._process.end

    async def kill(self) -> None:
        """Kill it from outside, wherever it is. It is started again."""
        process = self._process
        assert process is not None
        process.signal(signal.SIGKILL)
        await asyncio.wait([process.end])

    @property
    def alive(self) -> bool:
        return self._process is not None and not self._process.end.done() and self.slack.connected

    @property
    def log(self) -> Path:
        return self.world.folder / "bot.log"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Let a failure show what the bot had to say."""
        try:
            yield
        except BaseException as error:
            said = self.log.read_text().splitlines() if self.log.exists() else []
            error.add_note(f"the bot ended as {self.ends} and said:\n" + "\n".join(line[:300] for line in said[-30:]))
            raise

    # --- the person

    async def until(self, predicate: Callable[[], Any], what: str) -> Any:
        try:
            return await self.slack.until(predicate, PATIENCE)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; the buyer sees {self.texts()}") from None

    async def insist(self, act: Callable[[], Awaitable[object]], done: Callable[[], Any], what: str) -> Any:
        """Do it, and do it again when the bot died of it, until it had its effect."""
        while not done():
            await self.until(lambda: self.alive, "the bot to come back")
            life = self._process
            async with self._hands:
                await act()
            await self.until(lambda: done() or self._process is not life, what)  # noqa: B023 - used up in this round
        return done()

    async def fill_in(self, amount: str, person: str = OWNER) -> None:
        """Type the command and see the form with the amount."""
        self.slack.views.clear(person)  # what stands there of an earlier purchase
        channel = self.slack.channel_named("general").id
        typed = partial(self.slack.command, person, channel, f"{names.BUY_COMMAND} {amount}")
        await self.insist(typed, lambda: self.slack.modal(person), "the form")

    async def submit(self, person: str = OWNER) -> None:
        """Press Buy, again whenever Slack says that the bot did not answer."""
        heard: list[Ack] = []

        async def press() -> None:
            heard.append(await self.slack.submit(person))

        await self.insist(press, lambda: heard and heard[-1].ok, "an answer to the form")
        assert heard[-1].delivery
        self.submitted[person] = heard[-1].delivery

    async def buy(self, amount: str = "25", person: str = OWNER) -> None:
        await self.fill_in(amount, person)
        await self.submit(person)

    async def pay(self, card: str = "visa", person: str = OWNER, *, save: bool = True) -> None:
        """Follow the link in the message and pay on Stripe's page."""
        link = await self.until(lambda: self.link(person), "a link to Stripe's page")
        await self.stripe.pay(link.rpartition("/")[2], card, save=save)

    async def cancel(self, person: str = OWNER) -> None:
        """Press Cancel in the message, until it says something else than how to pay."""
        await self.until(lambda: self.link(person), "a link to Stripe's page")

        async def press() -> None:
            with suppress(CannotDo):  # the button has gone meanwhile
                await self.slack.press(person, self.cards(person)[-1], names.CANCEL_PURCHASE)

        await self.insist(press, lambda: not self.link(person), "the purchase to be cancelled")

    def link(self, person: str = OWNER) -> str:
        """Where the person's newest message leads to pay, if anywhere."""
        return next((url for message in self.cards(person)[-1:] for url in _pages(message)), "")

    def cards(self, person: str = OWNER) -> list[Message]:
        """The bot's messages in its conversation with the person."""
        return self._said_in(self.slack.dm(person))

    def texts(self) -> list[str]:
        """What the bot says to the buyer, and in the account's channel."""
        return [each.text for each in (*self.cards(), *self._said_in(self.slack.channel_named("ai-credits").id))]

    def _said_in(self, channel: str) -> list[Message]:
        return [each for each in self.slack.messages(channel) if each.by_bot and each.ephemeral_to is None]

    # --- the end

    async def told(self, *ends: "End") -> None:
        """Wait until the buyer's conversation and the channel hold one message for each, and it says how all ended."""
        await self.until(partial(self.heard, *ends), f"{ends[-1].buyer!r} and {ends[-1].channel!r}")

    def heard(self, *ends: "End") -> bool:
        begin = [*(end.buyer for end in ends), *(end.channel for end in ends)]
        texts = self.texts()
        return len(texts) == len(begin) and all(map(str.startswith, texts, begin))

    async def rested(self) -> None:
        """Wait until nothing is owed to anybody, and no purchase is looked at or waits for a look."""
        async with self.database() as database, asyncio.timeout(PATIENCE):
            while True:
                async with database.read() as tx:
                    now = self.world.clock.now()
                    looked_at = or_(rows.c.lease_until > now, rows.c.check_at <= now)  # leases of the dead are over
                    busy = await tx.scalar(select(func.count()).select_from(rows).where(looked_at))
                    if not busy and not (await outbox.waiting(tx)).count:
                        return
                await asyncio.sleep(0.02)

    async def notified(self) -> None:
        """Wait until every webhook arrived, those too that met a dead bot and are tried again much later."""
        await self.stripe.webhooks.settled()
        while any(event["pending_webhooks"] for event in self.stripe.state.events):
            self.world.clock.wind(minutes=1)
            await asyncio.sleep(0.01)

    async def prove(self, *statuses: Status) -> None:
        """Hold books, Stripe and Slack against each other, for a bot that rests and purchases that have ended."""
        paid = [intent for intent in self.stripe.state.intents if intent["status"] == "succeeded"]
        left = [item["id"] for item in (*self.stripe.state.intents, *self.stripe.state.sessions) if _payable(item)]
        async with self.database() as database, database.read() as tx:
            audit = await verify(database)
            entries = await ledger.newest(tx, 100)
            balance = await ledger.balance(tx, ACCOUNT)
            bought = await purchases.newest(tx, 100)
            told = {(row.channel, row.ts): row.text for row in await tx.execute(select(messages))}
        assert audit.ok, audit.problems
        assert sorted(each.status for each in bought) == sorted(statuses)
        assert len(paid) == len(self.stripe.charges_made()) == statuses.count(Status.SETTLED)
        assert sorted(entry.cause for entry in entries) == sorted(f"purchase:{intent['id']}" for intent in paid)
        assert balance == Credits.bought_for(Usd(sum(intent["amount_received"] for intent in paid)))
        assert not left, "somebody could still pay by these"
        assert len(self.stripe.state.customers) == 1
        shown = [each for channel in self.slack.channels for each in self._said_in(channel)]
        assert {(each.channel, each.ts): each.text for each in shown} == told
        assert len(shown) == 2 * len(bought), "one message to the buyer and one in the channel"
        assert not any(_pages(message) for message in shown)
        assert not any(secret in self.log.read_text() for secret in self._secrets())

    def _secrets(self) -> list[str]:
        return [self.slack.bot_token, self.slack.app_token, STRIPE_KEY, WEBHOOK_SECRET]


@dataclass(frozen=True, slots=True)
class End:
    """How a purchase ends: its status, and how the last words to the buyer and in the channel begin."""

    status: Status
    buyer: str
    channel: str


def _payable(item: dict[str, Any]) -> bool:
    """Whether somebody could still pay by this intent or on this page."""
    return item["status"] not in ("succeeded", "canceled", "complete", "expired")


def _pages(message: Message) -> list[str]:
    """The addresses of Stripe's pages that the message leads to."""
    urls = [element.get("url", "") for block in message.blocks for element in block.get("elements", [])]
    return [url for url in urls if "/pay/cs_" in url]


async def everywhere(folder: Path, tales: dict[str, Callable[[Path], Awaitable[Any]]]) -> None:
    """Tell all of them, some at the same time, each in a folder of its own; then fail with every one that failed."""
    free = asyncio.Semaphore(AT_ONCE)

    async def tell(number: int, tale: Callable[[Path], Awaitable[Any]]) -> None:
        async with free:
            own = folder / str(number)
            own.mkdir()
            await tale(own)

    told = await asyncio.gather(*map(tell, itertools.count(), tales.values()), return_exceptions=True)
    failed = [error for error in told if isinstance(error, Exception)]
    for name, error in zip(tales, told, strict=True):
        if error:
            error.add_note(f"killed at: {name}")
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(tales)} went wrong", failed)
