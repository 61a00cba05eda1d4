"""The page's manners: what went wrong is in sight, nothing typed is lost, and the keyboard stays where it was."""

import pytest
from playwright.async_api import expect

from .window import CHROMIUM, NONE_HERE, Window

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason=NONE_HERE),
]


async def test_what_is_wrong_in_a_long_form_is_in_sight_and_the_next_to_be_written_in(window: Window) -> None:
    await window.say("/buy-credits alerts")
    zone = window.form.get_by_label("Time zone")
    await zone.fill("Middle Earth")
    for _ in range(2):  # the second answer is the same as the first
        await window.press("Save")
        await expect(window.form.get_by_role("alert")).to_be_in_viewport(ratio=1)
        await expect(zone).to_be_focused()
        await window.form.get_by_role("heading").first.click()
        await window.form.locator(".modal-body").evaluate("body => body.scrollTo(0, 0)")
