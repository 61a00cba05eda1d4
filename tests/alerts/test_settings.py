"""Owners set up when and where they are warned: the word after the command, the form, and what comes of it."""

from dataclasses import replace
from typing import Any

import pytest

from bot.alerts import routes
from bot.ledger import store as ledger
from bot.sandbox.faults import Kind
from bot.sandbox.slack import Message, OpenView
from bot.sandbox.slack.records import Ack, Channel
from bot.sandbox.world import ACCOUNT, GUEST, MEMBER, OWNER, SECOND_OWNER, TRIAL_OWNER
from bot.slack import names

from ..conftest import OpenStage
from ..genstudio import use
from ..stage import Stage, buttons, says


async def form(stage: Stage, user: str = OWNER, word: str = "alerts") -> OpenView:
    """Type the word after the command, and look at the form."""
    stage.slack.views.clear(user)
    assert (await stage.slack.command(user, stage.home, f"/buy-credits {word}")).ok
    return await shown(stage, names.ALERTS_FORM, user)


async def shown(stage: Stage, callback_id: str, user: str = OWNER) -> OpenView:
    view: OpenView = await stage.until(
        lambda: (found := stage.slack.modal(user)) and found.view["callback_id"] == callback_id and found
    )
    return view


async def set_up(stage: Stage, user: str = OWNER, **entered: Any) -> Ack:
    """Open the form, enter this, and save."""
    await form(stage, user)
    ack: Ack = await stage.slack.submit(user, **entered)
    return ack


async def saved(stage: Stage, user: str = OWNER) -> str:
    """What is said instead of the form."""
    return says(await shown(stage, names.NOTICE, user))


def told(stage: Stage, place: str, kind: str = "alert:") -> list[Message]:
    """The messages of this kind in a place, oldest first."""
    mine = [each for each in stage.slack.messages(place) if each.by_bot and each.metadata]
    return [each for each in mine if str(each.metadata["event_payload"]["key"]).startswith(kind)]


async def heard(stage: Stage, place: str, *words: str, kind: str = "alert:") -> Message:
    """The newest message of this kind in a place, once it says this."""
    message: Message = await stage.eventually(
        lambda: (found := told(stage, place, kind)) and all(word in found[-1].text for word in words) and found[-1],
        within=10,  # a place gets one new message a second
        step=1.1,
    )
    return message


def add_channel(stage: Stage) -> Channel:
    """One of which the bot sees that nobody else reads it."""
    stage.slack.scopes |= {"channels:read"}
    channel: Channel = stage.slack.add_channel("money", [OWNER, stage.slack.bot_user_id])
    return channel


async def spend(stage: Stage, credits: int) -> None:
    await stage.price()
    program = await stage.program()
    assert (await program.send(*(use(f"use-{n}") for n in range(credits)))).status_code == 204


async def looked_at(stage: Stage) -> None:
    """What was bought has been seen, and nothing is due."""

    async def nothing_crossed() -> bool:
        async with stage.bot.database.read() as tx:
            return not await ledger.crossed(tx, 1)

    await stage.wind(1)
    await stage.until(nothing_crossed)


async def test_the_form_shows_what_holds_by_default(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    view = await form(stage)
    fields = {each["block_id"]: each["element"] for each in view.blocks if each["type"] == "input"}
    assert fields[names.ALERT_CHANNELS]["initial_conversations"] == [stage.home]
    assert fields["alert_figure_low"]["initial_value"] == "7"
    assert fields["alert_figure_critical"]["initial_value"] == "10"
    assert "initial_options" not in fields[names.ALERT_DIGEST]
    assert fields[names.ALERT_ZONE]["initial_value"] == "Europe/Copenhagen"
    assert "initial_options" in fields[names.ALERT_SPIKES]


async def test_the_form_shows_an_owners_time_zone_though_slack_does_not_tell_it_now(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.knows(OWNER, "en-US")
    stage.faults.arm("users.info", Kind.STATUS, None, code=503)
    await stage.restart()
    fields = {each["block_id"]: each["element"] for each in (await form(stage)).blocks if each["type"] == "input"}
    assert fields[names.ALERT_ZONE]["initial_value"] == "Europe/Copenhagen"


async def test_a_rule_that_is_made_below_its_level_warns_at_once(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await looked_at(stage)
    assert (await set_up(stage, alert_figure_critical="30")).ok
    assert "*Acme Labs* is watched" in await saved(stage)
    message = await heard(stage, stage.home, "almost out of credits", "25.00")

    await stage.slack.press(MEMBER, message, names.WHY_ALERT)
    why = await stage.whisper(MEMBER)
    assert "30.00" in why
    assert f"<@{OWNER}> set this up." in why


async def test_what_was_saved_is_shown_the_next_time(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    other = add_channel(stage)
    await set_up(
        stage,
        alert_channels=[stage.home, other.id],
        alert_unit_low="percent",
        alert_figure_low="20",
        alert_unit_empty="off",
        alert_quiet_from="22:00",
        alert_quiet_until="07:00",
        alert_language="da",
        alert_zone="new york",
        alert_digest=["yes"],
        alert_spikes=[],
    )
    await saved(stage)
    await stage.restart()

    view = await form(stage, SECOND_OWNER)
    fields = {each["block_id"]: each["element"] for each in view.blocks if each["type"] == "input"}
    assert fields[names.ALERT_CHANNELS]["initial_conversations"] == [stage.home, other.id]
    assert fields["alert_unit_low"]["initial_option"]["value"] == "percent"
    assert fields["alert_unit_empty"]["initial_option"]["value"] == "off"
    assert fields[names.ALERT_QUIET_FROM]["initial_time"] == "22:00"
    assert fields[names.ALERT_LANGUAGE]["initial_option"]["value"] == "da"
    assert fields[names.ALERT_ZONE]["initial_value"] == "America/New_York"
    assert [each["value"] for each in fields[names.ALERT_DIGEST]["initial_options"]] == ["yes"]
    assert "initial_options" not in fields[names.ALERT_SPIKES]


async def test_every_chosen_channel_is_warned_in_the_chosen_language(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    other = add_channel(stage)
    await stage.bought("25")
    await set_up(stage, alert_channels=[stage.home, other.id], alert_figure_critical="25", alert_language="da")
    for place in (stage.home, other.id):
        assert "kredit" in (await heard(stage, place, "25,00")).text


async def test_without_a_channel_the_owners_are_warned_in_their_messages(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await set_up(stage, alert_channels=[], alert_figure_critical="25")
    for owner in (OWNER, SECOND_OWNER):
        await heard(stage, stage.slack.dm(owner), "25.00")
    assert told(stage, stage.home) == []


async def test_an_owner_is_warned_in_their_own_language_and_a_channel_in_that_of_the_account(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage(change=lambda account: replace(account, language="da"))
    await stage.bought("25")
    await stage.knows(SECOND_OWNER, "da-DK")
    await stage.slack.speak(SECOND_OWNER, "fr-FR")
    await stage.knows(SECOND_OWNER, "fr-FR")
    stage.slack.scopes |= {"channels:read"}
    await set_up(stage, alert_channels=[], alert_figure_critical="25")
    await heard(stage, stage.slack.dm(OWNER), "almost out of credits")
    french = await heard(stage, stage.slack.dm(SECOND_OWNER), "n’a presque plus de crédits")
    await stage.slack.press(SECOND_OWNER, french, names.ACKNOWLEDGE_ALERT)
    await heard(stage, stage.slack.dm(SECOND_OWNER), "s’en occupe")

    await set_up(stage, alert_channels=[stage.home])
    await heard(stage, stage.home, "har næsten ingen kredit tilbage")
    await heard(stage, stage.slack.dm(SECOND_OWNER), "n’est plus configurée")


async def test_an_owner_whose_language_is_not_known_yet_is_warned_in_that_of_the_account(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage(change=lambda account: replace(account, language="da"))
    await stage.bought("25")
    await stage.change(owners=frozenset({OWNER, MEMBER}))
    await set_up(stage, alert_channels=[], alert_figure_critical="25")
    await heard(stage, stage.slack.dm(MEMBER), "har næsten ingen kredit tilbage")


async def test_an_open_warning_ends_where_its_level_is_switched_off(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await set_up(stage, alert_figure_critical="25")
    await heard(stage, stage.home, "almost out of credits")
    await set_up(stage, alert_unit_critical="off")
    await heard(stage, stage.home, "not set up any more")


async def test_what_a_japanese_keyboard_writes_is_a_number_everywhere_in_the_form(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    ack = await set_up(stage, alert_figure_low="１４", alert_figure_critical="２０．５０", alert_recovery="２００")
    assert ack.errors == {}
    await saved(stage)
    fields = {each["block_id"]: each["element"] for each in (await form(stage)).blocks if each["type"] == "input"}
    figures = ("alert_figure_low", "alert_figure_critical", names.ALERT_RECOVERY)
    assert [fields[each]["initial_value"] for each in figures] == ["14", "20.50", "200"]


async def test_a_warning_ends_when_the_balance_is_as_far_above_its_level_as_was_chosen(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await set_up(stage, alert_figure_critical="25", alert_recovery="200")
    await heard(stage, stage.home, "almost out of credits", "25.00")
    await stage.bought("20")
    for _ in range(3):
        await stage.wind(hours=1)
    await heard(stage, stage.home, "45.00")
    assert "almost out of credits" in told(stage, stage.home)[0].text, "110 % of the level are not enough here"

    await stage.bought("5")
    await stage.eventually(lambda: "enough credits again" in told(stage, stage.home)[0].text, within=600, step=61)


async def test_what_is_wrong_is_said_at_its_field_and_nothing_is_saved(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    ack = await set_up(stage, alert_figure_low="0", alert_figure_critical="1.234", alert_quiet_from="22:00")
    assert ack.errors.keys() == {"alert_figure_low", "alert_figure_critical", "alert_quiet_until"}

    ack = await stage.slack.submit(OWNER, alert_figure_low="7", alert_figure_critical="30", alert_quiet_until="07:00")
    assert ack.ok
    await heard(stage, stage.home, "almost out of credits")


@pytest.mark.parametrize("user", [MEMBER, GUEST])
async def test_whoever_is_no_owner_is_told_whom_to_ask(stage: Stage, user: str) -> None:
    place = stage.slack.channel_named("general").id
    await stage.slack.command(user, place, "/buy-credits alerts")
    said = await stage.whisper(user)
    assert "Only an owner of *Acme Labs* can set up its warnings." in said
    assert f"<@{OWNER}>" in said
    assert stage.slack.modal(user) is None


async def test_an_owner_who_is_none_any_more_when_they_save_changes_nothing(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await form(stage)
    await stage.change(owners=frozenset({SECOND_OWNER}))
    await stage.slack.submit(OWNER, alert_figure_critical="30")
    assert "Only an owner" in await saved(stage)
    await stage.wind(5)
    await stage.change(owners=frozenset({OWNER, SECOND_OWNER}))
    view = await form(stage)
    [figure] = [each for each in view.blocks if each.get("block_id") == "alert_figure_critical"]
    assert figure["element"]["initial_value"] == "10"


async def test_an_owner_on_trial_may_set_up_warnings_too(stage: Stage) -> None:
    place = stage.slack.channel_named("general").id
    await stage.slack.command(TRIAL_OWNER, place, "/buy-credits ALERTS")
    assert "Tiny Trial" in says(await shown(stage, names.ALERTS_FORM, TRIAL_OWNER))


async def test_danes_type_it_in_danish(stage: Stage) -> None:
    await stage.bought("25", SECOND_OWNER)
    assert (await form(stage, SECOND_OWNER, "advarsler")).title == "Kreditadvarsler"


async def test_help_tells_of_it_and_home_has_a_button_for_it(stage: Stage) -> None:
    await stage.slack.command(OWNER, stage.home, "/buy-credits help")
    assert "`/buy-credits alerts`" in await stage.whisper()
    await stage.slack.open_home(OWNER)
    view = await stage.until(lambda: stage.slack.home(OWNER))
    await stage.slack.press(OWNER, view, buttons(view)["Credit warnings"]["action_id"])
    await shown(stage, names.ALERTS_FORM)


async def test_a_request_that_comes_twice_opens_one_form_and_is_no_mistake(stage: Stage) -> None:
    await form(stage)
    await stage.slack.replay()
    await stage.bought("25")


# ── channels that another company reads too ───────────────────────────────────────────────────────────────────────


async def test_a_channel_that_another_company_reads_too_is_asked_about_first(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    stage.slack.scopes |= {"channels:read"}
    shared = stage.slack.add_channel("partners", [OWNER, stage.slack.bot_user_id], shared=True)
    await stage.bought("25")
    await set_up(stage, alert_channels=[stage.home, shared.id], alert_figure_critical="30")
    question = says(await shown(stage, names.ALERTS_SHARED_FORM))
    assert f"<#{shared.id}> is shared with another company" in question
    await stage.wind(5)
    assert (told(stage, shared.id), told(stage, stage.home)) == ([], [])

    await stage.slack.submit(OWNER)
    await saved(stage)
    for place in (stage.home, shared.id):
        await heard(stage, place, "almost out of credits")


async def test_where_slack_does_not_let_us_see_whether_others_read_it_that_is_asked_about_too(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage()
    stage.slack.scopes |= {"channels:read"}
    members = [OWNER, stage.slack.bot_user_id]
    shared = stage.slack.add_channel("partners", members, shared=True)
    unseen = stage.slack.add_channel("board", members, private=True)
    await set_up(stage, alert_channels=[stage.home, shared.id, unseen.id])
    question = says(await shown(stage, names.ALERTS_SHARED_FORM))
    assert f"<#{shared.id}> is shared with another company" in question
    assert f"cannot see whether <#{unseen.id}> is shared with another company" in question
    await stage.slack.submit(OWNER)
    await saved(stage)

    await set_up(stage, alert_figure_critical="30")
    assert "is watched" in await saved(stage), "nobody is asked again about what was confirmed"


async def test_where_warnings_go_already_nobody_is_asked_whether_they_may(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await set_up(stage)
    assert "is watched" in await saved(stage)


async def test_what_cannot_be_saved_in_time_is_not_lost(stage: Stage) -> None:
    await form(stage)
    async with stage.held_database():
        ack = await stage.slack.submit(OWNER, alert_figure_critical="30")
        assert ack.ok
        assert "could not save" in await saved(stage)
    await stage.slack.close_view(OWNER)
    assert (await stage.slack.submit(OWNER)).ok
    assert "is watched" in await saved(stage)
    [figure] = [each for each in (await form(stage)).blocks if each.get("block_id") == "alert_figure_critical"]
    assert figure["element"]["initial_value"] == "30"


# ── a test ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_test_takes_the_way_of_a_warning_and_mutes_none(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.slack.press(OWNER, await form(stage), names.TEST_ALERT)
    assert f"on its way to <#{stage.home}>" in await saved(stage)
    message = await heard(stage, stage.home, "This is a test", f"<@{OWNER}>", "25.00", kind="alert-test:")
    assert not [each for each in message.blocks if each["type"] == "actions"]

    await stage.slack.replay()
    await spend(stage, 16)
    await heard(stage, stage.home, "almost out of credits", "9.00")
    assert len(told(stage, stage.home, "alert-test:")) == 1


async def test_a_test_that_does_not_arrive_shows_that_the_channel_is_gone(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    await stage.calm()  # the purchase has told the channel all it will
    channel = stage.slack.channel_named("ai-credits")
    channel.archived = True
    await stage.knows(SECOND_OWNER, "da-DK")
    await stage.slack.press(OWNER, await form(stage), names.TEST_ALERT)
    for owner, word in ((OWNER, "archived"), (SECOND_OWNER, "arkiveret")):
        await heard(stage, stage.slack.dm(owner), word, kind="alert-route:")
    await spend(stage, 16)
    await heard(stage, stage.slack.dm(OWNER), "almost out of credits")

    channel.archived = False
    await set_up(stage)
    await heard(stage, stage.home, "almost out of credits")
    await stage.wind(5)
    await stage.wind(5)
    await heard(stage, stage.slack.dm(OWNER), "not set up any more")
    assert "almost out of credits" in told(stage, stage.home)[-1].text


# ── places that do not work ───────────────────────────────────────────────────────────────────────────────────────


async def test_where_the_chosen_channel_is_gone_the_accounts_own_is_used_and_it_is_known(open_stage: OpenStage) -> None:
    stage = await open_stage()
    other = add_channel(stage)
    await stage.bought("25")
    await set_up(stage, alert_channels=[other.id])
    await saved(stage)
    other.archived = True
    await spend(stage, 16)
    await heard(stage, stage.home, "almost out of credits", "9.00")

    async with stage.bot.database.read() as tx:
        found = await routes.health(tx, ACCOUNT)
        everywhere = await routes.dead_everywhere(tx)
    assert [(each.place, each.error, each.alive) for each in found] == [
        (other.id, "is_archived", False),
        (stage.home, None, True),
    ]
    assert everywhere == {ACCOUNT: found[:1]}
    assert found[0].since is not None

    other.archived = False
    await set_up(stage)
    await heard(stage, other.id, "almost out of credits")
    async with stage.bot.database.read() as tx:
        assert await routes.health(tx, ACCOUNT) == [routes.Route(other.id)]
