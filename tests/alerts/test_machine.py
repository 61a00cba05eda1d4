"""Warnings against plain arithmetic: any order of balances, forecasts, rules, people, time and restarts."""

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot.alerts.forecast import RunOut
from bot.alerts.model import (
    CALM,
    REMIND_EVERY,
    Bounds,
    Effect,
    Episode,
    Facts,
    Outcome,
    Say,
    Snooze,
    acknowledge,
    bounds,
    look,
    next_due,
    snooze,
    snooze_until,
)
from bot.alerts.rules import Amount, Days, Level, Percent, Quiet, Rules
from bot.money import NANO_PER_CENT, NANO_PER_CREDIT, Credits

from ..conftest import examples

START = datetime(2026, 11, 3, 12, tzinfo=UTC)
ZONE = "Asia/Kolkata"  # its clocks are never changed, so that reading them is a check of another kind
DAY = timedelta(days=1)
A_CENT_A_DAY = 86_400 * 1_000  # of so many nano-credits each takes a thousandth of a second, exactly

amounts = st.integers(0, 60).map(lambda cents: cents * NANO_PER_CREDIT)
triggers = st.one_of(amounts.map(Credits).map(Amount), st.integers(1, 100).map(Percent), st.integers(1, 12).map(Days))
waits = st.sampled_from([0, 1, 29, 60, 600, 3600, 4 * 3600, 86_400, 4 * 86_400])
hours = st.integers(0, 23).map(time)
quiets = st.tuples(hours, hours).filter(lambda both: both[0] != both[1]).map(lambda both: Quiet(*both))
rules_of_an_account = st.builds(
    Rules,
    st.one_of(st.fixed_dictionaries(dict.fromkeys(Level, triggers)), st.dictionaries(st.sampled_from(Level), triggers)),
    st.integers(101, 200),
    st.none() | quiets,
    st.just(ZONE),
)


class Alerts(RuleBasedStateMachine):
    """An account whose balance, pace and rules do what they like. ``look`` is asked after each of their steps."""

    @initialize(rules=rules_of_an_account)
    def begin(self, rules: Rules) -> None:
        self.rules = rules
        self.places = ["a"]
        self.now = START
        self.run_for = timedelta()  # as a clock would count that never goes back
        self.balance = 50 * NANO_PER_CREDIT
        self.bought: int | None = None
        self.forecast: Callable[[int, datetime], RunOut | None] = lambda balance, now: None
        self.episodes: dict[str, Episode] = {}
        self.log: dict[str, list[Say]] = {}
        self.reminded: dict[str, timedelta] = {}
        self.numbers = itertools.count()
        self.look()

    @property
    def facts(self) -> Facts:
        bought = None if self.bought is None else Credits(self.bought)
        return Facts(Credits(self.balance), bought, self.forecast(self.balance, self.now), self.now)

    def new_id(self, prefix: str, at: datetime) -> str:
        return f"{prefix}_{next(self.numbers)}"

    def look(self) -> list[Say]:
        before = dict(self.episodes)
        outcome = look(self.rules, self.facts, self.places, self.episodes.values(), self.new_id)
        assert all(before.get(episode.id) != episode for episode in outcome.episodes)
        self.keep(outcome)
        for effect in outcome.effects:
            self.judge(effect, before.get(effect.episode.id))
        return [effect.say for effect in outcome.effects]

    def keep(self, outcome: Outcome) -> None:
        self.episodes |= {episode.id: episode for episode in outcome.episodes}
        for say, episode in outcome.effects:
            assert self.episodes[episode.id] == episode
            self.log.setdefault(episode.id, []).append(say)

    def judge(self, effect: Effect, before: Episode | None) -> None:
        """Whether this was to be said, found out in another way."""
        say, episode = effect
        if say is Say.OPEN:
            assert before is None
            assert self.reached(episode.level)
            assert not self.worse_is_open(episode)
            assert not self.hushed(episode.level)
        elif say is Say.REMIND:
            assert before is not None
            assert before.acknowledged_at is None
            assert before.snoozed_until is None or before.snoozed_until <= self.now
            assert not self.worse_is_open(episode)
            assert not self.hushed(episode.level)
            assert not self.back(episode.level)
            if before.snoozed_until is None:
                assert self.run_for - self.reminded[episode.id] >= REMIND_EVERY[episode.level]
        elif say is Say.RECOVER:
            assert self.back(episode.level)
            assert not self.reached(episode.level)
        elif say is Say.WITHDRAW:
            assert episode.place not in self.places or episode.level not in self.rules.triggers
        if say in (Say.OPEN, Say.REMIND):
            self.reminded[episode.id] = self.run_for

    def share(self, level: Level) -> Fraction | None:
        """What there is, over what the level is: at most 1 is reached. None where it cannot be told."""
        match self.rules.triggers[level]:
            case Percent(percent) if self.bought:
                return Fraction(self.balance * 100, self.bought * percent)
            case Days(days) if run_out := self.facts.run_out:
                return Fraction((run_out.likely - self.now) // timedelta(microseconds=1), days * 86_400_000_000)
            case Amount(credits) if credits.nano:
                return Fraction(self.balance, credits.nano)
        return None

    def reached(self, level: Level) -> bool:
        if (share := self.share(level)) is not None:
            return share <= 1
        return self.balance <= 0 and not (isinstance(self.rules.triggers[level], Percent) and self.bought is None)

    def back(self, level: Level) -> bool:
        trigger, share = self.rules.triggers[level], self.share(level)
        if share is None:
            never = isinstance(trigger, Percent) and self.bought is None
            return never or self.balance >= 10 * NANO_PER_CENT
        clearly = isinstance(trigger, Days) or (share - 1) * self.balance >= share * 10 * NANO_PER_CENT
        return share >= Fraction(self.rules.recovery, 100) and clearly

    def hushed(self, level: Level) -> bool:
        if level is not Level.LOW or not (quiet := self.rules.quiet):
            return False
        wall = self.now.astimezone(ZoneInfo(ZONE)).time()
        if quiet.start < quiet.end:
            return quiet.start <= wall < quiet.end
        return wall >= quiet.start or wall < quiet.end

    def open(self, place: str) -> dict[Level, Episode]:
        found = [each for each in self.episodes.values() if each.place == place and not each.closed_at]
        assert len({each.level for each in found}) == len(found)
        return {each.level: each for each in found}

    def worse_is_open(self, episode: Episode) -> bool:
        order = list(Level)
        return any(order.index(level) > order.index(episode.level) for level in self.open(episode.place))

    @rule(amount=amounts)
    def have(self, amount: int) -> None:
        self.balance = amount
        self.look()

    @rule(nano=st.integers(-3 * NANO_PER_CREDIT, 3 * NANO_PER_CREDIT))
    def move(self, nano: int) -> None:
        self.balance += nano
        self.look()

    @rule(amount=amounts.filter(bool))
    def buy(self, amount: int) -> None:
        self.bought = amount
        self.balance += amount
        self.look()

    @rule(per_day=st.none() | st.integers(1, 20_000))
    def use_at_a_pace(self, per_day: int | None) -> None:
        def forecast(balance: int, now: datetime) -> RunOut | None:
            if per_day is None:
                return None
            likely = now + timedelta(milliseconds=max(0, balance) // (1_000 * per_day))
            return RunOut(now, likely, None, per_day * A_CENT_A_DAY * 1_000)

        self.forecast = forecast
        self.look()

    @rule(days=st.integers(0, 30))
    def run_out_on_a_day(self, days: int) -> None:
        """Whatever is used until then: time alone brings the level."""
        likely = self.now + days * DAY
        self.forecast = lambda balance, now: RunOut(now, likely, None, 1)
        self.look()

    @rule(rules=rules_of_an_account)
    def edit_the_rules(self, rules: Rules) -> None:
        self.rules = rules
        self.look()

    @rule(places=st.sampled_from([{"a"}, {"a", "b"}, {"b"}, set()]))
    def edit_the_places(self, places: set[str]) -> None:
        self.places = sorted(places)
        self.look()

    @rule(seconds=waits)
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.run_for += timedelta(seconds=seconds)
        self.look()

    @rule(hours=st.integers(1, 50))
    def the_clock_goes_back(self, hours: int) -> None:
        self.now -= timedelta(hours=hours)
        self.look()

    @precondition(lambda self: self.episodes)
    @rule(pick=st.randoms(use_true_random=False), user=st.sampled_from(["U1", "U2"]))
    def press_acknowledge(self, pick: Any, user: str) -> None:
        self.keep(acknowledge(pick.choice(list(self.episodes.values())), user, self.now))

    @precondition(lambda self: self.episodes)
    @rule(pick=st.randoms(use_true_random=False), choice=st.sampled_from(Snooze))
    def press_snooze(self, pick: Any, choice: Snooze) -> None:
        until = snooze_until(choice, self.now, ZoneInfo(ZONE))
        self.keep(snooze(pick.choice(list(self.episodes.values())), "U3", until, self.now))

    @rule()
    def restart(self) -> None:
        """All that is left is what was written down."""
        self.rules = Rules.of_json(json.loads(json.dumps(self.rules.as_json())))
        written = json.dumps([asdict(episode) for episode in self.episodes.values()], default=datetime.isoformat)
        self.episodes = {each["id"]: _read(each) for each in json.loads(written)}

    @rule(towards=st.integers(0, 1000), wait=st.integers(0, 1000))
    def drift_within_the_bounds_and_before_it_is_due(self, towards: int, wait: int) -> None:
        (low, high), due = self.bounds, self.due or self.now + 3 * DAY
        lowest = low.nano + 1 if low else min(self.balance, 0) - 10**10
        highest = high.nano - 1 if high else max(self.balance, 0) + 10**11
        self.balance = lowest + (highest - lowest) * towards // 1000
        step = min((due - self.now) * wait // 1000, due - self.now - timedelta(microseconds=1))
        self.now += step
        self.run_for += step
        assert set(self.look()) <= {Say.UPDATE}

    @rule(up=st.booleans())
    def cross_a_bound(self, up: bool) -> None:
        bound = self.bounds.high if up else self.bounds.low
        if bound:
            self.balance = bound.nano
            self.look()

    @rule()
    def wait_until_it_is_due(self) -> None:
        if due := self.due:
            self.run_for += due - self.now
            self.now = due
            self.look()

    @property
    def bounds(self) -> Bounds:
        return bounds(self.rules, self.facts, self.places, self.episodes.values())

    @property
    def due(self) -> datetime | None:
        return next_due(self.rules, self.facts, self.places, self.episodes.values())

    @invariant()
    def a_second_look_changes_nothing(self) -> None:
        assert look(self.rules, self.facts, self.places, self.episodes.values(), self.new_id) == Outcome([], [])

    @invariant()
    def what_comes_next_is_ahead(self) -> None:
        low, high = self.bounds
        assert low is None or low.nano < self.balance
        assert high is None or high.nano > self.balance
        assert self.due is None or self.due > self.now

    @invariant()
    def an_episode_begins_once_and_ends_at_most_once(self) -> None:
        for episode_id, said in self.log.items():
            ends = [Say.RECOVER, Say.WITHDRAW]
            assert said[0] is Say.OPEN
            assert said.count(Say.OPEN) == 1
            assert not any(say in ends for say in said[:-1])
            assert (said[-1] in ends) == (self.episodes[episode_id].closed_at is not None)

    @invariant()
    def nobody_is_left_unwarned_and_no_warning_outlives_its_cause(self) -> None:
        for place in self.places:
            standing = self.open(place)
            for level in self.rules.triggers:
                worse = list(Level)[list(Level).index(level) + 1 :]
                if level in standing:
                    calm = standing[level].calm_since
                    assert (calm is not None) == self.back(level)
                    assert calm is None or self.now - CALM < calm <= self.now
                elif self.reached(level):
                    assert self.hushed(level) or any(each in standing for each in worse)


def _read(row: dict[str, Any]) -> Episode:
    moments = {each.name for each in fields(Episode) if each.name.endswith(("_at", "_since", "_until"))}
    known = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in moments}
    return Episode(**{**row, **known, "level": Level(row["level"]), "under": row["under"] and Level(row["under"])})


def test_warnings_are_what_the_arithmetic_says() -> None:
    rounds = settings(max_examples=examples(50), stateful_step_count=50)
    run_state_machine_as_test(Alerts, settings=rounds)
