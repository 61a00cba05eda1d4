"""Warnings through the front door: use comes in over HTTP, warnings appear in Slack, people press their buttons."""

import asyncio
import os
import re
import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.alerts import store as alerts
from bot.alerts.model import NEW_LOOK
from bot.db.columns import microseconds
from bot.sandbox.slack import Message
from bot.sandbox.world import ACCOUNT, MEMBER, OWNER, SECOND_OWNER
from bot.slack import names
from bot.usage import hour_store

from ..conftest import OpenStage
from ..genstudio import Program, use
from ..stage import Stage


class Account:
    """The account of the stage with $25, of which a program spends."""

    def __init__(self, stage: Stage, program: Program) -> None:
        self.stage = stage
        self._program = program
        self._uses = 0

    @classmethod
    async def open(cls, stage: Stage) -> "Account":
        await stage.price()
        account = cls(stage, await stage.program())
        await stage.bought("25")
        return account

    async def spend(self, credits: int) -> None:
        events = [use(f"use-{self._uses + n}") for n in range(credits)]
        self._uses += credits
        assert (await self._program.send(*events)).status_code == 204

    async def spent_a_credit_a_day(self, days: int) -> None:
        """Until today, and looked at with the forecast that follows from it."""
        await self.waits_for_use()
        uses = [use(f"day-{n}", at=self.stage.ago(days=n)) for n in range(1, days + 1)]
        assert (await self._program.send(*uses)).status_code == 204

        async def added_up() -> bool:
            async with self.stage.bot.database.read() as tx:
                return len(await hour_store.spend_by_hour(tx, ACCOUNT)) == days

        await self.stage.eventually(added_up, within=200, step=61)
        await self.stage.eventually(self.used_before, within=60, step=2.1)
        await self.stage.wind(hours=6)
        await self.stage.until(self.waits)

    async def looks(self) -> list[int | None]:
        """When the account is due to be looked at, once it has been."""
        async with self.stage.bot.database.read() as tx:
            due = text("SELECT due_at FROM alert_looks WHERE account_id = :account")
            return list((await tx.execute(due, {"account": ACCOUNT})).scalars())

    async def waits_for_use(self) -> None:
        """Looked at; and once more where it was before the purchase, which then may have been use just as well."""
        await self.stage.eventually(
            self.looked_at, within=2 * NEW_LOOK.total_seconds(), step=0.5 * NEW_LOOK.total_seconds()
        )

    async def looked_at(self) -> bool:
        return await self.looks() == [None]

    async def used_before(self) -> bool:
        """Whether its first use has been looked at."""
        return await self.looks() not in ([], [None])

    async def waits(self) -> bool:
        """Whether it was looked at, and is to be again."""
        now = microseconds(self.stage.world.clock.now())
        return all(due and due > now for due in await self.looks())

    async def addresses(self) -> bool:
        """Whether the owners' are known."""
        async with self.stage.bot.database.read() as tx:
            return len(await alerts.addresses(tx, [OWNER, SECOND_OWNER])) == 2

    def warnings(self, place: str | None = None) -> list[Message]:
        """The messages about credits that run out, oldest first."""
        messages = self.stage.slack.messages(place or self.stage.home)
        return [each for each in messages if each.by_bot and each.metadata and _key(each).startswith("alert:")]

    async def warned(self, *words: str, place: str | None = None) -> Message:
        """The newest warning, once it says this."""

        def found() -> Message | None:
            newest = self.warnings(place)[-1:]
            return newest[0] if newest and all(word in newest[0].text for word in words) else None

        message: Message = await self.stage.eventually(found, within=10, step=1.1)  # a place gets one a second
        return message


def _key(message: Message) -> str:
    payload: dict[str, Any] = message.metadata["event_payload"] if message.metadata else {}
    return str(payload["key"])


def actions(message: Message) -> set[str]:
    return {each["action_id"] for block in message.blocks for each in block.get("elements", ()) if "action_id" in each}


@pytest.fixture
async def account(open_small_stage: OpenStage) -> Account:
    return await Account.open(await open_small_stage())


@pytest.fixture
async def each_account(open_stage: OpenStage) -> Account:
    """Once on each database."""
    return await Account.open(await open_stage())


async def test_a_crossing_is_warned_of_once_and_recovers_once(each_account: Account) -> None:
    stage = each_account.stage
    await each_account.spend(14)
    await each_account.spend(1)
    message = await each_account.warned("almost out of credits", "10.00")
    assert names.OPEN_BUY_FORM in actions(message)

    await each_account.spend(3)
    await stage.wind(3600)
    assert (await each_account.warned("7.00")).ts == message.ts

    await stage.bought("50")
    await stage.eventually(
        lambda: "enough credits again" in each_account.warnings()[-1].text, within=600, step=61, patience=0.5
    )
    assert (await each_account.warned("57.00")).ts == message.ts
    assert len(each_account.warnings()) == 1
    await stage.check()


async def test_days_that_are_left_are_warned_of_though_nobody_set_up_anything(account: Account) -> None:
    stage = account.stage

    async def added_up() -> bool:
        async with stage.bot.database.read() as tx:
            return sum(each.nano for each in (await hour_store.spend_by_hour(tx, ACCOUNT)).values()) == 2 * day * 10**9

    for day in range(1, 8):  # in the end $11 are left, for less than seven days
        await account.spend(2)
        await stage.eventually(added_up, within=200, step=61)
        assert day > 3 or not account.warnings()
        await stage.wind(days=1)

    def warned() -> bool:
        return any("is low on credits" in each.text and "between" in each.text for each in account.warnings())

    await stage.eventually(warned, within=7 * 3600, step=3600)


async def test_days_that_are_left_are_looked_at_again_when_prices_change(account: Account) -> None:
    stage, clock = account.stage, account.stage.world.clock
    await account.spent_a_credit_a_day(10)  # fifteen are left
    await stage.price("3", "12", since=stage.ago(seconds=1))  # ten days
    await stage.markup("plan:advanced", 10_000, since=clock.now() + timedelta(days=1))  # then nine by halves
    before = await account.looks()
    await stage.wind(2)
    await stage.until(lambda: _changed(account, before))
    looked = await account.looks()
    await stage.restart()
    await stage.wind(10)
    await asyncio.sleep(0.5)
    assert await account.looks() == looked, "once for each change"

    await stage.wind(days=1, minutes=-1)
    await stage.until(account.waits)
    assert not account.warnings()
    await stage.wind(minutes=1)
    assert "between" in (await account.warned("is low on credits", "15.00")).text


async def _changed(account: Account, before: list[int | None]) -> bool:
    return await account.looks() != before and await account.waits()


async def test_a_first_use_has_the_account_looked_at_later_and_not_at_each_use_that_follows(
    account: Account,
) -> None:
    stage = account.stage

    await account.waits_for_use()
    await account.spend(1)
    await stage.eventually(account.used_before, within=60, step=2.1)


async def test_whoever_acknowledges_is_named_and_nobody_is_reminded(account: Account) -> None:
    stage = account.stage
    await account.spend(16)
    message = await account.warned("almost out of credits")
    await stage.wind(hours=4, minutes=1)
    assert (await account.warned("Reminder")).ts != message.ts

    await stage.slack.press(MEMBER, message, names.ACKNOWLEDGE_ALERT)
    await stage.until(lambda: f"<@{MEMBER}>" in account.warnings()[0].text)
    assert names.ACKNOWLEDGE_ALERT not in actions(account.warnings()[0])
    for _ in range(6):
        await stage.wind(hours=4)
    assert len(account.warnings()) == 2


async def test_a_reminder_has_the_buttons_of_its_warning_and_says_who_pressed_them(account: Account) -> None:
    stage = account.stage
    await account.spend(16)
    await account.warned("almost out of credits")
    await stage.wind(hours=4, minutes=1)
    first = await account.warned("Reminder")
    assert {names.OPEN_BUY_FORM, names.OPEN_ASK_FORM, names.ACKNOWLEDGE_ALERT, names.WHY_ALERT} < actions(first)
    await stage.wind(hours=4, minutes=1)
    await stage.eventually(lambda: len(account.warnings()) == 3, within=10, step=1.1)

    await stage.until(lambda: actions(account.warnings()[1]) == set())
    warning, _, second = account.warnings()
    await stage.slack.press(MEMBER, second, names.ACKNOWLEDGE_ALERT)
    await stage.until(lambda: all(f"<@{MEMBER}> looks after it" in each.text for each in (warning, second)))
    assert not any(names.ACKNOWLEDGE_ALERT in actions(each) for each in account.warnings())

    await account.stage.bought("50")
    await stage.eventually(lambda: "enough credits again" in account.warnings()[0].text, within=600, step=61)
    await stage.until(lambda: not any(map(actions, account.warnings())))
    assert len(account.warnings()) == 3


async def test_whoever_presses_too_late_hears_that_the_warning_is_over(account: Account) -> None:
    stage = account.stage
    await account.spend(16)
    await account.warned("almost out of credits")
    pressed = await stage.slack.press(MEMBER, account.warnings()[0], names.ACKNOWLEDGE_ALERT)
    await stage.bought("50")
    await stage.eventually(lambda: "enough credits again" in account.warnings()[0].text, within=600, step=61)

    await stage.slack.replay(pressed)
    assert "That warning is over" in await stage.whisper(MEMBER)


async def test_where_nobody_set_up_anything_monday_morning_is_that_of_whoever_snoozes(account: Account) -> None:
    stage = account.stage
    await account.spend(16)
    message = await account.warned("almost out of credits")
    await stage.slack.press(OWNER, message, names.SNOOZE_ALERT, value="Until Monday")
    await stage.until(lambda: f"<@{OWNER}> put reminders off" in account.warnings()[0].text)
    [until] = re.findall(r"<!date\^([0-9]+)\^", account.warnings()[0].text.rpartition("\n")[2])
    monday = datetime.fromtimestamp(int(until), ZoneInfo("Europe/Copenhagen"))
    assert (monday.weekday(), monday.hour) == (0, 9)


async def test_a_snooze_can_be_changed_while_it_lasts(account: Account) -> None:
    stage = account.stage
    await account.spend(16)
    message = await account.warned("almost out of credits")
    await stage.slack.press(OWNER, message, names.SNOOZE_ALERT, value="Until Monday")
    await stage.until(lambda: f"<@{OWNER}> put reminders off" in account.warnings()[0].text)

    await stage.slack.press(MEMBER, account.warnings()[0], names.SNOOZE_ALERT, value="For 1 hour")
    await stage.until(lambda: f"<@{MEMBER}> put reminders off" in account.warnings()[0].text)
    await stage.wind(hours=1, minutes=1)
    await account.warned("Reminder")


async def test_an_empty_account_is_told_so_beside_the_warning_before(account: Account) -> None:
    await account.spend(16)
    await account.warned("almost out of credits")
    await account.spend(10)
    await account.warned("is out of credits", "-1.00")
    assert len(account.warnings()) == 2


async def test_where_the_channel_is_gone_the_owners_hear_it_and_why(account: Account) -> None:
    stage = account.stage
    await stage.calm()  # the purchase has told the channel all it will
    stage.slack.channel_named("ai-credits").archived = True
    await account.spend(16)
    await account.warned("almost out of credits", place=stage.slack.dm(OWNER))
    assert any("archived" in each.text for each in stage.slack.messages(stage.slack.dm(OWNER)))


async def test_where_slack_takes_nothing_any_more_the_owners_get_one_mail(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(scopes=["users:read.email"])
    account = await Account.open(stage)
    await account.spend(16)
    await account.warned("almost out of credits")
    for owner, locale in ((OWNER, "en-US"), (SECOND_OWNER, "da-DK")):
        await stage.slack.speak(owner, locale)
        await stage.knows(owner, locale)
    await stage.eventually(account.addresses, within=200, step=61)
    stage.slack.token_trouble = "token_revoked"
    await account.spend(10)
    await stage.eventually(lambda: len(stage.world.mail.mails) == 2, within=900, step=31, patience=2)
    assert {mail.to for mail in stage.world.mail.mails} == {("anna@acme.example",), ("bo@acme.example",)}
    mails = {mail.to[0]: mail for mail in stage.world.mail.mails}
    assert mails["anna@acme.example"].subject == "The credits of Acme Labs are running out"
    assert mails["anna@acme.example"].body.startswith("Acme Labs is out of credits. The balance is -1.00.")
    assert mails["bo@acme.example"].subject == "Kreditten for Acme Labs er ved at være brugt op"
    assert "-1,00" in mails["bo@acme.example"].body
    await stage.wind(hours=3)
    await stage.wind(hours=2)
    assert len(stage.world.mail.mails) == 2
    stage.slack.token_trouble = ""


async def test_a_warning_follows_the_channel_that_an_operator_gives_the_account(account: Account) -> None:
    stage = account.stage
    other = stage.slack.add_channel("money", [OWNER, stage.slack.bot_user_id])
    await account.spend(16)
    await account.warned("almost out of credits")
    editing = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "accounts", "edit", ACCOUNT, "--channel", other.id),
        env={**os.environ, "DATABASE_URL": stage.bot.settings.database_url},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await editing.wait() == 0
    await account.warned("almost out of credits", place=other.id)
    await account.warned("not set up any more")


async def test_whoever_asks_why_is_told_the_rule_and_who_made_it(account: Account) -> None:
    await account.spend(16)
    message = await account.warned("almost out of credits")
    await account.stage.slack.press(MEMBER, message, names.WHY_ALERT)
    assert "10.00" in await account.stage.whisper(MEMBER)


async def test_a_kill_between_the_debit_and_the_warning_loses_no_warning(account: Account) -> None:
    await account.spend(16)
    await account.stage.restart()
    await account.warned("almost out of credits")
    assert len(account.warnings()) == 1


async def test_what_nobody_noticed_is_found_within_the_hour_and_counted(account: Account) -> None:
    stage = account.stage
    await account.waits_for_use()
    await account.spend(14)
    await stage.eventually(account.used_before, within=10, step=2.1)
    await stage.bot.database.write(lose_crossings)
    await account.spend(2)
    await stage.wind(minutes=1)
    assert account.warnings() == []

    await stage.wind(hours=1)
    await account.warned("almost out of credits", "9.00")
    assert await missed(stage) == "1.0"


async def test_a_lost_time_of_an_open_warning_is_found_within_the_hour_and_counted(each_account: Account) -> None:
    account, stage = each_account, each_account.stage
    await account.spend(16)
    await account.warned("almost out of credits", "9.00")
    await stage.eventually(account.waits, within=10, step=2.1)
    await stage.bot.database.write(lambda tx: tx.execute(text("UPDATE alert_looks SET due_at = NULL")))
    await stage.wind(hours=1)

    async def waits_again() -> bool:
        return None not in await account.looks() and await account.waits()

    await stage.until(waits_again)
    assert await missed(stage) == "1.0"
    await stage.wind(hours=1)
    assert await missed(stage) == "1.0"
    await stage.wind(hours=2)
    await account.warned("Reminder")


async def lose_crossings(tx: AsyncConnection) -> None:
    """Let the database forget each crossing that it is to note."""
    forget = "BEGIN SELECT RAISE(IGNORE); END"
    if tx.dialect.name == "postgresql":
        await tx.execute(text("CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"))
        forget = "FOR EACH ROW EXECUTE FUNCTION forget()"
    await tx.execute(text(f"CREATE TRIGGER deaf BEFORE INSERT ON ledger_crossings {forget}"))


async def missed(stage: Stage) -> str:
    """How many warnings only the full check has found, as the bot tells it."""
    async with httpx.AsyncClient() as client:
        counted = (await client.get(f"{stage.bot.server.url}/metrics")).text
    return counted.rpartition("credits_bot_warnings_missed ")[2].split()[0]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_two_bots_on_one_database_warn_once(each_account: Account) -> None:
    async with each_account.stage.second_bot():
        await each_account.spend(16)
        await each_account.warned("almost out of credits")
        await each_account.spend(10)
        await each_account.warned("is out of credits")
        assert len(each_account.warnings()) == 2
