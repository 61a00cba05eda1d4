"""Usage against plain arithmetic: any order, repetition and batching of events and prices, on both databases."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.ledger.service import verify
from bot.money import Credits
from bot.prices import store as prices
from bot.prices.model import Price
from bot.usage import store

from ..conftest import examples
from ..genstudio import PROVIDER, Program, errors, use
from ..stage import Stage

PERIODS = 3  # of ten days each; prices hold for one of them
PLACES = [(model, period) for model in "mn" for period in range(PERIODS)]  # of a price

counts = st.sampled_from([1_000, 1, 77_777, 0]) | st.integers(0, 10**6)
places = st.sampled_from(PLACES)
things = st.tuples(st.sampled_from("ab"), places, st.integers(0, 9), st.tuples(*[counts] * 4))  # that happen
figure = st.integers(0, 10**11)
figures = st.tuples(figure, figure, *[st.sampled_from([10**9, 123_456_789, 3, 10**11, 0, None])] * 2)


@dataclass(frozen=True)
class Use:
    """What happened, in whichever manner it is told."""

    id: str
    account: str
    model: str
    day: int
    fresh: int
    cached: int
    written: int
    output: int

    def told(self, *, includes_cached: bool, source: str, since: datetime) -> dict[str, Any]:
        return use(
            self.id,
            self.account,
            at=since + timedelta(days=self.day),
            source=source,
            model=self.model,
            input_tokens=self.fresh + (self.cached + self.written if includes_cached else 0),
            input_includes_cached=includes_cached,
            cached_input_tokens=self.cached,
            cache_write_tokens=self.written,
            output_tokens=self.output,
        )

    def cost(self, price: Sequence[int | None] | None, markup: int) -> int | str:
        """Nano-credits, or why there is no cost yet."""
        if price is None:
            return "no_price"
        read, output, cached, written = price
        if self.cached and cached is None:
            return "no_cached_price"
        if self.written and written is None:
            return "no_written_price"
        exact = self.fresh * read + self.cached * (cached or 0) + self.written * (written or 0) + self.output * output
        return math.ceil(Fraction(exact, 10**6) * Fraction(10_000 + markup, 10_000))


def usage_machine(stage: Stage, genstudio: Program, run: Any, worlds: Any) -> type[RuleBasedStateMachine]:
    """A machine on this stage. Each of its worlds has accounts, models and a source of its own."""
    since = stage.ago(days=40)

    class Usage(RuleBasedStateMachine):
        uses: Bundle[Use] = Bundle("uses")

        @initialize(
            target=uses,
            markup=st.integers(0, 20_000),
            priced=st.lists(figures, min_size=len(PLACES), max_size=len(PLACES)),
            late=st.sets(places, max_size=3),
            first=st.lists(things, min_size=3, max_size=6),
        )
        def begin(
            self,
            markup: int,
            priced: Sequence[Sequence[int | None]],
            late: set[tuple[str, int]],
            first: Sequence[tuple[str, tuple[str, int], int, Sequence[int]]],
        ) -> Any:
            self.world = next(worlds)
            self.ids = itertools.count()
            self.happened: list[Use] = []
            self.sent: dict[str, Use] = {}
            self.prices: dict[tuple[str, int], Sequence[int | None]] = {}
            self.coming = dict(zip(PLACES, priced, strict=True))
            self.markups = {f"{self.world}-a": markup, f"{self.world}-b": 0}
            run(self._found(markup))
            self.write(*(place for place in PLACES if place not in late))
            return multiple(*(self.happen(each) for each in first))

        async def _found(self, markup: int) -> None:
            for account_id in self.markups:
                home = Workspace("", f"T{account_id}")
                account = Account(account_id, account_id, Plan.ADVANCED, home, frozenset(), overdraft=Credits(10**18))
                await stage.bot.database.write(partial(accounts.add, account=account, at=stage.world.clock.now()))
            await stage.markup(f"account:{self.world}-a", markup, since=since)

        @rule(target=uses, thing=things)
        def something_happens(self, thing: tuple[str, tuple[str, int], int, Sequence[int]]) -> Use:
            return self.happen(thing)

        def happen(self, thing: tuple[str, tuple[str, int], int, Sequence[int]]) -> Use:
            account, (model, period), day, tokens = thing
            names = f"{self.world}-{account}", f"{self.world}-{model}"
            self.happened.append(Use(str(next(self.ids)), *names, 10 * period + day, *tokens))
            return self.happened[-1]

        @rule(requests=st.lists(st.lists(uses, min_size=1, max_size=5), min_size=1, max_size=4), manner=st.booleans())
        def deliver(self, requests: list[list[Use]], manner: bool) -> None:
            async def all_of_them() -> list[int]:
                sending = (genstudio.send(*(self.told(each, manner) for each in request)) for request in requests)
                return [answer.status_code for answer in await asyncio.gather(*sending)]

            assert set(run(all_of_them())) == {204}
            self.sent |= {each.id: each for request in requests for each in request}

        @rule(others=st.lists(uses, max_size=3), used=uses, manner=st.booleans())
        def contradict(self, others: list[Use], used: Use, manner: bool) -> None:
            wrong = self.told(used, manner)
            wrong["data"]["output_tokens"] += 1
            events = [*(self.told(each, manner) for each in (*others, used)), wrong]
            answer = run(genstudio.send(*events))
            assert (answer.status_code, errors(answer)[0][0]) == (409, len(others) + 1)

        @rule(others=st.lists(uses, max_size=3), used=uses)
        def name_nobody(self, others: list[Use], used: Use) -> None:
            wrong = self.told(used, True) | {"subject": "nobody"}
            answer = run(genstudio.send(*(self.told(each, True) for each in others), wrong))
            assert (answer.status_code, errors(answer)[0][0]) == (400, len(others))

        @rule(place=places)
        def price_arrives(self, place: tuple[str, int]) -> None:
            if place in self.coming:
                self.write(place)
                stage.bot.clockwork.wind(3600)

        def write(self, *arrived: tuple[str, int]) -> None:
            """Prices, each for the days of its period."""
            rows = []
            for place in arrived:
                (model, period), (read, output, cached, written) = place, self.coming[place]
                start, end = (since + timedelta(days=10 * n) for n in (period, period + 1))
                rows.append(Price(0, PROVIDER, f"{self.world}-{model}", read, output, start, cached, written, end))
                self.prices[f"{self.world}-{model}", period] = self.coming.pop(place)
            run(stage.bot.database.write(partial(prices.add_all, wanted=rows, at=since)))

        def told(self, used: Use, manner: bool) -> dict[str, Any]:
            return used.told(includes_cached=manner, source=f"source {self.world}", since=since)

        def expected(self) -> dict[str, int | str]:
            return {
                each.id: each.cost(self.prices.get((each.model, each.day // 10)), self.markups[each.account])
                for each in self.sent.values()
            }

        async def _found_in_the_books(self, account_id: str) -> tuple[dict[str, int], Counter[str]]:
            async with stage.bot.database.read() as tx:
                rows = await tx.exec_driver_sql("SELECT DISTINCT batch FROM usage_events WHERE batch IS NOT NULL")
                debits = await store.debits(tx, account_id, [row.batch for row in rows])
                waiting = await store.waiting(tx, account_id)
            reasons: Counter[str] = Counter()
            for each in waiting:
                reasons[each.reason] += each.count
            return {each.id: each.cost.nano for batch in debits.values() for each in batch}, reasons

        async def _as_expected(self, account_id: str) -> bool:
            expected = {id: cost for id, cost in self.expected().items() if self.sent[id].account == account_id}
            costs = {id: cost for id, cost in expected.items() if isinstance(cost, int)}
            reasons = Counter(cost for cost in expected.values() if isinstance(cost, str))
            if await self._found_in_the_books(account_id) != (costs, reasons):
                return False
            assert (await genstudio.balance(account_id))["settled_nano"] == -sum(costs.values())
            return True

        def teardown(self) -> None:
            """Whatever has not come yet comes now, among repeats of what has: each world ends with all its events."""
            self.deliver([self.happened[::-1]], manner=True)
            self.write(*self.coming)
            stage.bot.clockwork.wind(3600)
            for account_id in self.markups:
                run(stage.until(partial(self._as_expected, account_id)))
            assert run(verify(stage.bot.database)).problems == []

    return Usage


def test_usage_costs_what_arithmetic_says(database_url: str, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        opened = Stage.open(tmp_path, database_url, customer=False, webhooks=None)
        stage = runner.run(opened.__aenter__())
        try:
            genstudio = runner.run(stage.program())
            machine = usage_machine(stage, genstudio, runner.run, itertools.count())
            rounds = settings(
                max_examples=examples(5),
                stateful_step_count=12,
                phases=(Phase.generate,),  # to make a failure smaller would take minutes: each step is real requests
                suppress_health_check=[HealthCheck.too_slow],
            )
            run_state_machine_as_test(machine, settings=rounds)
            runner.run(stage.check())
        finally:
            runner.run(opened.__aexit__(None, None, None))
