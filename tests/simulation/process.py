"""One process of the bot in the simulation: the real parts, wired as ``bot.app`` wires them, on wires that leap.

Instead of alarms that ring every second for nothing there are alarms that ring when something is due.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import stripe
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from starlette.applications import Starlette

from bot.accounts.directory import SlackDirectory
from bot.clockwork import Crew, Worker
from bot.errors import Outage
from bot.outbox.service import Outbox
from bot.payments.stripe_gateway import StripeGateway
from bot.purchases import store as purchases_store
from bot.purchases.asking.cards import Cards as AskingCards
from bot.purchases.asking.service import Asking
from bot.purchases.cards import Cards
from bot.purchases.forms import Nonces
from bot.purchases.listeners import Listeners
from bot.purchases.model import Purchase
from bot.purchases.service import Purchases
from bot.purchases.webhook import Webhook
from bot.purchases.worker import PurchaseWorker
from bot.slack.boundary import Boundary
from bot.text import Texts, texts_for

from .driver import SharedDatabase
from .loop import inside
from .odds import Trouble
from .wires import Answer, LeapingSlack, StripeWire, request

if TYPE_CHECKING:
    from .world import World

LISTENS_EVERY = 15.0
LOOKS_AT_LEAST_EVERY = 30.0
SUPPORT = "support@example.com"
STRIPE_KEY = "rk_test_simulation"
WEBHOOK_SECRET = "whsec_simulation"


@dataclass
class ProcessClock:
    """The wall clock of the bot's machines, which may be wrong; and durations, which never are."""

    world: "World"

    def now(self) -> datetime:
        return self.world.clock.now() + self.world.wrong_by

    def monotonic(self) -> float:
        return self.world.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def gateway_of(kind: type[StripeGateway]) -> StripeGateway:
    """One for all processes of all worlds: it keeps nothing, and its wire asks who is speaking."""
    gateway = kind(
        api_key=STRIPE_KEY,
        api_url="https://stripe.invalid",
        webhook_secrets=[WEBHOOK_SECRET],
        done_url="https://slack.invalid/done",
        cancelled_url="https://slack.invalid/cancelled",
    )
    wire = StripeWire()
    client = stripe.StripeClient(
        STRIPE_KEY, base_addresses={"api": "https://stripe.invalid"}, http_client=wire, max_network_retries=0
    )
    gateway._http, gateway._stripe = wire, client.v1  # type: ignore[assignment]
    return gateway


class LeapingOutbox(Outbox):
    """Looks when a row is due, not every second."""

    until_due: Callable[[], float]

    async def _begin(self) -> list[asyncio.Task[int]]:
        return [] if self.until_due() > 0 else await super()._begin()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_between_looks(self.until_due())):
                await self._nudged.wait()


class LeapingListeners(Listeners):
    """Forms do not follow their purchase: that is looking, many times a second, and changes nothing."""

    async def _follow(self, texts: Texts, purchase: Purchase, args: AsyncArgs) -> None:
        await self._purchases.of_id(purchase.id)


def _between_looks(seconds: float) -> float:
    """The bot looks every second. Looks that would find nothing are left out, and now and then one is not."""
    return min(max(seconds, 1.0), LOOKS_AT_LEAST_EVERY)


@dataclass
class Parts:
    """What a process is made of. A test puts a wrong part in here to see whether anybody notices."""

    gateway: type[StripeGateway] = StripeGateway
    purchases: type[Purchases] = Purchases
    worker: type[PurchaseWorker] = PurchaseWorker
    nonces: type[Nonces] = Nonces
    listeners: type[LeapingListeners] = LeapingListeners
    slack: type[LeapingSlack] = LeapingSlack
    outbox: type[LeapingOutbox] = LeapingOutbox
    webhook: type[Webhook] = Webhook
    announce: Callable[["Process"], Any] = field(default=lambda process: Cards(process.clock, SUPPORT))


class Process:
    """Open for business from ``start`` to ``kill``."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.clock = ProcessClock(world)
        self.alive = True
        self._runs = asyncio.Event()
        self._runs.set()
        parts, odds = world.parts, world.odds
        self.database = SharedDatabase(world.file, self, world.writing, replicas=odds.replicas > 1)
        self.slack = parts.slack(world.slack.bot_token)
        self.directory = SlackDirectory(self.slack.profile, self.clock)
        self.gateway = gateway_of(parts.gateway)  # type: ignore[arg-type]
        self._crew, self._workers = Crew(200), Crew(20)
        self.outbox = parts.outbox(self.database, self.slack, self.clock, jitter=world.random.random)
        self.outbox.until_due = lambda: world.until_due("outbox", self.clock.now())
        self.purchases = parts.purchases(
            database=self.database,
            directory=self.directory,
            gateway=self.gateway,
            announce=parts.announce(self),
            nonces=parts.nonces(b"a secret"),
            clock=self.clock,
            new_id=world.new_id,
            frozen=lambda: False,
            due=self._nudge,
            nudge=self._nudge,
        )
        self.asking = Asking(
            database=self.database,
            purchases=self.purchases,
            cards=AskingCards(self.clock, Cards(self.clock, SUPPORT)),
            nonces=parts.nonces(b"a secret"),
            clock=self.clock,
            new_id=world.new_id,
        )
        self.worker = parts.worker(
            database=self.database,
            directory=self.directory,
            gateway=self.gateway,
            purchases=self.purchases,
            clock=self.clock,
            crew=self._workers,
        )
        self._works = Worker("purchases", self._work, 1.0)
        self._listens = Worker("what happened at Stripe", self._listen, 15.0)
        self._heard_up_to = -1
        self._workers.idle_again = self._nudge
        self.boundary = Boundary(self.texts_of, self._crew, SUPPORT)
        self.listeners = parts.listeners(self.purchases, self.boundary, self.texts_of, SUPPORT, {}, self.asking)
        self.web = Starlette(routes=parts.webhook(self.gateway, self.purchases).routes)

    def texts_of(self, user_id: str) -> Texts:
        return texts_for(None)

    # ── life and death ────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        inside(self, self._run())

    async def _run(self) -> None:
        if self.database.is_sqlite:
            await self._insist(lambda tx: purchases_store.release_all(tx, self.clock.now()))
        for loop in (self.outbox.run(), self._works.run(), self._listens.run(), self._look_out(), self._prick_ears()):
            inside(self, loop)
        self._works.nudge()
        self._listens.nudge()

    async def _insist(self, work: Callable[[Any], Any]) -> None:
        """Whoever starts the bot starts it again until it starts."""
        while True:
            try:
                return await self.database.write(work)
            except Outage:
                await asyncio.sleep(5)

    async def kill(self) -> None:
        """All at once, wherever it is. What it had begun with the database is undone."""
        self.alive = False
        tasks = [task for task in self.tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.database.dispose()

    def may_freeze(self) -> None:
        """The machine sleeps, or its disk hangs, for seconds or for many minutes."""
        if self._runs.is_set() and self.world.strikes(self.world.odds.freeze, f"{self.name} freezes"):
            self._runs.clear()
            self.world.ambiguous = True
            self.world.join(self._thaw_later(self.seconds(0, self.world.random.choice([10, 100, 300, 600]))))

    async def _thaw_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.world.note(f"{self.name} thaws")
        self.thaw()

    def thaw(self) -> None:
        self._runs.set()

    @property
    def frozen(self) -> bool:
        return not self._runs.is_set()

    @property
    def busy(self) -> bool:
        return self._workers.busy > 0

    @property
    def has_heard_everything(self) -> bool:
        return self._heard_up_to >= len(self.world.stripe.state.events)

    async def awake(self) -> None:
        while not self._runs.is_set():
            await self._runs.wait()
        if not self.alive:
            raise asyncio.CancelledError

    async def step(self) -> None:
        if self.alive and self.world.dies_now(self):
            self.world.kill_soon(self)
        slow = self.world.troubled and self.world.random.random() < self.world.odds.slow_disk
        await asyncio.sleep(self.world.random.uniform(0.01, 0.5) if slow else 0)
        if not self.alive:
            raise asyncio.CancelledError

    async def submit(self, args: Any) -> None:
        """As Bolt calls the listener of the form."""
        await self.boundary.now(self.listeners.submit)(args)

    # ── alarms ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _nudge(self) -> None:
        self._works.nudge()
        self.outbox.nudge()

    async def _look_out(self) -> None:
        while True:
            await asyncio.sleep(_between_looks(self.world.until_due("purchases", self.clock.now())))
            await self.awake()
            self._works.nudge()

    async def _prick_ears(self) -> None:
        while True:
            await asyncio.sleep(LISTENS_EVERY)
            await self.awake()
            if not self.has_heard_everything:
                self._listens.nudge()

    async def _work(self) -> int:
        return 0 if self.world.until_due("purchases", self.clock.now()) > 0 else await self.worker.work()

    async def _listen(self) -> int:
        said = len(self.world.stripe.state.events)
        await self.worker.listen()
        self._heard_up_to = said
        return 0

    # ── the network ───────────────────────────────────────────────────────────────────────────────────────────────

    def trouble(self, where: str, call: str) -> Trouble | None:
        return self.world.trouble(self, where, call)

    def trouble_with_database(self, moment: str) -> None:
        if self.world.strikes(self.world.odds.database / 2, f"database {moment}"):
            raise Outage("database", f"not heard of, {moment} its work")

    def seconds(self, least: float, most: float) -> float:
        return self.world.random.uniform(least, most)

    def hang(self, where: str) -> tuple[float, float]:
        """Seconds of silence before the work and after it.

        Stripe may begin long after the bot has given up. Slack begins before: a post that appeared a minute later than
        its sender stopped waiting could not be told from one that never came, by anybody.
        """
        if where == "stripe":
            return self.seconds(0.1, 80), self.seconds(0.1, 20)
        return self.seconds(0.1, 9), self.seconds(0.1, 80)

    async def at_stripe(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, sent: float, stored: bool
    ) -> Answer:
        parts = urlsplit(url)
        return await self.world.at_stripe(
            self.name, method, parts.path, sent=sent, query=parts.query, headers=headers, body=body, stored=stored
        )

    async def at_slack(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.world.links |= set(re.findall(rb"cs_test_\w+", body))
        return await request(self.world.slack.app, "POST", f"/api/{method}", headers=headers, body=body)
