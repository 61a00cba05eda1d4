"""A request to buy: who may ask, who may answer, and what each answer makes of it. Rules only."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.accounts.model import Account, NoAccount, NotFullMember, NotOwner, NotPaid, Person, Standing, who_to_ask
from bot.errors import Refusal
from bot.logs import redact
from bot.money import Usd

ENDS_AFTER = timedelta(hours=72)
MOST_OPEN = 3  # of one person, for one account
LONGEST_REASON = 500  # characters
_KEPT = frozenset("\n\u200c\u200d")  # the joiners of scripts and emoji
PREFIX = "req"  # of a request's id, which is the nonce of the purchase that it becomes


class State(StrEnum):
    OPEN = "open"
    APPROVED = "approved"  # and so a purchase, which has the request's id as its nonce
    DECLINED = "declined"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one owner may spend at a time without a second one; ``amount`` is None where somebody lifted it."""

    amount: Usd | None
    set_by: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks the owners to buy."""

    id: str
    nonce: str  # unique: one form, one request
    account_id: str
    asker_id: str
    locale: str | None  # the asker's
    asked: Usd
    amount: Usd  # what is asked for or approved now
    reason: str  # in the asker's own words; empty where an owner's purchase became a request
    told: Mapping[str, str | None]  # the owners who have a card of it, and their locales
    created_at: datetime
    ends_at: datetime
    state: State = State.OPEN
    first_by: str | None = None  # the owner who agreed first, where two must; an owner who asks has agreed
    decided_by: str | None = None

    @property
    def withdrawn(self) -> bool:
        """Whoever asked said no themselves."""
        return self.state is State.DECLINED and self.decided_by == self.asker_id

    @property
    def agreed_first(self) -> str | None:
        """The owner who agreed to somebody else's request before another one had to."""
        return None if self.first_by == self.asker_id else self.first_by

    def told_again(self, owner: str) -> bool:
        """Whether this owner has a second message of it, since an edit of the first one notifies nobody.

        While it is open that asks those whose yes is needed still; then it tells those who have not decided.
        """
        if self.state is State.OPEN:
            return self.agreed_first not in (None, owner)
        return self.agreed_first is not None or not (self.withdrawn or self.decided_by == owner)


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of asking: the request, and whether it is new or was there already."""

    request: Request
    new: bool


_ANSWERED = {
    State.APPROVED: "refusal.request_approved",
    State.DECLINED: "refusal.request_declined",
    State.EXPIRED: "refusal.request_expired",
}


class MayBuy(Refusal):
    """Owners need not ask."""

    key = "refusal.may_buy"


class AboveLimit(Refusal):
    """One owner alone may not buy this much: the others are asked."""

    key = "ask.above_limit"


class TooManyRequests(Refusal):
    key = "refusal.too_many_requests"


class NoRequest(Refusal):
    """The request is another account's, or was never made."""

    key = "refusal.no_request"


class OwnRequest(Refusal):
    """Above the limit nobody approves what they asked for."""

    key = "refusal.own_request"


class ApprovedOnce(Refusal):
    """The same owner cannot be the second one too."""

    key = "refusal.approved_once"


class AmountChanged(Refusal):
    """The card showed another amount than the request has by now."""

    key = "refusal.amount_changed"


class OnlyLess(Refusal):
    """Above the limit an owner agrees to what the others saw, or to less."""

    key = "refusal.only_less"
    field = "amount"


class NotTheirLimit(Refusal):
    """Only an owner sees and sets the limit."""

    key = "refusal.not_their_limit"


class Answered(Refusal):
    """Somebody else was faster, or nobody answered in time."""

    def __init__(self, request: Request) -> None:
        self.key = "refusal.request_withdrawn" if request.withdrawn else _ANSWERED[request.state]
        super().__init__(**({"who": (request.decided_by,)} if request.decided_by else {}))


def may_ask(
    account: Account | None, user_id: str, person: Person, limit: Usd | None = None, amount: Usd | None = None
) -> Account:
    """The account, when this person may ask its owners for ``amount``; else raise the reason.

    An owner may where it takes a second one.
    """
    if account is None:
        raise NoAccount()
    if person.standing is not Standing.MEMBER:
        raise NotFullMember(person.standing, **who_to_ask(account))
    if not account.plan.paid:
        raise NotPaid(account=account.name)
    if not account.owners - {user_id}:
        raise NotOwner(**who_to_ask(account)) if user_id not in account.owners else MayBuy(account=account.name)
    if user_id in account.owners and not (amount and takes_two(account, limit, amount)):
        raise MayBuy(account=account.name)
    return account


def in_own_words(typed: str) -> str:
    """A reason as it is kept: without card numbers and secrets, and without signs that no database keeps."""
    kept = "".join(sign if sign.isprintable() or sign in _KEPT else " " for sign in typed)
    return redact(kept).strip()[:LONGEST_REASON].strip()


def may_answer(account: Account, user_id: str, person: Person) -> None:
    """Raise the reason why this person may not speak for the account."""
    if person.standing is not Standing.MEMBER:
        raise NotFullMember(person.standing, **who_to_ask(account))
    if user_id not in account.owners:
        raise NotOwner(**who_to_ask(account))


def takes_two(account: Account, limit: Usd | None, amount: Usd) -> bool:
    """Whether one owner alone may not buy so much. Where there is no other, nobody could ever agree."""
    return limit is not None and amount > limit and len(account.owners) > 1


def still_open(request: Request, now: datetime) -> None:
    """Raise ``Answered`` when it is too late for an answer."""
    if ended := expire(request, now) if request.state is State.OPEN else request:
        raise Answered(ended)


def approve(request: Request, account: Account, owner: str, amount: Usd, limit: Usd | None, now: datetime) -> Request:
    """The request after this owner's yes to ``amount``: approved, or still open where it takes one more."""
    still_open(request, now)
    yes = replace(request, amount=amount, state=State.APPROVED, decided_by=owner)
    if limit is None or not takes_two(account, limit, amount):
        return yes
    if owner == request.asker_id:
        raise OwnRequest(limit=limit)
    if amount > request.amount:
        raise OnlyLess(limit=limit, amount=request.amount)
    if request.first_by == owner:
        raise ApprovedOnce()
    if request.first_by in account.owners:
        return yes
    return replace(request, amount=amount, first_by=owner)


def decline(request: Request, owner: str, now: datetime) -> Request:
    """The request after this owner's no: one is enough."""
    still_open(request, now)
    return replace(request, state=State.DECLINED, decided_by=owner)


def withdraw(request: Request, user_id: str, now: datetime) -> Request:
    """The request after whoever asked took it back, which nobody else can."""
    if user_id != request.asker_id:
        raise NoRequest()
    return decline(request, user_id, now)


def expire(request: Request, now: datetime) -> Request | None:
    """The request when nobody answered in time; None while somebody still may, or has."""
    if request.state is not State.OPEN or now < request.ends_at:
        return None
    return replace(request, state=State.EXPIRED)
