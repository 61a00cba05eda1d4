"""App Home: what the account has and what this person may do."""

from dataclasses import replace
from datetime import timedelta

from bot.accounts.model import Workspace as Home
from bot.alerts import store as alerts
from bot.sandbox.faults import Kind
from bot.sandbox.slack import OpenView
from bot.sandbox.world import ACCOUNT, GUEST, MEMBER, OWNER, SECOND_OWNER, TRIAL_OWNER
from bot.slack import names
from bot.usage import hour_store

from ..genstudio import use
from ..stage import OpenStage, Stage, buttons, says


async def home(stage: Stage, user: str = OWNER, *, like: str = "") -> str:
    """The words in somebody's Home tab, once it has these."""
    await stage.slack.open_home(user)
    words: str = await stage.until(lambda: (view := stage.slack.home(user)) and like in (said := says(view)) and said)
    return words


async def test_an_owner_sees_the_balance_and_a_button(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()

    assert (await home(stage)).splitlines() == [
        "Credits",
        "*Acme Labs* has *0.00* credits.",
        "Plan: Advanced",
        "Buy credits",
        "Statements",
        "Credit warnings",
        "Change card",
        "Invoices",
        "Contact support",
        "*Where warnings go*",
        f"<#{stage.home}>",
        "*Latest purchases*",
        "Nothing has been bought yet.",
        "Trouble while buying? Write to support@skydeck.ai.",
    ]


async def test_the_button_opens_the_form_and_the_purchase_appears(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
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


async def test_who_may_not_buy_reads_why_and_finds_what_they_may_do(stage: Stage) -> None:
    words = await home(stage, MEMBER)

    assert f"Only an owner of *Acme Labs* can buy credits. Please ask <@{OWNER}> or <@{SECOND_OWNER}>." in words
    assert list(buttons(stage.slack.home(MEMBER))) == ["Ask the owner", "Statements", "Contact support"]
    assert "Where warnings go" not in words


async def test_owners_read_what_was_used_and_not_paid_for_or_not_booked_yet(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
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


async def _alerts_form(stage: Stage, user: str) -> OpenView:
    stage.slack.views.clear(user)
    await stage.slack.command(user, stage.home, "/buy-credits alerts")
    form: OpenView = await stage.until(
        lambda: (shown := stage.slack.modal(user)) and shown.view["callback_id"] == names.ALERTS_FORM and shown
    )
    return form


async def _rolled_up(stage: Stage) -> bool:
    async with stage.bot.database.read() as tx:
        return bool(await hour_store.spend_by_hour(tx, ACCOUNT))


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
    assert "Plan: Free Trial\n" in words
    assert list(buttons(stage.slack.home(TRIAL_OWNER))) == ["Statements", "Credit warnings", "Contact support"]


async def test_a_trial_says_how_long_it_lasts_where_that_is_known(stage: Stage) -> None:
    await stage.change("trial", trial_ends_at=stage.world.clock.now() + timedelta(days=2, hours=1))
    assert "Plan: Free Trial, 3 days left" in await home(stage, TRIAL_OWNER)

    await stage.wind(days=2)
    assert "Plan: Free Trial, 1 day left" in await home(stage, TRIAL_OWNER, like="1 day")
    await stage.wind(days=1)
    assert "Plan: Free Trial, which is over" in await home(stage, TRIAL_OWNER, like="over")


async def test_a_workspace_without_an_account_reads_whom_to_write_to(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(change=lambda each: replace(each, workspace=Home("", f"T0NOT{each.id.upper()}")))

    words = await home(stage)
    assert "This Slack workspace is not linked to a SkyDeck.ai account yet." in words
    assert "has *" not in words
    assert list(buttons(stage.slack.home(OWNER))) == ["Contact support"]


async def test_a_guest_reads_whom_to_ask_and_not_what_there_is(stage: Stage) -> None:
    words = await home(stage, GUEST)

    assert f"Please ask <@{OWNER}>" in words
    assert "has *" not in words
    assert list(buttons(stage.slack.home(GUEST))) == ["Contact support"]


async def test_what_is_used_stands_by_model_and_what_is_held_is_not_available(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.price()
    await stage.price("1", "1", model="<b>")
    genstudio = await stage.program()
    await genstudio.send(use("1"), use("2"), use("3", model="<b>"))
    await stage.eventually(lambda: _rolled_up(stage), within=300, step=61)
    await genstudio.hold(credits="4.00")

    words = await home(stage, MEMBER, like="Used in the last 14 days: 2.31 credits")
    assert "*Acme Labs* has *22.68* credits." in words
    assert "4.00 of them are held for calls of models under way: *18.68* are available." in words
    lines = [line for line in words.splitlines() if line.startswith("`")]
    assert lines == ["`██████████` openai gpt · *2.00* · 86 %", "`█░░░░░░░░░` openai &lt;b&gt; · *0.31* · 13 %"]

    await stage.slack.press(MEMBER, stage.slack.home(MEMBER), names.SHOW_SPEND)
    card = await stage.said("Used in the last 14 days", user=MEMBER)
    assert [block["type"] for block in card.blocks] == ["section", "data_visualization", "table"]


async def test_what_is_used_is_seen_by_who_has_it_open_within_some_minutes(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.price()
    await stage.wind(60)
    await home(stage, MEMBER, like="*25.00* credits")

    await (await stage.program()).send(use("1"))

    left = f"*{(await stage.balance())}* credits"
    assert left != "*25.00* credits"
    await stage.eventually(lambda: left in says(stage.slack.home(MEMBER)), within=240, step=10)


async def test_a_route_that_is_dead_is_told_to_owners(stage: Stage) -> None:
    await stage.bought("25")
    await stage.wind(30)
    await stage.bot.database.write(
        lambda tx: alerts.give_up(tx, ACCOUNT, stage.home, "is_archived", stage.world.clock.now())
    )

    words = await home(stage, like=":warning:")
    assert f"<#{stage.home}>" in words
    assert "archived" in words


async def test_it_changes_before_the_eyes_of_who_opened_it(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await home(stage, MEMBER)
    await stage.bought("25")
    await stage.eventually(lambda: "$25.00" in says(stage.slack.home(MEMBER)), within=30, step=5)

    await home(stage)
    assert (await stage.slack.submit(SECOND_OWNER, await _alerts_form(stage, SECOND_OWNER), alert_channels=[])).ok
    said = f"<@{OWNER}> <@{SECOND_OWNER}>"
    await stage.eventually(lambda: said in says(stage.slack.home(OWNER)), within=30, step=5)
    await stage.restart()
    await stage.bought("30")
    await stage.eventually(lambda: "$30.00" in says(stage.slack.home(OWNER)), within=30, step=5)


async def test_nobody_is_kept_up_to_date_who_looked_days_ago(stage: Stage) -> None:
    await home(stage, MEMBER)
    await stage.wind(days=3)
    await stage.bought("25")
    await stage.wind(60)

    assert "$25.00" not in says(stage.slack.home(MEMBER))


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
