"""The sandbox in a real browser: people buy credits in its page and see what became of it."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from .window import CHROMIUM, NONE_HERE, Window, looking_at, photograph, running_sandbox

PICTURE = Path(__file__).with_name("sandbox.png")
PAID = "Paid and credited: {}. The new balance is {} credits."

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(CHROMIUM is None, reason=NONE_HERE),
]


# ── buying ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_saved_card_is_charged_in_slack_and_everyone_concerned_sees_it(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance() + 250

    await window.ask_to_buy("250")
    await expect(window.amount).to_have_value("250")
    await expect(window.form.get_by_label("Visa •••• 4242")).to_be_checked()
    await window.press("Buy")

    said = PAID.format("$250.00", f"{balance:,.2f}")
    await expect(window.form).to_contain_text(said)
    await expect(window.form).not_to_contain_text("You can close this.")  # nothing more is to come
    await window.close()
    await expect(window.newest).to_contain_text("@Anna Berg bought $250.00 of credits.")

    await window.go("Credits")
    await expect(window.newest).to_contain_text(said)
    await expect(window.newest.get_by_role("button")).to_have_count(0)
    async with window.following(window.newest.get_by_role("link", name="Receipt")) as receipt:
        await expect(receipt.locator("body")).to_contain_text("$250.00")

    await window.has_balance(balance)
    await expect(window.purchase("$250.00")).to_have_attribute("data-status", "settled")
    entry = window.page.get_by_test_id("entry").first
    await expect(entry).to_contain_text(re.compile(r"Credits bought.*\+250\.00.*-250\.00", re.DOTALL))
    await expect(window.page.get_by_test_id("verified")).to_have_text("Books balance ✓")


async def test_without_a_saved_card_the_buyer_pays_on_stripes_page_and_saves_one_there(window: Window) -> None:
    await window.save_card("")
    balance = await window.balance() + 600.25

    await window.ask_to_buy("$600.25")
    await expect(window.form).to_contain_text("You will pay on Stripe’s page.")
    await window.press("Buy")
    await window.form.get_by_role("link", name="Pay $600.25").wait_for()
    await window.close()
    await expect(window.newest).to_contain_text("@Anna Berg is buying $600.25 of credits.")

    await window.go("Credits")
    async with window.following(window.newest.get_by_role("link", name="Pay $600.25")) as checkout:
        await checkout.get_by_role("button", name="Declined").click()
        await checkout.get_by_label("Save this card for next time").check()
        await checkout.get_by_role("button", name="Pay $600.25").click()
        await expect(checkout.get_by_role("alert")).to_contain_text("Your card was declined.")
        await expect(checkout.get_by_label("Save this card for next time")).to_be_checked()
        await checkout.get_by_label("Card information").fill("4242 4242 4242 4242")
        await checkout.get_by_role("button", name="Pay $600.25").click()
        await expect(checkout.get_by_role("heading")).to_have_text("Thank you")

    await expect(window.newest).to_contain_text(PAID.format("$600.25", f"{balance:,.2f}"))
    await expect(window.newest.get_by_role("button")).to_have_count(0)
    await window.has_balance(balance)
    await expect(window.page.get_by_label("Saved card of Acme Labs")).to_have_value("visa")


async def test_a_bank_that_wants_the_buyer_is_answered_on_stripes_page(window: Window) -> None:
    await window.save_card("authentication_required")
    balance = await window.balance() + 75

    await window.ask_to_buy("75")
    await window.press("Buy")
    await expect(window.form).to_contain_text("Your bank wants you to confirm the payment by Visa •••• 3184.")
    async with window.following(window.form.get_by_role("link", name="Confirm and pay $75.00")) as checkout:
        await checkout.get_by_role("button", name="Pay $75.00").click()
        await expect(checkout.get_by_role("heading")).to_have_text("Is it you?")
        await checkout.get_by_role("button", name="Complete").click()
        await expect(checkout.get_by_role("heading")).to_have_text("Thank you")

    await window.has_balance(balance)
    await window.close()
    await window.go("Credits")
    await expect(window.newest).to_contain_text(PAID.format("$75.00", f"{balance:,.2f}"))


async def test_two_clicks_on_buy_are_one_purchase(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance() + 61

    await window.ask_to_buy("61")
    await window.form.get_by_role("button", name="Buy", exact=True).dblclick()

    await expect(window.form).to_contain_text(PAID.format("$61.00", f"{balance:,.2f}"))
    await window.has_balance(balance)
    await expect(window.page.get_by_test_id("purchase").filter(has_text="$61.00")).to_have_count(1)
    await window.form.get_by_role("button", name="Close").last.dblclick()
    await expect(window.form).to_have_count(0)


async def test_a_purchase_that_waits_for_payment_is_cancelled_by_its_button(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance()

    await window.ask_to_buy("32")
    await window.form.get_by_label("Another card").check()
    await window.press("Buy")
    await window.form.get_by_role("link", name="Pay $32.00").wait_for()
    await window.close()
    await window.go("Credits")
    await window.newest.get_by_role("button", name="Cancel the purchase").click()

    await expect(window.newest).to_contain_text("The purchase of $32.00 was cancelled. Nothing was charged.")
    await expect(window.newest.get_by_role("link", name="Pay $32.00")).to_have_count(0)
    await window.newest.get_by_role("button", name="Try again").click()
    await expect(window.amount).to_have_value("32")
    await window.has_balance(balance)


async def test_a_dane_writes_amounts_the_danish_way_and_is_answered_in_danish(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance() + 1234.5
    await window.become("Bo Lind")

    await window.ask_to_buy("1.234,50")
    await expect(window.form.get_by_role("heading")).to_have_text("Køb kredit")
    await expect(window.amount).to_have_value("1.234,50")
    await window.press("Køb")

    await expect(window.form).to_contain_text("Betalt og krediteret: 1.234,50 USD.")
    await window.has_balance(balance)
    await window.close("Luk")
    await expect(window.newest).to_contain_text("@Bo Lind bought $1,234.50 of credits.")


# ── spending ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_bought_is_spent_in_genstudio_and_the_balance_falls(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance() + 45
    await window.buy("45")
    await window.has_balance(balance)

    await window.use("claude-opus-5-5", "afternoon")
    await expect(window.studio).to_contain_text("Reported 40 events, and the bot answered 204 No Content")
    await window.has_balance(balance - 1.72)
    entry = window.page.get_by_test_id("entry").first
    await expect(entry).to_contain_text(
        "claude-opus-5-5, 40 uses: 200,000 tokens in, 600,000 from cache, 40,000 out, 1.72 credits"
    )
    await expect(entry).to_contain_text(re.compile(r"account:acme\s*-1\.72.*usage\s*\+1\.72", re.DOTALL))
    await expect(window.page.get_by_test_id("verified")).to_have_text("Books balance ✓")

    await window.ask_to_buy("")
    await expect(window.form).to_contain_text(f"Acme Labs has {balance - 1.72:,.2f} credits.")


async def test_a_report_that_the_bot_refuses_is_shown_and_nothing_is_booked(window: Window) -> None:
    balance = await window.balance()

    await window.use("gpt-5", "question", account="An unknown account")

    await expect(window.studio).to_contain_text("400 Bad Request")
    await expect(window.studio).to_contain_text("there is no account nobody")
    await window.has_balance(balance)


# ── being told why not ────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_may_not_buy_is_told_why_where_only_they_see_it(window: Window) -> None:
    await window.go("general")
    for person, why in (
        ("Maja Holm", "Only an owner of Acme Labs can buy credits. Please ask @Anna Berg or @Bo Lind."),
        ("Gus Guest", "Guests cannot buy credits for Acme Labs. Please ask @Anna Berg or @Bo Lind."),
        ("Tina Tran", "An owner can upgrade in the Control Center: Account → Billing → Upgrade."),
    ):
        await window.become(person)
        await window.say("/buy-credits 20")

        await expect(window.newest).to_contain_text(why)
        await expect(window.newest).to_contain_text("Only visible to you")
        await expect(window.form).to_have_count(0)

    await window.become("Anna Berg")
    await expect(window.conversation).not_to_contain_text("Only visible to you")


async def test_what_is_wrong_with_an_amount_is_said_at_its_field_and_what_was_typed_stays(window: Window) -> None:
    await window.save_card("visa")
    await window.ask_to_buy("")

    for typed, wrong in (
        ("", "Please complete this required field."),
        ("<b>&1,23", "“<b>&1,23” is not an amount that we can read. Write it like 1,234.50."),
        ("1.000", "“1.000” could mean $1,000.00 or $1.00. Please write 1,000 or 1."),
        ("0.99", "The least amount is $1.00."),
        ("100000.01", "The greatest amount is $100,000.00. You can buy several times."),
    ):
        await window.amount.fill(typed)
        await window.press("Buy")
        await expect(window.form.get_by_role("alert")).to_have_text(wrong)
        await expect(window.amount).to_have_value(typed)
        await expect(window.amount).to_be_focused()

    await window.press("$25")
    await expect(window.amount).to_have_value("25")
    await expect(window.form.get_by_role("alert")).to_have_count(0)


# ── around it ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_app_home_shows_the_balance_and_sells(window: Window) -> None:
    await window.save_card("visa")
    balance = await window.balance()
    await window.go("Credits")
    await window.page.get_by_role("tab", name="Home").click()
    home = window.page.get_by_test_id("home")
    await expect(home).to_contain_text(f"Acme Labs has {balance:,.2f} credits.")

    await home.get_by_role("button", name="Buy credits").click()
    await window.amount.fill("43")
    await window.press("Buy")
    await expect(window.form).to_contain_text("Paid and credited: $43.00.")
    await window.close()
    await window.page.get_by_role("tab", name="Messages").click()
    await window.page.get_by_role("tab", name="Home").click()

    await expect(home).to_contain_text("$43.00 · @Anna Berg · credited · Receipt")
    await window.become("Maja Holm")
    await expect(home).to_contain_text("Only an owner of Acme Labs can buy credits. Please ask @Anna Berg or @Bo Lind.")
    await expect(home.get_by_role("button", name="Ask the owner")).to_have_count(1)
    await expect(home.get_by_role("button", name="Buy credits")).to_have_count(0)


async def test_no_click_is_lost_because_the_page_changes_under_the_finger(window: Window) -> None:
    await window.go("Credits")
    home, messages = (window.page.get_by_role("tab", name=name) for name in ("Home", "Messages"))
    await home.click()
    await expect(home).to_have_attribute("aria-selected", "true")

    await messages.click()
    await home.hover()
    await window.page.mouse.down()
    await window.page.wait_for_timeout(300)  # the messages have come
    await window.page.mouse.up()

    await expect(home).to_have_attribute("aria-selected", "true")
    await expect(window.page.get_by_test_id("home")).to_have_count(1)


async def test_a_finger_that_stays_holds_nothing_up_for_long(address: str, window: Window) -> None:
    await window.go("general")
    channel = await window.page.locator(".line.current").get_attribute("data-channel")
    await window.page.get_by_role("heading", level=1).hover()
    await window.page.mouse.down()
    asked = {"as": "U0ANNA", "channel": channel, "text": "While a finger rests"}
    await window.page.request.post(f"{address}/do/say", data=asked)

    await expect(window.newest).to_contain_text("While a finger rests")
    await window.page.mouse.up()


async def test_a_message_is_taken_to_support_by_its_menu_and_the_mail_is_in_the_mail_box(window: Window) -> None:
    await window.say("Where is my receipt?")
    await expect(window.newest).to_contain_text("Where is my receipt?")
    await window.newest.hover()
    await window.newest.get_by_test_id("more").click()
    await window.newest.get_by_role("menuitem", name="Contact support").click()
    await window.form.get_by_label("What happened?").fill("I need the <b>receipt</b> of May.")
    await window.press("Send")
    await expect(window.form.get_by_role("button", name="Send")).to_have_count(0)
    await window.close()

    mail = window.page.get_by_test_id("mail").first
    await expect(mail).to_contain_text("to support@skydeck.ai")
    await mail.locator("summary").first.click()
    await expect(mail).to_contain_text("I need the <b>receipt</b> of May.")
    await expect(mail).to_contain_text("anna@acme.example")


async def test_the_keyboard_is_enough(window: Window) -> None:
    await window.save_card("visa")
    await window.page.get_by_test_id("composer").focus()
    await window.page.keyboard.type("/b")
    await window.page.get_by_role("option", name="/buy-credits").wait_for()
    await window.page.keyboard.press("Tab")
    await window.page.keyboard.type("17")
    await window.page.keyboard.press("Enter")
    await expect(window.form.get_by_label("Visa •••• 4242")).to_be_checked()
    await expect(window.amount).to_be_focused()
    await window.page.keyboard.press("Enter")
    await expect(window.form).to_contain_text("Paid and credited: $17.00.")
    await window.page.keyboard.press("Escape")

    await expect(window.form).to_have_count(0)
    await expect(window.newest).to_contain_text("@Anna Berg bought $17.00 of credits.")


async def test_time_is_wound_until_the_bank_answers_and_a_link_expires(window: Window) -> None:
    await window.save_card("")
    balance = await window.balance() + 88
    await window.ask_to_buy("88")
    await window.press("Buy")
    async with window.following(window.form.get_by_role("link", name="Pay $88.00")) as checkout:
        await checkout.get_by_role("button", name="Bank debit, takes days").click()
        await checkout.get_by_role("button", name="Pay $88.00").click()
        await expect(checkout.get_by_role("heading")).to_have_text("Thank you")
    await expect(window.purchase("$88.00")).to_have_attribute("data-status", "processing")
    await window.close()
    await window.ask_to_buy("89")
    await window.press("Buy")
    await window.form.get_by_role("link", name="Pay $89.00").wait_for()
    await window.close()

    await window.go("Credits")
    waits, unpaid = (window.page.get_by_test_id("message").nth(-2), window.newest)
    await expect(waits).to_contain_text("Your payment of $88.00 is on its way and waits for the bank.")
    for _ in range(4):
        await window.wind("1 day")

    await expect(waits).to_contain_text(PAID.format("$88.00", f"{balance:,.2f}"))
    await expect(unpaid).to_contain_text("The link to pay $89.00 has expired. Nothing was charged.")
    await window.has_balance(balance)


async def test_a_telephone_is_wide_enough(address: str, browser: Browser) -> None:
    async with looking_at(address, browser, width=390) as window:
        await window.save_card("visa")
        balance = await window.balance() + 27
        await window.become("Bo Lind")
        await window.go("general")
        await window.buy("27", submit="Køb", close="Luk")
        await window.go("Credits")
        await expect(window.newest).to_contain_text("27,00 USD")
        await window.use("gpt-4.1", "document")

        await window.has_balance(balance - 0.4)  # 0.392, and nobody is shown more than they have
        assert await window.page.evaluate("document.documentElement.scrollWidth") == 390


# ── the picture in the README ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_readmes_picture_is_taken_of_the_running_sandbox(browser: Browser, tmp_path: Path) -> None:
    async with running_sandbox(tmp_path) as address, looking_at(address, browser) as window:
        await window.say("A hundred credits for the pilot group, to begin with.")
        await window.buy("100")
        await window.wind("1 day")
        await window.become("Maja Holm")
        await window.say(
            "The pilot group loves it! The evals run tomorrow and will need more. Could somebody top us up?"
        )
        await window.become("Bo Lind")
        await window.buy("1.250", submit="Køb", close="Luk")
        await window.become("Anna Berg")
        await window.say("Thank you, Bo :tada: A little more, so that we need not look every day:")
        await window.buy("250")
        await expect(window.newest).to_contain_text("The new balance is 1,600.00 credits.")
        await window.use("claude-opus-5-5", "afternoon")
        await window.page.get_by_test_id("composer").fill("/buy-credits 500")
        await window.has_balance(1598.28)
        await photograph(window, PICTURE, tmp_path)
