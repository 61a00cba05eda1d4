"""What is told though nothing runs out: the digest of a week, and a day that is unlike other days."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.reports import Reports
from bot.alerts.spike import Spike, spike
from bot.money import NANO_PER_CREDIT, Credits
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message
from bot.sandbox.world import ACCOUNT, OWNER, SECOND_OWNER
from bot.slack import names
from bot.usage import hour_store

from ..conftest import OpenStage
from ..genstudio import MODEL, Program, use
from ..stage import Stage

COPENHAGEN = ZoneInfo("Europe/Copenhagen")  # where the owner lives
DAY = timedelta(days=1)
REFUSED = {"ok": False, "error": "invalid_blocks"}


class Account:
    """The account of the stage, of which a program spends."""

    def __init__(self, stage: Stage, program: Program) -> None:
        self.stage = stage
        self._program = program
        self._uses = 0

    async def spend(self, credits: int, *, ago: timedelta = timedelta(), model: str = MODEL) -> None:
        at = self.stage.world.clock.now() - ago
        events = [use(f"use-{self._uses + n}", at=at, model=model) for n in range(credits)]
        self._uses += credits
        assert (await self._program.send(*events)).status_code == 204

    async def rolled_up(self) -> None:
        """On PostgreSQL an entry has to have been there for a minute. Whoever looks at the hours does so after it."""
        await self.stage.eventually(self._all_are, within=600, step=61)
        await self.stage.wind(1)

    async def _all_are(self) -> bool:
        async with self.stage.bot.database.read() as tx:
            spent = await hour_store.spend_by_hour(tx, ACCOUNT)
        return sum(each.nano for each in spent.values()) == self._uses * NANO_PER_CREDIT

    async def wants_digests(self) -> None:
        await self.sets_up(alert_digest=["yes"])

    async def sets_up(self, **entered: Any) -> None:
        stage = self.stage
        stage.slack.views.clear(OWNER)
        await stage.slack.command(OWNER, stage.home, "/buy-credits alerts")
        await stage.until(lambda: (form := stage.slack.modal(OWNER)) and form.view["callback_id"] == names.ALERTS_FORM)
        assert (await stage.slack.submit(OWNER, **entered)).ok

    async def wind_to_monday(self) -> None:
        """To just after nine o’clock on the next one."""
        await self.stage.wind((self._monday - self.stage.world.clock.now()).total_seconds() + 1)

    @property
    def _monday(self) -> datetime:
        now = self.stage.world.clock.now()
        today = now.astimezone(COPENHAGEN).date()
        return datetime.combine(today + (7 - today.weekday()) * DAY, time(9), COPENHAGEN)

    async def sleep_over_monday(self) -> None:
        """The bot is switched off then, and on the next day it is on again."""
        await self.stage.stop()
        wound = self._monday + DAY - self.stage.world.clock.now()
        self.stage.world.clock.wind(wound.total_seconds())
        await self.stage.start()
        await self.stage.until(lambda: self.stage.slack.connected)

    def told(self, kind: str, place: str | None = None) -> list[Message]:
        messages = self.stage.slack.messages(place or self.stage.home)
        mine = [each for each in messages if each.by_bot and each.metadata]
        return [each for each in mine if each.metadata["event_payload"]["key"].startswith(f"alert-{kind}:")]

    async def heard(self, kind: str, times: int = 1) -> Message:
        await self.stage.eventually(lambda: len(self.told(kind)) >= times, within=200, step=31)  # once all is added up
        return self.told(kind)[-1]

    async def heard_of_today(self, *words: str) -> Message:
        """What was last said of a day unlike others, once it says this. Such days are looked for every hour."""
        await self.stage.eventually(
            lambda: (told := self.told("spike")) and all(each in told[-1].text for each in words),
            within=7200,
            step=1210,
        )
        return self.told("spike")[-1]

    async def not_over_midnight(self) -> None:
        now = self.stage.world.clock.now()
        if (now + timedelta(hours=6)).date() != now.date():
            await self.stage.wind(hours=7)


@pytest.fixture
async def account(open_small_stage: OpenStage) -> Account:
    return await _with_prices(await open_small_stage())


@pytest.fixture
async def each_account(open_stage: OpenStage) -> Account:
    """Once on each database."""
    return await _with_prices(await open_stage())


async def _with_prices(stage: Stage) -> Account:
    await stage.price()
    await stage.price(model="other")
    return Account(stage, await stage.program())


def rows(message: Message) -> list[list[str]]:
    [table] = [each for each in message.blocks if each["type"] == "table"]
    return [[cell["text"] for cell in row] for row in table["rows"]]


def kinds(message: Message) -> list[Any]:
    return [each["type"] for each in message.blocks]


async def test_on_monday_the_week_is_told_with_a_chart_and_its_figures(account: Account) -> None:
    await account.stage.bought("100")
    await account.wants_digests()
    await account.spend(4)
    await account.spend(1, model="other")
    await account.rolled_up()
    assert account.told("digest") == []

    await account.wind_to_monday()
    message = await account.heard("digest")
    assert "*Acme Labs* used *5.00* credits" in message.text
    assert "*95.00* are left" in message.text
    assert f"Most went to openai {MODEL}: 4.00." in message.text
    assert kinds(message) == ["section", "data_visualization", "table"]
    shown = rows(message)
    assert shown[0] == ["Day", f"openai {MODEL}", "openai other", "Total"]
    assert shown[-1] == ["Total", "4.00", "1.00", "5.00"]
    assert len(shown) == 9

    await account.wind_to_monday()
    await account.stage.wind(3600)
    assert len(account.told("digest")) == 1, "a week without use stays silent"

    await account.spend(2)
    await account.rolled_up()
    await account.wind_to_monday()
    assert "used *2.00* credits" in (await account.heard("digest", 2)).text


async def test_owners_without_a_channel_read_the_digest_in_their_own_languages(account: Account) -> None:
    stage = account.stage
    await stage.bought("100")
    await stage.knows(SECOND_OWNER, "da-DK")
    await account.sets_up(alert_channels=[], alert_digest=["yes"])
    await account.spend(5)
    await account.rolled_up()
    await account.wind_to_monday()
    for owner, words in ((OWNER, "used *5.00* credits"), (SECOND_OWNER, "brugte *5,00* kreditter")):
        place = stage.slack.dm(owner)
        await stage.eventually(
            lambda at=place, words=words: words in str(account.told("digest", at)), within=200, step=31
        )


async def test_who_is_advised_to_buy_can_do_so_from_the_digest(account: Account) -> None:
    stage = account.stage
    await stage.bought("25")
    await account.wants_digests()
    await account.spend(14)
    await account.rolled_up()
    await account.wind_to_monday()
    message = await account.heard("digest")
    assert "Advice: buy $" in message.text
    stage.slack.views.clear(OWNER)
    await stage.slack.press(OWNER, message, names.OPEN_BUY_FORM)
    await stage.until(lambda: (form := stage.slack.modal(OWNER)) and form.view["callback_id"] == names.BUY_FORM)


async def test_nobody_gets_a_digest_who_did_not_choose_it(account: Account) -> None:
    await account.stage.bought("100")
    await account.spend(5)
    await account.rolled_up()
    await account.wind_to_monday()
    await account.stage.wind(3600)
    assert account.told("digest") == []


async def test_a_bot_that_slept_on_monday_tells_of_the_week_afterwards(account: Account) -> None:
    await account.stage.bought("100")
    await account.wants_digests()
    await account.spend(3)
    await account.rolled_up()
    await account.sleep_over_monday()
    assert "used *3.00* credits" in (await account.heard("digest")).text

    await account.wind_to_monday()
    await account.stage.wind(3600)
    assert len(account.told("digest")) == 1


async def test_where_slack_takes_no_chart_the_table_goes_without(account: Account) -> None:
    stage = account.stage
    await stage.bought("100")
    await account.wants_digests()
    await account.spend(5)
    await account.rolled_up()
    await stage.calm()  # the purchase has been told everywhere: the next message is the digest
    stage.faults.arm("chat.postMessage", Kind.STATUS, code=200, body=REFUSED)
    await account.wind_to_monday()
    message = await account.heard("digest")
    assert kinds(message) == ["section", "table"]
    assert rows(message)[-1][-1] == "5.00"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_two_bots_on_one_database_send_one_digest(each_account: Account) -> None:
    await each_account.stage.bought("100")
    await each_account.wants_digests()
    await each_account.spend(5)
    await each_account.rolled_up()
    async with each_account.stage.second_bot() as other:
        await each_account.wind_to_monday()
        other.clockwork.wind(3600)
        await each_account.heard("digest")
        await each_account.stage.wind(60)
    assert len(each_account.told("digest")) == 1


async def test_a_day_unlike_other_days_is_told_once(account: Account) -> None:
    stage = account.stage
    await account.not_over_midnight()
    await stage.bought("100")
    for days in range(1, 23):
        await account.spend(1, ago=days * DAY)
    await account.spend(2)
    await account.rolled_up()
    await stage.wind(hours=1)
    await stage.calm()
    assert account.told("spike") == []

    await account.spend(10)
    await account.rolled_up()
    message = await account.heard_of_today("*12.00* credits today")
    assert "far more than the usual 1.00 by this hour" in message.text

    await account.spend(1)
    await account.rolled_up()
    await account.heard_of_today("*13.00*")
    assert len(account.told("spike")) == 1


async def test_whoever_does_not_want_it_is_not_told_of_such_days(account: Account) -> None:
    stage = account.stage
    await account.not_over_midnight()
    await stage.bought("100")
    await account.sets_up(alert_spikes=[])
    for days in range(1, 23):
        await account.spend(1, ago=days * DAY)
    await account.spend(12)
    await account.rolled_up()
    reports = Reports(
        database=stage.bot.database,
        clock=stage.world.clock,
        history=hour_store.spend_by_hour,
        pace=hour_store.spend_by_hour,
        spend=hour_store.spend_by_day_and_model,
        complete_to=stage.world.clock.now,
    )
    await reports.look_for_spikes()
    await stage.calm()
    assert account.told("spike") == []

    await account.sets_up(alert_spikes=["yes"])
    await reports.look_for_spikes()
    await account.heard("spike")


# ── what a spike is ───────────────────────────────────────────────────────────────────────────────────────────────

NOON = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)  # a Thursday


def spent(weeks: int, today: int, *, weekend: int = 10, at: int = 9) -> dict[datetime, Credits]:
    """Ten credits at nine o’clock on each day of so many weeks, and as many today."""
    morning = NOON.replace(hour=at, minute=0)
    days = {morning - n * DAY: 10 for n in range(1, weeks * 7 + 2)}
    other = {day: credits if day.weekday() < 5 else weekend for day, credits in days.items()}
    return {day: Credits(credits * NANO_PER_CREDIT) for day, credits in {**other, morning: today}.items() if credits}


def test_a_spike_is_more_than_three_times_the_usual() -> None:
    usual = Credits(10 * NANO_PER_CREDIT)
    assert spike(spent(4, 31), NOON, ZoneInfo("UTC")) == Spike(Credits(31 * NANO_PER_CREDIT), usual)
    assert spike(spent(4, 30), NOON, ZoneInfo("UTC")) is None


def test_less_than_two_weeks_say_nothing() -> None:
    assert spike(spent(1, 1000), NOON, ZoneInfo("UTC")) is None
    assert spike({}, NOON, ZoneInfo("UTC")) is None
    assert spike(spent(2, 1000), NOON, ZoneInfo("UTC")) is not None


def test_a_little_at_an_hour_without_use_is_no_spike() -> None:
    early = NOON.replace(hour=3)
    night = {hour: credits for hour, credits in spent(4, 0).items() if hour < early}
    for credits, is_spike in ((9, False), (11, True)):
        today = {**night, early.replace(minute=0): Credits(credits * NANO_PER_CREDIT)}
        assert (spike(today, early, ZoneInfo("UTC")) is not None) == is_spike


def test_the_day_begins_where_the_account_is() -> None:
    late = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)  # Friday half past midnight in Copenhagen
    assert spike(spent(4, 100), late, ZoneInfo("UTC")) is not None
    assert spike(spent(4, 100), late, COPENHAGEN) is None
