"""Cases on the command line, beside the bot that wrote them: listed, read, closed, and erased."""

import asyncio
import json
from urllib.parse import quote

from click.testing import CliRunner
from sqlalchemy import text

from bot.cli import main
from bot.sandbox.faults import Kind
from bot.sandbox.world import MEMBER, OWNER
from bot.slack import names

from ..stage import OpenStage, Stage
from .conftest import mails, noted, press_support, typed, write

SECRET = "Aunt Agatha paid"
ADDRESS = "agatha@home.example"


async def run(stage: Stage, *words: str, code: int = 0) -> str:
    """What a command says, that somebody gives in a terminal while the bot is at work."""
    here = CliRunner(env={"DATABASE_URL": stage.settings["database_url"]})
    done = await asyncio.to_thread(here.invoke, main, ["cases", *words])
    assert (done.exit_code, type(done.exception) in (type(None), SystemExit)) == (code, True), done.output
    return done.output


async def everything(stage: Stage) -> str:
    """All that the database keeps, as text."""
    async with stage.bot.database.read() as tx:
        tables = ("support_cases", "support_entries", "mails", "outbox", "accounts", "purchases")
        return "\n".join(
            [repr(tuple(row)) for each in tables for row in await tx.execute(text(f"SELECT * FROM {each}"))]
        )


async def test_a_case_is_listed_read_and_closed(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="declined_later", scopes=["users:read.email"])
    await stage.buy("25")
    await stage.slack.press(OWNER, await stage.said("Pay"), names.CANCEL_PURCHASE)
    card = await stage.said("was cancelled")
    await press_support(stage, card)
    first = await write(stage, "My card was declined\n\x9b31m why?")
    await noted(stage, first, "has reached")

    assert f"{first}  open  " in await run(stage, "list")
    shown = await run(stage, "show", first.lower())
    assert "Purchase of $25.00: cancelled (Acme Labs)" in shown
    assert f"{OWNER}  anna@acme.example  accepted\n  My card was declined\n  '\\x9b31m why?'\n" in shown
    [purchase] = await stage.purchases()
    told = json.loads(await run(stage, "show", first, "--json"))
    assert (told["purchase"], told["entries"][0]["words"]) == (purchase.id, "My card was declined\n\x9b31m why?")

    assert await run(stage, "close", first) == f"{first} is closed.\n"
    closed = json.loads(await run(stage, "close", first, "--json"))
    assert closed["state"] == "closed"

    await stage.slack.close_view(OWNER, everything=True)
    await press_support(stage, card)
    second = await write(stage, "Declined again")
    assert second != first, "what comes after the end is another case"
    assert [each["number"] for each in json.loads(await run(stage, "list", "--json"))] == [second]
    every = json.loads(await run(stage, "list", "--all", "--json"))
    assert [(each["number"], each["state"]) for each in every] == [(second, "open"), (first, "closed")]
    assert every[1] == {name: fact for name, fact in closed.items() if name != "entries"}
    assert "there is no case SKY-00000" in await run(stage, "show", "SKY-00000", code=1)


async def test_what_was_written_is_erased_wherever_it_is_kept(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.bought("25")
    stage.faults.arm("smtp.RCPT", Kind.STATUS, code=550, body=f"5.1.1 <{ADDRESS}> is unknown here")
    await typed(stage)
    number = await write(stage, SECRET, **{names.SUPPORT_ADDRESS: ADDRESS})
    await noted(stage, number, "could not be delivered")
    await typed(stage, MEMBER)
    other = await write(stage, "Something else", MEMBER)
    await mails(stage, 1)
    await noted(stage, other, "has reached", user=MEMBER)
    before = await everything(stage)
    assert SECRET in before
    assert quote(SECRET) in before, "in the mail that is ready to be sent"

    assert await run(stage, "erase", number) == f"What was written in {number} is erased here.\n"

    after = await everything(stage)
    assert number in after, "that there was a case stays"
    for known in (SECRET, quote(SECRET), ADDRESS):
        assert known not in after
    assert "Something else" in after, "and so does what belongs to others"
    assert json.loads(await run(stage, "show", number, "--json"))["state"] == "closed"
    await stage.wind(hours=1)
    await stage.restart()
    assert len(stage.world.mail.mails) == 1, "nothing is sent again"


async def test_what_is_on_its_way_is_not_erased(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.world.mail.pause()
    await typed(stage)
    number = await write(stage, SECRET)

    assert "is on its way still" in await run(stage, "erase", number, code=1)

    assert SECRET in await everything(stage)
    await stage.world.mail.start()
    await stage.eventually(lambda: stage.world.mail.mails, within=2000, step=100)
    assert SECRET in stage.world.mail.mails[0].body
