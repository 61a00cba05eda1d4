"""A whole world in virtual time: people, Slack, Stripe, one or two processes of the bot on one database, and troubles.

Everything that happens is drawn from one seed. First come troubles, then a time without any, and then the truth.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan
from bot.accounts.model import Workspace as Home
from bot.outbox.model import LEASE, LONGEST_WAIT
from bot.purchases.model import FARTHEST_LOOK, LIVE
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Workspace
from bot.sandbox.stripe import StripeAccount
from bot.sandbox.stripe.cards import BY_NAME

from .driver import SharedDatabase
from .loop import outside
from .odds import AT_SLACK, AT_STRIPE, Odds, Trouble, draw
from .process import Parts, Process
from .wires import Answer, request

TEAM, ACCOUNT = "T0ACME", "acme"
ANNA, BO, MAJA = "U0ANNA", "U0BO", "U0MAJA"
OWNERS = (ANNA, BO)
HISTORY = ("im:history", "channels:history")
BEGINNING = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)  # three hours before Europe's clocks go back
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HANGS_FOR = 80.0  # seconds, at most


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


# What is further ahead than any time that is ever set was written before a clock was set back, and is due.
_DUE = {
    "purchases": f"""
        SELECT min(iif(check_at > :now + {_microseconds(2 * FARTHEST_LOOK)}, 0, check_at)) FROM purchases""",
    "outbox": f"""
        SELECT min(max(
            iif(due_at > :now + {_microseconds(2 * LONGEST_WAIT)}, 0, due_at),
            iif(lease_until IS NULL OR lease_until > :now + {_microseconds(2 * LEASE)}, 0, lease_until)
        )) FROM outbox WHERE version > delivered AND dead IS NULL""",
}
REST_WITHIN, PAGES_EXPIRE_WITHIN = 3 * 3600.0, 27 * 3600.0

Json = dict[str, Any]


class WorldClock:
    """The right time, which Slack and Stripe have."""

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Charge:
    """Money that moved, or was promised by a bank: ``sent`` is when the bot asked for it; None when the buyer paid."""

    intent: str
    purchase: str
    buyer: str
    at: float
    sent: float | None


@dataclass
class Form:
    """A form in front of somebody, and each time they pressed its button: from when to when."""

    user: str
    nonce: str
    metadata: str
    cents: int
    pressed: list[tuple[float, float]] = field(default_factory=list)
    accepted: bool = False


@dataclass
class Rights:
    """Who could buy when: pairs of a time and whether from then on."""

    history: dict[str, list[tuple[float, bool]]] = field(
        default_factory=lambda: {ANNA: [(0.0, True)], BO: [(0.0, True)], MAJA: [(0.0, False)]}
    )

    def note(self, user: str, at: float, *, may_buy: bool) -> None:
        if self.history[user][-1][1] != may_buy:
            self.history[user].append((at, may_buy))

    def held(self, user: str, since: float, until: float) -> bool:
        """Whether there was a moment in that time at which this person could buy."""
        changes = [*self.history[user], (float("inf"), False)]
        return any(may_buy and begin <= until and end >= since for (begin, may_buy), (end, _) in pairwise(changes))


class World:
    """``play`` it, then look at it with ``truths``."""

    def __init__(self, seed: int, folder: Path, template: Path, parts: Parts | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.odds: Odds = draw(self.random)
        self.parts = parts or Parts()
        self.file = folder / f"world-{seed}.db"
        shutil.copyfile(template, self.file)
        self.clock = WorldClock()
        self.stripe = StripeAccount(self.clock, random=Random(self.random.random()))
        self.stripe.base_url = "https://stripe.invalid"
        scopes = {"commands", "chat:write", "im:write", "users:read"}
        scopes |= set(HISTORY) if self.odds.may_read_history else set()
        self.slack = Workspace(self.clock, team_id=TEAM, scopes=scopes, strict_rate=True)
        self.slack.base_url = "https://slack.invalid"
        self.processes: list[Process] = []
        self.rights = Rights()
        self.roles = Rights()  # what the account alone says, without Slack's word on the person
        self.departed: set[str] = set()  # whom Slack would not let us write to at some time
        self.forms: list[Form] = []
        self.charges: dict[str, Charge] = {}
        self.sent: float | None = None  # when the call was sent that Stripe is answering now
        self.troubled = False
        self.troubles: list[float] = []
        self.links: set[bytes] = set()  # pages that somebody was shown the way to
        self.abandoned: set[str] = set()  # purchases whose page is left to expire
        self.hung_at = -HANGS_FOR  # the latest post that Slack took its time over
        self.outlived = False  # such a post may have been carried out after its sender's successor looked for it
        self.ambiguous = False  # a post's answer was lost, or came when somebody else had taken over
        self.deaths = 0
        self.wrong_by = timedelta(0)  # the bot's clocks
        self.trace: list[str] = []
        self.resting = False
        self._numbers = 0
        self._people: list[asyncio.Task[None]] = []

    # ── what happens is written down, and drawn ───────────────────────────────────────────────────────────────────

    def note(self, what: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():10.3f}  {what}")

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def new_id(self, prefix: str, at: datetime) -> str:
        self._numbers += 1
        return f"{prefix}_{self._numbers:04}"

    def strikes(self, probability: float, what: str) -> bool:
        if not self.troubled or not probability or self.random.random() >= probability:
            return False
        self.troubles.append(self.now)
        self.note(f"trouble: {what}")
        return True

    def trouble(self, process: Process, where: str, call: str) -> Trouble | None:
        odds, kinds = (self.odds.stripe, AT_STRIPE) if where == "stripe" else (self.odds.slack, AT_SLACK)
        for kind in kinds:
            if self.strikes(odds.get(kind, 0.0), f"{kind.name} at {process.name}'s {call}"):
                self.ambiguous |= call == "chat.postMessage" and kind in (
                    Trouble.CUT_AFTER,
                    Trouble.HANG,
                    Trouble.FAILED,
                )
                if call == "chat.postMessage" and kind is Trouble.HANG:
                    self.hung_at = self.now
                return kind
        return None

    def dies_now(self, process: Process) -> bool:
        return self.deaths < self.odds.most_deaths and self.strikes(self.odds.death, f"{process.name} dies")

    def kill_soon(self, process: Process) -> None:
        self.deaths += 1
        self.ambiguous = True
        self.outlived |= self.now - self.hung_at < HANGS_FOR
        process.alive = False
        self.join(self._die(process))

    async def _die(self, process: Process) -> None:
        await process.kill()
        await asyncio.sleep(self.random.uniform(0.5, 90))
        self._raise(process.name)

    def _raise(self, name: str) -> None:
        process = Process(self, name)
        self.processes = [*(other for other in self.processes if other.name != name), process]
        self.processes.sort(key=lambda each: each.name)
        self.note(f"{name} starts")
        process.start()

    def join(self, act: Coroutine[Any, Any, None]) -> None:
        """Somebody has something to do, and the world does not end before it is done."""
        self._people.append(outside(act))

    def someone_at_work(self) -> Process | None:
        """A process that takes what comes in now."""
        awake = [each for each in self.processes if each.alive and not each.frozen]
        return self.random.choice(awake) if awake else None

    # ── the database, from outside ────────────────────────────────────────────────────────────────────────────────

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._window.execute(query, values).fetchall()

    def until_due(self, table: str, now: datetime) -> float:
        """Seconds until there is something to do in ``table``, by a clock that says ``now``."""
        moment = _microseconds(now - _EPOCH)
        [due] = self._window.execute(_DUE[table], {"now": moment}).fetchone()
        return float("inf") if due is None else (due - moment) / 1e6

    # ── the outside ───────────────────────────────────────────────────────────────────────────────────────────────

    async def at_stripe(
        self,
        name: str,
        method: str,
        path: str,
        *,
        sent: float,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        stored: bool,
    ) -> Answer:
        if stored:
            self.stripe.faults.arm(f"{method} {path}", Kind.STATUS, stored=True)
        self.sent = sent
        try:
            answer = await request(self.stripe.api, method, path, query=query, headers=headers, body=body)
        finally:
            self.sent = None
        if method == "POST":
            self.note(f"stripe: {name}'s {method} {path} {answer.status}")
        return answer

    def _happened(self, event: Json) -> None:
        item = event["data"]["object"]
        if event["type"] not in ("payment_intent.created", "charge.succeeded", "charge.failed"):
            self.note(f"stripe: {event['type']} {item['id']}")
        if event["type"] in ("payment_intent.succeeded", "payment_intent.processing"):
            metadata = item["metadata"]
            charge = Charge(item["id"], metadata["purchase_id"], metadata["slack_user"], self.now, self.sent)
            self.charges.setdefault(item["id"], charge)

    # ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def play(
        self,
        people: Callable[["World"], list[Coroutine[Any, Any, None]]],
        tidy_up: Callable[["World"], Coroutine[Any, Any, None]],
    ) -> None:
        await self._populate()
        self.stripe.watch(self._happened)
        self.troubled = True
        for number in range(self.odds.replicas):
            self._raise("AB"[number])
        for act in people(self):
            self.join(act)
        await asyncio.sleep(self.odds.length)
        self._calm()
        await self._come_to_rest(tidy_up)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside there is a database. Afterwards nothing is left."""
        self.writing = asyncio.Lock()
        self.desk = SharedDatabase(self.file, None, self.writing, replicas=False)
        with closing(sqlite3.connect(self.file)) as self._window:
            self._window.row_factory = sqlite3.Row
            yield
            for process in self.processes:
                await process.kill()
            await self.desk.dispose()
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()

    async def _populate(self) -> None:
        for user in (*OWNERS, MAJA):
            self.slack.add_person(user, user.lower(), team_id=TEAM)
        channel = self.slack.add_channel("ai-credits", [*OWNERS, MAJA, self.slack.bot_user_id]).id
        customer = None
        if self.odds.saved_card or self.random.random() < 0.5:
            customer = str(self.stripe.customers.create({"metadata": {"account_id": ACCOUNT}})["id"])
            if self.odds.saved_card:
                method = self.stripe.save_card(customer, "visa", default=True)
                self._turn_into(method, self.odds.saved_card)
        account = Account(ACCOUNT, "Acme Labs", Plan.ADVANCED, Home("", TEAM), frozenset(OWNERS), channel)
        await self.desk.write(lambda tx: accounts.add(tx, replace(account, customer=customer), self.clock.now()))

    def _turn_into(self, method: str, card: str) -> None:
        """The saved card goes bad, or its bank wants to see the buyer from now on."""
        self.stripe.customers._cards[method] = BY_NAME[card]

    async def change_account(self, change: Callable[[Account], Account]) -> None:
        async def write(tx: Any) -> None:
            account = await accounts.of_id(tx, ACCOUNT)
            assert account
            await accounts.replace(tx, change(account))

        await self.desk.write(write)

    async def look_at_rights(self) -> None:
        """Write down who may buy from now on."""
        async with self.desk.read() as tx:
            account = await accounts.of_id(tx, ACCOUNT)
        assert account
        for user in OWNERS:
            here, owns = not self.slack.person(user).deleted, user in account.owners and account.plan.paid
            self.departed |= set() if here else {user}
            self.roles.note(user, self.now, may_buy=owns)
            self.rights.note(user, self.now, may_buy=owns and here)

    def _calm(self) -> None:
        """No more troubles: whoever is dead is raised, frozen ones run, clocks are right."""
        self.note("calm")
        self.troubled = False
        self.wrong_by = timedelta(0)
        for process in self.processes:
            process.thaw()

    async def _come_to_rest(self, tidy_up: Callable[["World"], Coroutine[Any, Any, None]]) -> None:
        """People finish what they are at; then nothing is left to do, or something is wrong."""
        limit = self.now + (PAGES_EXPIRE_WITHIN if self.odds.abandons else REST_WITHIN)
        while self.now < limit and not self.resting:
            await asyncio.sleep(20)
            if not all(task.done() for task in self._people):
                continue
            if not self._at_rest():
                await tidy_up(self)
            self.resting = await self._stays_at_rest()
        for task in self._people:
            if task.done():
                task.result()
            else:
                task.cancel()

    async def _stays_at_rest(self) -> bool:
        if self._at_rest():
            await asyncio.sleep(40)  # what was said last is heard of within two readings of Stripe's list
        return self._at_rest()

    def _at_rest(self) -> bool:
        """Whether nothing is left to do. A look that is put off until later is still to be done."""
        live = ", ".join(f"'{status}'" for status in LIVE)
        [[unfinished]] = self.rows(f"SELECT count(*) FROM purchases WHERE status IN ({live}) OR check_at IS NOT NULL")
        [[owed]] = self.rows("SELECT count(*) FROM outbox WHERE version > delivered AND dead IS NULL")
        heard = all(each.has_heard_everything for each in self.processes)
        return not unfinished and not owed and heard and not any(each.busy for each in self.processes)
