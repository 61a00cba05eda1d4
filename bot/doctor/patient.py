"""What the doctor examines, and the questions it may ask about it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.clock import Clock, SystemClock
from bot.db.engine import Database
from bot.settings import MailServer, Settings
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


@dataclass(frozen=True, slots=True)
class Deaf:
    """A place at which an account's warnings do not arrive any more."""

    account_id: str
    place: str
    error: str  # Slack's
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A set-up of the bot. Slack and Stripe are only asked where the settings have a token of theirs."""

    settings: Settings
    database: Database
    slack: Callable[[], Awaitable[Identity]]  # whose SLACK_BOT_TOKEN it is; raises SlackRefused or Outage
    socket: Callable[[], Awaitable[object]]  # asks for a Socket Mode connection with SLACK_APP_TOKEN; raises the same
    stripe: Callable[[], Awaitable[Mapping[str, str]]]  # PaymentGateway.probe
    portal: Callable[[], Awaitable[bool]]  # PaymentGateway.probe_portal
    customer: Callable[[str], Awaitable[bool]]  # PaymentGateway.has_customer
    mail: Callable[[MailServer], Awaitable[str]]  # how its connection is protected; raises Outage
    stuck: Callable[[], Awaitable[Stuck]]  # asked where the tables are the newest, as are the next
    parked: Callable[[], Awaitable[Sequence[Parked]]]
    deaf: Callable[[], Awaitable[Sequence[Deaf]]]
    clock: Clock = field(default_factory=SystemClock)  # what the bot goes by
    machine: Clock = field(default_factory=SystemClock)  # what signatures are checked by, in the sandbox too
