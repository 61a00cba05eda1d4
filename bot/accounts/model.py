"""Accounts and people, and who may buy. Rules only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.errors import Refusal
from bot.money import Credits, Usd


class Plan(StrEnum):
    """The plans of SkyDeck.ai; all but the trial are paid."""

    FREE_TRIAL = "free_trial"
    ESSENTIAL = "essential"
    ESSENTIAL_PLUS = "essential_plus"
    ADVANCED = "advanced"
    ADVANCED_PLUS = "advanced_plus"

    @property
    def paid(self) -> bool:
        return self is not Plan.FREE_TRIAL

    @property
    def label(self) -> str:
        """``Advanced Plus``: what it is called everywhere."""
        return self.value.replace("_", " ").title()


@dataclass(frozen=True, slots=True)
class Workspace:
    """A Slack workspace: its team, and its Enterprise Grid organisation or an empty string."""

    enterprise_id: str
    team_id: str


class AtZero(StrEnum):
    """What happens to new calls of models when nothing is left."""

    STOP = "stop"
    GO_ON = "go_on"  # down to the overdraft


OVERDRAFT = Credits.bought_for(Usd.dollars(100))


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of SkyDeck.ai."""

    id: str
    name: str
    plan: Plan
    workspace: Workspace
    owners: frozenset[str]  # Slack user ids
    channel: str | None = None
    language: str = "en"  # of what the bot writes into the channel
    customer: str | None = None  # at Stripe
    at_zero: AtZero = AtZero.STOP
    overdraft: Credits = OVERDRAFT  # how far below zero use that has happened already may bring the balance
    trial_ends_at: datetime | None = None  # where it is known


class Standing(StrEnum):
    """What somebody is in the workspace."""

    MEMBER = "member"
    GUEST = "guest"
    BOT = "bot"
    DEACTIVATED = "deactivated"
    STRANGER = "stranger"  # of another workspace, seen through a shared channel


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in Slack."""

    id: str
    standing: Standing
    locale: str | None = None
    time_zone: str | None = None
    name: str = ""
    email: str | None = None  # None as well where the bot may not see it: the scope for it is optional


class NoAccount(Refusal):
    key = "refusal.no_account"


class NotFullMember(Refusal):
    """A guest, a bot, somebody deactivated or of another workspace: each has a sentence of their own."""

    def __init__(self, standing: Standing, **facts: object) -> None:
        self.key = f"refusal.not_full_member.{standing}"
        super().__init__(**facts)


class NotOwner(Refusal):
    key = "refusal.not_owner"


class NotPaid(Refusal):
    key = "refusal.not_paid"


def may_buy(account: Account | None, user_id: str, person: Person | None) -> Account:
    """The account, when this user may buy for it; else raise the reason.

    ``person`` is None where Slack has not been asked yet: the account's own rules are checked all the same.
    """
    if account is None:
        raise NoAccount()
    if person is not None and person.standing is not Standing.MEMBER:
        raise NotFullMember(person.standing, **who_to_ask(account))
    if user_id not in account.owners:
        refusal = NotOwner(**who_to_ask(account))
        refusal.ask_for = "" if account.plan.paid and account.owners else None
        raise refusal
    if not account.plan.paid:
        raise NotPaid(account=account.name)
    return account


def who_to_ask(account: Account) -> Mapping[str, object]:
    """The facts a refused person needs: which account, and its owners."""
    return {"account": account.name, "owners": tuple(sorted(account.owners))}
