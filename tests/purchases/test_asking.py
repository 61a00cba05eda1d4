"""Whoever may not buy asks, an owner decides: once, whoever presses what and when, and everybody hears of it."""

import asyncio
from typing import Any

import pytest

from bot import faultpoint
from bot.accounts.model import Plan, Workspace
from bot.money import Usd
from bot.purchases.asking.model import AmountChanged, Answered, ApprovedOnce, NoRequest
from bot.purchases.asking.views import seen
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message
from bot.sandbox.world import ENTERPRISE, GUEST, MEMBER, OWNER, SECOND_OWNER, TEAM, TRIAL_OWNER
from bot.slack import names

from ..stage import OpenStage, Stage, buttons, says, tamper

HOME = Workspace(ENTERPRISE, TEAM)
ANNA, BO, MAJA = f"<@{OWNER}>", f"<@{SECOND_OWNER}>", f"<@{MEMBER}>"
WHY = "The report is due on Friday"


class Cut(Exception):
    """Ends what goes on where it stands."""


async def refused(stage: Stage, typed: str = "25", user: str = MEMBER) -> Message:
    """What somebody who may not buy hears, with its buttons."""
    before = len(stage.whispers(user))
    await stage.slack.command(user, stage.slack.channel_named("general").id, f"/buy-credits {typed}")
    await stage.until(lambda: len(stage.whispers(user)) > before)
    return next(
        each
        for channel in stage.slack.channels
        for each in reversed(stage.slack.messages(channel, for_user=user))
        if each.ephemeral_to == user
    )


async def open_form(stage: Stage, typed: str = "25", user: str = MEMBER) -> Any:
    stage.slack.views.clear(user)
    message = await refused(stage, typed, user)
    await stage.slack.press(user, message, names.OPEN_ASK_FORM)
    return await stage.until(lambda: stage.slack.modal(user))


async def ask(stage: Stage, typed: str = "25", reason: str = WHY, user: str = MEMBER) -> str:
    """Ask for so much, and the words that are said to it."""
    await open_form(stage, typed, user)
    ack = await stage.slack.submit(user, ask_reason=reason)
    assert ack.ok, ack.error or ack.errors
    return says(stage.slack.modal(user))


async def card(stage: Stage, *words: str, user: str = OWNER) -> Message:
    """The newest card of a request that somebody has and that says all this."""
    found: Message = await stage.eventually(
        lambda: next(
            (each for each in reversed(requests(stage, user)) if all(word in says(each) for word in words)), None
        ),
        within=20,
        step=1.1,
    )
    return found


def requests(stage: Stage, user: str) -> list[Message]:
    return [each for each in stage.cards(user) if (each.metadata or {})["event_payload"]["key"].startswith("request:")]


def key(message: Message) -> str:
    return str((message.metadata or {})["event_payload"]["key"]).rpartition(":")[2]


async def press(stage: Stage, button: str, user: str = OWNER) -> None:
    """Press a button of the newest request that can be answered."""
    shown = await stage.eventually(
        lambda: next((each for each in reversed(requests(stage, user)) if buttons(each)), None), within=20, step=1.1
    )
    ack = await stage.slack.press(user, shown, button)
    assert ack.ok, ack.error


async def limit(stage: Stage, typed: str, user: str = OWNER) -> str:
    before = len(stage.whispers(user))
    await stage.slack.command(user, stage.slack.channel_named("general").id, f"/buy-credits limit {typed}")
    await stage.until(lambda: len(stage.whispers(user)) > before)
    return stage.whispers(user)[-1]


# ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_member_asks_an_owner_approves_and_everybody_is_told(open_stage: OpenStage) -> None:
    stage = await open_stage()
    form = await open_form(stage)
    assert says(form).startswith(f"An owner of *Acme Labs* decides: {ANNA} or {BO}.\n")
    assert (await stage.slack.submit(MEMBER, ask_reason=WHY)).ok
    assert f"when it is answered by {ANNA} or {BO}." in says(stage.slack.modal(MEMBER))

    mine = await card(stage, f"You asked {ANNA} or {BO} for *$25.00* of credits for *Acme Labs*.", user=MEMBER)
    assert "The request waits for an answer until" in says(mine)
    of_bo = await card(stage, user=SECOND_OWNER)
    of_anna = await card(stage, f"{MAJA} asks you to buy *$25.00* of credits for *Acme Labs*.", f"“{WHY}”")
    assert list(buttons(of_anna)) == ["Approve $25.00", "Change amount", "Decline"]
    assert WHY in of_anna.text

    await press(stage, names.APPROVE_REQUEST)

    await card(stage, f"{ANNA} approved your request for $25.00.", f"{ANNA} bought $25.00 of credits.", user=MEMBER)
    assert await stage.balance() == "25.00"
    assert stage.charges() == [2500]
    [purchase] = await stage.purchases()
    assert (purchase.buyer_id, purchase.card and purchase.card.last4) == (OWNER, "4242")
    await stage.until(lambda: "bad om kredit" in says(of_bo) and "asked for" in says(of_anna))
    assert f"{ANNA} approved it." in says(of_anna)
    assert f"{ANNA} godkendte det." in says(of_bo)
    assert buttons(of_anna) == buttons(of_bo) == {}
    await stage.until(lambda: f"{ANNA} approved it." in says(mine))
    assert [key(each) for each in stage.cards(OWNER)] == [OWNER, "buyer"]


async def test_the_same_in_danish_and_without_a_saved_card(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    stage.slack.person(MEMBER).locale = "da-DK"
    form = await open_form(stage)
    assert form.title == "Spørg kontoejeren"
    assert (await stage.slack.submit(MEMBER, amount="1.234,50", ask_reason="Rapporten <skal> ud & *nu*")).ok

    of_bo = await card(
        stage,
        f"{MAJA} beder dig købe kredit for *1.234,50\u00a0USD* til *Acme Labs*.",
        "“Rapporten <skal> ud & *nu*”",
        user=SECOND_OWNER,
    )
    assert "“Rapporten &lt;skal&gt; ud &amp; *nu*”" in of_bo.text
    await press(stage, names.APPROVE_REQUEST, SECOND_OWNER)

    await stage.said("Betal 1.234,50\u00a0USD på Stripes side", user=SECOND_OWNER)
    await card(stage, f"{BO} godkendte din anmodning om 1.234,50\u00a0USD.", f"{BO} er ved at købe", user=MEMBER)
    await stage.pay(save=True)
    await card(stage, f"{BO} har købt kredit for 1.234,50\u00a0USD.", user=MEMBER)
    assert await stage.balance() == "1234.50"


async def test_an_owner_declines_and_nothing_is_bought(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage)
    await press(stage, names.DECLINE_REQUEST)

    await card(stage, f"{ANNA} declined your request for $25.00. Nothing was bought.", user=MEMBER)
    of_anna = await card(stage, f"{ANNA} declined it.")
    assert buttons(of_anna) == {}
    assert await stage.purchases() == []


async def test_an_owner_approves_another_amount(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage, "250")
    await press(stage, names.CHANGE_REQUEST)
    form = await stage.until(lambda: stage.slack.modal(OWNER))
    assert says(form).startswith(f"{MAJA} asked for $250.00.")
    ack = await stage.slack.submit(OWNER, amount="1.000")
    assert "could mean" in str(ack.errors)
    ack = await stage.slack.submit(OWNER, amount="0.10")
    assert list(ack.errors.values()) == ["The least amount is $1.00."]

    assert (await stage.slack.submit(OWNER, amount="40")).ok

    assert stage.slack.modal(OWNER).title == "Buy credits"
    await card(stage, f"{ANNA} approved $40.00. You had asked for $250.00.", "bought $40.00", user=MEMBER)
    assert stage.charges() == [4000]


async def test_owners_who_did_not_decide_are_told_by_a_message_and_not_by_an_edit(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage)
    await press(stage, names.DECLINE_REQUEST)

    await stage.eventually(lambda: len(requests(stage, SECOND_OWNER)) == 2, within=10, step=1.1)
    news = await card(stage, "bad om kredit for *25,00\u00a0USD*", f"{ANNA} afviste det.", user=SECOND_OWNER)
    assert key(news) == "again"
    assert buttons(news) == {}

    await ask(stage, "26")
    await stage.wind(hours=73)
    for user in (OWNER, SECOND_OWNER):
        await stage.eventually(lambda who=user: key(requests(stage, who)[-1]) == "again", within=10, step=1.1)
    assert len(requests(stage, OWNER)) == 3, "of her own answer she needs no news"


async def test_whoever_asked_takes_it_back_while_nobody_has_answered(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage)
    mine, of_anna, of_bo = [await card(stage, user=user) for user in (MEMBER, OWNER, SECOND_OWNER)]
    [value] = [each["value"] for each in buttons(mine).values()]
    with pytest.raises(NoRequest):
        await stage.bot.asking.withdraw(HOME, SECOND_OWNER, value)

    await press(stage, names.WITHDRAW_REQUEST, MEMBER)

    await stage.until(lambda: f"{MAJA} withdrew it." in says(mine) and f"{MAJA} withdrew it." in says(of_anna))
    await stage.until(lambda: f"{MAJA} trak det tilbage." in says(of_bo))
    assert buttons(mine) == buttons(of_anna) == buttons(of_bo) == {}
    with pytest.raises(Answered) as late:
        await stage.bot.asking.approve(HOME, OWNER, value, Usd.dollars(25), seen=True)
    assert (late.value.key, late.value.facts) == ("refusal.request_withdrawn", {"who": (MEMBER,)})
    assert len(requests(stage, MEMBER)) == len(requests(stage, SECOND_OWNER)) == 1
    assert await stage.purchases() == []


async def test_what_was_approved_cannot_be_taken_back(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage)
    mine = await card(stage, user=MEMBER)
    [value] = [each["value"] for each in buttons(mine).values()]
    await press(stage, names.APPROVE_REQUEST)
    await card(stage, "approved your request", user=MEMBER)

    with pytest.raises(Answered, match="request_approved"):
        await stage.bot.asking.withdraw(HOME, MEMBER, value)


async def test_what_the_bank_declines_is_told_to_both(stage: Stage) -> None:
    [customer] = stage.stripe.state.customers
    stage.stripe.save_card(customer["id"], "declined", default=True)
    await ask(stage)
    await press(stage, names.APPROVE_REQUEST)

    card_of_anna = await stage.said("was declined", "Pay $25.00")
    await stage.slack.press(OWNER, card_of_anna, names.CANCEL_PURCHASE)

    await card(stage, f"The purchase of $25.00 by {ANNA} was not completed. Nothing was charged.", user=MEMBER)


# ── who may ask ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_guests_strangers_and_members_of_a_trial_are_not_offered_to_ask(stage: Stage) -> None:
    for user in (GUEST, TRIAL_OWNER):
        assert "Ask the owner" not in buttons(await refused(stage, user=user))
    await stage.change(plan=Plan.FREE_TRIAL)
    assert "Ask the owner" not in buttons(await refused(stage))


async def test_asking_is_checked_when_the_form_is_submitted(stage: Stage) -> None:
    await open_form(stage)
    stage.slack.person(MEMBER).is_restricted = True
    await stage.wind(minutes=6)

    assert (await stage.slack.submit(MEMBER, ask_reason=WHY)).ok
    assert says(stage.slack.modal(MEMBER)).startswith("Guests cannot buy credits for *Acme Labs*.")

    stage.slack.person(MEMBER).is_restricted = False
    await stage.wind(minutes=6)
    await refused(stage)
    await open_form(stage)
    stage.faults.arm("users.info", Kind.STATUS, None, code=503)
    await stage.wind(minutes=6)
    assert (await stage.slack.submit(MEMBER, ask_reason=WHY)).ok
    assert "press the button once more" in says(stage.slack.modal(MEMBER))
    assert list(buttons(stage.slack.modal(MEMBER))) == ["Contact support"]
    assert requests(stage, OWNER) == []


async def test_the_amount_that_was_typed_is_filled_in_wherever_the_refusal_stood(stage: Stage) -> None:
    form = await open_form(stage, "12,50")
    assert "\n12.50\n" in says(form)
    await stage.form("250")
    await stage.change(owners=frozenset({SECOND_OWNER}))
    await stage.slack.submit(OWNER, amount="333")
    notice = stage.slack.modal(OWNER)
    await stage.slack.press(OWNER, notice, names.OPEN_ASK_FORM)
    form = await stage.until(lambda: (top := stage.slack.modal(OWNER)) is not notice and top)
    assert "\n333\n" in says(form)


async def test_a_warning_in_a_channel_lets_members_ask_and_tells_owners_that_they_need_not(stage: Stage) -> None:
    await stage.bought("5")
    warning = await stage.eventually(
        lambda: next((each for each in stage.cards_in(stage.home) if "Ask the owner" in says(each)), None),
        within=20,
        step=1.1,
    )
    await stage.slack.press(MEMBER, warning, names.OPEN_ASK_FORM)
    form = await stage.until(lambda: stage.slack.modal(MEMBER))
    assert form.title == "Ask the owner"
    await stage.slack.press(OWNER, warning, names.OPEN_ASK_FORM)
    assert "You can buy for *Acme Labs* yourself" in await stage.whisper(OWNER)


async def test_a_form_or_a_wish_sent_twice_is_one_request_and_three_are_enough(open_stage: OpenStage) -> None:
    stage = await open_stage()
    form = await open_form(stage)
    acks = await asyncio.gather(*(stage.slack.submit(MEMBER, form, ask_reason=WHY) for _ in range(3)))
    assert [ack.error for ack in acks] == [""] * 3
    assert "You have asked for this already." in await ask(stage)
    await card(stage)
    assert [key(each) for each in requests(stage, OWNER)] == [OWNER]

    await ask(stage, "26")
    await ask(stage, "25", "Something else")
    assert "You have 3 requests that nobody has answered yet." in await ask(stage, "27")


# ── one decision ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_two_owners_in_the_same_moment_decide_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await ask(stage)
    of_anna, of_bo = await card(stage), await card(stage, user=SECOND_OWNER)

    await asyncio.gather(
        *(stage.slack.press(OWNER, of_anna, names.APPROVE_REQUEST) for _ in range(3)),
        *(stage.slack.press(SECOND_OWNER, of_bo, names.APPROVE_REQUEST) for _ in range(3)),
    )

    await stage.became("settled", within=20, step=1.1)
    assert stage.charges() == [2500]
    [purchase] = await stage.purchases()
    loser = SECOND_OWNER if purchase.buyer_id == OWNER else OWNER
    assert f"<@{purchase.buyer_id}>" in await stage.whisper(loser)
    await stage.until(lambda: all(f"<@{purchase.buyer_id}>" in says(each) for each in (of_anna, of_bo)))
    await card(stage, "approved your request", user=MEMBER)
    assert [key(each) for each in requests(stage, MEMBER)] == ["asker", "outcome"]


async def test_two_processes_decide_once(open_stage: OpenStage) -> None:
    stage = await open_stage()
    if stage.bot.database.is_sqlite:
        pytest.skip("one file has one process")
    await ask(stage)
    of_anna = await card(stage)
    request_id, amount = seen(buttons(of_anna)["Approve $25.00"]["value"])
    async with stage.second_bot() as other:
        answers = await asyncio.gather(
            stage.bot.asking.approve(HOME, OWNER, request_id, amount),
            other.asking.decline(HOME, SECOND_OWNER, request_id),
            other.asking.approve(HOME, SECOND_OWNER, request_id, amount),
            stage.bot.asking.decline(HOME, OWNER, request_id),
            return_exceptions=True,
        )
    assert len([each for each in answers if isinstance(each, Answered)]) == 3


async def test_yes_to_what_was_bought_a_moment_ago_is_asked_about(stage: Stage) -> None:
    await ask(stage)
    await stage.bought("25", SECOND_OWNER)
    await press(stage, names.APPROVE_REQUEST)
    again = await stage.until(lambda: stage.slack.modal(OWNER))
    assert again.title == "Buy it again?"
    assert len(await stage.purchases()) == 1

    assert (await stage.slack.submit(OWNER)).ok

    await stage.became("settled", "settled", within=20, step=1.1)


async def test_what_is_cut_short_between_the_decision_and_the_purchase_leaves_neither(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await ask(stage)
    request_id, amount = seen(buttons(await card(stage))["Approve $25.00"]["value"])

    def cut(name: str) -> None:
        if name == "K4":
            raise Cut

    faultpoint.arm(cut)
    try:
        with pytest.raises(Cut):
            await stage.bot.asking.approve(HOME, OWNER, request_id, amount)
    finally:
        faultpoint.arm(lambda name: None)
    assert await stage.purchases() == []
    assert "Approve $25.00" in buttons(await card(stage))

    await stage.restart()
    await press(stage, names.APPROVE_REQUEST)
    await stage.became("settled", within=20, step=1.1)
    assert stage.charges() == [2500]


# ── at that moment ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"owners": frozenset({SECOND_OWNER})}, f"Only an owner of *Acme Labs* can buy credits. Please ask {BO}."),
        ({"plan": Plan.FREE_TRIAL}, "*Acme Labs* is on the free trial"),
    ],
)
async def test_an_owner_or_a_plan_that_is_not_any_more_buys_nothing(
    stage: Stage, facts: dict[str, Any], sentence: str
) -> None:
    await ask(stage)
    of_anna = await card(stage)
    await stage.change(**facts)

    await stage.slack.press(OWNER, of_anna, names.APPROVE_REQUEST)

    assert (await stage.whisper(OWNER)).startswith(sentence)
    assert await stage.purchases() == []
    assert "Approve $25.00" in buttons(await card(stage, user=OWNER)), "another owner, or another day, may still do it"


async def test_while_the_books_are_wrong_nothing_is_approved(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("11")
    await ask(stage)
    stage.books_are_broken = True
    await tamper(stage.bot, "UPDATE ledger_balances SET nano = nano + 1")
    await stage.bot._prove()

    await press(stage, names.APPROVE_REQUEST)

    assert "Buying is paused" in await stage.whisper(OWNER)
    assert await stage.statuses() == ["settled"]


async def test_after_three_days_a_request_ends_also_over_a_restart(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await ask(stage)
    of_anna = await card(stage)
    await stage.restart()
    await stage.wind(hours=71)
    await ask(stage, "26")
    await stage.wind(minutes=61)

    last = await card(stage, "Nobody answered your request for $25.00 within 72 hours", user=MEMBER)
    await stage.until(lambda: "Nobody answered within 72 hours" in says(of_anna))
    assert buttons(of_anna) == {}
    assert list(buttons(last)) == ["Ask the owner"]
    await card(stage, "*$26.00*", user=OWNER)

    await stage.restart()
    await press(stage, names.APPROVE_REQUEST)
    await card(stage, "bought $26.00 of credits", user=MEMBER)


# ── the limit ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_limit_is_seen_and_set_by_owners_and_all_of_them_are_told(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    assert "has no limit" in await limit(stage, "")
    assert f"{ANNA} set a limit of *$500.00* for *Acme Labs*" in await limit(stage, "500")
    await stage.said(f"{ANNA} has set the limit of *Acme Labs* to *$500.00*")
    await stage.said(f"{ANNA} har sat grænsen for *Acme Labs* til *500,00\u00a0USD*", user=SECOND_OWNER)
    assert "set a limit of *$500.00*" in await limit(stage, "500"), "nothing new, and nobody is told again"
    assert "could mean" in await limit(stage, "1.000")
    assert "The greatest amount is $100,000." in await limit(stage, "100001")
    assert "Kun en kontoejer" not in await limit(stage, "", SECOND_OWNER)
    assert await limit(stage, "900", MEMBER) == (
        f"Only an owner of *Acme Labs* can see and change its limit. Please ask {ANNA} or {BO}."
    )
    await limit(stage, "fra", SECOND_OWNER)
    await stage.eventually(
        lambda: f"{BO} has lifted the limit of *Acme Labs*" in stage.card(OWNER).text, within=10, step=1.1
    )
    assert len(stage.cards(OWNER)) == 2


async def test_above_the_limit_two_owners_approve(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await limit(stage, "500")
    await ask(stage, "600")
    of_bo = await card(stage, "*600,00\u00a0USD*", user=SECOND_OWNER)
    await press(stage, names.APPROVE_REQUEST)

    of_anna = await card(stage, f"{ANNA} has approved it, and one more owner must.")
    await card(stage, f"{ANNA} has approved it, and one more owner must.", user=MEMBER)
    assert list(buttons(of_anna)) == ["Decline"]
    assert await stage.purchases() == []
    await stage.eventually(lambda: len(requests(stage, SECOND_OWNER)) == 2, within=10, step=1.1)
    needed = await card(stage, f"{ANNA} har godkendt det", user=SECOND_OWNER)
    assert needed is not of_bo, "what is edited notifies nobody, and Bo is needed now"
    assert buttons(needed) == buttons(of_bo)

    await stage.slack.press(SECOND_OWNER, needed, names.APPROVE_REQUEST)

    await card(stage, f"{BO} approved your request for $600.00.", f"{BO} bought $600.00", user=MEMBER)
    await stage.eventually(lambda: len(requests(stage, OWNER)) == 2, within=10, step=1.1)
    news = await card(stage, f"{BO} approved it. {ANNA} had approved it before.")
    assert news is not of_anna, "she hears what came of her yes"
    await stage.until(lambda: buttons(needed) == buttons(of_bo) == buttons(of_anna) == {})
    assert stage.charges() == [60_000]


async def test_an_owners_own_purchase_above_the_limit_becomes_a_request_to_the_others(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await limit(stage, "500")
    form = await stage.form("500.01")
    assert (await stage.slack.submit(OWNER, form)).ok
    submitted = stage.slack.deliveries[-1]
    assert says(stage.slack.modal(OWNER)).startswith(
        "One owner alone may not buy this much, so nothing was bought yet."
    )
    assert await stage.purchases() == []
    mine = await card(stage, f"You asked {BO} for *$500.01*")
    assert list(buttons(mine)) == ["Withdraw"]

    await limit(stage, "off", SECOND_OWNER)
    await stage.slack.replay(submitted)
    assert await stage.purchases() == [], "the form has become a request, and buys nothing by itself"

    await limit(stage, "500", SECOND_OWNER)
    await press(stage, names.APPROVE_REQUEST, SECOND_OWNER)
    await card(stage, f"{BO} approved your request for $500.01.", f"{BO} bought $500.01")
    assert stage.charges() == [50_001]


async def test_above_the_limit_a_second_owner_agrees_to_what_was_seen_or_to_less(stage: Stage) -> None:
    await limit(stage, "500")
    await ask(stage, "900")
    of_bo = await card(stage, "*900,00\u00a0USD*", user=SECOND_OWNER)
    stale = buttons(of_bo)["Godkend 900,00\u00a0USD"]
    await press(stage, names.CHANGE_REQUEST)
    await stage.until(lambda: stage.slack.modal(OWNER))
    ack = await stage.slack.submit(OWNER, amount="901")
    assert list(ack.errors.values()) == ["Above the limit of $500.00 you can approve $900.00 or less."]
    await stage.slack.submit(OWNER, amount="800")
    assert f"{ANNA} has approved it, and one more owner must." in says(stage.slack.modal(OWNER))
    await stage.until(lambda: "Godkend 800,00\u00a0USD" in buttons(of_bo))

    request_id, _ = stale["value"].split()
    with pytest.raises(AmountChanged):
        await stage.bot.asking.approve(HOME, SECOND_OWNER, request_id, Usd.dollars(900), seen=True)
    with pytest.raises(ApprovedOnce):
        await stage.bot.asking.approve(HOME, OWNER, request_id, Usd.dollars(800), seen=True)

    await press(stage, names.APPROVE_REQUEST, SECOND_OWNER)
    await stage.became("settled", within=20, step=1.1)
    assert stage.charges() == [80_000]


async def test_a_single_owner_buys_any_amount(stage: Stage) -> None:
    await limit(stage, "5")
    await stage.change(owners=frozenset({OWNER}))
    assert "At present there is only one owner" in await limit(stage, "")

    await stage.bought("25")
