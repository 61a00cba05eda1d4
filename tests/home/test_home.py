"""App Home: what the account has and what this person may do."""

from dataclasses import replace

from bot.accounts.model import Workspace as Home
from bot.sandbox.faults import Kind
from bot.sandbox.world import MEMBER, OWNER, SECOND_OWNER, TRIAL_OWNER

from ..genstudio import use
from ..stage import OpenStage, Stage, buttons, says


async def home(stage: Stage, user: str = OWNER, *, like: str = "") -> str:
    """The words in somebody's Home tab, once it has these."""
    await stage.slack.open_home(user)
    words: str = await stage.until(lambda: (view := stage.slack.home(user)) and like in (said := says(view)) and said)
    return words


async def test_an_owner_sees_the_balance_and_a_button(open_stage: OpenStage) -> None:
    stage = await open_stage()

    assert (await home(stage)).splitlines() == [
        "Credits",
        "*Acme Labs* has *0.00* credits.",
        "Buy credits",
        "Credit warnings",
        "*Latest purchases*",
        "Nothing has been bought yet.",
        "Trouble while buying? Write to support@skydeck.ai.",
    ]


async def test_the_button_opens_the_form_and_the_purchase_appears(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await home(stage)
    view = stage.slack.home(OWNER)
    await stage.slack.press(OWNER, view, buttons(view)["Buy credits"]["action_id"])
    await stage.opened()
    await stage.slack.submit(OWNER, amount="25")
    await stage.said("credited")

    words = await home(stage, like="*25.00*")
    [charge] = stage.stripe.charges_made()
    assert f"*$25.00* · <@{OWNER}> · credited · <{charge['receipt_url']}|Receipt>" in words
    assert "<!date^" in words


async def test_the_five_newest_purchases_are_shown_whoever_made_them(stage: Stage) -> None:
    for number in range(6):
        await stage.bought(str(10 + number), (OWNER, SECOND_OWNER)[number % 2])

    words = await home(stage, like="$15.00")
    assert [f"${10 + number}.00*" in words for number in range(6)] == [False, True, True, True, True, True]
    assert words.index("$15.00") < words.index("$11.00")


async def test_a_purchase_that_waits_says_so(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")

    assert f"*$25.00* · <@{OWNER}> · waiting for payment" in await home(stage)


async def test_who_may_not_buy_reads_why_and_finds_no_button(stage: Stage) -> None:
    words = await home(stage, MEMBER)

    assert f"Only an owner of *Acme Labs* can buy credits. Please ask <@{OWNER}> or <@{SECOND_OWNER}>." in words
    assert buttons(stage.slack.home(MEMBER)) == {}


async def test_owners_read_what_was_used_and_not_paid_for_or_not_booked_yet(open_stage: OpenStage) -> None:
    stage = await open_stage()
    await stage.price()
    genstudio = await stage.program()
    await genstudio.send(use("1"), use("2"), use("3", model="new"))

    words = (await home(stage)).splitlines()
    assert words[1:3] == [
        "*Acme Labs* has *-2.00* credits.",
        "2.00 credits more were used than were bought. The next purchase pays for them first. "
        "1 use of a model is not booked yet: it waits for credits or for a price.",
    ]
    assert "2,00 kreditter mere" in await home(stage, SECOND_OWNER)
    assert "bought. The next" not in await home(stage, MEMBER)

    await stage.bought("25")
    assert (await home(stage, like="*23.00*")).splitlines()[2].startswith("1 use of a model")
    await stage.price(model="new")
    await stage.wind(5)
    await stage.until(lambda: _nothing_waits(stage))
    assert "not booked yet" not in await home(stage, like="*22.00*")


async def _nothing_waits(stage: Stage) -> bool:
    return not await stage.parked()


async def test_receipts_are_for_owners(stage: Stage) -> None:
    await stage.bought("25")

    assert "|Receipt>" in await home(stage)
    words = await home(stage, MEMBER)
    assert "$25.00* · " in words
    assert "http" not in words


async def test_an_owner_on_trial_reads_where_to_upgrade(stage: Stage) -> None:
    words = await home(stage, TRIAL_OWNER)

    assert "*Tiny Trial* has *0.00* credits." in words
    assert "Account → Billing → Upgrade" in words
    assert buttons(stage.slack.home(TRIAL_OWNER)) == {}


async def test_a_workspace_without_an_account_reads_whom_to_write_to(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda each: replace(each, workspace=Home("", f"T0NOT{each.id.upper()}")))

    words = await home(stage)
    assert "This Slack workspace is not linked to a SkyDeck.ai account yet." in words
    assert "has *" not in words


async def test_danes_read_danish(stage: Stage) -> None:
    await stage.bought("1234.50")

    words = await home(stage, SECOND_OWNER)
    assert "*Acme Labs* har *1.234,50* kreditter." in words
    assert "krediteret" in words
    assert "Kvittering" in words


async def test_a_home_that_slack_would_not_take_comes_with_the_next_visit(stage: Stage) -> None:
    stage.faults.arm("views.publish", Kind.STATUS, code=503)
    await stage.slack.open_home(OWNER)
    await stage.until(lambda: stage.faults.hits)

    assert "*Acme Labs*" in await home(stage)
