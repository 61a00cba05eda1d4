"""What people and Stripe ask of purchases: look, buy, cancel, settle. Each is safe to repeat."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.directory import Directory
from bot.accounts.model import Account, Person, Workspace, may_buy
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.ids import NewId
from bot.ledger import store as ledger
from bot.ledger.model import Book, Booked, transfer
from bot.money import Credits, Usd
from bot.payments.gateway import Card, Hint, Outcome, Paid, PaymentGateway, Reversal
from bot.purchases import store
from bot.purchases.asking import store as asking
from bot.purchases.asking.model import AboveLimit, takes_two
from bot.purchases.forms import Nonces
from bot.purchases.model import (
    ASK_AGAIN_WITHIN,
    CREDITED,
    LIVE,
    UNKNOWN_FOR_LONG,
    Frozen,
    JustBought,
    PayWith,
    Purchase,
    Status,
    after_reversals,
    check_amount,
    verdict,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

_KNOWN_FOR = timedelta(minutes=5)  # how long Slack's word on a person is good enough to open a form
_PATIENCE = 1.0  # seconds that a waiting person gives Slack or Stripe


class Announcer(Protocol):
    """Tells people how a purchase stands, in the transaction that made it so."""

    async def __call__(self, tx: AsyncConnection, purchase: Purchase, account: Account) -> None: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """What a form needs to know: who may buy, for what account, and what it has."""

    account: Account
    person: Person | None
    balance: Credits
    nonce: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submitted form says."""

    signed_nonce: str
    workspace: Workspace
    user_id: str
    amount: Usd
    pay_with: PayWith
    card: Card | None = None
    again: bool = False  # "yes, I want to buy the same once more"
    agreed: bool = False  # by a second owner, where the account's limit wants one


class Purchases:
    """The use cases of buying."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        gateway: PaymentGateway,
        announce: Announcer,
        nonces: Nonces,
        clock: Clock,
        new_id: NewId,
        frozen: Callable[[], bool],
        due: Callable[[], None],
        nudge: Callable[[], None],
    ) -> None:
        """``due`` is called when a purchase is to be looked at, ``nudge`` when people are to be told."""
        self._database = database
        self._directory = directory
        self._gateway = gateway
        self._announce = announce
        self._nonces = nonces
        self._clock = clock
        self._new_id = new_id
        self.frozen = frozen
        self.due = due
        self.nudge = nudge

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def offer(self, workspace: Workspace, user_id: str) -> Offer:
        """Everything a form needs that is known at once. Raise the reason why this person may not buy."""
        person, (account, balance) = await asyncio.gather(
            self.person(workspace, user_id), self.account_and_balance(workspace)
        )
        nonce = self._nonces.make(workspace, user_id, self._clock.now())
        return Offer(may_buy(account, user_id, person), person, balance, nonce)

    async def person(self, workspace: Workspace, user_id: str) -> Person | None:
        """Who this is, or None when Slack does not say quickly: the charge asks again, and insists."""
        return await self._soon(self._directory.person(workspace, user_id, at_most_old=_KNOWN_FOR))

    async def card(self, account: Account) -> tuple[PayWith, Card | None]:
        """How a purchase of this account would be paid."""
        if account.customer is None:
            return PayWith.CHECKOUT, None
        try:
            async with asyncio.timeout(2 * _PATIENCE):
                card = await self._gateway.saved_card(account.customer)
        except (Outage, TimeoutError):
            return PayWith.EITHER, None
        return (PayWith.CARD, card) if card else (PayWith.CHECKOUT, None)

    async def account_and_balance(self, workspace: Workspace) -> tuple[Account | None, Credits]:
        async with self._database.read() as tx:
            account = await accounts.of_workspace(tx, workspace)
            return account, await ledger.balance(tx, account.id) if account else Credits.ZERO

    async def _soon(self, answer: Awaitable[Person]) -> Person | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except (Outage, TimeoutError):
            return None

    # ── buying ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def buy(self, submission: Submission) -> tuple[Purchase, bool]:
        """Write the purchase down; the worker does the rest. The purchase, and whether it is new.

        Meets the same form again, however often and at once: the first one's purchase comes back. Raises the reason
        when this person may not buy, or may not buy this.
        """
        faultpoint("K3")
        nonce = self._nonces.check(submission.signed_nonce, submission.workspace, submission.user_id, self._clock.now())
        person = await self.person(submission.workspace, submission.user_id)
        purchase, new = await self._database.write(partial(self.write_down, submission, nonce, person))
        faultpoint("K5")
        if new:
            logger.info("purchase requested", extra={"purchase": purchase.id, "cents": purchase.amount.cents})
            self.due()
            self.nudge()
        return purchase, new

    async def write_down(
        self, submission: Submission, nonce: str, person: Person | None, tx: AsyncConnection
    ) -> tuple[Purchase, bool]:
        """The one door to a purchase, in a transaction of the caller's, who vouches for the nonce and nudges after it.

        Every check is made here and now; see ``buy``. Raise ``AboveLimit`` where it takes a second owner.
        """
        if self.frozen():
            raise Frozen()
        check_amount(submission.amount)
        if first := await store.of_nonce(tx, nonce):
            return first, False
        account = may_buy(await accounts.of_workspace(tx, submission.workspace, lock=True), submission.user_id, person)
        if not submission.agreed:
            await self._within_limit(tx, account, submission.amount, nonce)
        now = self._clock.now()
        if not submission.again and (
            twin := await store.twin(tx, account.id, submission.amount, now - ASK_AGAIN_WITHIN)
        ):
            seconds = max(1, round((now - twin.created_at).total_seconds()))
            raise JustBought(submission.amount, seconds=seconds, buyer=twin.buyer_id)
        purchase = Purchase(
            id=self._new_id("pur", now),
            nonce=nonce,
            account_id=account.id,
            workspace=submission.workspace,
            buyer_id=submission.user_id,
            locale=person.locale if person else None,
            amount=submission.amount,
            status=Status.REQUESTED,
            pay_with=submission.pay_with,
            card=submission.card,
            created_at=now,
            updated_at=now,
            check_at=now,
        )
        if not await store.add(tx, purchase):
            return must(await store.of_nonce(tx, nonce)), False
        await self._announce(tx, purchase, account)
        faultpoint("K4")
        return purchase, True

    async def _within_limit(self, tx: AsyncConnection, account: Account, amount: Usd, nonce: str) -> None:
        """Raise ``AboveLimit``; also for a form that has become a request, whatever the limit is by now."""
        limit = await asking.limit_of(tx, account.id)
        if limit and (takes_two(account, limit.amount, amount) or await asking.of_nonce(tx, nonce)):
            raise AboveLimit()

    async def cancel(self, workspace: Workspace, user_id: str, purchase_id: str) -> Purchase | None:
        """Ask to cancel a purchase that waits for its buyer, as an owner may. None when it is not theirs."""

        async def ask(tx: AsyncConnection) -> Purchase | None:
            purchase = await store.of_id(tx, purchase_id, lock=True)
            account = await accounts.of_workspace(tx, workspace)
            if purchase is None or account is None or purchase.account_id != account.id:
                return None
            if user_id not in account.owners | {purchase.buyer_id} or purchase.status not in LIVE:
                return purchase
            now = self._clock.now()
            await store.change(tx, purchase, now, cancelled_by=user_id, check_at=now)
            return purchase

        purchase = await self._database.write(ask)
        self.due()
        return purchase

    async def of_id(self, purchase_id: str) -> Purchase:
        async with self._database.read() as tx:
            return must(await store.of_id(tx, purchase_id))

    async def newest(self, account_id: str, limit: int) -> Sequence[Purchase]:
        async with self._database.read() as tx:
            return await store.of_account(tx, account_id, limit=limit)

    # ── what became of it ─────────────────────────────────────────────────────────────────────────────────────────

    async def heed(self, hint: Hint) -> Purchase | None:
        """Look into a purchase that somebody says something happened to. None when none of ours is meant."""
        [found] = await self.heed_all([hint])
        return found

    async def heed_all(self, hints: Sequence[Hint]) -> Sequence[Purchase | None]:
        """As ``heed``, in one transaction: a disk is slow to say that it has written one."""
        now = self._clock.now()

        async def heed(tx: AsyncConnection) -> Sequence[Purchase | None]:
            return [await store.heed(tx, now, hint) for hint in hints]

        found = await self._database.write(heed)
        if any(each and each.check_at == now for each in found):
            self.due()
        return found

    async def settle(self, known: Purchase, outcome: Outcome) -> bool:
        """Make of the purchase what the outcome says, in one transaction with its entry and its messages.

        May be called any number of times: the first one wins. Money that arrived counts whoever brings the news; bad
        news only from whoever holds the lease that ``known`` was read with, because it may have been overtaken.
        Whether this call changed anything.
        """
        faultpoint("K11")
        settled = await self._database.write(partial(self._settle, known, outcome))
        if settled:
            self.nudge()
        return settled

    async def _settle(self, known: Purchase, outcome: Outcome, tx: AsyncConnection) -> bool:
        purchase = must(await store.of_id(tx, known.id, lock=True))
        if purchase.lease_until != known.lease_until and not isinstance(outcome, Paid):
            return False
        now = self._clock.now()
        decided = verdict(purchase, outcome)
        if decided is None:
            return isinstance(outcome, Paid) and await self._credit_a_second_payment(tx, purchase, outcome)
        columns: dict[str, object] = {"reason": decided.reason}
        if decided.status not in LIVE:
            went_back = isinstance(outcome, Paid) and outcome.went_back
            heard_of = purchase.check_at != purchase.lease_until  # something, since it was taken up
            columns["check_at"] = now if decided.status in CREDITED and (went_back or heard_of) else None
        if decided.intent_id:
            columns |= {"intent_id": decided.intent_id, "receipt_url": decided.receipt_url}
        if isinstance(outcome, Paid) and decided.status is Status.SETTLED:
            columns["balance_nano"] = (await self._credit(tx, purchase, outcome)).balance.nano
        moved = must(await store.move(tx, purchase, decided.status, now, note=decided.note, **columns))
        await self.tell(tx, moved)
        faultpoint("K12")
        level = logging.ERROR if decided.status is Status.QUARANTINED else logging.INFO
        logger.log(level, "purchase %s", decided.status, extra={"purchase": purchase.id, "note": decided.note})
        return True

    async def _credit(self, tx: AsyncConnection, purchase: Purchase, paid: Paid) -> Booked:
        entry = transfer(
            f"purchase:{paid.intent_id}",
            purchase.account_id,
            Credits.bought_for(paid.amount),
            Book.SALES,
            paid.paid_at,
            purchase=purchase.id,
            buyer=purchase.buyer_id,
        )
        return await ledger.post(tx, entry, self._clock.now())

    async def _credit_a_second_payment(self, tx: AsyncConnection, purchase: Purchase, paid: Paid) -> bool:
        """Money that came to a purchase which another payment had settled: the customer's, and a bug of ours."""
        if purchase.status not in CREDITED or paid.intent_id == purchase.intent_id or paid.currency != "usd":
            return False
        if not (await self._credit(tx, purchase, paid)).new:
            return False
        logger.error("purchase paid twice", extra={"purchase": purchase.id, "intent": paid.intent_id})
        return True

    async def reverse(self, known: Purchase, reversals: Sequence[Reversal]) -> bool:
        """Take back what refunds and disputes took, or return what they gave back: the ledger follows their state.

        States are absolute, so notifications may come in any order and any number of times; what an overtaken worker
        read may be old and is dropped. Whether this call changed anything.
        """
        if not reversals and known.status is Status.SETTLED:
            return False
        reversed_now = await self._database.write(partial(self._reverse, known, reversals))
        if reversed_now:
            self.nudge()
        return reversed_now

    async def _reverse(self, known: Purchase, reversals: Sequence[Reversal], tx: AsyncConnection) -> bool:
        purchase = must(await store.of_id(tx, known.id, lock=True))
        if purchase.lease_until != known.lease_until:
            return False
        for reversal in reversals:
            await self._book_reversal(tx, purchase, reversal)
        status, gone, reason = after_reversals(reversals)
        as_before = (status, gone, reason) == (purchase.status, purchase.reversed, purchase.reason)
        if purchase.status not in CREDITED or as_before:
            return False
        columns = {"reversed_cents": gone.cents, "reason": reason}
        moved = must(await store.move(tx, purchase, status, self._clock.now(), note=f"{gone} gone", **columns))
        await self.tell(tx, moved)
        return True

    async def _book_reversal(self, tx: AsyncConnection, purchase: Purchase, reversal: Reversal) -> None:
        before, n = await store.reversed_so_far(tx, reversal.id)
        if before == reversal.amount:
            return
        back = Usd(before.cents - reversal.amount.cents)
        entry = transfer(
            f"{reversal.kind}:{reversal.id}:{n + 1}",
            purchase.account_id,
            Credits.bought_for(back),
            Book.DISPUTES if reversal.kind == "dispute" else Book.SALES,
            reversal.at,
            purchase=purchase.id,
        )
        await ledger.post(tx, entry, self._clock.now())
        await store.set_reversed(tx, reversal.id, purchase.id, reversal.amount, n + 1)

    async def tell(self, tx: AsyncConnection, purchase: Purchase) -> None:
        """Owe everybody concerned the news of how the purchase now stands."""
        await self._announce(tx, purchase, must(await accounts.of_id(tx, purchase.account_id)))


async def stuck(database: Database, now: datetime) -> tuple[Sequence[str], Sequence[str]]:
    """Ids of purchases that a person must look at: quarantined ones, and those unknown for a day."""
    async with database.read() as tx:
        found = await store.in_trouble(tx, now - UNKNOWN_FOR_LONG)
    quarantined = [each.id for each in found if each.status is Status.QUARANTINED]
    return quarantined, [each.id for each in found if each.status is not Status.QUARANTINED]
