"""Holds: credits reserved before a call of a model, so that no two calls spend the same ones."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.ids import NewId
from bot.ledger import store as ledger
from bot.money import Credits
from bot.prices.model import Tokens, cost
from bot.usage import hold_store
from bot.usage.meter import Meter, Receipt
from bot.usage.model import Event, Hold, HoldConflict, HoldState, NotEnough, Standing
from bot.usage.rating import Rater

LASTS: Final = timedelta(minutes=15)
LONGEST: Final = timedelta(hours=24)
_OTHER: Final = "this idempotency key was used for another hold"


class Holds:
    """Opens, settles and releases holds. One that is not closed in time holds nothing any more."""

    def __init__(self, database: Database, clock: Clock, rater: Rater, meter: Meter, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._rater = rater
        self._meter = meter
        self._new_id = new_id

    async def standing(self, account_id: str) -> Standing | None:
        """What the account has and what of it is held; None where there is no such account."""
        if "\0" in account_id:  # nobody's, and PostgreSQL cannot even be asked
            return None
        async with self._database.read() as tx:
            return await self._standing(tx, account_id, *await ledger.head(tx, account_id))

    async def greatest_cost(self, account_id: str, provider: str, model: str, tokens: Tokens) -> Credits | None:
        """The most that a call with so much input and output can cost now; None for a model without a price.

        Whether input is read anew, from a cache or into one is not known before the call: the dearest way counts.
        """
        terms = await self._rater.fresh_terms()
        await self._rater.look_up(terms, {account_id})
        now = self._clock.now()
        price = terms.prices.at(provider, model, now)
        if price is None or account_id not in terms.plans:
            return None
        markup = terms.markups.at(account_id, terms.plans[account_id], now)
        ways = (
            Tokens(input=tokens.input, output=tokens.output),
            Tokens(cached=tokens.input, output=tokens.output),
            Tokens(written=tokens.input, output=tokens.output),
        )
        return Credits(max(found for way in ways if isinstance(found := cost(price, way, markup), int)))

    async def open(
        self, account_id: str, amount: Credits, lasts: timedelta = LASTS, request: str | None = None
    ) -> tuple[Hold, Standing]:
        """Reserve so much for so long, once per ``request``. Raise ``NotEnough``, or ``HoldConflict``.

        The account must exist.
        """
        now = self._clock.now()
        hold = Hold(self._new_id("hold", now), account_id, amount, now, now + lasts, request=request)
        return await self._database.write(partial(self._open, hold))

    async def _open(self, hold: Hold, tx: AsyncConnection) -> tuple[Hold, Standing]:
        head = await ledger.held_still(tx, hold.account_id)  # whoever holds credits of this account comes by here
        standing = await self._standing(tx, hold.account_id, *head)
        assert standing is not None
        if hold.request and (before := await hold_store.find(tx, request=hold.request)):
            if (before.account_id, before.amount) != (hold.account_id, hold.amount):
                raise HoldConflict(_OTHER)
            return before, standing
        if not standing.bears(hold.amount):
            raise NotEnough(hold.amount, standing)
        if not await hold_store.add(tx, hold):  # in this moment, and for another account: that one is not held still
            raise HoldConflict(_OTHER)
        return hold, await self._standing(tx, hold.account_id, *head) or standing

    async def settle(self, hold_id: str, events: Sequence[Event]) -> tuple[Hold, Receipt]:
        """Book what the call really used and give the hold back. Raise ``LookupError``, ``HoldConflict``.

        What was used is booked after the hold's time too. Settling again with the same events changes nothing.
        """
        hold = await self._found(hold_id)
        if any(event.account_id != hold.account_id for event in events):
            raise HoldConflict(f"the hold is one of account {hold.account_id}")
        return hold, await self._meter.book(events, also=partial(self._close, hold_id))

    async def _close(self, hold_id: str, tx: AsyncConnection, spent: Credits, new: int) -> HoldConflict | None:
        """Settle the hold, unless it was released, or settled without these events."""
        if await hold_store.close(tx, hold_id, HoldState.SETTLED, self._clock.now(), spent):
            return None
        if must(await hold_store.find(tx, id=hold_id)).state is HoldState.RELEASED:
            return HoldConflict("the hold was released; what was used all the same goes to /api/v1/events")
        return HoldConflict("the hold was settled with other events") if new else None

    async def release(self, hold_id: str) -> None:
        """Give the hold back unused. Raise ``LookupError``, or ``HoldConflict`` when it was settled."""

        async def release(tx: AsyncConnection) -> None:
            await hold_store.close(tx, hold_id, HoldState.RELEASED, self._clock.now(), Credits.ZERO)

        if (await self._found(hold_id)).state is HoldState.OPEN:
            await self._database.write(release)
        if (await self._found(hold_id)).state is HoldState.SETTLED:
            raise HoldConflict("the hold was settled")

    async def _found(self, hold_id: str) -> Hold:
        if "\0" in hold_id:
            raise LookupError(hold_id)
        async with self._database.read() as tx:
            hold = await hold_store.find(tx, id=hold_id)
        if hold is None:
            raise LookupError(hold_id)
        return hold

    async def _standing(self, tx: AsyncConnection, account_id: str, settled: Credits, seq: int) -> Standing | None:
        account = await accounts.of_id(tx, account_id)
        if account is None:
            return None
        held = await hold_store.held(tx, account_id, self._clock.now())
        return Standing(account_id, settled, held, seq, account.at_zero, account.overdraft)
