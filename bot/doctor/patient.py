"""What the doctor examines, and the questions it may ask about it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.clock import Clock, SystemClock
from bot.db.engine import Database
from bot.settings import Settings
from bot.slack.client import Identity


@dataclass(frozen=True, slots=True)
class Stuck:
    """Purchases that need a person, by id."""

    quarantined: Sequence[str] = ()  # paid, but not what was asked: not credited
    unknown: Sequence[str] = ()  # for a day nobody could say what became of the payment


@dataclass(frozen=True, slots=True)
class Parked:
    """Uses of a model that could not be booked yet, of one account and for one reason."""

    account_id: str
    provider: str
    model: str
    reason: str  # overdrawn, no_price, or the kind of price that is missing
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A set-up of the bot. Slack and Stripe are only asked where the settings have a token of theirs."""

    settings: Settings
    database: Database
    slack: Callable[[], Awaitable[Identity]]  # whose SLACK_BOT_TOKEN it is; raises SlackRefused or Outage
    socket: Callable[[], Awaitable[object]]  # asks for a Socket Mode connection with SLACK_APP_TOKEN; raises the same
    stripe: Callable[[], Awaitable[Mapping[str, str]]]  # PaymentGateway.probe
    customer: Callable[[str], Awaitable[bool]]  # PaymentGateway.has_customer
    stuck: Callable[[], Awaitable[Stuck]]  # asked where the tables are the newest, as is the next
    parked: Callable[[], Awaitable[Sequence[Parked]]]
    clock: Clock = field(default_factory=SystemClock)  # what the bot goes by
    machine: Clock = field(default_factory=SystemClock)  # what signatures are checked by, in the sandbox too
