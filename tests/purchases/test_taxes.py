"""Taxes, invoices and what a buyer types for them: what is bought is bought without the tax, whatever was paid."""

import httpx
import pytest

from bot.sandbox.stripe import Buyer
from bot.sandbox.world import SECOND_OWNER

from ..stage import OpenStage, Stage, buttons

DANE = Buyer("Acme ApS", "Nygade 1", "1164", "København", "DK", fields={"purchaseorder": "PO-7"})


async def test_tax_is_paid_on_top_and_not_credited(open_stage: OpenStage) -> None:
    """With a saved card too the page is opened: only there Stripe knows where the buyer is."""
    stage = await open_stage(stripe_automatic_tax=True)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    await stage.pay(buyer=DANE)

    card = await stage.said("Paid and credited: $25.00")
    assert stage.charges() == [3125]
    assert await stage.balance() == "25.00"
    [invoice] = stage.stripe.state.invoices
    assert buttons(card)["Receipt"]["url"] == invoice["hosted_invoice_url"]
    async with httpx.AsyncClient() as browser:
        page = (await browser.get(invoice["hosted_invoice_url"])).text
    for fact in ("$31.25", "$6.25", "Acme ApS", "1164, København, DK"):
        assert fact in page

    stage.stripe.refund(stage.stripe.succeeded_intents()[0]["id"], 1250)
    await stage.said("$10.00 was refunded")
    assert await stage.balance() == "15.00"
    stage.stripe.refund(stage.stripe.succeeded_intents()[0]["id"])
    await stage.said("$25.00 was refunded")
    assert await stage.balance() == "0.00"


async def test_too_little_for_the_goods_is_not_credited_though_the_tax_makes_up_for_it(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage(stripe_automatic_tax=True)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.page["amount_subtotal"] = 2000  # somebody changed it behind our back: $20.00, and $5.00 of tax
    await stage.pay(buyer=DANE)

    await stage.said("not the amount that was asked")
    assert stage.charges() == [2500]
    assert await stage.balance() == "0.00"


async def test_without_the_setting_nobody_pays_taxes_and_still_gets_an_invoice(stage: Stage) -> None:
    await stage.buy("25", SECOND_OWNER, pay_with="checkout")
    await stage.said("Betal", user=SECOND_OWNER)
    [field] = stage.page["custom_fields"]
    assert (field["label"]["custom"], field["optional"]) == ("Indkøbsordrenummer", True)
    await stage.pay(buyer=DANE)

    await stage.said("Betalt og krediteret", user=SECOND_OWNER)
    assert stage.charges() == [2500]
    [invoice] = stage.stripe.state.invoices
    assert (invoice["total"], invoice["customer_name"]) == (2500, "Acme ApS")


@pytest.mark.parametrize("answer", ["no invoice yet", "no right to read it"])
async def test_the_receipt_stands_in_for_an_invoice_that_cannot_be_had(stage: Stage, answer: str) -> None:
    if answer == "no right to read it":
        stage.stripe.api.denied.append("GET /v1/invoices/*")
    await stage.buy("25", pay_with="checkout")
    await stage.said("Pay $25.00")
    if answer == "no invoice yet":
        stage.page["invoice_creation"]["enabled"] = False
    await stage.pay()

    card = await stage.said("Paid and credited")
    assert buttons(card)["Receipt"]["url"] == stage.stripe.charges_made()[0]["receipt_url"]
