"""The rules of warnings: what begins, reminds and ends them, at which moments and balances, and in which time zone."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.alerts.forecast import RunOut
from bot.alerts.model import (
    Bounds,
    Episode,
    Facts,
    Outcome,
    Snooze,
    acknowledge,
    bounds,
    look,
    next_due,
    snooze,
    snooze_until,
)
from bot.alerts.rules import DEFAULTS, Amount, BadRules, Days, Level, Percent, Quiet, Rules
from bot.money import NANO_PER_CREDIT, Credits

from ..conftest import examples

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)  # a Tuesday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHT = Quiet(time(22), time(7))
ZONES = [
    *("Africa/Cairo", "America/New_York", "America/Santiago", "America/St_Johns", "Antarctica/Troll", "Asia/Kolkata"),
    *(
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "Europe/Copenhagen",
        "Europe/Dublin",
        "Pacific/Auckland",
        "Pacific/Chatham",
    ),
]
moments = st.datetimes(datetime(2026, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
triggers = st.one_of(
    st.integers(0, 10**15).map(lambda nano: Amount(Credits(nano))),
    st.integers(1, 100).map(Percent),
    st.integers(1, 90).map(Days),
)
quiets = st.tuples(times, times).filter(lambda both: both[0] != both[1]).map(lambda both: Quiet(*both))


def credits(whole: float) -> Credits:
    return Credits(round(whole * NANO_PER_CREDIT))


class Account:
    """One account, warned in ``#money``: what it has, what is open, and what was said."""

    def __init__(self, rules: Rules = DEFAULTS) -> None:
        self.rules = rules
        self.places = ["#money"]
        self.facts = Facts(credits(100), credits(100), None, NOON)
        self.episodes: dict[str, Episode] = {}
        self.numbers = itertools.count()
        self.said: list[str] = []

    def has(self, whole: float) -> list[str]:
        self.facts = replace(self.facts, balance=credits(whole))
        return self.look()

    def runs_out(self, days: float, *, per_day: int = 1) -> list[str]:
        likely = self.facts.now + timedelta(days=days)
        run_out = RunOut(likely, likely, None, per_day * NANO_PER_CREDIT)
        self.facts = replace(self.facts, run_out=run_out)
        return self.look()

    def wait(self, time: timedelta) -> list[str]:
        self.facts = replace(self.facts, now=self.facts.now + time)
        return self.look()

    def look(self) -> list[str]:
        return self.keep(look(self.rules, self.facts, self.places, self.episodes.values(), self._new_id))

    def keep(self, outcome: Outcome) -> list[str]:
        """Store what is to be stored; tell what is to be said."""
        self.episodes |= {episode.id: episode for episode in outcome.episodes}
        told = [f"{say} {episode.level} {episode.place}" for say, episode in outcome.effects]
        self.said += told
        return told

    @property
    def open(self) -> Sequence[Episode]:
        return [episode for episode in self.episodes.values() if not episode.closed_at]

    @property
    def due(self) -> timedelta | None:
        due = next_due(self.rules, self.facts, self.places, self.episodes.values())
        return due - self.facts.now if due else None

    @property
    def bounds(self) -> Bounds:
        return bounds(self.rules, self.facts, self.places, self.episodes.values())

    def _new_id(self, prefix: str, at: datetime) -> str:
        return f"{prefix}_{next(self.numbers)}"


def test_without_any_setting_up_there_are_three_levels() -> None:
    account = Account()
    assert account.look() == []
    assert account.runs_out(7.01) == account.runs_out(7.01, per_day=0) == []
    assert account.runs_out(7) == ["open low #money"]
    assert account.has(10) == ["open critical #money", "update low #money"]
    assert account.has(0) == ["open empty #money", "update critical #money", "update low #money"]


def test_what_falls_through_all_levels_at_once_is_warned_of_the_worst() -> None:
    account = Account()
    assert account.has(-1) == ["open empty #money"]
    account.has(5)
    assert account.wait(MINUTE) == ["recover empty #money", "open critical #money"]


def test_a_balance_that_swings_round_a_level_makes_one_warning_and_one_recovery() -> None:
    account = Account()
    for _ in range(1000):
        for whole in (9.99, 10.01, 12):
            account.has(whole)
            account.wait(timedelta(seconds=19))
    for _ in range(2):
        account.has(11)
        account.wait(MINUTE)
    assert [told for told in account.said if "update" not in told and "remind" not in told] == [
        "open critical #money",
        "recover critical #money",
    ]


@pytest.mark.parametrize(("trigger", "level", "back"), [
    (Amount(credits(20)), 20, 22),
    (Percent(5), 5, 5.5),
    (Amount(credits(0)), 0, 0.1),
])  # fmt: skip
def test_a_level_has_recovered_when_two_looks_a_minute_apart_find_it_clearly_back(
    trigger: Any, level: float, back: float
) -> None:
    account = Account(Rules({Level.LOW: trigger}))
    assert account.has(level + 1e-9) == []
    assert account.has(level) == ["open low #money"]
    account.has(back - 1e-9)
    account.wait(HOUR)
    assert account.wait(HOUR) == []
    account.has(back)
    assert account.wait(timedelta(seconds=59)) == []
    assert account.wait(timedelta(seconds=1)) == ["recover low #money"]
    assert account.open == []


def test_a_level_by_days_recovers_with_the_forecast_or_when_there_is_none_any_more() -> None:
    account = Account(Rules({Level.LOW: Days(10)}))
    account.runs_out(10)
    account.runs_out(10.9)
    account.wait(MINUTE)
    assert not {"recover low #money"} & {*account.wait(MINUTE)}
    account.runs_out(11.01)
    assert account.wait(MINUTE) == ["recover low #money"]
    account.runs_out(3)
    account.facts = replace(account.facts, run_out=None)
    account.look()
    assert account.wait(MINUTE) == ["recover low #money"]


def test_without_a_forecast_a_level_by_days_is_reached_when_nothing_is_left() -> None:
    account = Account(Rules({Level.LOW: Days(10)}))
    assert account.has(0.01) == []
    assert account.has(0) == ["open low #money"]


def test_a_part_of_nothing_bought_is_never_reached() -> None:
    account = Account(Rules({Level.LOW: Percent(100)}))
    account.facts = replace(account.facts, last_purchase=None)
    assert account.has(-5) == []
    assert (account.bounds, account.due) == (Bounds(None, None), None)


def test_low_is_said_again_daily_and_critical_every_four_hours() -> None:
    account = Account()
    account.runs_out(5)
    assert [account.wait(HOUR) for _ in range(24)] == [[]] * 23 + [["remind low #money"]]
    account.has(5)
    assert [account.wait(HOUR) for _ in range(8)] == ([[]] * 3 + [["remind critical #money"]]) * 2


def test_an_acknowledged_warning_reminds_no_more_but_tells_of_the_recovery() -> None:
    account = Account()
    account.has(5)
    assert account.keep(acknowledge(account.open[0], "U1", account.facts.now)) == ["update critical #money"]
    assert account.keep(acknowledge(account.open[0], "U2", account.facts.now)) == []
    assert account.keep(snooze(account.open[0], "U2", NOON + DAY, account.facts.now)) == []
    assert (account.open[0].acknowledged_by, account.open[0].snoozed_by) == ("U1", None)
    assert [account.wait(HOUR) for _ in range(30)] == [[]] * 30
    account.has(50)
    assert account.wait(MINUTE) == ["recover critical #money"]
    closed = next(iter(account.episodes.values()))
    assert acknowledge(closed, "U1", NOON) == snooze(closed, "U1", NOON + 9 * DAY, NOON) == Outcome()


def test_a_snooze_that_ended_reminds_at_once() -> None:
    account = Account()
    account.has(5)
    account.keep(snooze(account.open[0], "U1", NOON + 6 * HOUR, NOON))
    account.keep(snooze(account.open[0], "U2", NOON + 7 * HOUR, NOON))
    assert account.open[0].snoozed_by == "U2"
    assert [account.wait(HOUR) for _ in range(7)] == [[]] * 6 + [["update critical #money", "remind critical #money"]]
    assert account.open[0].snoozed_by is None
    account.keep(snooze(account.open[0], "U1", account.facts.now + HOUR, account.facts.now))
    account.has(50)
    account.wait(MINUTE)
    assert account.wait(HOUR) == []


def test_quiet_hours_hold_back_low_and_let_critical_through() -> None:
    account = Account(Rules({Level.LOW: Amount(credits(50)), Level.CRITICAL: Amount(credits(5))}, quiet=NIGHT))
    account.wait(11 * HOUR)  # it is 23:00
    assert account.has(40) == []
    assert account.due == 8 * HOUR
    assert account.wait(8 * HOUR - MINUTE) == []
    assert account.wait(MINUTE) == ["open low #money"]
    account.wait(14 * HOUR)
    account.keep(snooze(account.open[0], "U1", account.facts.now + 2 * HOUR, account.facts.now))
    assert account.wait(2 * HOUR) == ["update low #money"]  # the buttons are back; the reminder waits
    assert account.due == HOUR
    assert account.wait(8 * HOUR) == ["remind low #money"]
    account.wait(15 * HOUR)
    assert account.has(3) == ["open critical #money", "update low #money"]
    assert account.wait(4 * HOUR) == ["remind critical #money"]


def test_nobody_is_reminded_of_what_is_just_recovering() -> None:
    account = Account()
    account.has(5)
    account.wait(4 * HOUR - MINUTE / 2)
    account.has(50)
    assert account.wait(MINUTE / 2) == []
    assert account.due == MINUTE / 2
    account.has(5)
    assert account.look() == []
    assert account.said[-1] == "remind critical #money"


def test_the_buttons_of_a_lesser_level_are_back_when_its_snooze_ended() -> None:
    account = Account()
    account.has(5)
    account.keep(snooze(account.open[0], "U1", NOON + HOUR / 2, NOON))
    account.has(0)
    assert account.due == HOUR / 2
    assert account.wait(HOUR / 2) == ["update critical #money"]


def test_a_reminder_that_is_late_waits_for_the_end_of_the_quiet() -> None:
    account = Account(Rules({Level.LOW: Amount(credits(50))}, quiet=Quiet(time(11, 59), time(12, 30))))
    account.wait(-HOUR / 2)
    account.has(5)
    account.wait(DAY + HOUR / 4)
    assert account.said == ["open low #money", "remind low #money"]
    account.wait(DAY - HOUR / 4)
    account.rules = replace(account.rules, quiet=Quiet(time(11, 50), time(12)))
    assert account.wait(HOUR / 3) == []  # at 11:50, and it was to come at 11:45
    assert account.due == HOUR / 6
    assert account.wait(HOUR / 6) == ["remind low #money"]


def test_a_lesser_level_does_not_remind_at_the_moment_a_worse_one_recovers() -> None:
    account = Account()
    account.has(5)
    account.has(0)
    assert account.wait(12 * HOUR) == ["remind empty #money"]
    account.has(6)
    assert account.wait(MINUTE) == ["recover empty #money", "update critical #money"]
    assert account.wait(4 * HOUR - MINUTE) == []
    assert account.wait(MINUTE) == ["remind critical #money"]


def test_a_message_is_edited_when_what_it_says_changes_but_not_all_the_time() -> None:
    account = Account()
    account.has(5)
    assert account.has(4.99) == []
    assert account.due == MINUTE
    assert account.wait(MINUTE) == ["update critical #money"]
    assert account.wait(MINUTE) == []
    assert account.has(4.985) == ["update critical #money"]
    assert account.has(4.984) == account.wait(MINUTE) == []  # is told as 4.98, too
    assert account.runs_out(3) == ["update critical #money"]


def test_rules_apply_from_the_moment_they_are_made() -> None:
    account = Account()
    account.rules = Rules({Level.LOW: Amount(credits(200))})
    assert account.look() == ["open low #money"]
    account.places = ["#money", "#board"]
    assert account.look() == ["open low #board"]
    account.places = ["#board"]
    assert account.look() == ["withdraw low #money"]
    account.rules = Rules({})
    assert account.look() == ["withdraw low #board"]
    assert (account.open, account.bounds, account.due) == ([], Bounds(None, None), None)


def test_a_clock_that_jumps_doubles_nothing_and_silences_nothing() -> None:
    account = Account()
    account.has(5)
    assert account.wait(30 * HOUR) == ["remind critical #money"]
    assert account.wait(-30 * HOUR) == []
    assert [account.wait(HOUR) for _ in range(4)] == [[]] * 3 + [["remind critical #money"]]
    account.has(50)
    assert account.wait(-2 * HOUR) == []
    assert account.wait(MINUTE) == ["recover critical #money"]
    assert account.wait(-2 * HOUR) == account.wait(2 * HOUR) == []


def test_the_next_look_is_when_something_can_change() -> None:
    account = Account()
    assert account.due is None
    account.runs_out(400)
    assert account.due == DAY
    account.runs_out(8)
    assert account.due == 6 * HOUR
    account.runs_out(7 + 2 / 24)
    assert account.due == HOUR
    account.runs_out(7 + 1 / 96)
    assert account.due == 15 * MINUTE
    assert account.wait(15 * MINUTE) == ["open low #money"]
    assert account.due == HOUR


def test_the_ledger_watches_the_balances_at_which_something_changes() -> None:
    account = Account()
    assert account.bounds == Bounds(Credits(credits(100).nano - 1), None)  # the first use begins a pace
    assert account.due is None
    account.facts = replace(account.facts, used=True)
    assert account.bounds == Bounds(credits(10), None)
    assert account.due == 6 * HOUR
    account.runs_out(10, per_day=10)
    assert account.bounds == Bounds(credits(70), None)
    account.has(70)
    account.runs_out(7, per_day=10)
    assert account.bounds == Bounds(credits(10), credits(77))
    account.has(77)
    account.runs_out(7.7, per_day=10)
    assert account.bounds == Bounds(Credits(credits(77).nano - 1), None)  # back, if it still is in a minute
    account.has(5)
    account.runs_out(0.5, per_day=10)
    assert account.bounds == Bounds(credits(0), credits(11))


@given(now=moments, zone=zones, quiet=quiets)
@settings(max_examples=examples(100))
def test_quiet_hours_are_what_the_clock_on_the_wall_says(now: datetime, zone: ZoneInfo, quiet: Quiet) -> None:
    """Except on the days on which that clock is changed."""
    end = quiet.until(now, zone)
    wall = now.astimezone(zone)
    if len({(wall + days * DAY).utcoffset() for days in (-2, -1, 0, 1, 2)}) == 1:
        since_start, length = _after(wall.time(), quiet.start), _after(quiet.end, quiet.start)
        assert (end is not None) == (since_start < length)
        assert end is None or end.astimezone(zone).time() == quiet.end
    if end:
        assert timedelta() < end - now <= DAY + 2 * HOUR
        assert quiet.until(end, zone) is None
        assert {quiet.until(now + part * (end - now) / 4, zone) for part in range(4)} == {end}


def _after(one: time, other: time) -> timedelta:
    """How much later, by a clock that goes round."""
    day = datetime(2000, 1, 1)
    return (datetime.combine(day, one) - datetime.combine(day, other)) % DAY


@pytest.mark.parametrize("name", ZONES)
def test_quiet_hours_begin_and_end_once_a_day_for_four_years(name: str) -> None:
    zone = ZoneInfo(name)
    for quiet in (NIGHT, Quiet(time(1, 30), time(2, 30)), Quiet(time(0), time(3))):
        now, ends = datetime(2026, 1, 1, 12, tzinfo=UTC), []
        while now.year < 2030:
            if end := quiet.until(now, zone):
                ends.append(end)
            now = end + 13 * HOUR if end else now + HOUR / 2  # the longest of them ends fifteen hours before it begins
        days = {end.astimezone(zone).date() for end in ends}
        assert len(ends) == len(days)
        assert 4 * 365 - len(days) in range(-1, 5)  # once a year 01:30 and 02:30 may be the same moment
        shown = {end.astimezone(zone).time() for end in ends}
        assert all(timedelta() <= _after(at, quiet.end) <= 2 * HOUR for at in shown)


@given(now=moments, zone=zones)
@settings(max_examples=examples(100))
def test_until_monday_is_nine_in_the_morning_there(now: datetime, zone: ZoneInfo) -> None:
    until = snooze_until(Snooze.MONDAY, now, zone).astimezone(zone)
    assert (until.weekday(), until.time()) == (0, time(9))
    assert 0 < (until.date() - now.astimezone(zone).date()).days <= 7


def test_an_hour_and_a_day_are_that_long() -> None:
    zone = ZoneInfo("Europe/Copenhagen")
    assert [snooze_until(choice, NOON, zone) - NOON for choice in (Snooze.HOUR, Snooze.DAY)] == [HOUR, DAY]


@given(st.builds(
    Rules,
    st.dictionaries(st.sampled_from(Level), triggers),
    st.integers(101, 300),
    st.none() | quiets,
    st.sampled_from(ZONES),
    st.booleans(),
))  # fmt: skip
def test_rules_survive_being_written_down(rules: Rules) -> None:
    assert Rules.of_json(json.loads(json.dumps(rules.as_json()))) == rules


def test_the_default_rules_as_they_are_written_down() -> None:
    assert DEFAULTS.as_json() == {
        "low": {"days": 7},
        "critical": {"amount": "10.00"},
        "empty": {"amount": "0.00"},
        "recovery": 110,
        "quiet": None,
        "time_zone": "UTC",
        "spikes": True,
    }


@pytest.mark.parametrize(("name", "value"), [
    ("low", {"days": 0}),
    ("low", {"days": True}),
    ("low", {"days": 91}),
    ("low", {"days": 7, "percent": 5}),
    ("low", 5),
    ("critical", {"percent": 101}),
    ("critical", {"percent": 1.5}),
    ("empty", {"amount": "-1.00"}),
    ("empty", {"amount": 1}),
    ("empty", {"amount": "1e3"}),
    ("recovery", 100),
    ("recovery", "110"),
    ("recovery", True),
    ("quiet", {"from": "22:00"}),
    ("quiet", {"from": "22:00", "to": "24:00"}),
    ("quiet", {"from": "7:00", "to": "07:00"}),
    ("quiet", []),
    ("time_zone", "Europe"),
    ("time_zone", "Europe/Atlantis"),
    ("time_zone", "../etc/passwd"),
    ("time_zone", ""),
    ("time_zone", None),
    ("spikes", 1),
])  # fmt: skip
def test_a_bad_value_is_named(name: str, value: object) -> None:
    with pytest.raises(BadRules) as bad:
        Rules.of_json(DEFAULTS.as_json() | {name: value})
    assert bad.value.name == name


@pytest.mark.parametrize("value", [None, [], {}, DEFAULTS.as_json() | {"lower": None}])
def test_rules_have_all_their_fields_and_no_others(value: object) -> None:
    with pytest.raises(BadRules) as bad:
        Rules.of_json(value)
    assert bad.value.name == "rules"
