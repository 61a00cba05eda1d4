"""Asking in a real browser: a member asks, an owner approves, the card settles, side by side and in Danish."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .window import CHROMIUM, NONE_HERE, looking_at, running_sandbox

REASON = "Evalueringen i morgen: <b>Opus</b> mod *GPT-5*"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason=NONE_HERE),
]


async def test_a_member_asks_an_owner_approves_and_both_see_it_settle_in_danish(
    browser: Browser, tmp_path: Path
) -> None:
    async with running_sandbox(tmp_path) as address, looking_at(address, browser) as window:
        anna, maja = await window.side_by_side()
        for each in (anna, maja):
            await each.speak("Dansk")

        await maja.say("/buy-credits 1.500,50")
        await expect(maja.newest).to_contain_text("Kun en kontoejer for Acme Labs kan købe kredit.")
        await maja.newest.get_by_role("button", name="Spørg kontoejeren").click()
        await expect(maja.form.get_by_label("Beløb i amerikanske dollar")).to_have_value("1.500,50")
        await maja.form.get_by_label("Hvad skal det bruges til?").fill(REASON)
        await maja.press("Spørg")
        await expect(maja.form).to_contain_text("Anmodningen er sendt.")
        await maja.close("Luk")

        await anna.go("Credits")
        await expect(anna.newest).to_contain_text("@Maja Holm beder dig købe kredit for 1.500,50 USD til Acme Labs.")
        await expect(anna.newest).to_contain_text(REASON)
        await anna.newest.get_by_role("button", name="Godkend 1.500,50 USD").click()
        await anna.page.get_by_test_id("confirm").get_by_role("button", name="Godkend").click()

        request, purchase = (
            anna.page.get_by_test_id("message").filter(has_text=words) for words in ("@Maja", "Betalt")
        )
        await expect(request).to_contain_text("@Anna Berg godkendte det.")
        await expect(request.get_by_role("button")).to_have_count(0)
        await expect(purchase).to_contain_text("Betalt og krediteret: 1.500,50 USD.")
        await maja.go("Credits")
        await expect(maja.newest).to_contain_text("@Anna Berg godkendte din anmodning om 1.500,50 USD.")
        await expect(maja.newest).to_contain_text("@Anna Berg har købt kredit for 1.500,50 USD.")
        await window.has_balance(1500.5)
        await expect(window.purchase("$1,500.50")).to_have_attribute("data-status", "settled")
