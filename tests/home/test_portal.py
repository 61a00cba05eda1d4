"""Stripe's own pages for owners: the card is changed there, and the invoices are there."""

import httpx
import pytest

from bot.sandbox.slack import OpenView
from bot.sandbox.world import MEMBER, OWNER, SECOND_OWNER
from bot.slack import names

from ..stage import OpenStage, Stage, buttons, says
from .test_home import home


async def press(stage: Stage, name: str, user: str = OWNER) -> OpenView:
    """Press a button of the Home tab; the form that comes of it, once Stripe has answered."""
    await home(stage, user)
    await stage.slack.press(user, stage.slack.home(user), name)
    form: OpenView = await stage.until(lambda: (shown := stage.slack.modal(user)) and "…_" not in says(shown) and shown)
    return form


async def test_the_next_purchase_is_charged_to_the_card_that_was_added_there(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    form = await press(stage, names.CHANGE_CARD)
    async with httpx.AsyncClient() as browser:
        url = buttons(form)["Open Stripe’s page"]["url"]
        assert "Change card" in (await browser.get(url)).text
        await browser.post(url, data={"add": "mastercard"})

    await stage.bought("25")
    [charge] = stage.stripe.charges_made()
    assert charge["payment_method_details"]["card"]["last4"] == "4444"


async def test_the_invoices_are_there_in_the_readers_language(stage: Stage) -> None:
    await stage.buy("25", pay_with="checkout")
    await stage.said("Pay $25.00")
    await stage.pay()
    await stage.said("credited")

    form = await press(stage, names.OPEN_INVOICES, SECOND_OWNER)
    async with httpx.AsyncClient() as browser:
        page = (await browser.get(buttons(form)["Åbn Stripes side"]["url"])).text
    [invoice] = stage.stripe.state.invoices
    assert invoice["hosted_invoice_url"] in page
    assert stage.stripe.state.portals.newest_first()[0]["locale"] == "da"


async def test_a_link_that_nobody_followed_is_over_after_minutes(stage: Stage) -> None:
    url = buttons(await press(stage, names.CHANGE_CARD))["Open Stripe’s page"]["url"]
    await stage.wind(minutes=6)

    async with httpx.AsyncClient() as browser:
        assert (await browser.get(url)).status_code == 404


async def test_only_owners_come_in(stage: Stage) -> None:
    await home(stage)
    await home(stage, MEMBER)
    borrowed = next(each for each in stage.slack.home(OWNER).blocks if each["type"] == "actions")
    stage.slack.home(MEMBER).view["blocks"].append(borrowed | {"block_id": "borrowed"})
    await stage.slack.press(MEMBER, stage.slack.home(MEMBER), names.CHANGE_CARD)

    form = await stage.until(lambda: stage.slack.modal(MEMBER))
    assert "Only an owner of *Acme Labs* can change the card" in says(form)
    assert not stage.calls("POST", "/v1/billing_portal")


@pytest.mark.parametrize("trouble", ["no settings", "no customer", "no right"])
async def test_a_page_that_does_not_open_says_so(stage: Stage, trouble: str) -> None:
    match trouble:
        case "no settings":
            stage.stripe.portal.configured = False
        case "no customer":
            await stage.change(customer="cus_nobody")
        case "no right":
            stage.stripe.api.denied.append("POST /v1/billing_portal/*")

    form = await press(stage, names.CHANGE_CARD)
    assert "Stripe’s page cannot be opened just now." in says(form)
    assert "Contact support" in buttons(form)


async def test_who_never_bought_finds_no_button(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(customer=False)
    await home(stage)

    assert "Change card" not in buttons(stage.slack.home(OWNER))
