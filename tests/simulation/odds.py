"""What a seed draws: how likely each trouble is in its world, and what people are up to. Half of the odds are zero."""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random


class Trouble(Enum):
    """What can become of a call over the network."""

    CUT_BEFORE = auto()  # nothing was done
    CUT_AFTER = auto()  # it was done, and the answer is lost
    FAILED = auto()  # 5xx instead of the work
    STORED = auto()  # 500, which Stripe repeats for a day under the same idempotency key
    SLOW_DOWN = auto()  # 429
    RUBBISH = auto()  # a web page
    HANG = auto()  # up to 80 s of silence, then the work, whoever still listens


AT_STRIPE = tuple(Trouble)
AT_SLACK = (Trouble.CUT_BEFORE, Trouble.CUT_AFTER, Trouble.FAILED, Trouble.SLOW_DOWN, Trouble.HANG)

SAVED_CARDS = ("visa", "visa", "visa", "declined_later", "authentication_required", "insufficient_funds", None, None)
CARDS_ON_THE_PAGE = (
    *("visa", "visa", "visa", "mastercard", "bank_debit", "bank_debit"),
    *("declined", "authentication_required", "authentication_then_declined", "disputed"),
)


@dataclass(frozen=True)
class Odds:
    """Probabilities are per call, per statement or per event; seconds are virtual."""

    length: float  # seconds with troubles
    replicas: int
    purchases: int
    saved_card: str | None
    stripe: dict[Trouble, float]
    slack: dict[Trouble, float]
    may_read_history: bool  # so that a post whose answer was lost is found again
    database: float  # an answer of the database is missed, before its work or after it
    slow_disk: float  # a statement takes a moment, in which others may come between
    rush: bool  # everybody buys in the same minute
    death: float  # at any one step of a process
    most_deaths: int
    freeze: float  # a process stands still at the moment at which an answer arrives
    jumps: int
    losses_of_right: int
    twice: float  # a form is submitted several times
    answered_late: float  # a buyer acts on a page only after many minutes
    cancels: float
    reversals: float
    webhooks: str  # "all", "some" or "none"
    repeated_webhooks: float
    abandons: float  # a page is left open until it expires


def draw(random: Random) -> Odds:
    def maybe(most: float) -> float:
        return random.random() * most if random.random() < 0.5 else 0.0

    def troubles(kinds: tuple[Trouble, ...], most: float) -> dict[Trouble, float]:
        return {kind: maybe(most) for kind in kinds}

    fraught = random.random() < 0.85  # the others prove that the checker does not cry wolf
    return Odds(
        length=random.choice([300.0, 300.0, 600.0, 1200.0, 3600.0]),
        replicas=random.choice([1, 2]),
        purchases=random.randint(1, 5),
        saved_card=random.choice(SAVED_CARDS),
        stripe=troubles(AT_STRIPE, 0.12) if fraught else {},
        slack=troubles(AT_SLACK, 0.12) if fraught else {},
        may_read_history=random.random() < 0.6,
        database=maybe(0.15) if fraught else 0.0,
        slow_disk=maybe(0.1),
        rush=random.random() < 0.3,
        death=maybe(0.01) if fraught else 0.0,
        most_deaths=random.randint(1, 4),
        freeze=maybe(0.15) if fraught else 0.0,
        jumps=random.choice([0, 0, 0, 1, 2]) if fraught else 0,
        losses_of_right=random.choice([0, 0, 1, 2]),
        twice=maybe(0.8),
        answered_late=maybe(0.5),
        cancels=maybe(0.5),
        reversals=random.choice([0.0, 0.4, 1.0]),
        webhooks=random.choice(["all", "some", "none", "none"]),
        repeated_webhooks=maybe(0.5),
        abandons=0.3 if random.random() < 0.06 else 0.0,
    )
