"""The hours of use at the prices of now, held against what the same use costs when it comes now."""

from datetime import datetime, timedelta

from bot.money import Credits
from bot.sandbox.world import ACCOUNT
from bot.usage import hour_store, repricing

from ..genstudio import use
from ..stage import OpenStage, Stage

FREE = {"model": "free"}


async def spent(stage: Stage, *, now: bool) -> dict[int, Credits]:
    """By the days that it is ago: at the prices of now, or as it was booked."""
    at = stage.world.clock.now()
    async with stage.bot.database.read() as tx:
        hours = await (repricing.spend_by_hour(tx, ACCOUNT, at) if now else hour_store.spend_by_hour(tx, ACCOUNT))
    return {round((at - hour) / timedelta(days=1)): credits for hour, credits in hours.items()}


def credits(**days: str) -> dict[int, Credits]:
    return {int(day[1:]): Credits.exactly(each) for day, each in days.items()}


async def test_use_is_told_at_the_prices_and_markups_of_now(open_stage: OpenStage) -> None:
    stage = await open_stage()
    today: datetime = stage.world.clock.now()
    await stage.price("2", "8", since=stage.ago(days=200))
    await stage.price("0", "0", model="free", since=stage.ago(days=200))
    await stage.price("2", "8", model="gone", since=stage.ago(days=200), until=today + timedelta(hours=1))
    genstudio = await stage.program()
    days = (100, 20, 10, 3)
    uses = [use(f"{day}-{model}", at=stage.ago(days=day), model=model) for day in days for model in ("gpt", "free")]
    assert (await genstudio.send(*uses, use("gone", at=stage.ago(days=5), model="gone"))).status_code == 204
    as_booked = credits(d100="1", d20="1", d10="1", d5="1", d3="1")

    async def rolled_up() -> bool:
        return await spent(stage, now=False) == as_booked

    await stage.eventually(rolled_up, within=200, step=61)
    assert await spent(stage, now=True) == as_booked

    await stage.price("4", "16", since=stage.ago(days=7))
    await stage.price("3", "12", model="free", since=today)
    await stage.price("9", "9", model="gone", since=today + timedelta(days=9))
    await stage.wind(hours=1)
    assert await spent(stage, now=True) == credits(d100="1", d20="2", d10="2", d5="1", d3="1")

    await stage.markup("plan:advanced", 5_000, since=today)
    await stage.markup("account:acme", 2_000, since=stage.ago(days=4))
    assert await spent(stage, now=True) == credits(d100="1", d20="2.4", d10="2.4", d5="1.2", d3="1")
    await stage.price("6", "16", since=today)
    assert (await spent(stage, now=True))[20] == Credits.exactly("3"), "by four tokens read for each that is written"
    assert await spent(stage, now=False) == as_booked
