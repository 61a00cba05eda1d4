"""What an event costs: its account's terms and its model's price at its own time, kept in memory while they hold."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Plan
from bot.db import versions
from bot.db.columns import instant, microseconds
from bot.db.engine import Database
from bot.money import Credits
from bot.prices import store as prices
from bot.prices.model import Markups, PriceList, Tokens, Unpriced, cost
from bot.usage import store
from bot.usage.model import Event, Row, UsageRefused, key_of

MOST_KEPT = 10_000  # sources, and models, whose numbers are known without asking


class StaleTerms(Exception):
    """Prices, markups or accounts were changed since the events were rated."""


@dataclass(slots=True)
class Terms:
    """Prices, markups and accounts as they were at one version; accounts only as far as somebody asked."""

    version: int
    prices: PriceList
    markups: Markups
    plans: dict[str, Plan] = field(default_factory=dict)
    floors: dict[str, Credits] = field(default_factory=dict)  # the lowest balance of each account

    async def must_hold(self, tx: AsyncConnection) -> None:
        """Raise ``StaleTerms`` when somebody changed them since."""
        if await versions.current(tx, versions.TERMS) != self.version:
            raise StaleTerms


class Rater:
    """Makes rows of events. What it keeps in memory is only as good as its version: the writer checks that."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._terms: Terms | None = None
        self._sources: dict[str, int] = {}
        self._models: dict[tuple[str, str], int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._learning = asyncio.Lock()  # one request asks the database, the others wait for what it hears

    async def terms(self, *, newer_than: Terms | None = None) -> Terms:
        """The terms as far as they are known; read again when these turned out to be old."""
        if self._terms is not None and self._terms is not newer_than:
            return self._terms
        async with self._learning:
            if self._terms is None or self._terms is newer_than:
                async with self._database.read() as tx:
                    version = await versions.current(tx, versions.TERMS)
                    self._terms = Terms(version, *await prices.load(tx))
            return self._terms

    async def fresh_terms(self) -> Terms:
        """The terms as they are now."""
        terms = await self.terms()
        async with self._database.read() as tx:
            newest = await versions.current(tx, versions.TERMS)
        return terms if newest == terms.version else await self.terms(newer_than=terms)

    async def rate(self, events: Sequence[Event], received_at: datetime, terms: Terms) -> list[Row]:
        """The rows of these events. Raise ``UsageRefused`` for accounts that are not there."""
        try:
            return self._rows(events, received_at, terms)
        except KeyError:  # something is new
            async with self._learning:
                await self._learn(events, terms)
            return self._rows(events, received_at, terms)

    def _rows(self, events: Sequence[Event], received_at: datetime, terms: Terms) -> list[Row]:
        """Raise ``KeyError`` when an account, a source or a model is not known yet."""
        received = microseconds(received_at)
        return [self._row(event, received_at, received, terms) for event in events]

    def _row(self, event: Event, received_at: datetime, received: int, terms: Terms) -> Row:
        tokens = event.tokens
        key, told = key_of(event.id)
        row = Row(
            self._sources[event.source],
            key,
            None if told else event.id,
            event.account_id,
            self._models[event.provider, event.model],
            received if event.at is None else microseconds(event.at),
            tokens.input,
            tokens.cached,
            tokens.written,
            tokens.output,
            tokens.reasoning,
        )
        _price(row, event.provider, event.model, event.at or received_at, tokens, terms)
        return row

    async def rate_again(self, rows: Sequence[Row], terms: Terms) -> None:
        """Give parked rows the price that they may have by now."""
        await self.look_up(terms, {row.account_id for row in rows})
        if missing := {row.model for row in rows if row.model not in self._names}:
            async with self._database.read() as tx:
                self._names |= await store.names(tx, missing)
        for row in rows:
            tokens = Tokens(row.input, row.cached, row.written, row.output, row.reasoning)
            _price(row, *self._names[row.model], instant(row.happened_at), tokens, terms)

    async def _learn(self, events: Sequence[Event], terms: Terms) -> None:
        await self.look_up(terms, {event.account_id for event in events})
        unknown = [(n, event.account_id) for n, event in enumerate(events) if event.account_id not in terms.plans]
        if unknown:
            raise UsageRefused([(n, f"there is no account {account_id}") for n, account_id in unknown])
        for known in (self._sources, self._models):
            if len(known) > MOST_KEPT:  # a source may be a machine that lives for an hour
                known.clear()
        new_sources = {event.source for event in events if event.source not in self._sources}
        new_models = {pair for event in events if (pair := (event.provider, event.model)) not in self._models}
        if new_sources or new_models:
            number = partial(store.numbers, new_sources=new_sources, new_models=new_models)
            of_source, of_model = await self._database.write(number)
            self._sources |= of_source
            self._models |= of_model

    async def look_up(self, terms: Terms, account_ids: Iterable[str]) -> None:
        """Learn the terms of these accounts."""
        if missing := {account_id for account_id in account_ids if account_id not in terms.plans}:
            async with self._database.read() as tx:
                for account_id, plan, overdraft in await accounts.terms(tx, missing):
                    terms.plans[account_id] = plan
                    terms.floors[account_id] = Credits(-overdraft.nano)


def _price(row: Row, provider: str, model: str, at: datetime, tokens: Tokens, terms: Terms) -> None:
    """Write down price, markup and cost; or why there is none."""
    price = terms.prices.at(provider, model, at)
    markup = terms.markups.at(row.account_id, terms.plans[row.account_id], at)
    nano = cost(price, tokens, markup) if price else Unpriced.NO_PRICE
    if price and not isinstance(nano, Unpriced):
        row.price, row.markup, row.nano, row.parked = price.id, markup, nano, None
    else:
        row.price = row.markup = row.nano = None
        row.parked = str(nano)
