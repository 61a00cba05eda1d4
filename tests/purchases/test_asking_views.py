"""Everything that people see of requests, in every state and every language: within Slack's limits, and safe."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.views import View

from bot.accounts.model import Account, Plan, Workspace
from bot.money import GREATEST, Usd
from bot.purchases.asking.model import ENDS_AFTER, LONGEST_REASON, Asked, Limit, Request, State
from bot.purchases.asking.views import (
    Said,
    ask_form,
    asked,
    asker_card,
    change_form,
    limit_news,
    limit_stands,
    outcome,
    owner_card,
    seen,
)
from bot.purchases.model import PayWith, Purchase, Status
from bot.sandbox.slack.blockkit import check_blocks, check_view
from bot.text import Texts, languages, texts_for

from ..outline import Json, as_sent, outline, unseen

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
ENGLISH, DANISH = texts_for("en"), texts_for("da")
LONG = "Acme " * 60
ACME = Account("acme", "Acme Labs", Plan.ADVANCED, Workspace("", "T1"), frozenset({"U2", "U1"}))
ALONE = replace(ACME, name=LONG, owners=frozenset({"U1"}))
OURS = re.compile(r"<(@U[0-9]|!date\^[0-9]+\^[^<>]*)>")


def request(**more: Any) -> Request:
    plain = Request(
        id="req_0199c2f0000070008000000000000000",
        nonce="n",
        account_id="acme",
        asker_id="U3",
        locale="en-US",
        asked=Usd.dollars(25),
        amount=Usd.dollars(25),
        reason="The report is due",
        told={"U1": None, "U2": "da-DK"},
        created_at=NOON,
        ends_at=NOON + ENDS_AFTER,
    )
    return replace(plain, **more)


OPEN = [
    request(),
    request(reason="x" * LONGEST_REASON, asked=GREATEST, amount=GREATEST),
    request(first_by="U1"),
    request(first_by="U1", amount=Usd.dollars(20)),
    request(asker_id="U2", first_by="U2", reason=""),
]
CLOSED = [
    request(state=State.APPROVED, decided_by="U1"),
    request(state=State.APPROVED, decided_by="U1", amount=GREATEST),
    request(state=State.APPROVED, decided_by="U1", first_by="U2"),
    request(state=State.DECLINED, decided_by="U1"),
    request(state=State.DECLINED, decided_by="U3"),
    request(state=State.EXPIRED),
]
SPEECHES = [Limit(Usd.dollars(500), "U1", NOON), Limit(GREATEST, "U1", NOON), Limit(None, "U1", NOON)]


def purchase(status: Status) -> Purchase:
    return Purchase(
        id="pur_1",
        nonce=request().id,
        account_id="acme",
        workspace=Workspace("", "T1"),
        buyer_id="U1",
        locale=None,
        amount=Usd.dollars(25),
        status=status,
        pay_with=PayWith.EITHER,
        created_at=NOON,
        updated_at=NOON,
        check_at=None,
    )


def forms(texts: Texts) -> Iterator[View]:
    for account in (ACME, ALONE):
        yield ask_form(texts, account, "n" * 80)
        yield ask_form(texts, account, "n", amount=GREATEST)
        yield ask_form(texts, account, "n", amount="1" * 30, remark="w" * 200)
    yield from (change_form(texts, each) for each in OPEN)


def messages(texts: Texts) -> Iterator[Said]:
    for each in (*OPEN, *CLOSED):
        for account in (ACME, ALONE):
            yield owner_card(texts, each, account, "U1")
            yield owner_card(texts, each, account, "U2")
            yield asker_card(texts, each, account)
    for each in CLOSED:
        if each.state is State.APPROVED:
            yield from (outcome(texts, each, purchase(status)) for status in Status)
        else:
            yield outcome(texts, each, None)
    yield from (limit_news(texts, account, each) for each in SPEECHES for account in (ACME, ALONE))


def sentences(texts: Texts) -> Iterator[str]:
    for each in OPEN:
        yield from (asked(texts, Asked(each, new=new)) for new in (True, False))
    yield from (limit_stands(texts, account, each) for each in (None, *SPEECHES) for account in (ACME, ALONE))


class Gallery(NamedTuple):
    """Every form, message and sentence in one language, as it is sent."""

    language: str
    forms: list[Json]
    messages: list[tuple[str, list[Json]]]
    sentences: list[str]


@pytest.fixture(scope="module", params=languages())
def gallery(request: pytest.FixtureRequest) -> Gallery:
    texts = texts_for(request.param)
    said = [(text, as_sent(blocks)) for text, blocks in messages(texts)]
    return Gallery(request.param, [*map(as_sent, forms(texts))], said, [*sentences(texts)])


def confirmations(blocks: Sequence[Json]) -> Iterator[str]:
    for block in blocks:
        for element in block.get("elements", []):
            yield from (each["text"] for key, each in element.get("confirm", {}).items() if key != "style")


def test_slack_takes_all_of_it_in_every_language(gallery: Gallery) -> None:
    for view in gallery.forms:
        assert check_view(view, "modal") == [], outline(view)
    for said, blocks in gallery.messages:
        assert check_blocks(blocks, "message") == [], outline(blocks)
        assert 0 < len(said) < 3000
        assert said.splitlines()[0] in outline(blocks)
    assert all(0 < len(said) < 3000 for said in gallery.sentences)


def test_no_hole_is_left_and_every_sentence_is_shown_somewhere(gallery: Gallery) -> None:
    drawn = [*map(outline, gallery.forms), *(outline(blocks) for _, blocks in gallery.messages), *gallery.sentences]
    whole = "\n".join([*drawn, *(word for _, blocks in gallery.messages for word in confirmations(blocks))])
    shown = re.sub("<!date[^>]*>", "at noon", whole)
    assert not re.search(r"\{[a-z]+\}|\bNone\b|\b(refusal|ask)\.[a-z]", shown)
    assert unseen(gallery.language, ("ask.",), [shown]) == ["ask.busy"]


@given(st.text("<>&!@#|*_~`:abc \n", min_size=1, max_size=60).filter(str.strip))
def test_what_somebody_typed_is_only_text(typed: str) -> None:
    wish, account = request(reason=typed), replace(ACME, name=typed)
    for said, blocks in (owner_card(ENGLISH, wish, account, "U1"), asker_card(ENGLISH, wish, account)):
        assert not re.search("[<>]", OURS.sub("", said))
        drawn = [block.to_dict() for block in blocks]
        assert [block["text"] for block in drawn if block.get("text", {}).get("type") == "plain_text"] == [
            {"type": "plain_text", "text": f"“{typed}”", "emoji": False}
        ]
        marked = "".join(block["text"]["text"] for block in drawn if block.get("text", {}).get("type") == "mrkdwn")
        assert not re.search("[<>]", OURS.sub("", marked))


def test_the_card_of_an_owner() -> None:
    said, blocks = owner_card(ENGLISH, request(), ACME, "U1")
    assert outline(blocks) == (
        "<@U3> asks you to buy *$25.00* of credits for *Acme Labs*.\n"
        "“The report is due”\n"
        "[Approve $25.00] [Change amount] [Decline]\n"
        "· What you approve is charged to the account’s saved card; without one you pay on Stripe’s page. "
        "The request ends <!date^1793966400^{date_short_pretty} {time}|2026-11-06 12:00 UTC>."
    )
    assert said == "<@U3> asks you to buy *$25.00* of credits for *Acme Labs*.\n“The report is due”"
    assert list(confirmations(as_sent(blocks)))[:2] == [
        "Buy $25.00 of credits?",
        "The account’s saved card is charged at once; without one you pay on Stripe’s page. "
        "Credits cannot be refunded.",
    ]


def test_the_card_of_an_owner_in_danish_when_another_one_has_agreed_to_less() -> None:
    _, blocks = owner_card(DANISH, request(first_by="U1", amount=Usd.dollars(20)), ACME, "U2")
    assert outline(blocks).splitlines()[:4] == [
        "<@U3> beder dig købe kredit for *20,00\u00a0USD* til *Acme Labs*.",
        "“The report is due”",
        "Beløbet er nu 20,00\u00a0USD i stedet for 25,00\u00a0USD. "
        "<@U1> har godkendt det, og det skal én kontoejer mere.",
        "[Godkend 20,00\u00a0USD] [Ret beløbet] [Afvis]",
    ]


def test_whoever_agreed_first_can_only_decline() -> None:
    _, blocks = owner_card(ENGLISH, request(first_by="U1"), ACME, "U1")
    assert outline(blocks).splitlines()[3] == "[Decline]"


def test_a_button_names_the_amount_that_was_seen() -> None:
    _, blocks = owner_card(ENGLISH, request(), ACME, "U1")
    [value, *_] = [each["value"] for each in blocks[2].to_dict()["elements"]]
    assert seen(value) == (request().id, Usd.dollars(25))
