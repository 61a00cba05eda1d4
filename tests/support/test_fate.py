"""What becomes of a case: whoever wrote it hears when it has arrived, or has not; some the bot opens by itself."""

import asyncio
from urllib.parse import parse_qs, urlsplit

from bot.purchases.model import FAILED_FOR_LONG
from bot.sandbox.faults import Kind
from bot.sandbox.world import OWNER, SECOND_OWNER, STRIPE_KEY

from ..stage import CONFIRMING, OpenStage, Stage, says, tamper
from .conftest import mails, noted, number_in, press_support, typed, write


async def test_a_mail_server_that_is_away_for_a_while_delays_the_news(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.world.mail.pause()
    await typed(stage)
    number = await write(stage, "Hello")
    on_its_way = await noted(stage, number, "is on its way")
    await stage.wind(hours=5)
    await stage.restart()
    await stage.world.mail.start()
    await stage.eventually(lambda: stage.world.mail.mails, within=2000, step=100)

    await mails(stage, 1)
    arrived = await noted(stage, number, "has reached")
    assert arrived.ts == on_its_way.ts


async def test_a_case_that_nobody_takes_comes_back_with_a_mail_that_is_ready(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.world.mail.pause()
    await typed(stage)
    number = await write(stage, "Hello & <goodbye>\n100 %")

    lost = await stage.eventually(
        lambda: next((each for each in stage.letters() if "could not be delivered" in each.text), None),
        within=30 * 3600,
        step=6 * 3600,
    )

    assert "did not reach" in next(each for each in stage.letters() if number in each.text and each is not lost).text
    address, subject, body = ready(lost.text)
    assert address == "support@skydeck.ai"
    assert subject == f"[{number}] Question from Slack (Acme Labs)"
    assert body.startswith("Hello & <goodbye>\r\n100 %\r\n\r\nCase\r\n")
    await stage.world.mail.start()
    await stage.wind(hours=1)
    await mails(stage, 0)


async def test_a_case_that_is_refused_comes_back_at_once(stage: Stage) -> None:
    stage.faults.arm("smtp.RCPT", Kind.STATUS, code=550, body="5.1.1 no such user")
    await typed(stage)
    number = await write(stage, "Hello")
    await noted(stage, number, "could not be delivered")


async def test_without_a_mail_server_the_form_ends_in_a_mail_that_is_ready(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(smtp_url=None)
    await typed(stage)
    number = await write(stage, "漢" * 2900)
    shown = stage.slack.modal(OWNER)
    address, subject, body = ready(says(shown))
    assert (address, subject) == ("support@skydeck.ai", f"[{number}] Question from Slack (Acme Labs)")
    assert body.startswith("漢漢漢")
    assert len(link_in(says(shown))) <= 1800
    assert link_in((await noted(stage, number, "waits for you to send it")).text) == link_in(says(shown))


async def test_a_purchase_that_is_unknown_for_a_day_opens_a_case_by_itself(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(webhooks=None, scopes=["users:read.email"])
    stage.faults.arm(CONFIRMING, Kind.STATUS, None, code=503)
    await stage.buy("25")
    await stage.until(lambda: stage.faults.hits)
    stage.stripe.api.revoked_keys.add(STRIPE_KEY)
    await stage.wind(hours=23)
    await stage.until(lambda: failed_requests(stage))
    await stage.bot.support.look_for_trouble()
    await mails(stage, 0)
    await stage.wind(hours=1, minutes=2)

    [mail] = await mails(stage, 1)

    number = number_in(mail.subject)
    [purchase] = await stage.purchases()
    assert mail.subject == f"[{number}] Purchase of $25.00: unknown (Acme Labs)"
    assert mail.reply_to == "anna@acme.example"
    for known in (purchase.id, purchase.intent_id, "nobody could say", "last request that failed", "req_"):
        assert str(known) in mail.body
    for owner, words in ((OWNER, "For a day nobody could say"), (SECOND_OWNER, "I et døgn har ingen kunnet sige")):
        told = await noted(stage, number, words, user=owner)
    form = await press_support(stage, told, SECOND_OWNER)
    assert purchase.id in str(form.view)
    assert await write(stage, "Hvad nu?", SECOND_OWNER) == number
    await stage.restart()
    await stage.wind(hours=3)
    await stage.wind(hours=3)

    assert [each.follows for each in await mails(stage, 2)] == ["", mail.id]
    stage.stripe.api.revoked_keys.clear()


async def test_a_page_that_stripe_does_not_know_any_more_opens_a_case(open_small_stage: OpenStage) -> None:
    """As after the key of another Stripe account was set."""
    stage = await open_small_stage(webhooks=None, card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("GET /v1/checkout/sessions/*", Kind.STATUS, None, code=404)
    await stage.wind(minutes=5)
    await stage.until(lambda: stage.faults.hits)
    await stage.bot.support.look_for_trouble()
    await mails(stage, 0)
    await tamper(stage.bot, f"UPDATE purchases SET failures = {FAILED_FOR_LONG}")
    await stage.bot.support.look_for_trouble()

    [mail] = await mails(stage, 1)
    assert "unknown" in mail.subject


async def test_money_of_a_wrong_amount_opens_a_case_once(open_stage: OpenStage) -> None:
    stage = await open_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.page["amount_total"] = 2600
    await stage.pay()
    card = await stage.said("not the amount")
    await stage.became("quarantined")
    await press_support(stage, card)
    number = await write(stage, "I paid!")
    await asyncio.gather(*(stage.bot.support.look_for_trouble() for _ in range(3)))
    if not stage.bot.database.is_sqlite:
        async with stage.second_bot() as second:
            await asyncio.gather(second.support.look_for_trouble(), stage.bot.support.look_for_trouble())
    await stage.wind(hours=1)

    first, itself = await mails(stage, 2)
    assert number_in(itself.subject) == number_in(first.subject) == number
    assert "not the amount that was asked" in itself.body
    assert await noted(stage, number, "Money came in for the purchase", user=OWNER)


async def failed_requests(stage: Stage) -> list[str]:
    """Stripe's names of what the purchases last met."""
    return [each.request_id for each in await stage.purchases() if each.request_id]


def link_in(text: str) -> str:
    _, _, rest = text.partition("<mailto:")
    link, bar, _ = rest.partition("|")
    assert bar, text
    return f"mailto:{link.replace('&amp;', '&')}"


def ready(text: str) -> tuple[str, str, str]:
    """Where the link leads, with which subject and which words."""
    parts = urlsplit(link_in(text))
    fields = parse_qs(parts.query, strict_parsing=True)
    return parts.path, fields["subject"][0], fields["body"][0]
