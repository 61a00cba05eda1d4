"""Warnings in a real browser: a week in which the credits run low, from the first look at the form to the recovery."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Locator, expect

from .window import CHROMIUM, NONE_HERE, Window, looking_at, photograph, running_sandbox

PICTURE = Path(__file__).with_name("warnings.png")
COPENHAGEN = ZoneInfo("Europe/Copenhagen")  # where the people of the sandbox live
WEEK = {  # what Acme Labs works with
    "Tuesday": ("claude-opus-5-5", "gpt-5"),
    "Wednesday": ("claude-opus-5-5", "claude-sonnet-5-5", "gpt-5"),
    "Thursday": ("claude-opus-5-5", "claude-sonnet-5-5"),
    "Friday": ("claude-opus-5-5", "claude-sonnet-5-5", "gpt-5"),
    "Saturday": ("claude-sonnet-5-5",),
}

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason=NONE_HERE),
]


async def test_credits_run_low_somebody_looks_after_it_and_buys_from_the_warning(
    browser: Browser, tmp_path: Path
) -> None:
    async with running_sandbox(tmp_path) as address, looking_at(address, browser, height=1550) as window:
        await begin_on_a_tuesday_at_noon(window, address)
        await window.buy("24")
        for day in ("Tuesday", "Wednesday", "Thursday"):
            await spend(window, day)
            await window.wind("1 day")
        await spend(window, "Friday")
        await want_the_digest(window)
        warning = said(window, "is low on credits")
        await expect(warning).to_contain_text(
            re.compile(
                r" 1\d\.\d\d left\. At the present pace of 2\.\d\d a day .* run out [\w ]+, between [\w ]+ and [\w ]+\."
            )
        )

        await window.wind("1 day")
        reminders = said(window, "Reminder: Acme Labs still needs credits.")
        await expect(reminders).to_have_count(1)
        await warning.get_by_role("button", name="Acknowledge").click()
        await expect(warning).to_contain_text("@Anna Berg looks after it: there are no more reminders.")
        await expect(reminders.get_by_role("button")).to_have_count(0)
        await spend(window, "Saturday")

        await window.wind("1 day")
        await expect(warning).to_contain_text("11.50 left")
        await window.wind("1 day")
        digest = said(window, "in the week of")
        await expect(digest).to_contain_text(re.compile(r"used 12\.49 credits in the week of .* Advice: buy \$\d+"))
        await the_chart_and_its_table_agree(digest)
        await expect(reminders).to_have_count(1)
        await photograph(window, PICTURE, tmp_path)

        await warning.get_by_role("button", name="Why do I see this?").click()
        await expect(window.newest).to_contain_text("is to be warned when the credits last for no more than 7 days")
        await warning.get_by_role("button", name="Buy credits").click()
        await window.amount.fill("200")
        await window.press("Buy")
        await expect(window.form).to_contain_text("Paid and credited: $200.00.")
        await window.close()
        recovered = said(window, "has enough credits again")
        await wind_until(window, recovered)
        await expect(recovered.get_by_role("button")).to_have_count(0)
        await expect(warning).to_have_count(0)


async def begin_on_a_tuesday_at_noon(window: Window, address: str) -> None:
    """Whatever day it is: the week, and its picture, are to be the same."""
    clock = await window.page.get_by_test_id("clock").get_attribute("datetime")
    now = datetime.fromisoformat(clock or "").astimezone(COPENHAGEN)
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    tuesday = noon + timedelta(days=(1 - now.weekday()) % 7 or 7)
    ahead = (tuesday.astimezone(UTC) - now).total_seconds()
    await window.page.request.post(f"{address}/do/wind", data={"as": "U0ANNA", "seconds": int(ahead)})


async def want_the_digest(window: Window) -> None:
    """Anna sets it up. Everything else stays as it was by default."""
    await window.say("/buy-credits alerts")
    await expect(window.form.get_by_label("#ai-credits")).to_be_checked()
    await window.form.get_by_label("Once a week").check()
    await window.press("Save")
    await expect(window.form).to_contain_text("Saved.")
    await window.close()


async def spend(window: Window, day: str) -> None:
    for model in WEEK[day]:
        await window.use(model, "afternoon")


async def wind_until(window: Window, sight: Locator) -> None:
    """Minute by minute, with time to happen: two looks that are a minute apart must find that all is well."""
    for _ in range(3):
        await window.wind("1 minute")
        with suppress(AssertionError):
            return await expect(sight).to_have_count(1, timeout=5_000)
    await expect(sight).to_have_count(1)


def said(window: Window, words: str) -> Locator:
    return window.page.get_by_test_id("message").filter(has_text=words)


async def the_chart_and_its_table_agree(digest: Locator) -> None:
    """A bar for each model and day that cost something, and its figure below."""
    table = digest.locator(".table-holder")
    await digest.get_by_test_id("chart").locator("svg").wait_for()
    bars = [await title.text_content() for title in await digest.locator("rect.bar title").all()]
    assert len(bars) == 7 * 3
    for bar in bars:
        day, figure = re.fullmatch(r"(\w+, \w+ \d+), .*: ([\d.]+)", bar or "").groups()
        await expect(table.get_by_role("row", name=day)).to_contain_text(f"{float(figure):.2f}")
