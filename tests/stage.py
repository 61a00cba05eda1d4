"""A stage for whole stories: the world, the real bot in it, people who buy, and what must hold after each story."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import yaml
from sqlalchemy import text

from bot import logs
from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.alerts import store as alerts
from bot.app import Bot
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.outbox import store as outbox
from bot.prices import store as prices
from bot.prices.model import Price
from bot.purchases import store as purchases
from bot.purchases.model import LIVE, Purchase, Status
from bot.sandbox import run
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message, OpenView
from bot.sandbox.slack.records import Ack
from bot.sandbox.world import ACCOUNT, OWNER, STRIPE_KEY, WEBHOOK_SECRET, World
from bot.slack import names
from bot.slack.manifest import manifest
from bot.tokens import store as tokens
from bot.tokens.model import Bearer, Scope, hash_of, new_token
from bot.usage import store as usage

from .genstudio import MODEL, PRICE, PROVIDER, Program
from .ports import free_port

Json = dict[str, Any]

SELLING = "POST /v1/payment_intents"
CONFIRMING = "POST /v1/payment_intents/*/confirm"
CANCELLING = "POST /v1/payment_intents/*/cancel"
OPENING_PAGE = "POST /v1/checkout/sessions"

# Words by which a card is recognised as finished, whichever of the two languages it is in.
FINAL_WORDS = {
    Status.SETTLED: ("Paid and credited", "Betalt og krediteret"),
    Status.DECLINED: ("was declined", "blev afvist"),
    Status.EXPIRED: ("has expired", "er udløbet"),
    Status.CANCELLED: ("was cancelled", "blev annulleret"),
    Status.QUARANTINED: ("not the amount", "ikke det beløb"),
    Status.REFUNDED: ("was refunded", "er refunderet"),
    Status.DISPUTED: (" dispute", "ndsigelse"),
}
FINAL_IN_CHANNEL = {
    Status.SETTLED: ("bought", "har købt"),
    Status.QUARANTINED: ("looked into", "set på"),
    Status.REFUNDED: ("was refunded", "er refunderet"),
    Status.DISPUTED: (" dispute", "ndsigelse"),
    **dict.fromkeys((Status.DECLINED, Status.EXPIRED, Status.CANCELLED), ("was not completed", "blev ikke gennemført")),
}


@dataclass
class Stage:
    """Slack, Stripe and the bot. ``settings`` and ``members`` are what the bot was opened with."""

    world: World
    bot: Bot
    settings: Json
    log: io.StringIO
    _life: AsyncExitStack
    _programs: AsyncExitStack = field(default_factory=AsyncExitStack)
    books_are_broken: bool = False
    mistakes_are_expected: bool = False  # the log may show a bug's traceback
    lost_purchases: set[str] = field(default_factory=set)  # ids of those that books went back before
    lost_cards: set[str] = field(default_factory=set)  # keys of messages that cannot reach Slack any more
    seen_twice: bool = False  # a post's answer was lost and the bot may not read the history

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        database_url: str,
        *,
        card: str | None = "visa",
        customer: bool = True,
        webhooks: str | None = "snapshot",
        socket: bool = True,
        http: bool = False,
        change: Callable[[Account], Account] = lambda account: account,
        scopes: Iterable[str] = (),
        **settings: Any,
    ) -> AsyncIterator[Self]:
        """``webhooks`` is ``snapshot``, ``thin`` or None; ``change`` alters the accounts before they are added.

        ``scopes``: the optional ones which the bot has from its first question on.
        """
        async with World.open(folder) as world:
            world.slack.install(_MANIFEST)
            world.slack.scopes.update(scopes)
            given: Json = {"database_url": database_url, **settings}
            if http:
                given["slack_signing_secret"] = world.slack.signing_secret
            if not socket:
                given["slack_app_token"] = None
            log = io.StringIO()
            with _written_to(log):
                stage = cls(world, None, given, log, AsyncExitStack())  # type: ignore[arg-type]
                try:
                    await stage.start()
                    known = world.add_customer(card) if customer else None
                    for account in world.accounts(customer=known):
                        write = partial(accounts.add, account=change(account), at=world.clock.now())
                        await stage.bot.database.write(write)
                    if webhooks:
                        world.send_webhooks_to(stage.bot.server.url, thin=webhooks == "thin")
                    if not socket:
                        world.slack.request_url = f"{stage.bot.server.url}/slack/events"
                    await world.slack.until(lambda: world.slack.connected)
                    yield stage
                finally:
                    await stage._programs.aclose()
                    await stage.stop()
            print(*_of_interest(log.getvalue()), sep="\n")  # pytest shows it where a story failed

    # ── the bot ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Start the bot, on the port it had before if it ran before."""
        port = int(self.bot.server.url.rpartition(":")[2]) if self.bot else free_port()
        given = {"port": port, **self.settings}
        self._life = AsyncExitStack()
        self.bot = await self._life.enter_async_context(Bot.open(self.world.settings(**given), self.world.clock))

    async def stop(self) -> None:
        await self._life.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()
        await self.slack.until(lambda: self.slack.connected)

    @asynccontextmanager
    async def second_bot(self) -> AsyncIterator[Bot]:
        """Another process on the same database, as far as one process can be two."""
        async with Bot.open(self.world.settings(**self.settings), self.world.clock) as bot:
            yield bot

    @property
    def slack(self) -> Any:
        return self.world.slack

    @property
    def stripe(self) -> Any:
        return self.world.stripe

    @property
    def faults(self) -> Any:
        return self.world.faults

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def wind(self, seconds: float = 0, **units: float) -> None:
        """Move everybody's clock; whatever became due happens."""
        await run.wind(self.world, self.bot, timedelta(seconds=seconds, **units))

    async def until(self, truth: Callable[[], Any], *, timeout: float = 25.0) -> Any:
        """Wait, without winding, for the first true answer."""
        async with asyncio.timeout(timeout):
            while True:
                answer = truth()
                if found := await answer if isinstance(answer, Awaitable) else answer:
                    return found
                await asyncio.sleep(0.05)  # a look reads the database and costs as much as a step of the story

    async def eventually(
        self, truth: Callable[[], Any], *, within: float, step: float = 20, patience: float = 0.15
    ) -> Any:
        """Wind the clock in steps of so many seconds until it is true, for at most ``within`` of them.

        ``patience`` is in real seconds, and the last look has more: this machine may be busy.
        """
        wound = 0.0
        while wound < within:
            with suppress(TimeoutError):
                return await self.until(truth, timeout=patience)
            wound += step
            await self.wind(step)
        try:
            return await self.until(truth)
        except TimeoutError:
            raise AssertionError(f"not within {within} seconds\n{self.told()}") from None

    # ── what people do ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def home(self) -> str:
        """The account's channel."""
        return str(self.slack.channel_named("ai-credits").id)

    async def form(self, typed: str = "", user: str = OWNER) -> OpenView:
        """Type the command and look at the form, once it knows how it will be paid."""
        self.slack.views.clear(user)
        ack = await self.slack.command(user, self.slack.channel_named("general").id, f"/buy-credits {typed}")
        assert ack.ok, ack.error
        return await self.opened(user)

    async def opened(self, user: str = OWNER) -> OpenView:
        """The form in front of somebody, complete."""
        form: OpenView = await self.until(
            lambda: (
                (shown := self.slack.modal(user))
                and shown.view["callback_id"] == names.BUY_FORM
                and not any(words in says(shown) for words in ("Looking up", "Finder dit"))
                and shown
            )
        )
        return form

    async def buy(self, amount: str, user: str = OWNER, *, again: bool = False, **fields: str) -> Ack:
        """From the command to the pressed button; ``again`` says yes when asked whether the same is meant twice."""
        await self.form(user=user)
        ack: Ack = await self.slack.submit(user, amount=amount, **fields)
        if again and (form := self.slack.modal(user)) and form.view["callback_id"] == names.BUY_AGAIN_FORM:
            ack = await self.slack.submit(user)
        return ack

    async def bought(self, amount: str = "25", user: str = OWNER, **fields: str) -> Message:
        """A purchase that went well; its card."""
        before = len(self.cards(user))
        if before:
            await self.wind(2)  # a place gets one new message a second
        ack = await self.buy(amount, user, again=True, **fields)
        assert ack.ok, ack.errors or ack.error
        await self.until(lambda: len(self.cards(user)) > before)
        return await self.said(FINAL_WORDS[Status.SETTLED][self.slack.person(user).locale == "da-DK"], user=user)

    async def pay(self, card: str = "visa", *, save: bool = False, **how: Any) -> Any:
        """Pay on the newest checkout page."""
        return await self.stripe.pay(self.page["id"], card, save=save, **how)

    async def change(self, account_id: str = ACCOUNT, **facts: Any) -> None:
        """Change an account, as the command line does."""

        async def write(tx: Any) -> None:
            account = await accounts.of_id(tx, account_id)
            assert account
            await accounts.replace(tx, replace(account, **facts))

        await self.bot.database.write(write)

    async def knows(self, user: str, locale: str) -> None:
        """Wait until the bot has learned that this owner reads this language."""

        async def learned() -> bool:
            async with self.bot.database.read() as tx:
                return await alerts.locale_of(tx, user) == locale

        await self.eventually(learned, within=200, step=61)

    # ── programs that use models ──────────────────────────────────────────────────────────────────────────────────

    async def program(self, name: str = "genstudio", *may: Scope) -> Program:
        """A program with a new token, which may do everything unless it is said what."""
        token = new_token()
        bearer = Bearer(name, frozenset(may or Scope))
        at = self.world.clock.now()
        await self.bot.database.write(partial(tokens.add, bearer=bearer, hash=hash_of(token), at=at))
        program = Program(self.bot.server.url, token)
        self._programs.push_async_callback(program.aclose)
        return program

    async def price(
        self, *figures: str | None, model: str = MODEL, since: datetime | None = None, until: datetime | None = None
    ) -> None:
        """Write a price in dollars per million tokens: input, output, cached input, cache write. It is a month old."""
        wanted = [None if each is None else Credits.exactly(each).nano for each in figures or PRICE]
        read, output, cached, written = [*wanted, None, None][:4]
        assert read is not None
        assert output is not None
        start = since or self.ago(days=30)
        price = Price(0, PROVIDER, model, read, output, start, cached, written, until)
        assert await self.bot.database.write(partial(prices.add, price=price, at=self.world.clock.now()))

    async def markup(self, scope: str, basis_points: int, since: datetime | None = None) -> None:
        write = partial(
            prices.set_markup, scope=scope, basis_points=basis_points, effective_at=since or self.ago(days=30)
        )
        await self.bot.database.write(partial(write, at=self.world.clock.now()))

    def ago(self, **units: float) -> datetime:
        return self.world.clock.now() - timedelta(**units)

    async def parked(self) -> dict[str, int]:
        """How many events wait, by reason."""
        async with self.bot.database.read() as tx:
            waiting = await usage.waiting(tx)
        return {
            reason: sum(each.count for each in waiting if each.reason == reason)
            for reason in {each.reason for each in waiting}
        }

    @asynccontextmanager
    async def held_database(self) -> AsyncIterator[None]:
        """Nobody else can store events or settings of warnings meanwhile."""
        held, let_go = asyncio.Event(), asyncio.Event()

        async def hold(tx: Any) -> None:
            if not self.bot.database.is_sqlite:
                await tx.execute(text("LOCK TABLE usage_events, alert_settings IN EXCLUSIVE MODE"))
            held.set()
            await let_go.wait()

        holding = asyncio.create_task(self.bot.database.write(hold))
        await held.wait()
        try:
            yield
        finally:
            let_go.set()
            await holding

    @contextmanager
    def held_up(self, call: str) -> Iterator["Gate"]:
        """Calls wait at this gate, before their work is done, until it is opened."""
        gate = Gate()
        self.faults.sleep = gate
        fault = self.faults.arm(call, Kind.HANG, None)
        try:
            yield gate
        finally:
            fault.where = "nothing"
            gate.opened.set()

    # ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────

    def cards(self, user: str = OWNER) -> list[Message]:
        """The living messages in somebody's conversation with the bot, without those about cases of support."""
        return [each for each in self.letters(user) if not _key(each).startswith("case:")]

    def letters(self, user: str = OWNER) -> list[Message]:
        """All of them."""
        return [each for each in self.slack.messages(self.slack.dm(user)) if each.by_bot and each.metadata]

    def cards_in(self, channel: str) -> list[Message]:
        return [each for each in self.slack.messages(channel) if each.by_bot and each.metadata]

    def card(self, user: str = OWNER) -> Message:
        return self.cards(user)[-1]

    async def said(self, *words: str, user: str = OWNER) -> Message:
        """The newest card of somebody, once it says all these words."""
        try:
            card: Message = await self.until(
                lambda: (cards := self.cards(user)) and all(word in cards[-1].text for word in words) and cards[-1]
            )
        except TimeoutError:
            raise AssertionError(f"{words} was not said\n{self.told()}") from None
        return card

    def whispers(self, user: str = OWNER) -> list[str]:
        """What only this person sees, everywhere."""
        return [
            each.text
            for channel in self.slack.channels
            for each in self.slack.messages(channel, for_user=user)
            if each.ephemeral_to == user
        ]

    async def whisper(self, user: str = OWNER) -> str:
        """The first words that only this person sees."""
        said: list[str] = await self.until(lambda: self.whispers(user))
        return said[-1]

    def told(self) -> str:
        """Everything that stands in Slack, for a failed test."""
        return "\n".join(f"{each.channel}: {each.text}" for c in self.slack.channels for each in self.slack.messages(c))

    @property
    def page(self) -> Json:
        """The newest checkout page."""
        return self.stripe.state.sessions.newest_first()[0]  # type: ignore[no-any-return]

    def pages(self) -> list[Json]:
        return list(self.stripe.state.sessions)

    def interesting(self) -> list[str]:
        """The lines of the log that are the bot's own, or more than information."""
        return _of_interest(self.log.getvalue())

    def charges(self) -> list[int]:
        """The cents of every payment that went through, oldest first."""
        return [intent["amount_received"] for intent in self.stripe.succeeded_intents()]

    def calls(self, method: str, path: str = "") -> list[str]:
        """The requests that Stripe answered, as text, of those that begin like this."""
        wanted = f"{method} {path}".rstrip()
        return [called for each in self.stripe.calls if (called := f"{each.method} {each.path}").startswith(wanted)]

    async def balance(self, account_id: str = ACCOUNT) -> str:
        async with self.bot.database.read() as tx:
            return str(await ledger.balance(tx, account_id))

    async def purchases(self) -> list[Purchase]:
        """All purchases, newest first."""
        async with self.bot.database.read() as tx:
            return list(await purchases.newest(tx, 1000))

    async def statuses(self) -> list[str]:
        """The states of all purchases, oldest first."""
        return [each.status.value for each in reversed(await self.purchases())]

    async def became(self, *statuses: str, within: float = 0, step: float = 20) -> None:
        """Wait until the purchases are in these states, oldest first; wind up to ``within`` seconds for it."""
        try:
            await self.eventually(lambda: self._are(statuses), within=within, step=step, patience=0.15 if within else 8)
        except AssertionError:
            raise AssertionError(f"{await self.statuses()} and not {statuses}\n{self.told()}") from None

    async def _are(self, statuses: tuple[str, ...]) -> bool:
        return tuple(await self.statuses()) == statuses

    # ── what must hold after every story ──────────────────────────────────────────────────────────────────────────

    async def calm(self) -> None:
        """Faults stop, webhooks arrive, Stripe's list of events is read once more, and everybody finishes."""
        self.faults.disarm()
        await self.stripe.webhooks.settled()
        if not await self.purchases():
            return
        await self._rest()
        for _ in range(2):  # the second reading begins when everything in the first was heeded
            self.world.clock.wind(20)
            await self.bot._worker.listen()
        await self._rest()

    async def _rest(self) -> None:
        for step in (0.0, *[1.5] * 60, 60, 300, 300, 300):  # a place gets one new message a second
            if step:
                await self.wind(step)
            with contextlib.suppress(TimeoutError):
                await self.until(self._idle, timeout=0.1 if step < 60 else 0.5)
                return
        raise AssertionError(f"it never ends\n{self.told()}")

    async def _idle(self) -> bool:
        async with self.bot.database.read() as tx:
            waiting = (await outbox.waiting(tx)).count
            due = await purchases.newest(tx, 1000)
        now = self.world.clock.now()
        at_work = any(each.check_at and (each.check_at <= now or each.failures) for each in due)
        return not waiting and not at_work and not self.bot._workers.busy

    async def check(self) -> None:
        """The invariants."""
        await self.calm()
        audit = await verify(self.bot.database)
        assert audit.ok or self.books_are_broken, audit.problems
        async with self.bot.database.read() as tx:
            entries = await ledger.newest(tx, 10_000)
            costs = {(f"usage:{row.batch}", row.account_id): Credits(int(row.nano)) for row in await tx.execute(_COSTS)}
        of_usage = [entry for entry in entries if entry.cause.startswith("usage:")]
        booked = {entry.cause: _credit_in(entry.postings) for entry in entries if entry not in of_usage}
        self._every_use_is_debited_once(of_usage, costs)
        assert all(credit.nano for credit in booked.values()), "an entry that moves nothing"
        everything = await self.purchases()
        self._every_payment_is_credited_once(booked, everything)
        if not self.books_are_broken:
            spent = sum(cost.nano for (_, account), cost in costs.items() if account == ACCOUNT)
            await self._the_balance_is_what_was_kept(booked, Credits(spent))
        self._every_purchase_is_told(everything)
        self._nothing_can_still_be_paid(everything)
        self._no_secret_in_the_logs()

    def _every_use_is_debited_once(self, entries: list[ledger.Record], costs: dict[tuple[str, str], Credits]) -> None:
        moved = {(each.cause, account): change for each in entries for account, change in each.accounts.items()}
        assert moved == {of: Credits(-cost.nano) for of, cost in costs.items()}

    def _every_payment_is_credited_once(self, booked: dict[str, Credits], everything: list[Purchase]) -> None:
        by_id = {each.id: each for each in everything}
        paid: dict[str, Json] = {}
        for intent in self.stripe.succeeded_intents():
            ours = intent["metadata"].get("purchase_id")
            if ours is None or ours in self.lost_purchases:
                continue  # somebody else's business with the same Stripe account, or ours once
            assert ours in by_id, f"a payment for a purchase that nobody knows: {intent['id']}"
            assert ours not in paid, f"{ours} was paid twice"
            paid[ours] = intent
            entry = booked.get(f"purchase:{intent['id']}")
            if by_id[ours].status is Status.QUARANTINED:
                assert entry is None
            else:
                assert entry == Credits.bought_for(Usd(self._without_tax(intent)))
        causes = [cause for cause in booked if cause.startswith("purchase:")]
        credited = [each for each in paid if by_id[each].status is not Status.QUARANTINED]
        assert len(causes) == len(credited), "a credit without a payment"

    async def _the_balance_is_what_was_kept(self, booked: dict[str, Credits], spent: Credits) -> None:
        credited = {cause.partition(":")[2] for cause in booked if cause.startswith("purchase:")}
        kept = 0
        for intent in self.stripe.succeeded_intents():
            if intent["id"] in credited:
                bought = self._without_tax(intent)
                kept += bought - self._gone(intent) * bought // int(intent["amount_received"])
        assert await self.balance() == str(Credits(Credits.bought_for(Usd(kept)).nano - spent.nano))

    def _without_tax(self, intent: Json) -> int:
        """The cents that came in for the goods."""
        taxes = [each["total_details"]["amount_tax"] for each in self.pages() if each["payment_intent"] == intent["id"]]
        return int(intent["amount_received"]) - sum(taxes)

    def _gone(self, intent: Json) -> int:
        """The cents that went back, of everything that was paid."""
        state = self.stripe.state
        back = [each for each in state.refunds if each["status"] == "succeeded"]
        back += [each for each in state.disputes if each["status"] not in ("won", "prevented")]
        return sum(
            min(
                int(each["amount"]), int(intent["amount_received"])
            )  # a bank may dispute some cents more than were paid
            for each in back
            if each["payment_intent"] == intent["id"]
        )

    def _every_purchase_is_told(self, everything: list[Purchase]) -> None:
        for each in everything:
            for place, cards, words in (
                ("buyer", self.cards(each.buyer_id), FINAL_WORDS),
                ("channel", self.cards_in(self.home), FINAL_IN_CHANNEL),
            ):
                key = f"purchase:{each.id}:{place}"
                if key in self.lost_cards:
                    continue
                mine = [card for card in cards if (card.metadata or {})["event_payload"]["key"] == key]
                assert len(mine) == 1 or (mine and self.seen_twice), f"{key} is told {len(mine)} times\n{self.told()}"
                if each.status not in LIVE:
                    assert any(word in mine[-1].text for word in words[each.status]), (each.status, mine[-1].text)

    def _nothing_can_still_be_paid(self, everything: list[Purchase]) -> None:
        over = {each.id for each in everything if each.status not in LIVE}
        pages = [
            each["id"] for each in self.pages() if each["status"] == "open" and each["client_reference_id"] in over
        ]
        assert not pages, f"purchases that are over can still be paid on {pages}"
        loose = [
            each["id"]
            for each in self.stripe.state.intents
            if each["metadata"].get("purchase_id") in over
            and each["status"] not in ("succeeded", "canceled")
            and not self._refused_late(each)
            and not _nobody_can_confirm(each)
        ]
        assert not loose, f"purchases that are over can still be paid by {loose}"

    def _refused_late(self, intent: Json) -> bool:
        """A bank's late no: the page is complete, and nobody can confirm a page's intent but the page."""
        return any(each["payment_intent"] == intent["id"] and each["status"] == "complete" for each in self.pages())

    def _no_secret_in_the_logs(self) -> None:
        secrets = (
            self.slack.bot_token,
            self.slack.app_token,
            self.slack.signing_secret,
            STRIPE_KEY,
            WEBHOOK_SECRET,
            "4242424242424242",
        )
        written = self.log.getvalue()
        assert not [secret for secret in secrets if secret in written]
        mistakes = [line for line in _of_interest(written) if "'exception'" in line]
        assert self.mistakes_are_expected or not mistakes, "\n".join(mistakes)


def _key(message: Message) -> str:
    """What the bot calls a message of its own."""
    return str((message.metadata or {})["event_payload"]["key"])


def _nobody_can_confirm(intent: Json) -> bool:
    """An answer was lost and the intent with it: no card was ever named, and nobody knows its id."""
    return intent["status"] == "requires_payment_method" and not intent["latest_charge"]


class Gate:
    """Where calls to Stripe or Slack are held up."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.reached.set()
        await self.opened.wait()


_MANIFEST = yaml.safe_load(manifest())
_READ_FIRST = {"text": -2, "label": -2, "element": -1, "initial_value": -2}


def says(shown: OpenView | Message) -> str:
    """Every word in a form or a message, in order."""
    return "\n".join(_words(shown.blocks))


def _words(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _words(each)
    elif isinstance(part, dict):
        for key, value in sorted(part.items(), key=lambda item: _READ_FIRST.get(item[0], 0)):
            if key in ("text", "initial_value") and isinstance(value, str):
                yield value
            elif key not in ("initial_option",):
                yield from _words(value)


def buttons(shown: OpenView | Message) -> dict[str, Json]:
    """The buttons of a form or a message, by the words on them."""
    return {
        element["text"]["text"]: element
        for block in shown.blocks
        if block["type"] == "actions"
        for element in block["elements"]
    }


def _credit_in(postings: dict[str, Credits]) -> Credits:
    """By how much the entry moved the account's balance."""
    [credit] = [change for book, change in postings.items() if book.startswith("account:")]
    return credit


_COSTS = text(
    "SELECT batch, account_id, sum(nano) AS nano FROM usage_events WHERE batch IS NOT NULL GROUP BY batch, account_id"
)

OpenStage = Callable[..., Awaitable[Stage]]
"""Opens a stage with the options of ``Stage.open``; closed and checked when the test is over."""


@contextmanager
def _written_to(stream: io.StringIO) -> Iterator[None]:
    """Logs as the bot writes them, at their most talkative, beside those that pytest keeps."""
    root = logging.getLogger()
    kept, level = root.handlers, root.level
    root.handlers = []
    logs.configure("INFO", stream)
    logging.captureWarnings(False)
    ours = root.handlers
    root.handlers = [*kept, *ours]
    try:
        yield
    finally:
        root.handlers = [each for each in root.handlers if each not in ours]
        root.setLevel(level)


def _of_interest(log: str) -> list[str]:
    lines = (json.loads(line) for line in log.splitlines())
    return [
        str({key: value for key, value in line.items() if key not in ("time",)})
        for line in lines
        if line["logger"].startswith("bot.") or line["level"] != "INFO"
    ]


async def tamper(bot: Bot, *statements: str) -> None:
    """Change the books behind the bot's back."""

    async def write(tx: Any) -> None:
        for statement in statements:
            await tx.execute(text(statement))

    await bot.database.write(write)
