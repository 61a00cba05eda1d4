"""The world around the bot: Slack with people in it, Stripe and a mail server, on loopback, on a clock to wind.

The page, the headless tour and the tests all stand on this one.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from pydantic_settings import PydanticBaseSettingsSource, SettingsConfigDict

from bot.accounts.model import Account, Plan
from bot.accounts.model import Workspace as Home
from bot.payments.stripe_events import KINDS
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Faults
from bot.sandbox.mail import MailBox
from bot.sandbox.slack import Workspace
from bot.sandbox.stripe import Endpoint, StripeAccount
from bot.settings import Settings
from bot.web.server import Server

TEAM = "T0ACME"
TRIAL_TEAM = "T0TRIAL"
ENTERPRISE = "E0SANDBOX"
OWNER, SECOND_OWNER, MEMBER, GUEST, TRIAL_OWNER = "U0ANNA", "U0BO", "U0MAJA", "U0GUS", "U0TINA"
ROLES = {
    OWNER: "owner",
    SECOND_OWNER: "owner",
    MEMBER: "member",
    GUEST: "guest",
    TRIAL_OWNER: "owner on Free Trial",
}
ACCOUNT = "acme"
STRIPE_KEY = "rk_test_sandbox"
WEBHOOK_SECRET = "whsec_sandbox"  # noqa: S105 - the sandbox's own, worth nothing elsewhere

_BANK_TAKES = timedelta(days=4)  # to answer a debit


class _Given(Settings):
    """What the environment says is about another bot: it must not open this one to the network, or tax its sales."""

    model_config = SettingsConfigDict(env_file=None)  # not even read

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *others: Any, **more: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class World:
    """Slack, Stripe and the mail server are up while inside ``World.open``. ``settings`` points a bot at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = WindableClock()
        self.faults = Faults()
        self.slack = Workspace(self.clock, faults=self.faults, team_id=TEAM, enterprise_id=ENTERPRISE)
        self.stripe = StripeAccount(self.clock, faults=self.faults)
        self.mail = MailBox(self.clock, faults=self.faults)
        self.mail.watchers.append(lambda mail: self.slack.feed.publish("mail", subject=mail.subject))
        self._populate()

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path | None = None) -> AsyncIterator[Self]:
        async with AsyncExitStack() as stack:
            kept = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="credits-sandbox-")))
            world = cls(kept)
            for part in (world.slack, world.stripe):
                server = Server(part.app)
                await server.start()
                stack.push_async_callback(server.stop)
                stack.push_async_callback(part.close)
                part.base_url = server.url
            await world.mail.start()
            stack.push_async_callback(world.mail.stop)
            yield world

    def settings(self, **more: Any) -> Settings:
        """A bot's settings for this world: Socket Mode, SQLite, any free port; ``more`` changes them."""
        given: dict[str, Any] = {
            "slack_bot_token": self.slack.bot_token,
            "slack_app_token": self.slack.app_token,
            "slack_api_url": f"{self.slack.base_url}/api/",
            "stripe_api_key": STRIPE_KEY,
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "stripe_api_url": self.stripe.base_url,
            "database_url": f"sqlite:///{self.folder / 'credits.db'}",
            "port": 0,
            "smtp_url": f"{self.mail.url}?from=credits@acme.example",
            **more,
        }
        return _Given(**given)

    def send_webhooks_to(self, bot_url: str, *, thin: bool = False) -> None:
        """Of the kinds that the README chooses at Stripe."""
        self.stripe.webhooks.endpoints = [Endpoint(f"{bot_url}/stripe/webhook", WEBHOOK_SECRET, thin, KINDS)]

    def add_customer(self, card: str | None = "visa") -> str:
        """A customer of Acme Labs at Stripe, with this card saved."""
        facts = {"name": "Acme Labs", "metadata": {"account_id": ACCOUNT, "slack_team": TEAM}}
        customer = str(self.stripe.customers.create(facts)["id"])
        if card:
            self.stripe.save_card(customer, card, default=True)
        return customer

    def answer_bank_debits(self) -> None:
        """The bank pays what it was asked for days ago."""
        now = self.clock.now()
        for intent in list(self.stripe.state.intents):
            if intent["status"] == "processing" and now.timestamp() - intent["created"] >= _BANK_TAKES.total_seconds():
                self.stripe.finish_processing(intent["id"])

    def accounts(self, *, customer: str | None = None) -> list[Account]:
        """The accounts that the people here belong to."""
        return [
            Account(
                id=ACCOUNT,
                name="Acme Labs",
                plan=Plan.ADVANCED,
                workspace=Home(ENTERPRISE, TEAM),
                owners=frozenset({OWNER, SECOND_OWNER}),
                channel=self.slack.channel_named("ai-credits").id,
                customer=customer,
            ),
            Account(
                id="trial",
                name="Tiny Trial",
                plan=Plan.FREE_TRIAL,
                workspace=Home(ENTERPRISE, TRIAL_TEAM),
                owners=frozenset({TRIAL_OWNER}),
            ),
        ]

    def _populate(self) -> None:
        slack = self.slack
        near = {"tz": "Europe/Copenhagen", "tz_offset": 3600}
        slack.add_person(OWNER, "anna", real_name="Anna Berg", email="anna@acme.example", **near)
        slack.add_person(SECOND_OWNER, "bo", real_name="Bo Lind", email="bo@acme.example", locale="da-DK", **near)
        slack.add_person(MEMBER, "maja", real_name="Maja Holm", email="maja@acme.example", **near)
        slack.add_person(GUEST, "gus", real_name="Gus Guest", is_restricted=True, **near)
        slack.add_person(TRIAL_OWNER, "tina", real_name="Tina Tran", team_id=TRIAL_TEAM, **near)
        slack.add_channel("ai-credits", [OWNER, SECOND_OWNER, MEMBER, slack.bot_user_id])
        slack.add_channel("general", [OWNER, SECOND_OWNER, MEMBER, GUEST, TRIAL_OWNER])
