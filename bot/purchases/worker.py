"""The worker that carries purchases on: it reads a row, asks Stripe, writes down what it heard, and lets go.

It can be killed anywhere. Every step first looks at what the row and Stripe already know; money is asked for only by
confirming the one intent whose id the row holds, and an intent can be paid only once.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.directory import Directory
from bot.accounts.model import Account, may_buy
from bot.clock import Clock
from bot.clockwork import Crew
from bot.db.engine import Database, must
from bot.errors import Outage, Refusal
from bot.faultpoint import faultpoint
from bot.payments.gateway import (
    Cancelled,
    Card,
    CustomerGone,
    Declined,
    Hint,
    NeedsBuyer,
    Open,
    Order,
    Outcome,
    Paid,
    PaymentGateway,
    Unconfirmed,
)
from bot.purchases import store
from bot.purchases.model import (
    CHARGE_WITHIN,
    FAILED_FOR_LONG,
    LIVE,
    Frozen,
    PayWith,
    Purchase,
    Status,
    is_refusal,
    next_look,
)
from bot.purchases.service import Purchases
from bot.text import texts_for

logger = logging.getLogger(__name__)

_A_MOMENT = timedelta(seconds=5)  # how long Slack's word on a person is good enough to charge their card
_KNOWN_FOR = timedelta(minutes=1)  # and how long to leave a page open for them
_OVERLAP = timedelta(minutes=5)  # Stripe's list of events is read again this far back: some appear late,
_LONG_OVERLAP = timedelta(days=1)  # and once in a while this far: no refund is missed because its event was very late
_LONG_AFTER = timedelta(hours=1)
_HEEDED_AT_ONCE = 200  # events in a transaction
_SAY_PAID = ("payment_intent.succeeded", "checkout.session.completed", "checkout.session.async_payment_succeeded")
_BEFORE_US = timedelta(days=2)  # where the first reading begins, by whatever our clock says
_REACH = timedelta(days=29)  # Stripe keeps events for thirty days
_GOES_BACK_WITHIN = timedelta(days=180)  # a card's owner may dispute a payment for four months, and seldom longer


CANCELLED_BY_BUYER = "refusal.cancelled"
TOO_LATE = "refusal.too_late"


class Overtaken(Exception):
    """Another worker moved the purchase while this one, its lease long over, still thought it was its own."""


def _is_news(hint: Hint, purchase: Purchase) -> bool:
    """Whether it names another payment than the purchase does. That of a page that waits is known by the page."""
    if hint.session_id:
        return hint.session_id != purchase.session_id
    waits_for_its_page = purchase.session_id and purchase.status in LIVE
    return hint.intent_id != purchase.intent_id and not waits_for_its_page


class PurchaseWorker:
    """Looks at every purchase that is due, many at once, each by one worker at a time."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        gateway: PaymentGateway,
        purchases: Purchases,
        clock: Clock,
        crew: Crew,
    ) -> None:
        self._database = database
        self._directory = directory
        self._gateway = gateway
        self._purchases = purchases
        self._clock = clock
        self._crew = crew
        self._heard: set[str] = set()  # events of the last reading: most of them come again with the next
        self._looked_back: datetime | None = None  # when the list was last read far back
        self.stripe_trouble: str | None = "starting: Stripe has not been asked yet"  # as the last reading found it

    async def work(self) -> int:
        """Take what is due, as much as there are hands for. The next free hand asks for more."""
        take = partial(store.claim, now=self._clock.now(), limit=self._crew.free)
        for purchase in await self._database.write(take) if self._crew.free else ():
            self._crew.start(self._look_at(purchase))
        return 0

    async def listen(self) -> int:
        """Read what happened at Stripe since the last time, and look into it. Webhooks only make this faster.

        Where to begin is the newest event's own time: by our clock, one that was ahead would have events passed over.
        """
        now = self._clock.now()
        far_back = self._looked_back is None or abs(now - self._looked_back) >= _LONG_AFTER
        async with self._database.read() as tx:
            since = await store.cursor(tx, "newest_stripe_event") or now - _BEFORE_US
        if self._looked_back is None and since < now - _REACH:
            await self._database.write(partial(store.look_at_credited, now=now, since=now - _GOES_BACK_WITHIN))
            self._purchases.due()
        try:
            hints = await self._gateway.hints(max(since - (_LONG_OVERLAP if far_back else _OVERLAP), now - _REACH))
        except Outage as outage:
            self.stripe_trouble = outage.reason
            raise
        self.stripe_trouble = None
        news = [hint for hint in hints if hint and (far_back or hint.event_id not in self._heard)]
        for first in range(0, len(news), _HEEDED_AT_ONCE):
            await self._heed(news[first : first + _HEEDED_AT_ONCE])
        self._heard = {hint.event_id for hint in hints}
        self._looked_back = now if far_back else self._looked_back
        newest = max((hint.at for hint in hints if hint.at), default=since)
        if newest != since:
            await self._database.write(partial(store.set_cursor, name="newest_stripe_event", at=newest))
        return 0

    async def _heed(self, hints: Sequence[Hint]) -> None:
        for hint, purchase in zip(hints, await self._purchases.heed_all(hints), strict=True):
            if purchase is None:
                if hint.purchase_id:
                    extra = {"event": hint.event_id}
                    logger.warning("Stripe speaks of a purchase that is not in the books", extra=extra)
            elif hint.kind in _SAY_PAID and _is_news(hint, purchase):
                await self._look_into(hint, purchase)

    async def _look_into(self, hint: Hint, purchase: Purchase) -> None:
        """Settle with a payment whose name the purchase does not hold: then nothing else would ask about it.

        So it is after a database went back to an older state: what was made since stands at Stripe only.
        """
        try:
            outcome = await self._gateway.payment_named(hint)
        except Outage as outage:  # the list tells of it once more the next time that it is read far back
            logger.warning("a payment waits: %s", outage, extra={"purchase": purchase.id, "event": hint.event_id})
            return
        if isinstance(outcome, Paid):
            logger.warning("a payment that the books did not know", extra={"purchase": purchase.id})
            await self._purchases.settle(purchase, outcome)

    async def _look_at(self, purchase: Purchase) -> None:
        failures, request_id = 0, None
        try:
            await self._carry_on(purchase)
        except Outage as outage:
            failures = purchase.failures + 1
            request_id = outage.request_id if outage.service == "Stripe" else None
            level = logging.ERROR if failures >= FAILED_FOR_LONG else logging.WARNING
            extra = {"purchase": purchase.id, "request": outage.request_id}
            logger.log(level, "purchase waits: %s", outage, extra=extra)
        except Overtaken:
            logger.warning("purchase was overtaken", extra={"purchase": purchase.id})
            return
        if await self._database.write(partial(self._let_go, purchase, failures, request_id)):
            self._purchases.due()

    async def _let_go(self, claimed: Purchase, failures: int, request_id: str | None, tx: AsyncConnection) -> bool:
        """Whether it is due again at once."""
        now = self._clock.now()
        purchase = must(await store.of_id(tx, claimed.id, lock=True))
        again = purchase.status in LIVE or failures
        next_time = now + next_look(replace(purchase, failures=failures), now) if again else None
        check_at = await store.release(tx, claimed, check_at=next_time, failures=failures, request_id=request_id)
        return check_at is not None and check_at <= self._clock.now()

    async def _carry_on(self, purchase: Purchase) -> None:
        try:
            await self._take_a_step(purchase)
        except CustomerGone as gone:
            await self._replace_customer(purchase.account_id, gone.customer)
            again = await self._purchases.of_id(purchase.id)
            if again.lease_until != purchase.lease_until:
                raise Overtaken(purchase.id) from gone
            await self._take_a_step(again)

    async def _take_a_step(self, purchase: Purchase) -> None:
        match purchase.status:
            case Status.REQUESTED | Status.CHARGING:
                await self._charge(purchase)
            case Status.CHECKOUT:
                await self._ask_about_page(purchase)
            case Status.SETTLED | Status.REFUNDED | Status.DISPUTED:
                gone = await self._gateway.reversals(must(purchase.intent_id), purchase.amount)
                await self._purchases.reverse(purchase, gone)
            case _:
                await self._ask(purchase)

    # ── the saved card ────────────────────────────────────────────────────────────────────────────────────────────

    async def _charge(self, purchase: Purchase) -> None:
        faultpoint("K6")
        if purchase.intent_id and not isinstance(seen := await self._gateway.payment(purchase.intent_id), Unconfirmed):
            return await self._conclude(purchase, purchase.intent_id, seen)
        account, refusal = await self._permission(purchase, _A_MOMENT)
        faultpoint("K7")
        if refusal:
            return await self._give_up(purchase, refusal)
        card = await self._card(purchase, account)
        if card is None:
            return await self._open_page(purchase, account)
        customer = await self._customer(account)
        if purchase.intent_id is None:
            purchase = await self._begin(purchase, status=Status.CHARGING, pay_with=PayWith.CARD, card=card)
            prepared = await self._gateway.prepare(self._order(purchase, account, customer), purchase.attempts - 1)
            faultpoint("K8")
            purchase = await self._write(purchase, intent_id=prepared)
            faultpoint("K9")
            if refusal := (await self._permission(purchase, _A_MOMENT))[1]:
                return await self._give_up(purchase, refusal)
        intent_id = must(purchase.intent_id)
        outcome = await self._gateway.confirm(intent_id, card.id)
        faultpoint("K10")
        return await self._conclude(purchase, intent_id, outcome)

    async def _conclude(self, purchase: Purchase, intent_id: str, outcome: Outcome) -> None:
        """Settle what the bank said of the saved card; where it said no, close that way and open the other one."""
        match outcome:
            case Declined(code, request_id):
                purchase = await self._write(purchase, reason=code, request_id=request_id or purchase.request_id)
                outcome = await self._gateway.cancel(intent_id)
            case NeedsBuyer():
                purchase = await self._write(purchase, reason="authentication_required")
                outcome = await self._gateway.cancel(intent_id)
        if isinstance(outcome, Cancelled) and purchase.reason and not is_refusal(purchase.reason):
            account, refusal = await self._permission(purchase)
            return await (self._give_up(purchase, refusal) if refusal else self._open_page(purchase, account))
        await self._purchases.settle(purchase, outcome)

    async def _give_up(self, purchase: Purchase, refusal: str) -> None:
        """End a purchase that may not be charged. What was made ready at Stripe is closed first."""
        purchase = await self._write(purchase, reason=refusal)
        closed = await self._gateway.cancel(purchase.intent_id) if purchase.intent_id else Cancelled()
        await self._purchases.settle(purchase, closed)

    async def _card(self, purchase: Purchase, account: Account) -> Card | None:
        """The card that the buyer agreed to; where the form could not know it, the saved one."""
        if purchase.pay_with is PayWith.EITHER and account.customer:
            return await self._gateway.saved_card(account.customer)
        return purchase.card if purchase.pay_with is PayWith.CARD else None

    # ── Stripe's page ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _open_page(self, purchase: Purchase, account: Account) -> None:
        customer = await self._customer(account)
        purchase = await self._begin(purchase, status=purchase.status, pay_with=PayWith.CHECKOUT)
        link = await self._gateway.open_checkout(
            self._order(purchase, account, customer), purchase.attempts - 1, purchase.locale
        )
        faultpoint("C1")
        opened = {"session_id": link.session_id, "checkout_url": link.url}
        await self._write(purchase, status=Status.CHECKOUT, **opened)
        faultpoint("C2")

    async def _ask_about_page(self, purchase: Purchase) -> None:
        """What was paid is credited first, whoever may not buy any more and whether Slack answers or not."""
        session_id = must(purchase.session_id)
        outcome = await self._gateway.checkout(session_id)
        if isinstance(outcome, Open) and (refusal := (await self._permission(purchase))[1]):
            purchase = await self._write(purchase, reason=refusal)
            outcome = await self._gateway.close_checkout(session_id)
        if not isinstance(outcome, Open):
            await self._purchases.settle(purchase, outcome)

    async def _ask(self, purchase: Purchase) -> None:
        """Ask what became of a purchase that nothing more is done for."""
        if purchase.session_id:
            await self._purchases.settle(purchase, await self._gateway.checkout(purchase.session_id))
        elif purchase.intent_id:
            await self._purchases.settle(purchase, await self._gateway.payment(purchase.intent_id))

    # ── what both need ────────────────────────────────────────────────────────────────────────────────────────────

    async def _permission(self, purchase: Purchase, at_most_old: timedelta = _KNOWN_FOR) -> tuple[Account, str | None]:
        """The account as it is now, and the key of the reason why the buyer may no longer be charged, if any."""
        async with self._database.read() as tx:
            account = must(await accounts.of_id(tx, purchase.account_id))
            current = must(await store.of_id(tx, purchase.id))
        if current.cancelled_by:
            return account, CANCELLED_BY_BUYER
        if self._purchases.frozen() and current.status is not Status.CHECKOUT:  # who stands at a page may go on
            return account, Frozen.key
        if self._clock.now() - purchase.created_at > CHARGE_WITHIN and purchase.session_id is None:
            return account, TOO_LATE
        person = await self._directory.person(purchase.workspace, purchase.buyer_id, at_most_old=at_most_old)
        try:
            may_buy(account, purchase.buyer_id, person)
        except Refusal as refusal:
            return account, refusal.key
        return account, None

    async def _customer(self, account: Account) -> str:
        if account.customer:
            return account.customer
        customer = await self._gateway.new_customer(account.id, account.name, account.workspace.team_id)
        await self._database.write(partial(accounts.set_customer, account_id=account.id, customer=customer))
        return customer

    async def _replace_customer(self, account_id: str, gone: str) -> None:
        """Somebody deleted the customer at Stripe, or it is of another Stripe account: its cards went with it."""
        async with self._database.read() as tx:
            account = must(await accounts.of_id(tx, account_id))
        if account.customer != gone:
            return  # another purchase was faster
        logger.warning("the customer is gone at Stripe", extra={"account": account_id, "customer": gone})
        about = (account.id, account.name, account.workspace.team_id)
        customer = await self._gateway.new_customer(*about, instead_of=gone)
        instead = partial(accounts.set_customer, account_id=account_id, customer=customer, instead_of=gone)
        await self._database.write(instead)

    def _order(self, purchase: Purchase, account: Account, customer: str) -> Order:
        texts = texts_for(purchase.locale)
        return Order(
            id=purchase.id,
            account_id=account.id,
            customer=customer,
            amount=purchase.amount,
            description=texts("receipt.description", account=account.name),
            slack_team=purchase.workspace.team_id,
            slack_user=purchase.buyer_id,
            placed_at=purchase.created_at,
            reference_label=texts("receipt.purchase_order"),
        )

    async def _begin(
        self, purchase: Purchase, *, status: Status, pay_with: PayWith, card: Card | None = None
    ) -> Purchase:
        """Write down the way to pay and count the attempt, before it is made.

        The next attempt then goes the same way, and knows that this one may have left something behind.
        """
        columns: dict[str, object] = {"attempts": purchase.attempts + 1, "pay_with": pay_with}
        if card:
            columns |= {"card_id": card.id, "card_brand": card.brand, "card_last4": card.last4}
        return await self._write(purchase, status=status, **columns)

    async def _write(self, purchase: Purchase, *, status: Status | None = None, **columns: object) -> Purchase:
        """Write columns, a new status and its news down together. Raise ``Overtaken`` when somebody moved the row."""

        async def write(tx: AsyncConnection) -> Purchase:
            now = self._clock.now()
            if status in (None, purchase.status):
                written = await store.change(tx, purchase, now, **columns)
            elif written := await store.move(tx, purchase, status, now, note=purchase.reason, **columns):
                await self._purchases.tell(tx, written)
            if written is None:
                raise Overtaken(purchase.id)
            return written

        written = await self._database.write(write)
        if written.status is not purchase.status:
            self._purchases.nudge()
        return written
