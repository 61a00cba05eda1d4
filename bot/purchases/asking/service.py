"""What people ask of requests: ask, approve, decline, limit what one owner may buy alone. Each is safe to repeat."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, NoAccount, Person, Standing, Workspace, may_buy, who_to_ask
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.errors import Outage
from bot.ids import NewId
from bot.money import GREATEST, Usd
from bot.purchases.asking import model, store
from bot.purchases.asking.cards import Cards
from bot.purchases.asking.model import (
    ENDS_AFTER,
    MOST_OPEN,
    PREFIX,
    AmountChanged,
    Asked,
    Limit,
    NoRequest,
    NotTheirLimit,
    Request,
    State,
    TooManyRequests,
    in_own_words,
    may_answer,
    may_ask,
)
from bot.purchases.forms import Nonces
from bot.purchases.model import PayWith, Purchase, TooMuch, check_amount
from bot.purchases.service import Purchases, Submission

logger = logging.getLogger(__name__)

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What a submitted form asks for. An owner's own purchase that is too much for one has no ``reason``."""

    signed_nonce: str
    workspace: Workspace
    user_id: str
    amount: Usd
    reason: str = ""


class Asking:
    """The use cases of asking. Whoever asks or answers is somebody whom Slack knows as a full member right now."""

    def __init__(
        self, *, database: Database, purchases: Purchases, cards: Cards, nonces: Nonces, clock: Clock, new_id: NewId
    ) -> None:
        self._database = database
        self._purchases = purchases
        self._cards = cards
        self._nonces = nonces
        self._clock = clock
        self._new_id = new_id

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def offer(self, workspace: Workspace, user_id: str) -> tuple[Account, str]:
        """The account whose owners this person may ask, and a nonce for the form. Raise the reason why not."""
        person, (account, _) = await asyncio.gather(
            self._known(workspace, user_id), self._purchases.account_and_balance(workspace)
        )
        return may_ask(account, user_id, person), self._nonces.make(workspace, user_id, self._clock.now())

    async def ask(self, wish: Wish) -> Asked:
        """Write the request down and owe its messages.

        The same form again, or the same wish while it is open, comes back to the first request.
        """
        check_amount(wish.amount)
        wish = replace(wish, reason=in_own_words(wish.reason))
        nonce = self._nonces.check(wish.signed_nonce, wish.workspace, wish.user_id, self._clock.now())
        person, locales = await asyncio.gather(
            self._known(wish.workspace, wish.user_id), self._locales_of_owners(wish.workspace)
        )
        asked = await self._database.write(partial(self._ask, wish, nonce, person, locales))
        self._purchases.nudge()
        return asked

    async def _ask(
        self, wish: Wish, nonce: str, person: Person, locales: Mapping[str, str | None], tx: AsyncConnection
    ) -> Asked:
        account = await accounts.of_workspace(tx, wish.workspace, lock=True)
        if account and (first := await store.of_nonce(tx, nonce)):
            return Asked(first, new=False)
        limit = await _limit(tx, account)
        account = may_ask(account, wish.user_id, person, limit, wish.amount)
        mine = await store.open_of(tx, account.id, wish.user_id)
        if same := [each for each in mine if (each.asked, each.reason) == (wish.amount, wish.reason)]:
            return Asked(same[0], new=False)
        if len(mine) >= MOST_OPEN:
            raise TooManyRequests(n=len(mine))
        now = self._clock.now()
        request = Request(
            id=self._new_id(PREFIX, now),
            nonce=nonce,
            account_id=account.id,
            asker_id=wish.user_id,
            locale=person.locale,
            asked=wish.amount,
            amount=wish.amount,
            reason=wish.reason,
            told={owner: locales.get(owner) for owner in sorted(account.owners - {wish.user_id})},
            created_at=now,
            ends_at=now + ENDS_AFTER,
            first_by=wish.user_id if wish.user_id in account.owners else None,
        )
        if not await store.add(tx, request):
            return Asked(must(await store.of_nonce(tx, nonce)), new=False)
        await self._cards.tell(tx, request, account)
        logger.info("an owner is asked", extra={"request": request.id, "cents": request.asked.cents})
        return Asked(request, new=True)

    # ── answering ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, workspace: Workspace, user_id: str, request_id: str) -> Request:
        """The request, for an owner who may still answer it. Raise the reason why not."""
        person = await self._known(workspace, user_id)
        async with self._database.read() as tx:
            account, request = await self._of(tx, workspace, request_id)
        may_answer(account, user_id, person)
        model.still_open(request, self._clock.now())
        return request

    async def approve(
        self,
        workspace: Workspace,
        user_id: str,
        request_id: str,
        amount: Usd,
        *,
        seen: bool = False,
        again: bool = False,
    ) -> tuple[Request, Purchase | None]:
        """This owner's yes: the decision and the purchase in one transaction, or the first of two decisions.

        ``seen``: the amount is the one on the card, and must still be the request's. ``again`` as in ``Submission``.
        Raises the reason when this person may not buy, or may not buy this, or somebody else was faster.
        """
        person = await self._known(workspace, user_id)
        submission = Submission("", workspace, user_id, amount, PayWith.EITHER, again=again, agreed=True)
        answered = await self._database.write(partial(self._approve, submission, person, request_id, seen))
        self._purchases.due()
        self._purchases.nudge()
        return answered

    async def _approve(
        self, submission: Submission, person: Person, request_id: str, seen: bool, tx: AsyncConnection
    ) -> tuple[Request, Purchase | None]:
        account, request = await self._of(tx, submission.workspace, request_id, lock=True)
        may_buy(account, submission.user_id, person)
        check_amount(submission.amount)
        now = self._clock.now()
        model.still_open(request, now)
        if seen and submission.amount != request.amount:
            raise AmountChanged(amount=request.amount)
        limit = await _limit(tx, account)
        after = model.approve(request, account, submission.user_id, submission.amount, limit, now)
        await self._write(tx, request, after)
        if after.state is State.OPEN:
            await self._cards.tell(tx, after, account)
            return after, None
        purchase, _ = await self._purchases.write_down(submission, request.id, person, tx)  # tells everybody
        return after, purchase

    async def decline(self, workspace: Workspace, user_id: str, request_id: str) -> None:
        """This owner's no."""
        await self._close(workspace, user_id, request_id, await self._known(workspace, user_id))

    async def withdraw(self, workspace: Workspace, user_id: str, request_id: str) -> None:
        """Whoever asked takes it back."""
        await self._close(workspace, user_id, request_id, None)

    async def _close(self, workspace: Workspace, user_id: str, request_id: str, owner: Person | None) -> None:
        async def close(tx: AsyncConnection) -> None:
            account, request = await self._of(tx, workspace, request_id, lock=True)
            if owner:
                may_answer(account, user_id, owner)
            after = (model.decline if owner else model.withdraw)(request, user_id, self._clock.now())
            await self._write(tx, request, after)
            await self._cards.tell(tx, after, account)

        await self._database.write(close)
        self._purchases.nudge()

    async def end(self) -> int:
        """End the requests that nobody answered in time. How many that were."""
        async with self._database.read() as tx:
            due = await store.due(tx, self._clock.now(), _AT_ONCE)
        for request_id in due:
            await self._database.write(partial(self._end, request_id))
        if due:
            self._purchases.nudge()
        return len(due)

    async def _end(self, request_id: str, tx: AsyncConnection) -> None:
        request = must(await store.of_id(tx, request_id, lock=True))
        if after := model.expire(request, self._clock.now()):
            await self._write(tx, request, after)
            await self._cards.tell(tx, after, must(await accounts.of_id(tx, request.account_id)))

    async def _write(self, tx: AsyncConnection, before: Request, after: Request) -> None:
        won = await store.answer(tx, before, after, self._clock.now())
        assert won, "the row was locked"
        logger.info("a request was answered", extra={"request": after.id, "state": after.state})

    async def _of(
        self, tx: AsyncConnection, workspace: Workspace, request_id: str, *, lock: bool = False
    ) -> tuple[Account, Request]:
        """A request to this workspace's account; both are locked in the one order that all take."""
        account = await accounts.of_workspace(tx, workspace, lock=lock)
        if account is None:
            raise NoAccount()
        request = await store.of_id(tx, request_id, lock=lock)
        if request is None or request.account_id != account.id:
            raise NoRequest()
        return account, request

    # ── the limit ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def limit(self, workspace: Workspace, user_id: str) -> tuple[Account, Limit | None]:
        """What holds now. Raise the reason why this person may not see it."""
        person = await self._known(workspace, user_id)
        async with self._database.read() as tx:
            account = _owned(await accounts.of_workspace(tx, workspace), user_id, person)
            return account, await store.limit_of(tx, account.id)

    async def set_limit(self, workspace: Workspace, user_id: str, amount: Usd | None) -> tuple[Account, Limit | None]:
        """Let one owner alone buy up to ``amount`` from now on; None: anything. Every owner is told of a change."""
        if amount and amount > GREATEST:
            raise TooMuch(greatest=GREATEST)
        person, locales = await asyncio.gather(self._known(workspace, user_id), self._locales_of_owners(workspace))

        async def set_limit(tx: AsyncConnection) -> tuple[Account, Limit | None]:
            account = _owned(await accounts.of_workspace(tx, workspace, lock=True), user_id, person)
            before = await store.limit_of(tx, account.id)
            if (before and before.amount) == amount:
                return account, before
            limit = Limit(amount, user_id, self._clock.now())
            await store.set_limit(tx, account.id, limit)
            await self._cards.tell_of_limit(tx, account, limit, self._new_id("lim", limit.set_at), locales)
            return account, limit

        done = await self._database.write(set_limit)
        self._purchases.nudge()
        return done

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _known(self, workspace: Workspace, user_id: str) -> Person:
        """Who this is. Raise ``Outage`` when Slack does not say quickly: nothing is asked or agreed to by anybody."""
        person = await self._purchases.person(workspace, user_id)
        if person is None:
            raise Outage("Slack", "does not say who this is")
        return person

    async def _locales_of_owners(self, workspace: Workspace) -> Mapping[str, str | None]:
        """In which language to tell each owner; unknown where Slack does not say quickly."""
        account, _ = await self._purchases.account_and_balance(workspace)
        people = sorted(account.owners) if account else []
        found = await asyncio.gather(*(self._purchases.person(workspace, each) for each in people))
        return {each: person.locale for each, person in zip(people, found, strict=True) if person}


def _owned(account: Account | None, user_id: str, person: Person) -> Account:
    """The account, when this person is an owner of it."""
    if account is None:
        raise NoAccount()
    if user_id not in account.owners or person.standing is not Standing.MEMBER:
        raise NotTheirLimit(**who_to_ask(account))
    return account


async def _limit(tx: AsyncConnection, account: Account | None) -> Usd | None:
    limit = await store.limit_of(tx, account.id) if account else None
    return limit.amount if limit else None
