"""The page's manners: what went wrong is in sight, nothing typed is lost, and the keyboard stays where it was."""

import re

import pytest
from playwright.async_api import Locator, expect

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

    async with window.answering_late("close"):
        await window.page.keyboard.press("Escape")
        await expect(window.form).to_have_count(0)
    await window.ask_to_buy("21")
    await expect(window.amount).to_have_value("21")


async def test_nothing_typed_is_lost_and_what_one_says_is_in_sight(address: str, window: Window) -> None:
    await window.go("general")
    channel = await window.page.locator(".line.current").get_attribute("data-channel")
    for number in range(30):
        asked = {"as": "U0BO", "channel": channel, "text": f"Line {number}"}
        await window.page.request.post(f"{address}/do/say", data=asked)
    await expect(window.newest).to_contain_text("Line 29")
    composer = window.page.get_by_test_id("composer")

    await window.conversation.evaluate("pane => pane.scrollTo(0, 0)")
    await window.say("Mine")
    await expect(window.newest).to_contain_text("Mine")
    await expect(window.newest).to_be_in_viewport(ratio=1)

    await composer.fill("What\nI write\nis longer\nthan\nothers")
    await expect(window.newest).to_be_in_viewport(ratio=1)

    await window.go("ai-credits")
    await expect(composer).to_have_value("")
    await composer.fill("For the buyers")
    await window.become("Maja Holm")
    await expect(composer).to_have_value("")
    await window.become("Anna Berg")
    await window.go("Credits")
    await window.page.get_by_role("tab", name="Home").click()
    await window.go("general")
    await expect(composer).to_have_value("What\nI write\nis longer\nthan\nothers")

    async with window.cut_off():
        await composer.fill("Is anybody there?")
        await composer.press("Enter")
        await expect(composer).to_have_value("Is anybody there?")


async def test_the_keyboard_stays_where_it_was(window: Window) -> None:
    page, keyboard = window.page, window.page.keyboard
    general, app = (page.get_by_test_id("channel").filter(has_text=name) for name in ("general", re.compile(r"^\s*Cr")))
    await general.focus()
    await keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("general")
    await expect(general).to_be_focused()

    bo = page.get_by_test_id("person").filter(has_text="Bo Lind")
    await bo.focus()
    await keyboard.press("Enter")
    await expect(bo).to_have_attribute("aria-current", "true")
    await expect(bo).to_be_focused()

    card = page.get_by_label("Saved card of Acme Labs")
    for select, value in ((page.get_by_test_id("language"), "en-US"), (card, "mastercard"), (card, "visa")):
        await select.focus()
        await select.select_option(value)
        await expect(select.locator("option[selected]")).to_have_attribute("value", value)
        await expect(select).to_be_focused()

    await app.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Credits")
    home = page.get_by_role("tab", name="Home")
    await home.focus()
    await keyboard.press("Enter")
    await expect(home).to_have_attribute("aria-selected", "true")
    await expect(home).to_be_focused()

    buy = page.get_by_test_id("home").get_by_role("button", name="Buy credits")
    await buy.focus()
    await keyboard.press("Enter")
    await window.amount.fill("19")
    await page.set_viewport_size({"width": 1440, "height": 600})
    reading = await window.conversation.evaluate("pane => { pane.scrollTo(0, 120); return pane.scrollTop; }")
    await keyboard.press("Enter")
    await expect(window.form).to_contain_text("Paid and credited: $19.00.")
    await expect(page.get_by_test_id("home")).to_contain_text("$19.00")
    assert await window.conversation.evaluate("pane => pane.scrollTop") == reading > 0
    await keyboard.press("Escape")
    await expect(buy).to_be_focused()
    await page.set_viewport_size({"width": 1440, "height": 900})

    await general.click()
    await expect(page.get_by_test_id("composer")).to_be_focused()


async def test_where_the_sandbox_is_silent_the_page_says_so_above_everything_and_claims_nothing(window: Window) -> None:
    page, language = window.page, window.page.get_by_test_id("language")
    offline, toast = page.get_by_text("Reconnecting"), page.get_by_test_id("toasts").locator("div").last
    await window.ask_to_buy("21")
    async with window.cut_off():
        await window.press("Buy")
        await expect(toast).to_have_text("The sandbox is not answering.")
        in_front = await look(toast)
        await page.keyboard.press("Escape")
        await expect(page.get_by_test_id("toasts").locator("div")).to_have_count(2)
        await expect(window.form).to_have_count(1)  # it could not be closed
    await page.keyboard.press("Escape")
    await expect(window.form).to_have_count(0)
    assert await look(toast) == in_front

    async with window.cut_off():
        await language.select_option(label="Dansk")
        await expect(language).to_have_value("en-US")
        await page.get_by_test_id("channel").filter(has_text="general").click()
        await expect(offline).to_be_visible()
        await expect(page.get_by_test_id("connected")).to_be_hidden()
    await window.go("general")
    await expect(offline).to_be_hidden()
    await expect(page.get_by_test_id("connected")).to_be_visible()


async def test_forced_colours_show_what_is_current(window: Window) -> None:
    await window.go("Credits")
    await window.page.emulate_media(forced_colors="active")
    for kind, current in ((".person", ".current"), (".line", ".current"), ("[role=tab]", "[aria-selected=true]")):
        chosen, other = window.page.locator(kind + current), window.page.locator(f"{kind}:not({current})").first
        assert await background(chosen) != await background(other)
    await window.page.emulate_media(forced_colors="none")


async def background(thing: Locator) -> str:
    return str(await thing.evaluate("thing => getComputedStyle(thing).backgroundColor"))


async def look(notice: Locator) -> bytes:
    """A picture of its middle: what lies over it is seen in it."""
    box = await notice.bounding_box()
    assert box is not None
    middle = {"x": box["x"] + 12, "y": box["y"] + 8, "width": box["width"] - 24, "height": box["height"] - 16}
    return await notice.page.screenshot(clip=middle, animations="disabled")
