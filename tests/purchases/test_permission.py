"""Who may buy: asked at the command, at the submit and at the charge, and everybody who may not is told why."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan
from bot.accounts.model import Workspace as Home
from bot.sandbox.faults import Kind
from bot.sandbox.world import ACCOUNT, ENTERPRISE, GUEST, MEMBER, OWNER, SECOND_OWNER, TEAM, TRIAL_OWNER

from ..stage import SELLING, OpenStage, Stage, says

ASK_THEM = f"<@{OWNER}> or <@{SECOND_OWNER}>"
ON_TRIAL = (
    "*Tiny Trial* is on the free trial, and credits can be bought on a paid plan. "
    "An owner can upgrade in the Control Center: Account → Billing → Upgrade."
)
LAPSED = ON_TRIAL.replace("Tiny Trial", "Acme Labs")


# ── at the command ────────────────────────────────────────────────────────────────────────────────────────────────


async def refused(stage: Stage, user: str) -> str:
    """What somebody hears who types the command and gets no form."""
    ack = await stage.slack.command(user, stage.slack.channel_named("general").id, "/buy-credits 25")
    assert ack.ok
    said = await stage.whisper(user)
    assert stage.slack.modal(user) is None
    assert await stage.purchases() == []
    return said


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        (MEMBER, f"Only an owner of *Acme Labs* can buy credits. Please ask {ASK_THEM}."),
        (GUEST, f"Guests cannot buy credits for *Acme Labs*. Please ask {ASK_THEM}."),
        (TRIAL_OWNER, ON_TRIAL),
    ],
)
async def test_who_may_not_buy_is_told_why_and_what_to_do_next(stage: Stage, user: str, sentence: str) -> None:
    assert await refused(stage, user) == sentence


async def test_not_even_an_owner_who_is_no_full_member_may_buy(stage: Stage) -> None:
    for name, sentence in (
        ("is_ultra_restricted", f"Guests cannot buy credits for *Acme Labs*. Please ask {ASK_THEM}."),
        ("is_bot", f"Apps cannot buy credits for *Acme Labs*. Please ask {ASK_THEM}."),
        ("deleted", f"A deactivated user cannot buy credits for *Acme Labs*. Please ask {ASK_THEM}."),
        (
            "is_stranger",
            f"Only people of this workspace can buy credits for *Acme Labs*. Please ask {ASK_THEM}, "
            "or use this command in your own workspace.",
        ),
    ):
        turn(stage, **{name: True})
        assert await refused(stage, OWNER) == sentence
        turn(stage, **{name: False})
        stage.slack.reload(OWNER)
        await stage.wind(minutes=6)  # what Slack said of somebody is believed for five


async def test_somebody_from_another_workspace_is_told_so(stage: Stage) -> None:
    stage.slack.add_person("U0EVE", "eve", team_id="T0ELSEWHERE")

    assert (await refused(stage, "U0EVE")).startswith("This Slack workspace is not linked to a SkyDeck.ai account yet.")


async def test_a_workspace_without_an_account_is_told_whom_to_write_to(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda each: replace(each, workspace=Home("", f"T0NOT{each.id.upper()}")))

    said = await refused(stage, OWNER)
    assert said.startswith("This Slack workspace is not linked to a SkyDeck.ai account yet.")
    assert "support@skydeck.ai" in said


async def test_an_account_that_was_added_by_its_team_alone_is_found(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(
        change=lambda each: replace(each, workspace=replace(each.workspace, enterprise_id=""))
    )

    await stage.bought()


async def test_the_account_of_the_organisation_goes_before_the_one_of_the_team(stage: Stage) -> None:
    other = Account("other", "Other", Plan.FREE_TRIAL, Home("", TEAM), frozenset({OWNER}))
    await stage.bot.database.write(partial(accounts.add, account=other, at=stage.world.clock.now()))

    assert "*Acme Labs*" in says(await stage.form())


async def test_a_refusal_comes_in_the_readers_language(stage: Stage) -> None:
    stage.slack.person(MEMBER).locale = "da-DK"
    owners = ASK_THEM.replace(" or ", " eller ")

    assert await refused(stage, MEMBER) == f"Kun en kontoejer for *Acme Labs* kan købe kredit. Spørg {owners}."


async def test_a_refusal_to_a_shortcut_is_shown_in_a_form_of_its_own(stage: Stage) -> None:
    await stage.slack.shortcut(MEMBER, "buy_credits")

    notice = await stage.until(lambda: stage.slack.modal(MEMBER))
    assert says(notice) == (
        f"Only an owner of *Acme Labs* can buy credits. Please ask {ASK_THEM}.\nAsk the owner\nContact support"
    )
    assert "submit" not in notice.view


# ── at the submit ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"owners": frozenset({SECOND_OWNER})},
            f"Only an owner of *Acme Labs* can buy credits. Please ask <@{SECOND_OWNER}>.",
        ),
        ({"plan": Plan.FREE_TRIAL}, LAPSED),
        ({"workspace": Home(ENTERPRISE, "T0MOVED")}, "This Slack workspace is not linked to a SkyDeck.ai account yet."),
    ],
)
async def test_whoever_lost_the_right_while_the_form_was_open_is_told_in_the_form(
    stage: Stage, facts: dict[str, Any], sentence: str
) -> None:
    await stage.form("25")
    await stage.change(**facts)

    assert (await stage.slack.submit(OWNER)).ok

    assert sentence in says(stage.slack.modal(OWNER))
    assert await stage.purchases() == []
    assert stage.calls(SELLING) == []


async def test_whoever_was_made_a_guest_while_the_form_was_open_is_told_in_the_form(stage: Stage) -> None:
    await stage.form("25")
    stage.slack.person(OWNER).is_restricted = True
    await stage.wind(minutes=6)  # what Slack said of a person is believed for five minutes, until the charge

    await stage.slack.submit(OWNER)

    assert f"Guests cannot buy credits for *Acme Labs*. Please ask {ASK_THEM}." in says(stage.slack.modal(OWNER))
    assert await stage.purchases() == []


async def test_a_form_of_somebody_else_or_from_somewhere_else_buys_nothing(stage: Stage) -> None:
    """The nonce is bound to the person: a copied one is refused, and so is one that was made up."""
    theirs = await stage.form("25", user=SECOND_OWNER)
    mine = await stage.form("25")
    for metadata in (
        theirs.view["private_metadata"],
        mine.view["private_metadata"].replace('["', '["x'),
        '["forged.1.2", "checkout", null, null]',
        '["", "checkout", null, null]',
    ):
        mine = await stage.form("25")
        mine.view["private_metadata"] = metadata
        assert (await stage.slack.submit(OWNER, mine)).ok
        assert "This form has expired." in says(stage.slack.modal(OWNER))
    assert await stage.purchases() == []


async def test_a_form_is_good_for_a_day(stage: Stage) -> None:
    form = await stage.form("25")
    await stage.wind(hours=25)

    await stage.slack.submit(OWNER, form)

    assert "This form has expired. Please open it again with `/buy-credits`; nothing was charged." in says(form)
    assert await stage.purchases() == []


# ── at the charge ─────────────────────────────────────────────────────────────────────────────────────────────────


def turn(stage: Stage, **facts: bool) -> None:
    for name, value in facts.items():
        setattr(stage.slack.person(OWNER), name, value)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"owners": frozenset({SECOND_OWNER})}, "Only an owner of *Acme Labs* can buy credits."),
        ({"plan": Plan.FREE_TRIAL}, LAPSED),
    ],
)
async def test_whoever_lost_the_right_after_the_submit_is_not_charged(
    open_small_stage: OpenStage, facts: dict[str, Any], sentence: str
) -> None:
    stage = await open_small_stage()
    with stage.held_up(SELLING) as gate:
        assert (await stage.buy("25")).ok
        await gate.reached.wait()
        await stage.change(**facts)

    await stage.said("The purchase of $25.00 was cancelled. Nothing was charged.", sentence)
    [intent] = stage.stripe.state.intents
    assert intent["status"] == "canceled"
    assert not [call for call in stage.calls("POST") if call.endswith("/confirm")]
    assert await stage.balance() == "0.00"


@pytest.mark.parametrize("facts", [{"deleted": True}, {"is_restricted": True}])
async def test_whoever_is_no_member_any_more_at_the_charge_is_not_charged(stage: Stage, facts: dict[str, bool]) -> None:
    with stage.held_up(SELLING) as gate:
        assert (await stage.buy("25")).ok
        await gate.reached.wait()
        turn(stage, **facts)
        await stage.wind(6)

    await stage.became("cancelled")
    stage.lost_cards = {f"purchase:{each.id}:buyer" for each in await stage.purchases() if "deleted" in facts}
    assert stage.charges() == []


async def test_the_right_is_looked_at_before_anything_is_asked_of_stripe(stage: Stage) -> None:
    await stage.form("25")
    stage.faults.arm("users.info", Kind.STATUS, None, code=503)
    await stage.wind(minutes=6)
    assert (await stage.slack.submit(OWNER)).ok, "Slack does not say who this is; the charge will ask again"
    await stage.until(lambda: "purchase waits" in stage.log.getvalue())
    await stage.change(owners=frozenset({SECOND_OWNER}))
    stage.faults.disarm()

    await stage.became("cancelled", within=60, step=5)
    await stage.said("was cancelled", "Only an owner of *Acme Labs* can buy credits.")
    assert stage.calls(SELLING) == []


async def test_nobody_is_charged_while_slack_does_not_say_who_they_are(stage: Stage) -> None:
    await stage.form("25")
    await stage.wind(minutes=6)
    stage.faults.arm("users.info", Kind.STATUS, None, code=503)
    assert (await stage.slack.submit(OWNER)).ok

    for _ in range(6):
        await stage.wind(minutes=5)
    assert stage.charges() == []
    assert await stage.statuses() == ["requested"]

    stage.faults.disarm()
    await stage.eventually(lambda: stage.charges() == [2500], within=600, step=60)


async def test_a_charge_that_could_not_begin_within_an_hour_is_given_up(stage: Stage) -> None:
    await stage.form("25")
    await stage.wind(minutes=6)
    stage.faults.arm("users.info", Kind.STATUS, None, code=503)
    assert (await stage.slack.submit(OWNER)).ok
    await stage.wind(minutes=61)
    stage.faults.disarm()

    await stage.said("was cancelled. Nothing was charged. It could not be charged within an hour, so we gave up.")
    assert stage.charges() == []


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"owners": frozenset({SECOND_OWNER})}, "Only an owner of *Acme Labs* can buy credits."),
        ({"plan": Plan.FREE_TRIAL}, LAPSED),
    ],
)
async def test_a_page_is_closed_when_the_right_is_lost_while_it_waits(
    open_small_stage: OpenStage, facts: dict[str, Any], sentence: str
) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00 on Stripe’s page")
    await stage.change(**facts)

    await stage.became("cancelled", within=60)

    await stage.said("was cancelled. Nothing was charged.", sentence)
    assert stage.page["status"] == "expired"
    assert (await stage.pay()).outcome.value == "the page takes no payments any more"


async def test_money_that_came_before_the_right_was_lost_is_credited(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, webhooks=None)
    await stage.buy("25")
    await stage.said("Pay $25.00 on Stripe’s page")
    await stage.pay()
    await stage.change(plan=Plan.FREE_TRIAL)

    await stage.became("settled", within=60)
    assert await stage.balance(ACCOUNT) == "25.00"
