"""Everything that buyers see, in every state and every language: within Slack's limits, readable, and safe."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.views import View

from bot.accounts.model import Account, Plan, Standing, Workspace
from bot.money import GREATEST, Credits, Usd
from bot.payments.gateway import Card
from bot.purchases.model import LIVE, LOST, PayWith, Purchase, Status
from bot.purchases.views import Form, again_form, buy_form, buyer_card, card_name, channel_card, stands, wants_page
from bot.sandbox.slack.blockkit import check_blocks, check_view
from bot.slack.boundary import notice
from bot.text import Texts, languages, texts_for

from ..outline import Json, as_sent, outline, unseen

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
SUPPORT = "support@skydeck.ai"
ENGLISH, DANISH = texts_for("en"), texts_for("da")
VISA = Card("pm_1", "visa", "4242")
LONG = "Acme " * 60
ACME = Account("acme", "Acme Labs", Plan.ADVANCED, Workspace("", "T1"), frozenset({"U2", "U1"}), channel="C1")
PAGE = "https://checkout.stripe.com/c/pay/cs_1"
RECEIPT = "https://pay.stripe.com/receipts/1"
REASONS = [
    *("insufficient_funds", "expired_card", "authentication_required", "card_velocity_exceeded"),
    *("currency_not_supported", "resource_missing", "fraudulent", "a_code_of_next_year"),
]
REFUSALS = [
    *("refusal.not_owner", "refusal.not_paid", "refusal.cancelled", "refusal.too_late", "refusal.frozen"),
    *(f"refusal.not_full_member.{standing}" for standing in Standing if standing is not Standing.MEMBER),
]


def purchase(status: Status, **more: Any) -> Purchase:
    plain = Purchase(
        id="pur_0199c2f0000070008000000000000000",
        nonce="n",
        account_id="acme",
        workspace=Workspace("", "T1"),
        buyer_id="U1",
        locale="en-US",
        amount=Usd.dollars(25),
        status=status,
        pay_with=PayWith.CARD,
        created_at=NOON,
        updated_at=NOON,
        check_at=None,
        card=VISA,
        checkout_url=PAGE if status is Status.CHECKOUT else None,
        receipt_url=RECEIPT if status in (Status.SETTLED, Status.REFUNDED, Status.DISPUTED) else None,
        balance=Credits(37_340_000_000),
        reversed=Usd(500),
    )
    return replace(plain, **more)


def purchases() -> Iterator[Purchase]:
    """One of every kind that looks different from the others."""
    for status in Status:
        for card in (VISA, None, Card("pm_2", "eftpos_au_of_a_long_name", "0000")):
            for amount in (Usd.dollars(1), GREATEST):
                yield purchase(status, card=card, amount=amount)
    yield purchase(Status.DISPUTED, reason=LOST)
    for reason in REASONS:
        yield purchase(Status.CHECKOUT, reason=reason)
        yield purchase(Status.DECLINED, reason=reason)
        yield purchase(Status.DECLINED, reason=reason, card=None, session_id="cs_1")
    for refusal in REFUSALS:
        yield purchase(Status.CANCELLED, reason=refusal)
    yield purchase(Status.SETTLED, receipt_url=None)


def forms(texts: Texts) -> Iterator[View]:
    for name in ("Acme Labs", LONG, "<!channel> & <https://evil.example|Acme>"):
        account = replace(ACME, name=name)
        for way, card in ((PayWith.CARD, VISA), (PayWith.CHECKOUT, None), (PayWith.EITHER, None)):
            for asking in (False, True):
                form = Form("n" * 80, way, card)
                yield buy_form(texts, account, Credits(10**18), form, asking=asking)
                yield buy_form(texts, account, Credits.ZERO, form, amount=GREATEST, asking=asking)
                yield buy_form(texts, account, Credits(-1), form, amount="1" * 30, remark="w" * 200, asking=asking)
    for seconds in (1, 59):
        form = Form("n", PayWith.CARD, VISA, Usd.dollars(25))
        for reader in ("U1", "U2"):
            yield again_form(texts, form, GREATEST, seconds=seconds, buyer="U1", reader=reader)
    yield notice(texts, texts("error.bug", reference="0123abcd", support=SUPPORT))
    yield from (stands(texts, each) for each in purchases())


# ── the gallery ───────────────────────────────────────────────────────────────────────────────────────────────────


class Gallery(NamedTuple):
    """Every form and every message in one language, and how they are drawn."""

    language: str
    forms: list[Json]
    messages: list[tuple[str, list[Json]]]
    drawn: list[str]


@pytest.fixture(scope="module", params=languages())
def gallery(request: pytest.FixtureRequest) -> Gallery:
    texts = texts_for(request.param)
    views = [as_sent(view) for view in forms(texts)]
    cards = [
        (said, as_sent(blocks))
        for each in purchases()
        for said, blocks in (buyer_card(texts, each, ACME, SUPPORT), channel_card(texts, each))
    ]
    return Gallery(request.param, views, cards, [*map(outline, views), *(outline(blocks) for _, blocks in cards)])


def test_slack_takes_every_form_in_every_language(gallery: Gallery) -> None:
    for view in gallery.forms:
        assert check_view(view, "modal") == [], outline(view)


def test_slack_takes_every_message_in_every_language(gallery: Gallery) -> None:
    for said, blocks in gallery.messages:
        assert check_blocks(blocks, "message") == [], outline(blocks)
        assert said.strip() == said
        assert 0 < len(said) < 3000


def test_the_text_of_a_message_says_what_its_blocks_say(gallery: Gallery) -> None:
    """Phones notify with the text alone, and computers with the blocks."""
    drawn = gallery.drawn[len(gallery.forms) :]
    assert all(each.startswith(said) for (said, _), each in zip(gallery.messages, drawn, strict=True))


def test_no_hole_is_left_in_a_sentence_and_no_key_or_code_shows(gallery: Gallery) -> None:
    for drawn in (re.sub("<!date[^>]*>", "at noon", each.replace(LONG, "Acme")) for each in gallery.drawn):
        assert "  " not in drawn
        assert not re.search(r"\{[a-z]+\}|\bNone\b|\b(refusal|card|decline|state)\.[a-z]", drawn), drawn
        assert not any(reason in drawn for reason in REASONS)


def test_every_sentence_about_a_purchase_is_shown_somewhere(gallery: Gallery) -> None:
    """What no state shows would only be translated in vain."""
    assert unseen(gallery.language, ("card.", "channel.", "decline.", "form."), gallery.drawn) == []


# ── what it reads like ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_form_with_a_saved_card() -> None:
    form = Form("n", PayWith.CARD, VISA)
    view = buy_form(ENGLISH, ACME, Credits(12_349_999_999), form, amount=Usd.dollars(250))
    assert outline(view) == (
        "# Buy credits\n"
        "*Acme Labs* has *12.34* credits.\n"
        "[$25] [$100] [$500] [$1,000]\n"
        "Amount in US dollars: <250>\n"
        "· From $1 to $100,000, cents allowed.\n"
        "Pay with: (x) Visa •••• 4242 (Charged as soon as you press the button)"
        " ( ) Another card (You will pay on Stripe’s page and get an invoice)\n"
        "· 1 credit costs 1 US dollar. Credits are used up by the language models in GenStudio "
        "and cannot be refunded.\n"
        "[Cancel] [Buy]"
    )


def test_the_form_without_a_card_in_danish() -> None:
    form = Form("n", PayWith.CHECKOUT)
    view = buy_form(DANISH, ACME, Credits(1_234_500_000_000), form, amount=Usd(123450))
    assert outline(view) == (
        "# Køb kredit\n"
        "*Acme Labs* har *1.234,50* kreditter.\n"
        "[25\u00a0USD] [100\u00a0USD] [500\u00a0USD] [1.000\u00a0USD]\n"
        "Beløb i amerikanske dollars: <1.234,50>\n"
        "· Fra 1\u00a0USD til 100.000\u00a0USD, også med cent.\n"
        "Du betaler på Stripes side. Der kan du gemme dit kort til næste gang.\n"
        "· 1 kredit koster 1 amerikansk dollar. Kredit forbruges af sprogmodellerne i GenStudio "
        "og er ikke refunderbar.\n"
        "[Annuller] [Køb]"
    )


def test_the_form_while_the_card_is_looked_up_and_with_an_amount_that_is_asked_about() -> None:
    form = Form("n", PayWith.EITHER)
    view = buy_form(ENGLISH, ACME, Credits.ZERO, form, amount="1.234", remark="Which?", asking=True)
    lines = outline(view).splitlines()
    assert lines[1] == "*Acme Labs* has *0.00* credits."
    assert lines[3:7] == [
        "Amount in US dollars: <1.234>",
        "· From $1 to $100,000, cents allowed.",
        ":warning: Which?",
        "_Looking up your saved card…_",
    ]


def test_the_question_before_the_same_is_bought_again() -> None:
    form = Form("n", PayWith.CARD, VISA, Usd.dollars(25))
    assert outline(again_form(ENGLISH, form, Usd.dollars(25), seconds=20, buyer="U1", reader="U2")) == (
        "# Buy it again?\n"
        "<@U1> began a purchase of $25.00 20 seconds ago. Do you want to buy $25.00 more?\n"
        "[Cancel] [Yes, buy again]"
    )
    own = outline(again_form(texts_for("da"), form, Usd.dollars(25), seconds=20, buyer="U1", reader="U1"))
    assert "\nDu begyndte et køb på 25,00\u00a0USD for 20 sekunder siden." in own


FOOTER = (
    "· <!date^1793707200^{date_short_pretty} {time}|2026-11-03 12:00 UTC> · Acme Labs · "
    "pur_0199c2f0000070008000000000000000 · Trouble? support@skydeck.ai"
)


@pytest.mark.parametrize(
    ("shown", "lines"),
    [
        (
            purchase(Status.CHARGING),
            ["Charging $25.00 to Visa •••• 4242. The transaction might take a moment; the balance is updated shortly."],
        ),
        (purchase(Status.REQUESTED, card=None), ["Preparing your purchase of $25.00. It takes a moment."]),
        (
            purchase(Status.CHECKOUT, card=None),
            [
                "Pay $25.00 on Stripe’s page to complete your purchase. The link works for 24 hours.",
                f"[Pay $25.00 -> {PAGE}] [Cancel the purchase]",
            ],
        ),
        (
            purchase(Status.CHECKOUT, reason="insufficient_funds"),
            [
                "Visa •••• 4242 was declined: there is not enough money on it. Nothing was charged. "
                "Pay $25.00 on Stripe’s page to complete your purchase. The link works for 24 hours.",
                f"[Pay $25.00 -> {PAGE}] [Cancel the purchase] [Contact support]",
            ],
        ),
        (
            purchase(Status.CHECKOUT, reason="authentication_required"),
            [
                "Your bank wants you to confirm the payment by Visa •••• 4242. Nothing was charged yet. "
                "Confirm the payment of $25.00 on Stripe’s page to complete your purchase. "
                "The link works for 24 hours.",
                f"[Confirm and pay $25.00 -> {PAGE}] [Cancel the purchase] [Contact support]",
            ],
        ),
        (
            purchase(Status.SETTLED),
            [
                ":white_check_mark: Paid and credited: $25.00. The new balance is *37.34* credits.",
                f"[Receipt -> {RECEIPT}]",
            ],
        ),
        (
            purchase(Status.DECLINED, reason="insufficient_funds", session_id="cs_1"),
            [
                "The payment of $25.00 was declined. Nothing was credited. You can try again with another card.",
                "[Try again] [Contact support]",
            ],
        ),
        (
            purchase(Status.EXPIRED),
            ["The link to pay $25.00 has expired. Nothing was charged.", "[Try again] [Contact support]"],
        ),
        (
            purchase(Status.CANCELLED, reason="refusal.not_owner"),
            [
                "The purchase of $25.00 was cancelled. Nothing was charged. "
                "Only an owner of *Acme Labs* can buy credits. Please ask <@U1> or <@U2>.",
                "[Try again] [Contact support]",
            ],
        ),
        (
            purchase(Status.REFUNDED),
            [
                "Your purchase of $25.00: $5.00 was refunded and taken off the balance.",
                f"[Receipt -> {RECEIPT}] [Contact support]",
            ],
        ),
    ],
    ids=lambda given: f"{given.status} {given.reason or ''}".strip() if isinstance(given, Purchase) else "",
)
def test_the_card_of_a_purchase(shown: Purchase, lines: list[str]) -> None:
    _, blocks = buyer_card(ENGLISH, shown, ACME, SUPPORT)
    assert outline(blocks).splitlines() == [*lines, FOOTER]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.CHARGING, "<@U1> is buying $25.00 of credits."),
        (Status.CHECKOUT, "<@U1> is buying $25.00 of credits."),
        (Status.SETTLED, ":white_check_mark: <@U1> bought $25.00 of credits. The new balance is *37.34* credits."),
        (Status.DECLINED, "The purchase of $25.00 by <@U1> was not completed. Nothing was charged."),
        (Status.QUARANTINED, "The purchase of $25.00 by <@U1> is being looked into by a person."),
    ],
)
def test_the_channel_hears_who_bought_what_and_never_gets_a_link(status: Status, said: str) -> None:
    text, blocks = channel_card(ENGLISH, purchase(status))
    assert text == said
    assert "http" not in outline(blocks)
    assert "[" not in outline(blocks)


# ── what must never show, and what must always be there ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", sorted(Status))
def test_a_purchase_that_has_ended_has_no_button_that_pays(status: Status) -> None:
    _, blocks = buyer_card(ENGLISH, purchase(status, checkout_url=PAGE), ACME, SUPPORT)
    assert (PAGE in outline(blocks)) == (status is Status.CHECKOUT)
    assert ("Cancel" in outline(blocks)) == (status is Status.CHECKOUT)


@pytest.mark.parametrize("status", sorted(Status))
def test_the_form_says_where_the_end_is_told_while_there_is_one_to_come(status: Status) -> None:
    assert ("your messages" in outline(stands(ENGLISH, purchase(status)))) == (status in LIVE)


@pytest.mark.parametrize("code", ["fraudulent", "stolen_card", "lost_card", "pickup_card", "merchant_blacklist"])
def test_nobody_is_told_that_a_card_is_reported_as_stolen(code: str) -> None:
    """Stripe asks to show these as any other decline."""
    _, blocks = buyer_card(ENGLISH, purchase(Status.CHECKOUT, reason=code), ACME, SUPPORT)
    assert "the bank gave no reason" in outline(blocks)


@given(st.text("<>&!@#|*_~`:abc \n", max_size=60))
def test_what_somebody_typed_is_only_text(name: str) -> None:
    account = replace(ACME, name=name)
    drawn = [
        outline(buy_form(ENGLISH, account, Credits.ZERO, Form("n", PayWith.CHECKOUT))),
        outline(buyer_card(ENGLISH, purchase(Status.SETTLED), account, SUPPORT)[1]),
        outline(buyer_card(ENGLISH, purchase(Status.CANCELLED, reason="refusal.not_paid"), account, SUPPORT)[1]),
    ]
    ours = re.compile(r"<(For example [^<>]*|@U[0-9]|!date\^[0-9]+\^[^<>]*|https://pay\.stripe\.com/[^<>]*)>")
    for each in drawn:
        assert not re.search("[<>]", ours.sub("", each).replace(" -> ", " "))


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (VISA, "Visa •••• 4242"),
        (Card("pm", "amex", "0005"), "American Express •••• 0005"),
        (Card("pm", "diners", "1117"), "Diners •••• 1117"),
    ],
)
def test_a_card_is_named_by_its_brand_and_last_digits(card: Card, name: str) -> None:
    assert card_name(card) == name


def test_another_card_is_wanted_when_it_was_chosen() -> None:
    view = buy_form(ENGLISH, ACME, Credits.ZERO, Form("n", PayWith.CARD, VISA)).to_dict()
    saved, other = next(block for block in view["blocks"] if block.get("block_id") == "payment")["element"]["options"]
    assert (wants_page(saved), wants_page(other), wants_page(None), wants_page({})) == (False, True, False, False)


def test_a_filled_in_amount_is_a_new_field() -> None:
    """Slack keeps what was typed into a field that it knows, whatever the view says."""
    form = Form("n", PayWith.CHECKOUT)
    ids = [
        next(
            block["block_id"]
            for block in buy_form(ENGLISH, ACME, Credits.ZERO, form, amount=amount).to_dict()["blocks"]
            if block["type"] == "input"
        )
        for amount in (None, Usd.dollars(25), Usd.dollars(100))
    ]
    assert len(set(ids)) == 3
