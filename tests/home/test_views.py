"""Everything that App Home and statements show, in every language: within Slack's limits, whole, and safe."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.views import View

from bot.accounts.model import Account, NoAccount, NotFullMember, NotOwner, NotPaid, Plan, Standing
from bot.alerts.views import Outlook
from bot.errors import Refusal
from bot.home.statement_views import MOST_LINES, looking, statement
from bot.home.views import Facts, home
from bot.ledger.store import Line
from bot.money import Credits
from bot.purchases.model import Purchase, Status
from bot.sandbox.slack.blockkit import check_view
from bot.text import Texts, languages, texts_for
from bot.usage.months import Month, Summary

from ..outline import outline, unseen
from ..purchases.test_views import ACME, LONG, NOON, RECEIPT, SUPPORT, purchase

ENGLISH = texts_for("en")
OUTLOOK = Outlook("Acme Labs", Credits(37_340_000_000), None, NOON, ZoneInfo("UTC"))
MUCH = Credits(10**18 - 1)
ASKED = NotOwner(account=LONG, owners=("U1", "U2"))
ASKED.ask_for = ""
WHY_NOT: list[Refusal | None] = [
    None,
    ASKED,
    NotPaid(account="Acme & <Co>"),
    *(NotFullMember(each, account="Acme", owners=("U1",)) for each in Standing if each is not Standing.MEMBER),
]


def facts(account: Account = ACME, **more: Any) -> Facts:
    told: dict[str, Any] = {"refusal": None, "owner": True}
    return Facts(account=account, outlook=replace(OUTLOOK, account=account.name), **(told | more))


def spent(models: int, cost: Credits) -> Mapping[date, Mapping[str, Credits]]:
    names = [f"<provider> {LONG[:200]}{n}" for n in range(models)]
    return {NOON.date() - timedelta(days=n): dict.fromkeys(names, cost) for n in range(14)}


def homes(texts: Texts) -> Iterator[View]:
    latest = [purchase(status) for status in Status]
    long = replace(ACME, name=LONG, customer="cus_1")
    for refusal in WHY_NOT:
        for first in range(0, len(latest), 5):
            shown = latest[first : first + 5]
            yield home(texts, facts(long, latest=shown, refusal=refusal, owner=not refusal), SUPPORT)
    for models, cost in ((1, Credits(1)), (8, MUCH), (30, MUCH)):
        yield home(texts, facts(long, spent=spent(models, cost), held=MUCH), SUPPORT)
    for parked in (0, 1, 2, 10**9):
        owed = replace(OUTLOOK, balance=Credits(-(10**18)))
        yield home(texts, replace(facts(parked=parked), outlook=owed), SUPPORT)
    for days in (None, -1, 1, 2, 28):
        ends = None if days is None else NOON + timedelta(days=days)
        yield home(texts, facts(replace(ACME, plan=Plan.FREE_TRIAL, trial_ends_at=ends)), SUPPORT)
    reasons = ("is_archived", "not_in_channel", "channel_not_found", "user_disabled", "a_code_of_next_year")
    dead = {f"C{n}": reason for n, reason in enumerate(reasons)}
    yield home(texts, facts(dead=dead, told_at=["U1", "U2"]), SUPPORT)
    yield home(texts, facts(dead=dead), SUPPORT)
    yield home(texts, Facts(refusal=NoAccount()), SUPPORT)


def line(n: int, cause: str, change: int, **more: object) -> Line:
    return Line(n, cause, NOON, NOON, Credits(change), Credits(change), dict(more))


def summary(others: list[Line], **more: Any) -> Summary:
    days = {NOON.date() - timedelta(days=n): Credits(10**17 + n) for n in range(31)}
    told: dict[str, Any] = {"opening": Credits(-(10**18)), "closing": MUCH, "days": days, "models": {}}
    return Summary(Month(2026, 11), others=others, **(told | more))


def statements(texts: Texts) -> Iterator[View]:
    months = [Month(2026, 11)]
    while len(months) < 100:
        months.append(months[-1].before)
    bought: dict[str, Purchase] = {"p": purchase(Status.SETTLED)}
    causes = ("purchase:pi_1", "refund:re_1:1", "dispute:du_1:2", "opening:<!channel>")
    many = [line(n, causes[n % 4], 10**17 + n, purchase="p") for n in range(300)]
    models = {f"provider {LONG[:200]}{n}": Credits(10**17 + n) for n in range(50)}
    for others in ([], many[:1], many[: MOST_LINES + 1], many):
        for receipts in (True, False):
            told = summary(others, models=models)
            yield statement(texts, LONG, told, months, bought, receipts=receipts, zone="America/Argentina/Buenos_Aires")
    nothing = summary([], days={})
    yield statement(texts, "Acme", nothing, months[:1], {}, receipts=False, zone="UTC")
    yield looking(texts)


# ── the gallery ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("language", languages())
def test_slack_takes_every_home_in_every_language(language: str) -> None:
    for view in homes(texts_for(language)):
        assert check_view(view.to_dict(), "home") == [], outline(view)


@pytest.mark.parametrize("language", languages())
def test_slack_takes_every_statement_in_every_language(language: str) -> None:
    for view in statements(texts_for(language)):
        assert check_view(view.to_dict(), "modal") == [], outline(view)


@pytest.mark.parametrize("language", languages())
def test_no_hole_is_left_and_what_no_home_shows_would_be_translated_in_vain(language: str) -> None:
    drawn = "\n".join(outline(view) for view in homes(texts_for(language)))
    drawn = re.sub("<!date[^>]*>", "at noon", drawn)
    assert not re.search(r"\{[a-z]+\}|\bNone\b|\b(refusal|home|state)\.[a-z]", drawn)
    never = unseen(language, ("state.", "home."), [drawn])
    assert set(never) <= {"home.chart_sent", "home.spent"}, "there are always fourteen days"


# ── what it reads like ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_home_of_an_owner() -> None:
    used = {NOON.date(): {"openai gpt": Credits(2 * 10**9), "anthropic claude": Credits(10**9)}}
    account = replace(ACME, customer="cus_1")
    shown = facts(account, latest=[purchase(Status.SETTLED)], told_at=["C1"], spent=used, held=Credits(34 * 10**7))
    assert outline(home(ENGLISH, shown, SUPPORT)) == (
        "## Credits\n"
        "*Acme Labs* has *37.34* credits.\n"
        "0.34 of them are held for calls of models under way: *37.00* are available.\n"
        "· Plan: Advanced\n"
        "[Buy credits] [Statements] [Credit warnings] [Change card] [Invoices] [Contact support]\n"
        "---\n"
        "*Used in the last 1 day: 3.00 credits* [Send as a chart]\n"
        "`██████████` openai gpt · *2.00* · 66 %\n"
        "`█████░░░░░` anthropic claude · *1.00* · 33 %\n"
        "---\n"
        "*Where warnings go*\n<#C1>\n"
        "---\n"
        "*Latest purchases*\n"
        "<!date^1793707200^{date_short_pretty} {time}|2026-11-03 12:00 UTC> · *$25.00* · <@U1> · credited"
        f" · <{RECEIPT}|Receipt>\n"
        "· Trouble while buying? Write to support@skydeck.ai."
    )


def test_the_home_of_somebody_whose_workspace_has_no_account() -> None:
    drawn = outline(home(ENGLISH, Facts(refusal=NoAccount()), SUPPORT))
    assert re.findall(r"\[.*\]", drawn) == ["[Contact support]"]
    assert f"write to {SUPPORT}" in drawn


@given(st.text("<>&!@#|*_~`:abc \n", max_size=60))
def test_what_somebody_typed_is_only_text(name: str) -> None:
    account = replace(ACME, name=name)
    used = {NOON.date(): {name: Credits(10**9)}}
    told = summary([line(1, f"{name}:1", 5)], models={name: Credits(1)})
    drawn = [
        outline(home(ENGLISH, facts(account, refusal=NotPaid(account=name), spent=used), SUPPORT)),
        outline(statement(ENGLISH, name, told, [told.month], {}, receipts=True, zone="UTC")),
    ]
    for each in drawn:
        assert not re.search("[<>]", re.sub(r"<!date\^[0-9]+\^[^<>]*>", "", each).replace(" -> ", " "))


# ── months ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1)), st.sampled_from(["UTC", "Asia/Tokyo", "Pacific/Apia"]))
def test_every_moment_is_in_one_month_and_months_follow_each_other(at: datetime, name: str) -> None:
    zone, moment = ZoneInfo(name), at.replace(tzinfo=UTC)
    month = Month.of(moment, zone)
    start, end = month.bounds(zone)
    assert start <= moment < end
    assert month.following.bounds(zone)[0] == end
    assert month.following.before == month == Month.read(str(month))
