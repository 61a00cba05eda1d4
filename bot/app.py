"""The composition root: opens every part in order and closes it in reverse. The only place where parts meet."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, astuple
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp

from bot.accounts.directory import SlackDirectory
from bot.accounts.listeners import Listeners as PeopleListeners
from bot.alerts import routes as alert_routes
from bot.alerts.by_mail import ByMail
from bot.alerts.listeners import WORDS as ALERT_WORDS
from bot.alerts.listeners import Listeners as AlertListeners
from bot.alerts.owners import Owners
from bot.alerts.reports import Reports
from bot.alerts.service import Alerts
from bot.clock import Clock, SystemClock
from bot.clockwork import Clockwork, Crew, Work, Worker
from bot.db.engine import Database
from bot.db.migrate import current, prepare
from bot.db.versions import try_writing
from bot.doctor.patient import Deaf, Parked, Patient, Stuck
from bot.doctor.report import Report
from bot.errors import Outage, Unusable
from bot.home.listeners import WORDS as HOME_WORDS
from bot.home.listeners import Listeners as HomeListeners
from bot.home.messages import Messages
from bot.home.portal import Portals
from bot.home.service import Homes
from bot.home.statements import Statements
from bot.ids import NewId, new_id
from bot.ledger import store as ledger_store
from bot.ledger.service import Audit, Prover
from bot.mail import store as mail_store
from bot.mail.service import Mailer
from bot.money import Credits
from bot.outbox.service import Outbox
from bot.payments.gateway import Hint
from bot.payments.on_demand import ClosableGateway, GatewayOnDemand
from bot.purchases import dossier
from bot.purchases import proof as purchases_proof
from bot.purchases import store as purchases_store
from bot.purchases.asking.cards import Cards as AskingCards
from bot.purchases.asking.listeners import WORDS as ASKING_WORDS
from bot.purchases.asking.listeners import Listeners as AskingListeners
from bot.purchases.asking.service import Asking
from bot.purchases.cards import Cards
from bot.purchases.forms import Nonces
from bot.purchases.listeners import Listeners as BuyListeners
from bot.purchases.model import LIVE
from bot.purchases.service import Purchases, stuck
from bot.purchases.webhook import Webhook
from bot.purchases.worker import PurchaseWorker
from bot.settings import MailServer, Settings
from bot.slack import bolt
from bot.slack.boundary import Boundary
from bot.slack.client import SlackClient, SlackRefused
from bot.slack.socket import SocketMode
from bot.support.cards import Cards as SupportCards
from bot.support.listeners import WORDS as SUPPORT_WORDS
from bot.support.listeners import Listeners as SupportListeners
from bot.support.service import Support
from bot.text import Texts, texts_for
from bot.tokens.service import Gate
from bot.usage import hour_store, repricing
from bot.usage import proof as usage_proof
from bot.usage import store as usage_store
from bot.usage.api import Api
from bot.usage.holds import Holds
from bot.usage.meter import Meter
from bot.usage.model import CAUSE as USAGE
from bot.usage.parking import Parking
from bot.usage.rating import Rater
from bot.usage.rollup import Rollup
from bot.web.build import build
from bot.web.health import Health
from bot.web.pages import ReturnPages
from bot.web.server import Server
from bot.web.slack_http import SlackDoor

if TYPE_CHECKING:
    from bot.mail.smtp import Smtp

logger = logging.getLogger(__name__)

_ASK_STRIPE_EVERY = 15.0  # seconds; a payment is credited within a minute though every webhook is lost
_TRY_TOKEN_EVERY = 60.0
_PROVE_EVERY = 300.0
_PROVE_ALL_EVERY = timedelta(days=1)  # in between, what is new and every balance
_COMMITTED_WITHIN = timedelta(minutes=2)  # no transaction takes so long
_ROLL_UP_EVERY = 20.0
_WARN_EVERY = 2.0  # what was found in the debit is told within ten seconds
_CHECK_WARNINGS_EVERY = 3600.0
_LEARN_OWNERS_EVERY = 60.0
_MAIL_WARNINGS_EVERY = 60.0
_SEND_DIGESTS_EVERY = 60.0
_LOOK_FOR_SPIKES_EVERY = 3600.0
_END_REQUESTS_EVERY = 30.0
_SEND_MAIL_EVERY = 5.0
_LOOK_FOR_TROUBLE_EVERY = 60.0
_REFRESH_HOMES_EVERY = 5.0
_FORGET_VISITS_EVERY = 3600.0
_LOOK_FOR_USAGE_EVERY = 5.0  # what was parked is booked within seconds of the price or the credit it waits for
_LET_PEOPLE_IN = 10.0  # after a start, before the rounds begin that nobody waits for
_SLACK = "https://app.slack.com/client"


class Bot:
    """Everything of one process, wired. Use ``Bot.open``; inside of it the bot is at work."""

    def __init__(self, settings: Settings, clock: Clock, new_id: NewId) -> None:
        token = _secret(settings.slack_bot_token, "SLACK_BOT_TOKEN")
        stripe_key = _secret(settings.stripe_api_key, "STRIPE_API_KEY")
        signing_secrets = _several(settings.slack_signing_secret)
        if not _plain(settings.slack_app_token) and not signing_secrets:
            raise Unusable("set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP): there is no way in")
        self.settings = settings
        self.database = Database(settings.database_url)
        self.slack = SlackClient(token, settings.slack_api_url)
        self.audit = Audit()
        self._prover = Prover(self.database)
        self._prove_all_at = clock.now() + _PROVE_ALL_EVERY
        self.gateway = _gateway(settings, stripe_key)
        self._clock = clock
        self._crew = Crew(200)
        self._workers = Crew(20)
        self.clockwork = Clockwork()
        self._post: Worker | None = None
        self.directory = SlackDirectory(self.slack.profile, clock)
        self.outbox = Outbox(self.database, self.slack, clock)
        nonces = Nonces(token.encode())
        cards = AskingCards(clock, Cards(clock, settings.support_email))
        self.purchases = Purchases(
            database=self.database,
            directory=self.directory,
            gateway=self.gateway,
            announce=cards,
            nonces=nonces,
            clock=clock,
            new_id=new_id,
            frozen=lambda: not self.audit.ok,
            due=self._nudge_purchases,
            nudge=self._nudge,
        )
        self.asking = Asking(
            database=self.database, purchases=self.purchases, cards=cards, nonces=nonces, clock=clock, new_id=new_id
        )
        self._housekeeping(_END_REQUESTS_EVERY, "requests that nobody answered", self.asking.end)
        self._worker = PurchaseWorker(
            database=self.database,
            directory=self.directory,
            gateway=self.gateway,
            purchases=self.purchases,
            clock=clock,
            crew=self._workers,
        )
        self._purchase_worker = self.clockwork.every(1.0, "purchases", self._worker.work)
        self._workers.free_again = self._nudge_purchases
        self.clockwork.every(_ASK_STRIPE_EVERY, "what happened at Stripe", self._worker.listen)
        self.clockwork.every(_PROVE_EVERY, "proof of the books", self._prove)
        self._token_trouble: str | None = None
        self.clockwork.every(_TRY_TOKEN_EVERY, "the token of Slack", self._try_token)
        rater = Rater(self.database)
        self.meter = Meter(self.database, clock, rater)
        self.meter.nudge = self.clockwork.every(_LOOK_FOR_USAGE_EVERY, "usage", self.meter.work).nudge
        parking = Parking(self.database, clock, rater)
        self.clockwork.every(_LOOK_FOR_USAGE_EVERY, "parked usage", parking.work)
        rollup = Rollup(self.database, clock)
        self.clockwork.every(_ROLL_UP_EVERY, "hours of usage", rollup.work)
        self._api = Api(
            Gate(self.database, clock), self.meter, Holds(self.database, clock, rater, self.meter, new_id), clock
        )
        self.alerts = Alerts(
            database=self.database,
            clock=clock,
            new_id=new_id,
            history=self._pace,
            last_purchase=_last_purchase,
            who_is=self.purchases.person,
        )
        self.clockwork.every(_WARN_EVERY, "warnings", self.alerts.work)
        self.clockwork.every(_WARN_EVERY, "routes of warnings", self.alerts.look_after_routes)
        self._housekeeping(_CHECK_WARNINGS_EVERY, "all warnings", self.alerts.check_all)
        self._owners = Owners(self.database, self.directory, clock)
        self._housekeeping(_LEARN_OWNERS_EVERY, "languages and addresses of owners", self._owners.learn)
        reports = Reports(
            database=self.database,
            clock=clock,
            history=hour_store.spend_by_hour,
            pace=self._pace,
            spend=hour_store.spend_by_day_and_model,
            complete_to=lambda: rollup.complete_to,
        )
        self._housekeeping(_SEND_DIGESTS_EVERY, "digests", reports.send_digests)
        self._housekeeping(_LOOK_FOR_SPIKES_EVERY, "spikes", reports.look_for_spikes)
        server = settings.mail_server
        self.support = Support(
            database=self.database,
            who_is=self.purchases.person,
            purchases=dossier,
            tell=SupportCards(clock, self.texts_of, settings.support_email),
            clock=clock,
            address=settings.support_email,
            mail=server is not None,
            nudge=self._nudge_mail,
        )
        self._housekeeping(_LOOK_FOR_TROUBLE_EVERY, "cases of purchases in trouble", self.support.look_for_trouble)
        if server:
            by_mail = ByMail(
                database=self.database,
                clock=clock,
                history=self._pace,
                nudge=self._nudge_mail,
            )
            self._housekeeping(_MAIL_WARNINGS_EVERY, "warnings by mail", by_mail.work)
            mailer = Mailer(self.database, _smtp(server), clock, self.support.heard)
            self._post = self.clockwork.every(_SEND_MAIL_EVERY, "mail", mailer.work)
        self.homes = Homes(
            self.database, self.purchases, self.slack.publish, self.texts_of, clock, settings.support_email
        )
        self._homes_worker = self.clockwork.every(_REFRESH_HOMES_EVERY, "homes", self.homes.refresh)
        self._housekeeping(_FORGET_VISITS_EVERY, "visits of homes", self.homes.forget)
        self.app = bolt.build(token=token, api_url=settings.slack_api_url)
        self._listen()
        self._socket: SocketMode | None = None
        self.health = self._health()
        self.server = Server(self._routes(signing_secrets), settings.host, settings.port)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, clock: Clock | None = None, new_id: NewId = new_id, *, serve: bool = True
    ) -> AsyncIterator[Self]:
        """Open every part, be at work, close every part. Raises ``Unusable``.

        Without ``serve`` nothing happens by itself: see ``reconcile``.
        """
        bot = cls(settings, clock or SystemClock(), new_id)
        async with AsyncExitStack() as stack:
            stack.enter_context(bot.database.only_process())
            stack.push_async_callback(bot.database.dispose)
            await bot._prepare_database()
            await bot.slack.open()
            stack.push_async_callback(bot.slack.close)
            stack.push_async_callback(bot.directory.stop)
            stack.push_async_callback(bot.gateway.aclose)
            stack.push_async_callback(bot._workers.stop)
            if serve:
                await bot._serve(stack)
            yield bot

    async def _serve(self, stack: AsyncExitStack) -> None:
        """Work on what is due, then let people and Stripe in."""
        delivering = asyncio.create_task(self.outbox.run(), name="outbox")
        stack.push_async_callback(_end, delivering)
        stack.push_async_callback(self.clockwork.stop)
        self.clockwork.start()
        stack.push_async_callback(self._crew.stop)
        if app_token := _plain(self.settings.slack_app_token):
            self._socket = SocketMode(self.app, app_token, self._clock)
            stack.push_async_callback(self._socket.stop)
        await self.server.start()
        stack.push_async_callback(self.server.stop)
        if self._socket:
            await self._socket.start()
        logger.info("at work", extra={"url": self.server.url, "socket_mode": self._socket is not None})

    async def reconcile(self) -> tuple[int, int]:
        """Look at every unsettled purchase now. How many were looked at, and how many are unsettled still."""
        looked_at = await self.database.write(partial(purchases_store.look_at_all, now=self._clock.now()))
        await self._worker.listen()
        while await self._worker.work():
            await self._workers.done()
        await self.outbox.deliver()
        async with self.database.read() as tx:
            return looked_at, len(await purchases_store.of_status(tx, LIVE))

    def texts_of(self, user_id: str) -> Texts:
        """A person's language, as far as Slack has told."""
        person = self.directory.remembered(user_id)
        return texts_for(person.locale if person else None)

    def _housekeeping(self, seconds: float, name: str, work: Work) -> None:
        self.clockwork.every(seconds, name, work, begin_after=_LET_PEOPLE_IN)

    def _nudge_purchases(self) -> None:
        self._purchase_worker.nudge()

    def _nudge(self) -> None:
        self.outbox.nudge()
        self._homes_worker.nudge()

    def _nudge_mail(self) -> None:
        self.outbox.nudge()
        if self._post:
            self._post.nudge()

    async def _pace(self, tx: AsyncConnection, account_id: str) -> Mapping[datetime, Credits]:
        return await repricing.spend_by_hour(tx, account_id, self._clock.now())

    def _listen(self) -> None:
        boundary = Boundary(self.texts_of, self._crew, self.settings.support_email)
        support = self.settings.support_email
        alerts = AlertListeners(self.alerts, boundary, self.texts_of)
        asking = AskingListeners(self.asking, boundary, self.texts_of)
        cases = SupportListeners(self.support, boundary, self.texts_of, support)
        words = dict.fromkeys(ALERT_WORDS, alerts.open_form) | dict.fromkeys(ASKING_WORDS, asking.limit)
        homes = HomeListeners(
            self.homes,
            Statements(self.database, self.homes),
            Portals(self.homes, self.gateway.open_portal),
            Messages(self.homes, self.slack, self._post is not None, self._nudge_mail),
            boundary,
            self.texts_of,
        )
        words |= dict.fromkeys(SUPPORT_WORDS, cases.command) | dict.fromkeys(HOME_WORDS, homes.history)
        BuyListeners(self.purchases, boundary, self.texts_of, support, words, self.asking).register(self.app)
        homes.register(self.app)
        alerts.register(self.app)
        asking.register(self.app)
        cases.register(self.app)
        PeopleListeners(boundary, self.directory.changed, self._owners.changed).register(self.app)
        bolt.acknowledge_the_rest(self.app)

    def _routes(self, signing_secrets: Sequence[str]) -> ASGIApp:
        pages = ReturnPages(self._came_back, texts_for)
        # They are tried in this order, and usage comes most often.
        routes = [*self._api.routes, *self.health.routes, *pages.routes, *Webhook(self.gateway, self.purchases).routes]
        return build([*routes, *(SlackDoor(self.app, signing_secrets).routes if signing_secrets else [])])

    async def _came_back(self, session_id: str) -> None:
        await self.purchases.heed(Hint("return", "checkout.done", session_id=session_id))

    async def _prepare_database(self) -> None:
        await prepare(self.database)
        if self.database.is_sqlite:
            await self.database.write(self._release_leases)

    async def _release_leases(self, tx: AsyncConnection) -> None:
        """Take back what another process had in hand. Only where none can be alive."""
        await purchases_store.release_all(tx, self._clock.now())
        await mail_store.release_leases(tx)

    # ── is it well? ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _prove(self) -> int:
        """Prove the books. While they are wrong nothing is sold; what can be read stays readable."""
        now = self._clock.now()
        if now >= self._prove_all_at or not self.audit.ok:  # what is wrong stays wrong, though it was read already
            self._prover, self._prove_all_at = Prover(self.database), now + _PROVE_ALL_EVERY
        self.audit = await prove(self._prover, now - _COMMITTED_WITHIN)
        for problem in self.audit.problems:
            logger.error("the books are wrong: %s", problem)
        return 0

    async def _try_token(self) -> int:
        """Whether Slack takes the bot's token. A bot that it refuses still hears people, and cannot answer them."""
        try:
            await self.slack.whoami()
        except SlackRefused as refused:
            self._token_trouble = f"Slack refuses SLACK_BOT_TOKEN ({refused}): credits-bot doctor says how to mend it"
            logger.error(self._token_trouble)  # noqa: TRY400 - the sentence says all
        else:
            self._token_trouble = None
        return 0

    def _health(self) -> Health:
        registry = CollectorRegistry()
        gauges = {
            "books_ok": lambda: float(self.audit.ok),
            "ledger_entries": lambda: float(self.audit.entries),
            "credits_held": lambda: self.audit.total.cents / 100,
            "purchases_at_work": lambda: float(self._workers.busy),
            "warnings_missed": lambda: float(self.alerts.missed),
        }
        for name, read in gauges.items():
            Gauge(f"credits_bot_{name}", name.replace("_", " "), registry=registry).set_function(read)
        health = Health(registry)
        health.check("database", self._database_trouble)
        health.check("slack", self._slack_trouble)
        health.check("stripe", self._stripe_trouble, bearable=True)
        health.check("books", self._books_trouble)
        return health

    async def _database_trouble(self) -> str | None:
        try:
            await current(self.database)
            if self.database.is_doubted:
                await try_writing(self.database)
        except Outage as outage:
            return outage.reason
        return None

    async def _slack_trouble(self) -> str | None:
        return self._token_trouble or (await self._socket.trouble() if self._socket else None)

    async def _stripe_trouble(self) -> str | None:
        return self._worker.stripe_trouble

    async def _books_trouble(self) -> str | None:
        return self.audit.problems[0] if self.audit.problems else None


async def prove(prover: Prover, settled_before: datetime | None = None) -> Audit:
    """Prove the ledger, and that purchases and usage tell the same story. See ``Prover.look``."""
    database, after = prover.database, prover.settled
    audit = await prover.look(settled_before)
    await purchases_proof.compare(database, audit)
    await usage_proof.compare(database, audit, after)
    async with database.read(at_length=True) as tx:
        for number, cause in await ledger_store.causes_besides(tx, [*purchases_proof.CAUSES, USAGE], after):
            audit.found(f"entry {number} ({cause}) is of nothing that the bot books")
    return audit


async def diagnose(settings: Settings) -> Report:
    """What is wrong with this set-up, asked of Slack, Stripe and the database. Changes nothing."""
    from bot.doctor.examination import examine  # brings an HTTP client that a bot at work need not wait for

    database = Database(settings.database_url)
    slack = SlackClient(_plain(settings.slack_bot_token), settings.slack_api_url)
    gateway = _gateway(settings, _plain(settings.stripe_api_key))

    async def look_for_stuck() -> Stuck:
        quarantined, unknown = await stuck(database, SystemClock().now())
        return Stuck(quarantined, unknown)

    async def look_for_parked() -> Sequence[Parked]:
        async with database.read() as tx:
            return [Parked(**asdict(each)) for each in await usage_store.waiting(tx)]

    async def look_for_deaf() -> Sequence[Deaf]:
        async with database.read() as tx:
            dead = await alert_routes.dead_everywhere(tx)
        return [Deaf(account_id, *astuple(route)) for account_id, routes in dead.items() for route in routes]

    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.dispose)
        stack.push_async_callback(gateway.aclose)
        await slack.open()
        stack.push_async_callback(slack.close)
        return await examine(
            Patient(
                settings=settings,
                database=database,
                slack=slack.whoami,
                socket=partial(slack.try_socket, _plain(settings.slack_app_token)),
                stripe=gateway.probe,
                portal=gateway.probe_portal,
                customer=gateway.has_customer,
                mail=lambda server: _smtp(server).probe(),
                stuck=look_for_stuck,
                parked=look_for_parked,
                deaf=look_for_deaf,
            )
        )


def _smtp(server: MailServer) -> "Smtp":
    from bot.mail.smtp import Smtp  # brings a client that a bot without a mail server need not load

    return Smtp(server)


def _gateway(settings: Settings, api_key: str) -> GatewayOnDemand:
    here = settings.public_url  # without one, buyers come back to Slack

    def load() -> ClosableGateway:
        from bot.payments.stripe_gateway import StripeGateway

        return StripeGateway(
            api_key=api_key,
            api_url=settings.stripe_api_url,
            webhook_secrets=_several(settings.stripe_webhook_secret),
            done_url=f"{here}/checkout/done" if here else _SLACK,
            cancelled_url=f"{here}/checkout/cancelled" if here else _SLACK,
            automatic_tax=settings.stripe_automatic_tax,
        )

    return GatewayOnDemand(load)


async def _last_purchase(tx: AsyncConnection, account_id: str) -> Credits | None:
    bought = await purchases_store.last_bought(tx, account_id)
    return None if bought is None else Credits.bought_for(bought)


def _secret(secret: SecretStr | None, name: str) -> str:
    value = _plain(secret)
    if not value:
        raise Unusable(f"set {name}: credits-bot doctor says what else is missing")
    return value


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _several(secret: SecretStr | None) -> list[str]:
    """One secret, or two with a comma between while one is replaced by the other."""
    return [each.strip() for each in _plain(secret).split(",") if each.strip()]


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
