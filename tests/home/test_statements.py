"""Statements by month: to be read in a form, and as a file. What they say adds up, to the last digit."""

import csv
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message, OpenView
from bot.sandbox.world import GUEST, MEMBER, OWNER, SECOND_OWNER
from bot.slack import names

from ..genstudio import Program, use
from ..stage import OpenStage, Stage, says

STATEMENT = ("Opening balance", "Primosaldo")


async def history(stage: Stage, user: str = OWNER, typed: str = "history") -> OpenView:
    """The form with the statement, once the figures are there."""
    stage.slack.views.clear(user)
    await stage.slack.command(user, stage.slack.channel_named("general").id, f"/buy-credits {typed}")
    return await shown(stage, user, lambda said: any(words in said for words in STATEMENT))


async def shown(stage: Stage, user: str, fits: Callable[[str], bool]) -> OpenView:
    """The form in front of somebody, once it says this."""
    form: OpenView = await stage.until(lambda: (form := stage.slack.modal(user)) and fits(says(form)) and form)
    return form


def adds_up(form: OpenView) -> Decimal:
    """The closing balance, which has to be the opening balance and every movement."""
    lines = says(form).splitlines()
    opening, closing = (
        Decimal(next(line for line in lines if line.startswith(f"{which} balance")).split("*")[1].replace(",", ""))
        for which in ("Opening", "Closing")
    )
    moved = [Decimal(found[1].replace(",", "")) for line in lines if (found := re.search(r" · ([+-][0-9.,]+)", line))]
    assert opening + sum(moved) == closing
    return closing


async def use_some(stage: Stage) -> Program:
    await stage.price()
    await stage.price("0.333333333", "0", model="<new>")
    genstudio = await stage.program()
    assert (await genstudio.send(use("1"), use("2", input_tokens=7, output_tokens=0))).is_success
    assert (await genstudio.send(use("3", model="<new>", input_tokens=10, output_tokens=0))).is_success
    return genstudio


async def test_a_month_adds_up_with_its_receipts_and_models(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.bought("25")
    await stage.bought("1234.50", SECOND_OWNER)
    stage.stripe.refund(stage.stripe.succeeded_intents()[0]["id"], 500)
    await stage.became("refunded", "settled", within=60)
    genstudio = await use_some(stage)

    form = await history(stage)
    assert adds_up(form) == Decimal(await genstudio.has())
    words = says(form)
    receipts = [charge["receipt_url"] for charge in stage.stripe.charges_made()]
    assert f"Purchase · +25.00 · <@{OWNER}> · <{receipts[0]}|Receipt>" in words
    assert f"Purchase · +1,234.50 · <@{SECOND_OWNER}>" in words
    assert "Refund · -5.00" in words
    assert "*Of that, by model*\nopenai gpt · 1.000014\nopenai &lt;new&gt; · 0.000003334" in words

    of_member = says(await history(stage, MEMBER))
    assert "Purchase · +25.00" in of_member
    assert "Receipt" not in of_member


async def test_the_next_month_opens_as_this_one_closed(stage: Stage) -> None:
    await stage.bought("25")
    month = stage.world.clock.now()
    await stage.wind(days=31)
    await stage.bought("10")

    form = await history(stage)
    assert "Opening balance: *25.00*" in says(form)
    assert adds_up(form) == 35
    await stage.slack.press(OWNER, form, names.HISTORY_MONTH, value=f"{month:%Y-%m}")
    before = await shown(stage, OWNER, lambda said: "Closing balance: *25.00*" in said)
    assert adds_up(before) == 25
    assert f"*Acme Labs*, {month:%B %Y}" in says(before)


async def test_a_month_begins_where_the_account_is(stage: Stage) -> None:
    """On the last day of a month it is the next one on the islands in the east since ten in the morning."""
    now = stage.world.clock.now()
    following = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=12)
    await stage.wind(max(0.0, (following - timedelta(days=1) - now).total_seconds()))
    await stage.bought("25")
    assert f"*Acme Labs*, {now:%B %Y}" in says(await history(stage))

    await set_zone(stage, "Pacific/Kiritimati")
    form = await history(stage)
    assert f"*Acme Labs*, {following:%B %Y}" in says(form)
    assert "Purchase · +25.00" in says(form)
    assert "Pacific/Kiritimati" in says(form)


async def test_where_nobody_said_when_days_begin_they_begin_where_an_owner_is(stage: Stage) -> None:
    await stage.knows(OWNER, "en-US")
    assert "Europe/Copenhagen" in says(await history(stage))

    await set_zone(stage, "Pacific/Kiritimati")
    assert "Pacific/Kiritimati" in says(await history(stage))


async def test_everything_in_danish_for_danes(stage: Stage) -> None:
    await stage.bought("1234.50", SECOND_OWNER)

    words = says(await history(stage, SECOND_OWNER, "historik"))
    assert "Køb · +1.234,50" in words
    assert "Ultimosaldo: *1.234,50*" in words


async def test_a_guest_sees_no_statement(stage: Stage) -> None:
    general = stage.slack.channel_named("general").id
    await stage.slack.command(GUEST, general, "/buy-credits history")

    assert "is shown to full members of its workspace" in await stage.whisper(GUEST)
    assert stage.slack.modal(GUEST) is None


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_file_lies_in_ones_messages_and_runs_no_formula(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    stage.slack.scopes.add("files:write")
    await stage.bought("25")
    await stage.price(model="=1+1")
    await (await stage.program()).send(use("@SUM(A1)", model="=1+1", source="-2"))

    form = await history(stage, MEMBER)
    await stage.slack.press(MEMBER, form, names.HISTORY_FILE)
    await shown(stage, MEMBER, lambda said: "is in your messages" in said)
    [message] = files(stage, MEMBER)
    [file] = message.files
    assert file["name"] == f"acme-{stage.world.clock.now():%Y-%m}.csv"
    assert "Statement of Acme Labs" in message.text
    rows = list(csv.DictReader(stage.slack.files.content(file["id"]).content.decode().splitlines()))
    opening, *moved, closing = [row for row in rows if row["kind"] != "debit"]
    change = sum(Decimal(row["change"]) for row in moved)
    assert Decimal(opening["balance"]) + change == Decimal(closing["balance"]) == 24
    [debit] = [row for row in rows if row["kind"] == "debit"]
    assert [debit[name] for name in ("model", "source", "id")] == ["'=1+1", "'-2", "'@SUM(A1)"]
    assert not files(stage, OWNER)


async def test_where_the_app_may_send_no_files_it_says_so_and_names_the_command(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.slack.press(OWNER, await history(stage), names.HISTORY_FILE)

    month = f"{stage.world.clock.now():%Y-%m}"
    command = f"credits-bot ledger statement acme --month {month} --debits --csv"
    form = await shown(stage, OWNER, lambda said: "may not send files in Slack" in said)
    assert command in says(form)


async def test_who_can_be_written_to_gets_the_file_by_mail(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(scopes=["users:read.email"])
    await stage.bought("25")
    await stage.slack.press(OWNER, await history(stage), names.HISTORY_FILE)

    await shown(stage, OWNER, lambda said: "sent by mail to anna@acme.example" in said)
    mail = await stage.until(lambda: stage.world.mail.mails and stage.world.mail.mails[-1])
    [(name, content)] = mail.attachments
    assert name == f"acme-{stage.world.clock.now():%Y-%m}.csv"
    assert "closing" in content


async def test_slack_being_away_is_told_where_one_looks(stage: Stage) -> None:
    stage.slack.scopes.add("files:write")
    form = await history(stage)
    stage.faults.arm("upload", Kind.STATUS, code=500)
    await stage.slack.press(OWNER, form, names.HISTORY_FILE)

    await shown(stage, OWNER, lambda said: "We could not reach Slack" in said)
    assert not files(stage, OWNER)


def files(stage: Stage, user: str) -> list[Message]:
    return [each for each in stage.slack.messages(stage.slack.dm(user)) if each.files]


async def set_zone(stage: Stage, zone: str) -> None:
    """As owners do in the form of warnings."""
    fields: dict[str, Any] = {names.ALERT_ZONE: zone}
    await stage.slack.command(OWNER, stage.home, "/buy-credits alerts")
    await stage.until(lambda: (form := stage.slack.modal(OWNER)) and form.view["callback_id"] == names.ALERTS_FORM)
    ack = await stage.slack.submit(OWNER, **fields)
    assert ack.ok, ack.errors
    stage.slack.views.clear(OWNER)
