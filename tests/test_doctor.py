"""The doctor: says what is wrong, why it matters and what mends it, against real servers and databases."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Plan, Workspace
from bot.db import migrate
from bot.db.engine import Database
from bot.doctor.examination import examine
from bot.doctor.patient import Deaf, Parked, Patient, Stuck
from bot.doctor.report import Finding, Level, Report, blocking, ok, warning
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.mail import store as mail_store
from bot.mail.model import Fate, Mail
from bot.mail.smtp import Smtp
from bot.mail.store import owe_mail
from bot.money import Credits, Usd
from bot.outbox import store as outbox
from bot.outbox.model import Message, User
from bot.payments.stripe_gateway import StripeGateway
from bot.prices.model import Unpriced
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Kind
from bot.sandbox.mail import MailBox
from bot.sandbox.slack import Workspace as Slack
from bot.sandbox.stripe import StripeAccount
from bot.settings import Settings
from bot.slack.client import SlackClient
from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES
from bot.usage.model import Parked as Waits
from bot.web.server import Server

NOW = datetime.now(UTC)
SIGNING_SECRET = "0123456789abcdef0123456789abcdef"
STRIPE_KEY = "rk_test_1"
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ACME = Account("acme", "Acme Labs", Plan.ESSENTIAL, Workspace("", "T0SANDBOX"), frozenset({"U0ADA"}))


@dataclass
class Ward:
    """A healthy patient, and what a test makes ill."""

    slack: Slack
    stripe: StripeAccount
    mail: MailBox
    patient: Patient

    async def findings(self, **changes: Any) -> dict[str, Finding]:
        """What the doctor finds when these settings or parts of the patient are otherwise."""
        parts = {
            name: changes.pop(name)
            for name in ("machine", "clock", "stuck", "parked", "deaf", "database")
            if name in changes
        }
        settings = self.patient.settings.model_copy(update=changes)
        report = await examine(replace(self.patient, settings=Settings.model_validate(settings.model_dump()), **parts))
        return {finding.name: finding for finding in report.findings}


@pytest.fixture
async def migrated(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await migrate.upgrade(database)
    yield database
    await database.dispose()


@pytest.fixture
async def ward(migrated: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Ward]:
    monkeypatch.chdir(tmp_path)  # away from any .env
    slack, stripe, mail = Slack(WindableClock()), StripeAccount(WindableClock()), MailBox(WindableClock())
    slack.scopes = {*SCOPES, *OPTIONAL_SCOPES}
    slack_server, stripe_server = Server(slack.app), Server(stripe.app)
    await slack_server.start()
    await stripe_server.start()
    await mail.start()
    slack.base_url, stripe.base_url = slack_server.url, stripe_server.url
    settings = Settings.model_validate(
        {
            "slack_bot_token": slack.bot_token,
            "slack_app_token": slack.app_token,
            "slack_api_url": f"{slack.base_url}/api/",
            "stripe_api_key": STRIPE_KEY,
            "stripe_api_url": stripe.base_url,
            "smtp_url": mail.url,
        }
    )
    client = SlackClient(slack.bot_token, settings.slack_api_url)
    await client.open()
    gateway = StripeGateway(
        api_key=STRIPE_KEY, api_url=settings.stripe_api_url, webhook_secrets=(), done_url="", cancelled_url=""
    )
    await migrated.write(lambda tx: accounts.add(tx, ACME, NOW))
    yield Ward(
        slack,
        stripe,
        mail,
        Patient(
            settings=settings,
            database=migrated,
            slack=client.whoami,
            socket=partial(client.try_socket, slack.app_token),
            stripe=gateway.probe,
            portal=gateway.probe_portal,
            customer=gateway.has_customer,
            mail=lambda server: Smtp(server).probe(),
            stuck=_nothing_stuck,
            parked=_nothing_parked,
            deaf=_nobody_deaf,
        ),
    )
    await gateway.aclose()
    await client.close()
    await slack_server.stop()
    await stripe_server.stop()
    await mail.stop()


async def _nothing_stuck() -> Stuck:
    return Stuck()


async def _nothing_parked() -> list[Parked]:
    return []


async def _nobody_deaf() -> list[Deaf]:
    return []


def ahead(seconds: float) -> WindableClock:
    clock = WindableClock()
    clock.wind(seconds)
    return clock


async def test_a_healthy_bot_gets_a_clean_bill(ward: Ward) -> None:
    report = await examine(ward.patient)

    assert {finding.level for finding in report.findings} == {Level.OK}, report.as_text()
    assert report.exit_code == 0
    assert {finding.name for finding in report.findings} >= {
        "slack_bot_token",
        "slack_scopes",
        "slack_app_token",
        "slack_signing_secret",
        "stripe_key",
        "stripe_portal",
        "stripe_webhook",
        "clock_slack",
        "clock_stripe",
        "database",
        "schema",
        "ledger",
        "accounts",
        "outbox",
        "purchases",
        "usage",
    }


@on_sqlite
async def test_nothing_set_says_what_to_copy_from_where(ward: Ward) -> None:
    found = await ward.findings(slack_bot_token=None, slack_app_token=None, stripe_api_key=None)

    for name in ("slack_bot_token", "slack_app_token", "stripe_key"):
        assert found[name].level is Level.BLOCKING
        assert found[name].found.endswith("is not set")
        assert found[name].mend.startswith("copy it from https://")
    assert found["slack_scopes"].level is Level.SKIPPED
    assert found["ledger"].level is Level.OK  # everything else is still looked at


@on_sqlite
async def test_tokens_in_each_others_place_are_noticed_and_never_shown(ward: Ward) -> None:
    found = await ward.findings(
        slack_bot_token="xapp-mixed-up", stripe_api_key="pk_test_public", slack_app_token="xoxb-mixed-up"
    )

    for name in ("slack_bot_token", "stripe_key", "slack_app_token"):
        assert found[name].level is Level.BLOCKING
        assert "does not begin with" in found[name].found
    told = Report(list(found.values())).as_json() + Report(list(found.values())).as_text()
    assert not [secret for secret in ("mixed-up", "pk_test_public") if secret in told]


@on_sqlite
async def test_blanks_that_came_with_a_token_are_no_more_to_the_doctor_than_to_the_bot(ward: Ward) -> None:
    found = await ward.findings(
        slack_bot_token=f" {ward.slack.bot_token}",
        slack_app_token="xapp-1 \r\n",
        slack_signing_secret=f"{SIGNING_SECRET}\r",
        stripe_api_key=f"\t{STRIPE_KEY}",
        public_url="https://bot.example",
    )
    names = ("slack_bot_token", "slack_app_token", "slack_signing_secret", "stripe_key")
    assert {found[name].level for name in names} == {Level.OK}


@on_sqlite
async def test_without_any_way_in_it_blocks(ward: Ward) -> None:
    found = await ward.findings(slack_app_token=None, slack_signing_secret=",")
    assert (found["slack_app_token"].level, found["slack_app_token"].found) == (
        Level.BLOCKING,
        "SLACK_APP_TOKEN is not set",
    )


@on_sqlite
async def test_a_token_that_slack_refuses_blocks(ward: Ward) -> None:
    ward.slack.token_trouble = "token_revoked"
    found = await ward.findings()

    assert found["slack_bot_token"].level is Level.BLOCKING
    assert "token_revoked" in found["slack_bot_token"].found
    assert "OAuth & Permissions" in found["slack_bot_token"].mend
    assert found["slack_app_token"].found == "Slack refuses it: token_revoked"
    assert "App-Level Tokens" in found["slack_app_token"].mend


@on_sqlite
async def test_missing_scopes_are_told_with_their_purpose(ward: Ward) -> None:
    ward.slack.scopes -= {"im:write", "users:read", "chat:write.public"}
    found = await ward.findings()

    assert found["slack_scopes"].level is Level.BLOCKING
    assert found["slack_scopes"].found == "not granted: im:write, users:read"
    assert SCOPES["im:write"] in found["slack_scopes"].why
    assert "Reinstall" in found["slack_scopes"].mend


@on_sqlite
async def test_optional_scopes_may_be_missing(ward: Ward) -> None:
    ward.slack.scopes -= set(OPTIONAL_SCOPES)
    assert (await ward.findings())["slack_scopes"].level is Level.OK


@on_sqlite
@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.STATUS, Kind.HTML])
async def test_services_that_do_not_answer_block_and_hide_nothing_else(ward: Ward, kind: Kind) -> None:
    ward.slack.faults.arm("*", kind, None)
    ward.stripe.faults.arm("*", kind, None)
    found = await ward.findings()

    assert found["slack_bot_token"].level is Level.BLOCKING
    assert found["stripe_key"].level is Level.BLOCKING
    assert found["accounts"].level is Level.OK


@on_sqlite
async def test_a_machine_that_reaches_nobody_is_told_whom_and_what_to_look_at(ward: Ward) -> None:
    nobody = "http://127.0.0.1:9"
    client = SlackClient("xoxb-1", f"{nobody}/api/")
    await client.open()
    stripe = StripeGateway(api_key=STRIPE_KEY, api_url=nobody, webhook_secrets=(), done_url="", cancelled_url="")
    patient = replace(ward.patient, slack=client.whoami, stripe=stripe.probe)
    ward.patient = replace(patient, socket=partial(client.try_socket, "xapp-1"))
    found = await ward.findings(slack_api_url=f"{nobody}/api/", stripe_api_url=nobody)
    await client.close()
    await stripe.aclose()

    for name, setting in (("slack_bot_token", "SLACK"), ("slack_app_token", "SLACK"), ("stripe_key", "STRIPE")):
        assert (found[name].level, found[name].found) == (Level.BLOCKING, "this machine does not reach 127.0.0.1:9")
        assert f"name lookup, firewall and proxy of this machine, and whether {setting}_API_URL" in found[name].mend


@on_sqlite
async def test_a_portal_that_nobody_set_up_or_may_open_is_a_warning(ward: Ward) -> None:
    assert (await ward.findings())["stripe_portal"].level is Level.OK
    ward.stripe.portal.configured = False
    found = (await ward.findings())["stripe_portal"]
    assert (found.level, found.found) == (Level.WARNING, "nobody has set Stripe's customer portal up")
    assert "settings/billing/portal" in found.mend
    ward.stripe.api.denied.append("GET /v1/billing_portal/*")
    found = (await ward.findings())["stripe_portal"]
    assert (found.level, found.mend.partition(",")[0]) == (Level.WARNING, "let the key write Customer portal")


@on_sqlite
async def test_a_key_that_stripe_refuses_is_not_taken_for_a_bad_line(ward: Ward) -> None:
    ward.stripe.faults.arm("GET /v1/balance", Kind.STATUS, None, code=401)
    found = await ward.findings()

    assert found["stripe_key"].found == "Stripe: the API key is refused"
    assert found["stripe_key"].mend.startswith("make a key at ")


async def test_customers_that_are_gone_at_stripe_are_told_before_anybody_buys(ward: Ward, migrated: Database) -> None:
    there = ward.stripe.customers.create({})["id"]
    known = replace(ACME, customer=there)
    await migrated.write(lambda tx: accounts.replace(tx, known))
    assert (await ward.findings())["customers"].found == "1 at Stripe"
    assert (await ward.findings(stripe_api_key=None))["customers"].level is Level.SKIPPED

    ward.stripe.customers.delete(there)
    found = await ward.findings()
    assert (found["customers"].level, found["customers"].found) == (Level.WARNING, f"not at Stripe: {there} of acme")
    ward.stripe.faults.arm("*", Kind.STATUS, None)
    assert (await ward.findings())["customers"].found == "not looked at: Stripe did not say"


@on_sqlite
async def test_silence_is_not_waited_for(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.doctor.services.PATIENCE_SECONDS", 0.2)
    ward.slack.faults.arm("*", Kind.HANG, None)
    ward.stripe.faults.arm("*", Kind.HANG, None)
    started = datetime.now(UTC)
    found = await ward.findings()

    assert datetime.now(UTC) - started < timedelta(seconds=3)
    assert "no answer within" in found["slack_bot_token"].found
    assert "no answer within" in found["stripe_key"].found
    assert found["clock_slack"].level is Level.SKIPPED


@on_sqlite
async def test_ways_in_over_http(ward: Ward) -> None:
    http = {"slack_app_token": None, "slack_signing_secret": SIGNING_SECRET}

    found = await ward.findings(**http, public_url="https://bot.example")
    assert (found["slack_app_token"].level, found["slack_signing_secret"].level) == (Level.OK, Level.OK)
    assert "https://bot.example/slack/events" in found["slack_signing_secret"].found
    both = {**http, "slack_signing_secret": f"{SIGNING_SECRET},{SIGNING_SECRET}"}
    assert (await ward.findings(**both, public_url="https://a.b"))["slack_signing_secret"].level is Level.OK
    found = await ward.findings(**http)
    assert "PUBLIC_URL" in found["slack_signing_secret"].found
    found = await ward.findings(**{**http, "slack_signing_secret": "xoxb-no"}, public_url="https://bot.example")
    assert found["slack_signing_secret"].level is Level.WARNING


@on_sqlite
@pytest.mark.parametrize(("seconds", "level"), [(30, Level.OK), (100, Level.WARNING), (1000, Level.BLOCKING)])
async def test_a_wrong_clock_is_noticed_before_signatures_fail(ward: Ward, seconds: float, level: Level) -> None:
    found = await ward.findings(machine=ahead(seconds))

    assert (found["clock_slack"].level, found["clock_stripe"].level) == (level, level)
    if level is not Level.OK:
        assert "ahead of Slack's" in found["clock_slack"].found


@on_sqlite
async def test_the_sandboxs_wound_clock_is_no_fault(ward: Ward) -> None:
    assert (await ward.findings(clock=ahead(1000)))["clock_slack"].level is Level.OK


async def test_a_damaged_ledger_blocks(ward: Ward, migrated: Database) -> None:
    entry = transfer("purchase:pi_1", "acme", Credits.bought_for(Usd(2500)), Book.SALES, NOW)
    await migrated.write(lambda tx: ledger.post(tx, entry, NOW))
    assert "1 entry, 25.00 credits in 1 account" in (await ward.findings())["ledger"].found
    await migrated.write(lambda tx: tx.execute(text("UPDATE ledger_balances SET nano = nano + 1")))
    found = await ward.findings()

    assert found["ledger"].level is Level.BLOCKING
    assert "account acme has a balance of" in found["ledger"].found
    assert "support@skydeck.ai" in found["ledger"].mend


async def test_a_check_that_breaks_is_a_finding_of_its_own(ward: Ward, migrated: Database) -> None:
    await migrated.write(lambda tx: tx.execute(text("DROP TABLE outbox")))
    found = await ward.findings()

    assert found["outbox"].level is Level.BLOCKING
    assert found["outbox"].found.startswith("the check itself failed")
    assert found["accounts"].level is Level.OK


@on_sqlite
async def test_accounts_of_another_workspace_are_no_use(ward: Ward) -> None:
    ward.slack.team_id = "T0OTHER"
    found = await ward.findings()

    assert found["accounts"].level is Level.WARNING
    assert "none for Acme Labs (T0OTHER)" in found["accounts"].found
    assert "--team T0OTHER" in found["accounts"].mend


async def test_no_account_says_how_to_add_one(ward: Ward, migrated: Database) -> None:
    await migrated.write(lambda tx: tx.execute(text("DELETE FROM account_owners")))
    await migrated.write(lambda tx: tx.execute(text("DELETE FROM accounts")))
    found = await ward.findings()

    assert found["accounts"].found == "none yet"
    assert found["accounts"].mend.startswith("credits-bot accounts add acme ")


async def test_messages_that_wait_or_were_given_up_are_told(ward: Ward, migrated: Database) -> None:
    await migrated.write(lambda tx: outbox.owe(tx, Message("pur_1:buyer", User("U0ADA"), "Paid", []), NOW))
    assert (await ward.findings())["outbox"].found == "1 message waiting"
    found = await ward.findings(clock=ahead(700))
    assert found["outbox"].level is Level.WARNING
    assert "the oldest since" in found["outbox"].found
    await migrated.write(lambda tx: tx.execute(text("UPDATE outbox SET dead = 'user_not_found'")))
    assert "pur_1:buyer to U0ADA (user_not_found)" in (await ward.findings())["outbox"].found


@on_sqlite
async def test_stuck_purchases_are_named(ward: Ward) -> None:
    found = await ward.findings(stuck=_stuck(quarantined=["pur_1"], unknown=[f"pur_{n}" for n in range(2, 10)]))

    assert found["purchases"].level is Level.WARNING
    assert found["purchases"].found == "unknown for a day: pur_2; pur_3; pur_4; pur_5; pur_6 and 3 more"
    report = await examine(replace(ward.patient, stuck=_stuck(quarantined=["pur_1"])))
    assert "paid, but not what was asked: pur_1" in report.as_text()


@on_sqlite
async def test_usage_that_waits_is_told_with_what_it_waits_for(ward: Ward) -> None:
    waiting = [
        Parked("acme", "openai", "gpt-9", "no_price", 3, datetime(2026, 11, 3, 9, 30, tzinfo=UTC)),
        Parked("acme", "anthropic", "claude", "no_cached_price", 1, datetime(2026, 11, 4, 9, 30, 1, 5, tzinfo=UTC)),
        Parked("tiny", "openai", "gpt\x1b[2J", "overdrawn", 2, datetime(2026, 11, 5, tzinfo=UTC)),
    ]

    async def parked() -> list[Parked]:
        return waiting

    report = await examine(replace(ward.patient, parked=parked))

    assert report.exit_code == 0
    unpriced, overdrawn = [finding for finding in report.findings if finding.name == "usage"]
    assert (unpriced.level, unpriced.found) == (
        Level.WARNING,
        "parked: 3 uses of openai gpt-9 of acme (no price at its time); "
        "1 use of anthropic claude of acme (no price for cached input)",
    )
    assert unpriced.mend == (
        "credits-bot prices import FILE, with a price for openai gpt-9 from 2026-11-03T09:30:00Z on; "
        "anthropic claude with cached_input from 2026-11-04T09:30:01.000005Z on; "
        "or credits-bot usage discard --help"
    )
    assert overdrawn.found == r"parked: 2 uses of 'openai gpt\x1b[2J' of tiny (beyond its overdraft)"
    assert overdrawn.mend == "its owner buys credits, or credits-bot accounts edit tiny --overdraft CREDITS"


@on_sqlite
async def test_places_that_warnings_do_not_reach_are_told(ward: Ward) -> None:
    async def deaf() -> list[Deaf]:
        return [Deaf("acme", "C0GONE", "is_archived", datetime(2026, 11, 3, tzinfo=UTC))]

    found = (await ward.findings(deaf=deaf))["warnings"]
    assert (found.level, found.found) == (
        Level.WARNING,
        "do not arrive any more: acme at C0GONE (is_archived, 2026-11-03)",
    )
    assert "/buy-credits alerts" in found.mend


@on_sqlite
async def test_every_reason_for_waiting_has_words(ward: Ward) -> None:
    for reason in (*Unpriced, *Waits):

        async def parked(reason: str = reason) -> list[Parked]:
            return [Parked("acme", "openai", "gpt", reason, 1, NOW)]

        assert (await ward.findings(parked=parked))["usage"].found.startswith("parked: 1 use of openai gpt of acme (")


@on_sqlite
async def test_a_database_that_is_not_there_is_said_and_not_made(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    found = await ward.findings(database=Database(f"sqlite+aiosqlite:///{file}"))

    assert found["database"].level is Level.WARNING
    assert found["database"].found == f"{file} does not exist yet"
    assert found["ledger"].level is Level.SKIPPED
    assert not file.exists()


@on_sqlite
async def test_a_file_that_is_no_database_blocks(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    file.write_text("this is a letter to my aunt" * 100)
    found = await ward.findings(database=Database(f"sqlite+aiosqlite:///{file}"))

    assert found["database"].level is Level.BLOCKING
    assert "not a database" in found["database"].found


@on_sqlite
async def test_an_unreachable_server_blocks_and_its_password_stays_secret(ward: Ward) -> None:
    database = Database("postgresql+psycopg://bot:hunter2@127.0.0.1:1/credits")
    found = await ward.findings(database=database)

    assert found["database"].level is Level.BLOCKING
    assert "hunter2" not in Report(list(found.values())).as_json()


@on_sqlite
async def test_a_database_without_tables_is_not_looked_into(ward: Ward, database_url: str, tmp_path: Path) -> None:
    empty = Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    (tmp_path / "empty.db").touch(mode=0o600)
    found = await ward.findings(database=empty)
    await empty.dispose()

    assert found["schema"].level is Level.WARNING
    assert found["schema"].mend == "credits-bot migrate"
    assert found["ledger"].level is Level.SKIPPED


async def test_a_file_that_others_may_read_is_noticed(ward: Ward, migrated: Database) -> None:
    if not migrated.is_sqlite:
        assert "database_file" not in await ward.findings()
        return
    assert (await ward.findings())["database_file"].level is Level.OK
    migrated.file.chmod(0o644)
    found = await ward.findings()
    assert found["database_file"].level is Level.WARNING
    assert found["database_file"].mend == f"chmod 600 {migrated.file}"


@on_sqlite
async def test_settings_that_others_may_read_are_noticed(ward: Ward, tmp_path: Path) -> None:
    assert "env_file" not in await ward.findings()
    file = tmp_path / ".env"
    file.write_text("PORT=8080\n")
    file.chmod(0o600)
    assert (await ward.findings())["env_file"].level is Level.OK

    file.chmod(0o640)
    found = await ward.findings()
    assert (found["env_file"].level, found["env_file"].mend) == (Level.WARNING, f"chmod 600 {file}")


@on_sqlite
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_not_be_written_is_said_plainly(ward: Ward, tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    folder.mkdir(mode=0o500)
    found = await ward.findings(database=Database(f"sqlite+aiosqlite:///{folder / 'credits.db'}"))

    assert found["database"].level is Level.BLOCKING
    assert found["database"].found.startswith(f"this user may not write into the folder {folder}")


@on_sqlite
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("end", ["", "-wal", ".lock", ".run.lock"])
async def test_a_file_of_another_user_is_said_plainly(ward: Ward, tmp_path: Path, end: str) -> None:
    """As one that root left who added an account: the bot could not start."""
    file = tmp_path / f"other.db{end}"
    file.touch(mode=0o400)
    found = await ward.findings(database=Database(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}"))

    assert (found["database"].level, found["database"].found) == (Level.BLOCKING, f"this user may not write to {file}")


@on_sqlite
async def test_an_address_that_cannot_be_listened_on_blocks_and_one_that_is_taken_may_be_the_bots(ward: Ward) -> None:
    found = (await ward.findings(host="192.0.2.1"))["address"]
    assert (found.level, found.found.partition(" (")[0]) == (Level.BLOCKING, "cannot listen on 192.0.2.1:8080")
    assert (await ward.findings(port=ward.mail.port))["address"].level is Level.OK


@on_sqlite
async def test_a_folder_that_is_not_there_is_said_plainly(ward: Ward, tmp_path: Path) -> None:
    found = await ward.findings(database=Database(f"sqlite+aiosqlite:///{tmp_path / 'shelf' / 'credits.db'}"))

    assert (found["database"].level, found["database"].found) == (
        Level.BLOCKING,
        f"there is no folder {tmp_path / 'shelf'}",
    )


def test_the_report_reads_well_and_parses() -> None:
    report = Report(
        [ok("ledger", "fine"), warning("disk", "0.5 GB", "why so", "do this"), blocking("x", "f", "w", "m")]
    )

    assert report.as_text().splitlines() == [
        "OK        ledger: fine",
        "WARNING   disk: 0.5 GB",
        "            why: why so",
        "            mend: do this",
        "BLOCKING  x: f",
        "            why: w",
        "            mend: m",
        "",
        "1 thing to mend before the bot can sell, 1 warning.",
    ]
    parsed = json.loads(report.as_json())
    assert parsed["ok"] is False
    assert parsed["findings"][1] == {
        "name": "disk",
        "level": "warning",
        "found": "0.5 GB",
        "why": "why so",
        "mend": "do this",
    }
    assert report.exit_code == 1
    assert Report([warning("disk", "", "", "")]).exit_code == 0


def _stuck(**which: list[str]) -> Callable[[], Awaitable[Stuck]]:
    async def stuck() -> Stuck:
        return Stuck(**which)

    return stuck


@on_sqlite
async def test_a_missing_mail_server_is_told_with_the_setting_that_is_missing(ward: Ward) -> None:
    found = (await ward.findings(smtp_url=None))["mail"]
    assert (found.level, found.found) == (Level.WARNING, "SMTP_URL is not set")
    assert "support@skydeck.ai themselves" in found.why
    assert "smtp://USER:PASSWORD@HOST:587" in found.mend


@on_sqlite
async def test_a_mail_server_that_takes_nothing_is_told_without_its_password(ward: Ward) -> None:
    port = ward.mail.port
    await ward.mail.stop()
    found = (await ward.findings(smtp_url=SecretStr(f"smtp://bot:geheim@127.0.0.1:{port}")))["mail"]
    assert (found.level, found.found) == (
        Level.WARNING,
        f"127.0.0.1:{port} does not take mail: no connection (ConnectionRefusedError)",
    )
    assert "geheim" not in str(found)


@on_sqlite
async def test_mail_that_does_not_arrive_is_told(ward: Ward, migrated: Database) -> None:
    await migrated.write(lambda tx: owe_mail(tx, Mail("case:SKY-1:1", "s@x.example", "s", "b"), NOW))
    assert (await ward.findings())["mails"].found == "1 mail waiting"
    found = (await ward.findings(clock=ahead(3600)))["mails"]
    assert found.level is Level.WARNING
    assert "not tried yet" in found.found

    async def give_up(tx: AsyncConnection) -> None:
        [owed] = await mail_store.claim(tx, NOW, 1)
        await mail_store.ended(tx, owed, Fate.GIVEN_UP, NOW, "550 no such user")

    await migrated.write(give_up)
    assert (await ward.findings())["mails"].found == "given up: case:SKY-1:1 to s@x.example (550 no such user)"
