"""Accounts: who may buy, who somebody is, and that a workspace finds its account."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from bot.accounts import store
from bot.accounts.directory import SlackDirectory, read_person
from bot.accounts.model import (
    Account,
    NoAccount,
    NotFullMember,
    NotOwner,
    NotPaid,
    Person,
    Plan,
    Standing,
    Workspace,
    may_buy,
)
from bot.db.engine import Database
from bot.errors import Outage
from bot.sandbox.clock import WindableClock
from bot.slack.client import SlackRefused

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HOME = Workspace("E1", "T1")
ACME = Account("acme", "Acme Labs", Plan.ESSENTIAL, HOME, frozenset({"U1", "U2"}))
ANNA = Person("U1", Standing.MEMBER)


# ── who may buy ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("plan", [plan for plan in Plan if plan is not Plan.FREE_TRIAL])
@pytest.mark.parametrize("person", [ANNA, None], ids=["known", "not asked yet"])
def test_an_owner_on_a_paid_plan_may_buy(plan: Plan, person: Person | None) -> None:
    account = replace(ACME, plan=plan)
    assert may_buy(account, "U1", person) is account


def test_the_four_paid_plans_are_paid() -> None:
    assert [plan.value for plan in Plan if plan.paid] == ["essential", "essential_plus", "advanced", "advanced_plus"]


def test_a_member_is_told_whom_to_ask() -> None:
    with pytest.raises(NotOwner) as refused:
        may_buy(ACME, "U3", Person("U3", Standing.MEMBER))
    assert refused.value.facts == {"account": "Acme Labs", "owners": ("U1", "U2")}


def test_an_owner_on_the_trial_is_told_so() -> None:
    with pytest.raises(NotPaid) as refused:
        may_buy(replace(ACME, plan=Plan.FREE_TRIAL), "U1", ANNA)
    assert refused.value.facts == {"account": "Acme Labs"}


def test_a_workspace_without_an_account_is_told_so() -> None:
    with pytest.raises(NoAccount):
        may_buy(None, "U1", ANNA)


@pytest.mark.parametrize("standing", [standing for standing in Standing if standing is not Standing.MEMBER])
def test_whoever_is_no_full_member_may_not_buy_though_listed_as_an_owner(standing: Standing) -> None:
    with pytest.raises(NotFullMember) as refused:
        may_buy(ACME, "U1", Person("U1", standing))
    assert refused.value.key == f"refusal.not_full_member.{standing.value}"


# ── who somebody is ───────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = {"id": "U1", "team_id": "T1", "locale": "da-DK", "tz": "Europe/Copenhagen"}


@pytest.mark.parametrize(
    ("more", "standing"),
    [
        ({}, Standing.MEMBER),
        ({"is_admin": True, "is_owner": True}, Standing.MEMBER),
        ({"is_restricted": True}, Standing.GUEST),
        ({"is_restricted": True, "is_ultra_restricted": True}, Standing.GUEST),
        ({"is_bot": True}, Standing.BOT),
        ({"id": "USLACKBOT"}, Standing.BOT),
        ({"deleted": True}, Standing.DEACTIVATED),
        ({"deleted": True, "is_bot": True}, Standing.DEACTIVATED),
        ({"is_stranger": True}, Standing.STRANGER),
        ({"team_id": "T9"}, Standing.STRANGER),
        ({"team_id": "T9", "is_restricted": True}, Standing.STRANGER),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E9"}}, Standing.STRANGER),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1"}}, Standing.MEMBER),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1"}, "is_restricted": True}, Standing.GUEST),
        ({"team_id": None}, Standing.STRANGER),
    ],
    ids=str,
)
def test_slacks_word_on_a_person_is_read(more: Mapping[str, Any], standing: Standing) -> None:
    person = read_person({**PLAIN, **more}, HOME)
    assert (person.standing, person.locale, person.time_zone) == (standing, "da-DK", "Europe/Copenhagen")


def test_outside_an_organisation_no_organisation_makes_anybody_a_member() -> None:
    guest = {**PLAIN, "team_id": "T9", "enterprise_user": {"enterprise_id": ""}}
    assert read_person(guest, Workspace("", "T1")).standing is Standing.STRANGER


class Slack:
    """What Slack says of people, and how often it was asked."""

    def __init__(self, *answers: Mapping[str, Any] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def profile(self, user_id: str) -> Mapping[str, Any]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_people_are_remembered_for_as_long_as_it_is_good_enough() -> None:
    clock, slack = WindableClock(), Slack(PLAIN, {**PLAIN, "is_restricted": True})
    directory = SlackDirectory(slack.profile, clock)
    assert directory.remembered("U1") is None
    first = await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5))
    assert await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5)) == first
    assert slack.asked == 1

    clock.wind(minutes=2)
    assert (await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5))).standing is Standing.MEMBER
    assert (await directory.person(HOME, "U1", at_most_old=timedelta(minutes=1))).standing is Standing.GUEST
    assert slack.asked == 2
    known = directory.remembered("U1")
    assert known is not None
    assert known.standing is Standing.GUEST


async def test_an_answer_that_is_good_enough_is_renewed_beside_it() -> None:
    clock, slack = WindableClock(), Slack(PLAIN, {**PLAIN, "locale": "en-US"}, Outage("Slack", "x"))
    directory = SlackDirectory(slack.profile, clock)
    await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5))

    clock.wind(30)
    known = [await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5)) for _ in range(3)]
    assert {person.locale for person in known} == {"da-DK"}, "nobody waits for it"
    await asyncio.sleep(0)
    assert (await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5))).locale == "en-US"
    assert slack.asked == 2

    clock.wind(30)
    await directory.person(HOME, "U1", at_most_old=timedelta(minutes=5))
    await asyncio.sleep(0)
    assert slack.asked == 3
    known_still = directory.remembered("U1")
    assert known_still is not None
    assert known_still.locale == "en-US", "what was known stays known"
    await directory.stop()


@pytest.mark.parametrize("code", ["user_not_found", "user_not_visible"])
async def test_somebody_slack_does_not_show_us_is_a_stranger(code: str) -> None:
    directory = SlackDirectory(Slack(SlackRefused(code)).profile, WindableClock())
    assert (await directory.person(HOME, "U9", at_most_old=timedelta(0))).standing is Standing.STRANGER


@pytest.mark.parametrize("answer", [SlackRefused("missing_scope"), SlackRefused("invalid_auth"), Outage("Slack", "x")])
async def test_a_slack_that_does_not_say_is_an_outage_and_nobody_is_guessed_at(answer: Exception) -> None:
    clock, slack = WindableClock(), Slack(PLAIN, answer)
    directory = SlackDirectory(slack.profile, clock)
    await directory.person(HOME, "U1", at_most_old=timedelta(0))
    clock.wind(minutes=1)
    with pytest.raises(Outage):
        await directory.person(HOME, "U1", at_most_old=timedelta(seconds=30))
    assert directory.remembered("U1") is not None, "good enough to choose a language"


async def test_not_everybody_who_ever_pressed_a_button_is_remembered() -> None:
    slack = Slack(PLAIN)
    directory = SlackDirectory(slack.profile, WindableClock())
    for n in range(10_050):
        await directory.person(HOME, f"U{n}", at_most_old=timedelta(0))
    assert directory.remembered("U0") is None
    assert directory.remembered("U10049") is not None


# ── in the database ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_comes_back_as_it_was_added(database: Database) -> None:
    whole = replace(ACME, channel="C1", language="da", customer="cus_1")
    bare = Account("bare", "Bare & “Co” 🙂", Plan.FREE_TRIAL, Workspace("", "T2"), frozenset())
    for account in (whole, bare):
        await _add(database, account)
    async with database.read() as tx:
        assert await store.of_id(tx, "acme") == whole
        assert await store.of_id(tx, "nobody") is None
        assert await store.every(tx) == [whole, bare]


async def test_an_account_is_replaced_with_all_its_owners(database: Database) -> None:
    await _add(database, ACME)
    changed = replace(ACME, name="Acme", plan=Plan.ADVANCED_PLUS, owners=frozenset({"U2", "U9"}), channel="C2")
    await database.write(lambda tx: store.replace(tx, changed))
    async with database.read() as tx:
        assert await store.of_id(tx, "acme") == changed
        assert await store.of_workspace(tx, HOME) == changed


async def test_a_workspace_finds_its_account_and_no_other(database: Database) -> None:
    everywhere = Account("team", "By team", Plan.ESSENTIAL, Workspace("", "T1"), frozenset({"U1"}))
    elsewhere = Account("grid", "In a grid", Plan.ESSENTIAL, Workspace("E2", "T2"), frozenset({"U1"}))
    for account in (everywhere, elsewhere, ACME):
        await _add(database, account)
    found = {}
    async with database.read() as tx:
        for workspace in (HOME, Workspace("E9", "T1"), Workspace("", "T1"), Workspace("", "T2"), Workspace("E1", "T2")):
            belongs_to = await store.of_workspace(tx, workspace)
            found[workspace.enterprise_id, workspace.team_id] = belongs_to and belongs_to.id
    assert found == {
        ("E1", "T1"): "acme",  # its own before the one that names no organisation
        ("E9", "T1"): "team",
        ("", "T1"): "team",
        ("", "T2"): None,
        ("E1", "T2"): None,
    }


async def test_a_workspace_belongs_to_one_account(database: Database) -> None:
    await _add(database, ACME)
    with pytest.raises(IntegrityError):
        await _add(database, replace(ACME, id="other"))
    with pytest.raises(IntegrityError):
        await _add(database, replace(ACME, workspace=Workspace("E1", "T2")))
    async with database.read() as tx:
        assert await store.every(tx) == [ACME]


async def test_a_customer_is_remembered_once(database: Database) -> None:
    await _add(database, ACME)
    for customer in ("cus_1", "cus_2"):
        await database.write(lambda tx, customer=customer: store.set_customer(tx, "acme", customer))  # type: ignore[misc]
    async with database.read() as tx:
        account = await store.of_id(tx, "acme")
    assert account is not None
    assert account.customer == "cus_1"


async def _add(database: Database, account: Account) -> None:
    await database.write(lambda tx: store.add(tx, account, NOON))
