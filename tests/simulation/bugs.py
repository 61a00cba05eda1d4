"""Wrong parts, each as somebody might write it in good faith. The simulation must see every one of them."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import stripe
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.accounts.model import Workspace as Home
from bot.db.engine import must
from bot.errors import Outage
from bot.ledger import store as ledger
from bot.ledger.model import Book, Booked, transfer
from bot.ledger.tables import balances
from bot.money import Credits
from bot.outbox import store as outbox
from bot.outbox.model import Owed
from bot.payments.gateway import Cancelled, Declined, Expired, Hint, Outcome, Paid, Reversal
from bot.payments.stripe_gateway import StripeGateway
from bot.purchases import store
from bot.purchases.forms import Nonces
from bot.purchases.model import Purchase, Status, verdict
from bot.purchases.service import Purchases
from bot.purchases.views import buyer_card, channel_card
from bot.purchases.worker import PurchaseWorker
from bot.slack.client import SlackRefused
from bot.text import texts_for

from .loop import inside
from .process import SUPPORT, LeapingListeners, LeapingOutbox, Parts, Process
from .wires import LeapingSlack

_numbers = count(1)


class NonceForgotten(Nonces):
    """Checks that a form is ours, and not whether it was submitted before."""

    def check(self, signed: str, workspace: Home, user_id: str, now: datetime) -> str:
        return f"{super().check(signed, workspace, user_id, now)}#{next(_numbers)}"


class AckBeforeStore(LeapingListeners):
    """Slack hears "yes" at once, because three seconds are short."""

    async def submit(self, args: Any) -> None:
        await args.ack()
        await super().submit(args)


class NotAskedAgain(PurchaseWorker):
    """The right to buy was checked at the submit; that will do."""

    async def _permission(self, purchase: Purchase, *how: Any) -> tuple[Account, str | None]:
        account, refusal = await super()._permission(purchase, *how)
        return account, refusal if purchase.cancelled_by else None


class OneShot(StripeGateway):
    """Makes and confirms in one call, and tries again with a fresh key."""

    async def confirm(self, intent_id: str, card_id: str) -> Outcome:
        try:
            order = (await self._stripe.payment_intents.retrieve_async(intent_id)).to_dict()
            intent = await self._stripe.payment_intents.create_async(
                {
                    "amount": order["amount"],
                    "currency": "usd",
                    "customer": order["customer"],
                    "metadata": order["metadata"],
                    "payment_method": card_id,
                    "off_session": True,
                    "confirm": True,
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                },
                {"idempotency_key": f"{intent_id}:{next(_numbers)}"},
            )
        except stripe.CardError as error:
            await self.cancel(error.json_body["error"]["payment_intent"]["id"])  # type: ignore[index]
            return Declined(error.code or "card_error")
        except stripe.StripeError as error:
            raise Outage("Stripe", "no answer") from error
        return await self.payment(intent.id)


class NotCancelled(StripeGateway):
    """A declined intent is over anyway, is it not?"""

    async def cancel(self, intent_id: str) -> Outcome:
        return Cancelled()


class PageLeftOpen(StripeGateway):
    """Says that the page is closed, and leaves that to Stripe's 24 hours."""

    async def close_checkout(self, session_id: str) -> Outcome:
        return Expired()


class CreditsBlindly(Purchases):
    """Makes of the purchase what was known when it was read, and books that under a cause of its own.

    Either guard alone makes up for the lack of the other one.
    """

    async def _settle(self, known: Purchase, outcome: Outcome, tx: AsyncConnection) -> bool:
        decided, now = verdict(known, outcome), self._clock.now()
        if decided is None:
            return False
        columns: dict[str, Any] = {"status": decided.status, "check_at": now, "reason": decided.reason}
        if isinstance(outcome, Paid):
            columns["balance_nano"] = (await self._credit(tx, known, outcome)).balance.nano
            columns["intent_id"] = outcome.intent_id
        await store.change(tx, must(await store.of_id(tx, known.id)), now, **columns)
        await self._announce(tx, must(await store.of_id(tx, known.id)), must(await _account(tx, known)))
        return True

    async def _credit(self, tx: AsyncConnection, purchase: Purchase, paid: Paid) -> Booked:
        booked = await super()._credit(tx, purchase, paid)
        if booked.new:
            return booked
        once_more = f"purchase:{paid.intent_id}:{next(_numbers)}"
        entry = transfer(once_more, purchase.account_id, Credits.bought_for(paid.amount), Book.SALES, paid.paid_at)
        return await ledger.post(tx, entry, self._clock.now())


class BelievesHints(Purchases):
    """What Stripe's notification says is settled at once, which is faster than asking."""

    async def heed(self, hint: Hint) -> Purchase | None:
        known = await super().heed(hint)
        if known and hint.kind == "checkout.session.completed" and hint.intent_id and hint.purchase_id:
            purchase = await self.of_id(hint.purchase_id)
            paid = Paid(hint.intent_id, purchase.amount, "usd", None, self._clock.now())
            await self.settle(purchase, paid)
        return known


class BalanceRemembered(Purchases):
    """Reads the balance once, and adds to what it remembers."""

    async def settle(self, known: Purchase, outcome: Outcome) -> bool:
        if not hasattr(self, "_balance"):
            async with self._database.read() as tx:
                self._balance = await ledger.balance(tx, known.account_id)
        return await super().settle(known, outcome)

    async def _credit(self, tx: AsyncConnection, purchase: Purchase, paid: Paid) -> Booked:
        booked = await super()._credit(tx, purchase, paid)
        self._balance = Credits(self._balance.nano + Credits.bought_for(paid.amount).nano)
        mine = update(balances).where(balances.c.account_id == purchase.account_id).values(nano=self._balance.nano)
        await tx.execute(mine)
        return replace(booked, balance=self._balance)


class BooksEveryNotice(Purchases):
    """Takes a refund from the balance whenever it hears of one."""

    async def _book_reversal(self, tx: AsyncConnection, purchase: Purchase, reversal: Reversal) -> None:
        entry = transfer(
            f"{reversal.kind}:{reversal.id}:{next(_numbers)}",
            purchase.account_id,
            Credits(-Credits.bought_for(reversal.amount).nano),
            Book.SALES,
            reversal.at,
        )
        if reversal.amount.cents:
            await ledger.post(tx, entry, self._clock.now())


class LooksOnce(Purchases):
    """What was paid is paid: nobody looks whether it has gone back already."""

    async def _settle(self, known: Purchase, outcome: Outcome, tx: AsyncConnection) -> bool:
        settled = await super()._settle(known, outcome, tx)
        purchase = must(await store.of_id(tx, known.id))
        if settled and purchase.status is Status.SETTLED:
            await store.change(tx, purchase, self._clock.now(), check_at=None)
        return settled


class CursorFirst(PurchaseWorker):
    """Notes how far it is about to read, then reads, and reads nothing twice."""

    async def listen(self) -> int:
        now = self._clock.now()
        async with self._database.read() as tx:
            since = await store.cursor(tx, "newest_stripe_event") or now - timedelta(days=2)
        await self._database.write(partial(store.set_cursor, name="newest_stripe_event", at=now))
        for hint in await self._gateway.hints(since):
            if hint:
                await self._purchases.heed(hint)
        return 0


class FencelessWorker(PurchaseWorker):
    """Writes under whichever lease the row has by now."""

    async def _write(self, purchase: Purchase, *, status: Status | None = None, **columns: object) -> Purchase:
        async with self._database.read() as tx:
            current = must(await store.of_id(tx, purchase.id))
        fenceless = replace(purchase, lease_until=current.lease_until, status=current.status)
        return await super()._write(fenceless, status=status, **columns)


class FencelessPurchases(Purchases):
    """Believes bad news from whoever brings it, however long ago they asked."""

    async def _settle(self, known: Purchase, outcome: Outcome, tx: AsyncConnection) -> bool:
        current = must(await store.of_id(tx, known.id))
        return await super()._settle(replace(known, lease_until=current.lease_until), outcome, tx)


class NeverFinds(LeapingSlack):
    """When the answer to a post is lost, posts again."""

    async def find(self, channel: str, key: str, since: datetime) -> str | None:
        return None


class GivesUp(LeapingOutbox):
    """What Slack did not take at once is not worth a second try."""

    async def _put_off(self, owed: Owed, wait: timedelta, why: Exception) -> None:
        if not isinstance(why, Outage):
            return await super()._put_off(owed, wait, why)
        await self._database.write(lambda tx: outbox.bury(tx, owed, "gave_up", self._clock.now()))


class TellsItself:
    """No outbox: posts as soon as there is something to say, and edits what it remembers to have posted."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._posted: dict[str, tuple[str, str]] = {}

    async def __call__(self, tx: AsyncConnection, purchase: Purchase, account: Account) -> None:
        text, blocks = buyer_card(texts_for(purchase.locale), purchase, account, SUPPORT)
        drawn = [block.to_dict() for block in blocks]
        inside(self._process, self._tell(f"purchase:{purchase.id}:buyer", purchase.buyer_id, None, text, drawn))
        text, blocks = channel_card(texts_for(account.language), purchase)
        drawn = [block.to_dict() for block in blocks]
        inside(self._process, self._tell(f"purchase:{purchase.id}:channel", "", account.channel, text, drawn))

    async def _tell(self, key: str, user: str, channel: str | None, text: str, blocks: list[dict[str, Any]]) -> None:
        slack = self._process.slack
        with suppress(Outage, SlackRefused):
            if posted := self._posted.get(key):
                await slack.update(*posted, text, blocks, key=key)
                return
            place = channel or await slack.open_dm(user)
            self._posted[key] = (place, await slack.post(place, text, blocks, key=key))


class CursorOfOurClock(PurchaseWorker):
    """Goes on reading from where its own clock stood, which may have been wrong, and never looks further back."""

    async def listen(self) -> int:
        now = self._looked_back = self._clock.now()
        heard = await super().listen()
        await self._database.write(partial(store.set_cursor, name="newest_stripe_event", at=now))
        return heard


async def _account(tx: AsyncConnection, purchase: Purchase) -> Account | None:
    return await accounts.of_id(tx, purchase.account_id)


BUGS: dict[str, Parts] = {
    "a form may be submitted twice": Parts(nonces=NonceForgotten),
    "acknowledged before it is stored": Parts(listeners=AckBeforeStore),
    "the right to buy is not checked again": Parts(worker=NotAskedAgain),
    "confirmed in one shot, with a fresh key": Parts(gateway=OneShot),
    "the declined intent is not cancelled": Parts(gateway=NotCancelled),
    "a cancelled page stays open": Parts(gateway=PageLeftOpen),
    "settled without compare-and-set, credited under no unique cause": Parts(purchases=CreditsBlindly),
    "the webhook's content is believed": Parts(purchases=BelievesHints),
    "the balance is remembered": Parts(purchases=BalanceRemembered),
    "a refund is booked whenever it is heard of": Parts(purchases=BooksEveryNotice),
    "a refund before the settling is forgotten": Parts(purchases=LooksOnce),
    "the cursor is stored before what it stands for": Parts(worker=CursorFirst),
    "the cursor is of our clock, and nobody looks back": Parts(worker=CursorOfOurClock),
    "a lease does not fence": Parts(worker=FencelessWorker, purchases=FencelessPurchases),
    "posted again after a lost answer": Parts(slack=NeverFinds),
    "the outbox gives up": Parts(outbox=GivesUp),
    "no outbox": Parts(announce=TellsItself),
}
