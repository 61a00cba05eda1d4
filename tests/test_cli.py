"""The command line as somebody in a terminal, or a program, meets it."""

import asyncio
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
import yaml
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from bot.cli import main
from bot.clock import SystemClock
from bot.clockwork import Clockwork
from bot.db.engine import Database
from bot.db.migrate import newest
from bot.ledger import store as ledger
from bot.ledger.model import Book, transfer
from bot.money import Credits, Usd
from bot.prices.model import Tokens
from bot.settings import Settings
from bot.slack.manifest import manifest
from bot.usage import hold_store
from bot.usage.meter import Meter
from bot.usage.model import Event, Hold, HoldState
from bot.usage.rating import Rater

from .credited import credit

SECRET = "geheim-4711"
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
ACME = [*("--name", "Acme Labs", "--plan", "essential"), *("--team", "T1", "--owner", "U2", "--owner", "U1")]

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The commands set up logging for their whole process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def run() -> Run:
    """Runs a command; it must end with an exit code, never with a traceback."""

    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def on_both(database_url: str, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """On an SQLite file and on PostgreSQL, both migrated."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    run("migrate")
    return run


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in group.list_commands(click.Context(group)):
        command = _command(group, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


def _command(group: click.Command, name: str) -> click.Command:
    assert isinstance(group, click.Group)
    command = group.get_command(click.Context(group), name)
    assert command
    return command


# ── help ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", list(_commands(main)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], run: Run) -> None:
    for asked in ("--help", "-h"):
        shown = run(*path, asked).stdout
        assert shown.startswith("Usage: main" if not path else f"Usage: main {' '.join(path)}")
        [about, *_] = shown.split("\n\n")[1].strip().splitlines()
        assert about[0].isupper()


def test_the_commands_are_those_of_the_design(run: Run) -> None:
    assert {
        "run",
        "sandbox",
        "doctor",
        "migrate",
        "accounts",
        "ledger",
        "reconcile",
        "manifest",
    } <= set(main.list_commands(click.Context(main)))
    assert "version 0." in run("--version").stdout


@pytest.mark.parametrize("path", list(_commands(main)), ids=" ".join)
def test_whatever_a_program_may_read_has_json(path: tuple[str, ...]) -> None:
    command: click.Command = main
    for name in path:
        command = _command(command, name)
    silent = {
        (),
        ("accounts",),
        ("cases",),
        ("ledger",),
        ("prices",),
        ("tokens",),
        ("usage",),
        ("run",),
        ("sandbox",),
        ("migrate",),
        ("manifest",),
    }
    assert (path in silent) != any("--json" in option.opts for option in command.params)


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_is_added_shown_and_listed(on_both: Run) -> None:
    on_both("accounts", "add", "acme", *ACME, "--channel", "C1", "--customer", "cus_1", "--enterprise", "E1")
    facts = json.loads(on_both("accounts", "show", "acme", "--json").stdout)
    assert facts == {
        "id": "acme",
        "name": "Acme Labs",
        "plan": "essential",
        "enterprise": "E1",
        "team": "T1",
        "owners": ["U1", "U2"],
        "channel": "C1",
        "language": "en",
        "customer": "cus_1",
        "at_zero": "stop",
        "overdraft": "100.00",
        "trial_ends_at": None,
        "balance": "0.00",
        "balance_nano": 0,
        "held": "0.00",
        "available": "0.00",
        "parked": [],
    }
    assert json.loads(on_both("accounts", "list", "--json").stdout) == [facts]


def test_the_balance_is_a_decimal_string_and_an_integer(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _book(database_url, 12_345_678_901)
    facts = json.loads(on_both("accounts", "show", "acme", "--json").stdout)
    assert (facts["balance"], facts["balance_nano"]) == ("12.345678901", 12_345_678_901)


def test_adding_prints_the_account(run: Run) -> None:
    assert json.loads(run("accounts", "add", "acme", *ACME, "--json").stdout)["owners"] == ["U1", "U2"]
    shown = run("accounts", "show", "acme").stdout
    assert "Acme Labs" in shown
    assert "U1, U2" in shown
    assert re.search(r"channel\s+–", shown)


def test_editing_changes_what_is_named_and_nothing_else(run: Run) -> None:
    before = json.loads(run("accounts", "add", "acme", *ACME, "--channel", "C1", "--json").stdout)
    after = json.loads(run("accounts", "edit", "acme", "--plan", "free_trial", "--json").stdout)
    assert after == {**before, "plan": "free_trial"}

    after = json.loads(run("accounts", "edit", "acme", "--owner", "U9", "--channel", "", "--json").stdout)
    assert after == {**before, "plan": "free_trial", "owners": ["U9"], "channel": None}
    assert json.loads(run("accounts", "show", "acme", "--json").stdout) == after

    after = json.loads(run("accounts", "edit", "acme", "--enterprise", "E1", "--team", "T2", "--json").stdout)
    assert (after["enterprise"], after["team"]) == ("E1", "T2")
    after = json.loads(run("accounts", "edit", "acme", "--enterprise", "", "--json").stdout)
    assert (after["enterprise"], after["team"]) == ("", "T2")


def test_blanks_round_ids_are_nobodys(run: Run) -> None:
    ids = ["--team", " T1", "--owner", "U1 ", "--enterprise", " E1 ", "--channel", "G1\n", "--customer", " cus_1"]
    facts = json.loads(run("accounts", "add", "acme", *ACME[:4], *ids, "--json").stdout)
    assert (facts["team"], facts["owners"], facts["enterprise"]) == ("T1", ["U1"], "E1")
    assert (facts["channel"], facts["customer"]) == ("G1", "cus_1")


def test_editing_keeps_the_balance(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _book(database_url, 5)
    assert json.loads(on_both("accounts", "edit", "acme", "--name", "Acme", "--json").stdout)["balance_nano"] == 5


def test_what_happens_at_zero_is_a_setting_of_the_account(on_both: Run) -> None:
    on_both("accounts", "add", "acme", *ACME, "--at-zero", "go-on", "--overdraft", "12.5")
    facts = json.loads(on_both("accounts", "show", "acme", "--json").stdout)
    assert (facts["at_zero"], facts["overdraft"]) == ("go_on", "12.50")
    assert re.search(r"^at_zero +go-on$", on_both("accounts", "show", "acme").stdout, re.MULTILINE)
    facts = json.loads(on_both("accounts", "edit", "acme", "--name", "Acme", "--json").stdout)
    assert (facts["at_zero"], facts["overdraft"]) == ("go_on", "12.50")
    facts = json.loads(on_both("accounts", "edit", "acme", "--at-zero", "stop", "--overdraft", "0", "--json").stdout)
    assert (facts["at_zero"], facts["overdraft"]) == ("stop", "0.00")


def test_an_account_shows_what_is_held_and_what_waits(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _book(database_url, 5 * 10**9)
    now = SystemClock().now()

    async def hold_and_use(database: Database) -> None:
        for state, nano in (("open", 2 * 10**9), ("released", 10**9)):
            hold = Hold(state, "acme", Credits(nano), now, now + timedelta(minutes=5), HoldState(state))
            await database.write(partial(hold_store.add, hold=hold))
        clockwork, meter = Clockwork(), Meter(database, SystemClock(), Rater(database))
        meter.nudge = clockwork.every(60, "usage", meter.work).nudge
        clockwork.start()
        events = [Event("s", str(n), "acme", "openai", "gpt\x1b", NOON, Tokens(input=1)) for n in range(3)]
        await meter.book(events)
        await clockwork.stop()

    _in_database(database_url, hold_and_use)
    facts = json.loads(on_both("accounts", "show", "acme", "--json").stdout)
    assert (facts["balance"], facts["held"], facts["available"]) == ("5.00", "2.00", "3.00")
    assert facts["parked"] == [
        {"provider": "openai", "model": "gpt\x1b", "reason": "no_price", "events": 3, "oldest": NOON.isoformat()}
    ]
    assert json.loads(on_both("accounts", "list", "--json").stdout) == [facts]
    assert r"parked        3 of 'openai gpt\x1b' (no_price)" in on_both("accounts", "show", "acme").stdout


def test_an_id_or_a_workspace_is_taken_once(on_both: Run) -> None:
    on_both("accounts", "add", "acme", *ACME)
    on_both("accounts", "add", "other", *ACME[:4], "--team", "T2", "--owner", "U1")
    taken = on_both("accounts", "add", "acme", *ACME[:4], "--team", "T3", "--owner", "U1", code=1)
    _one_line(taken, "acme exists already")
    for words in (("add", "third", *ACME), ("edit", "other", "--team", "T1")):
        _one_line(on_both("accounts", *words, code=1), "the account acme has workspace T1 already")
    on_both("accounts", "edit", "other", "--team", "T1", "--enterprise", "E1")
    _one_line(on_both("accounts", "edit", "other", "--enterprise", "", code=1), "the account acme has workspace T1")
    assert len(json.loads(on_both("accounts", "list", "--json").stdout)) == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["accounts", "add", "x"], "--name, --plan, --team, --owner"),
        (["accounts", "add", "x", *ACME[:4], "--team", "T1"], "--owner"),
        (["accounts", "add", "x", "--plan", "platinum"], "platinum"),
        *((["accounts", "add", id, *ACME], "an ID has") for id in ("Acme", "acme labs", "é", "", "x" * 64, "a\n")),
        *((["accounts", "add", "x", *ACME, "--name", name], "--name") for name in ("a\nb", "a\x1b[31m", "a" * 81, " ")),
        *((["accounts", "edit", "x", "--overdraft", odd], "--overdraft") for odd in ("-1", "1000001", "x", "")),
        (["accounts", "edit", "x", "--at-zero", "never"], "--at-zero"),
        (["ledger", "statement", "acme", "--csv", "--json"], "--csv or --json"),
        (["accounts", "edit", "x", "--team", ""], "--team cannot be empty"),
        (["accounts", "edit", "x", "--name", ""], "--name cannot be empty"),
        (["accounts", "add", "x", *ACME[:4], "--team", "C1", "--owner", "U1"], "--team"),
        (["accounts", "add", "x", *ACME[:4], "--team", "T1", "--owner", "anna"], "--owner"),
        *((["accounts", "edit", "x", "--owner", odd], "--owner") for odd in ("u1", "<@U1>", "U1 U2", " ")),
        (["accounts", "edit", "x", "--owner", "U1,U2"], "say the option again for each of several"),
        (["accounts", "edit", "x", "--team", "Tacme"], "'--team': 'Tacme' is no id such as T…"),
        (["accounts", "edit", "x", "--customer", "cus_"], "--customer"),
        (["accounts", "add", "x", *ACME, "--channel", "#general"], "'#general' is no id such as C… or G…"),
        (["accounts", "add", "x", *ACME, "--customer", "pm_1"], "--customer"),
        (["accounts", "add", "x", *ACME, "--enterprise", "T9"], "--enterprise"),
        (["accounts", "show"], "ID"),
        (["ledger", "statement", "acme", "--since", "yesterday"], "--since"),
        (["ledger", "statement", "acme", "--month", "2026-11", "--since", "2026-11-01"], "--month or --since"),
        (["ledger", "statement", "acme", "--since", "2026-12-01", "--until", "2026-11-01"], "--since"),
        (["ledger", "statement", "acme", "--since", "2026-12-01", "--until", "2026-12-01"], "--since"),
        (["accounts", "edit", "x", "--trial-ends", "soon"], "--trial-ends"),
        (["nonsense"], "nonsense"),
        (["run", "--nonsense"], "--nonsense"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_a_misused_command_is_told_and_ends_with_2(words: list[str], named: str, run: Run) -> None:
    assert named in run(*words, code=2).stderr.splitlines()[-1]


def test_where_there_is_no_account_yet_a_person_is_told_how_one_is_made(run: Run) -> None:
    run("migrate")
    listed = run("accounts", "list")
    assert (listed.stdout, listed.stderr) == ("", "There are no accounts yet: credits-bot accounts add --help\n")
    assert run("accounts", "list", "--json").output == "[]\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tokens", "list"), "There are no tokens yet: credits-bot tokens create --help"),
        (("cases", "list"), "No case is open."),
        (("cases", "list", "--all"), "There are no cases yet."),
        (("usage", "parked"), "Nothing waits to be booked."),
        (("usage", "discarded"), "Nothing was given up."),
    ],
)
def test_where_there_is_nothing_a_person_is_told_so_and_a_program_too(
    words: tuple[str, ...], told: str, run: Run
) -> None:
    run("migrate")
    listed = run(*words)
    assert (listed.stdout, listed.stderr) == ("", f"{told}\n")
    assert run(*words, "--json").output == "[]\n"


@pytest.mark.parametrize("words", [("accounts", "show"), ("accounts", "edit"), ("ledger", "statement")], ids=" ".join)
def test_an_account_that_is_not_there_is_told_in_a_line(words: tuple[str, ...], run: Run) -> None:
    run("migrate")
    _one_line(run(*words, "nobody", code=1), "nobody")


# ── the books ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_books_are_proven(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _buy(database_url, 5, 7)
    assert json.loads(on_both("ledger", "verify", "--json").stdout) == {
        "ok": True,
        "entries": 2,
        "accounts": 1,
        "credits": "12.00",
        "problems": [],
        "database": str(Database(database_url)),
    }
    assert "The books are right." in on_both("ledger", "verify").stdout


def test_whoever_has_the_books_proven_is_told_which_ones(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _buy(database_url, 5)
    told = on_both("ledger", "verify").stdout
    place = str(Database(database_url))
    assert f"{place}: 1 entry, 5.00 credits in 1 account\n" in told
    assert (place[0] == "/") is database_url.startswith("sqlite")


def test_wrong_books_are_told_and_end_with_1(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _buy(database_url, 5)
    _sql(database_url, "UPDATE ledger_balances SET nano = nano + 1")
    told = json.loads(on_both("ledger", "verify", "--json", code=1).stdout)
    assert told["ok"] is False
    [problem] = told["problems"]
    assert problem == "account acme has a balance of 5.000000001 but postings of 5.00"
    assert "WRONG" in on_both("ledger", "verify", code=1).stdout


def test_a_statement_adds_up(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _book(database_url, 10**9, 2 * 10**9, 4 * 10**9)  # a day apart
    told = json.loads(
        on_both("ledger", "statement", "acme", "--since", "2026-11-04", "--until", "2026-11-05", "--json").stdout
    )
    assert (told["account"], told["opening"], told["closing"]) == ("acme", "1.00", "3.00")
    [movement] = told["movements"]
    assert movement == {
        "seq": 2,
        "booked_at": "2026-11-04T12:00:00+00:00",
        "happened_at": "2026-11-03T12:00:00+00:00",
        "cause": "opening:1",
        "change": "2.00",
        "balance": "3.00",
        "facts": {"buyer": "U1"},
    }
    lines = on_both("ledger", "statement", "acme").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["0.00", "1.00", "3.00", "7.00", "7.00"]
    assert len({len(line) for line in lines}) == 1, "the figures stand under each other"


def test_a_statement_of_a_month_has_all_of_it(on_both: Run, database_url: str) -> None:
    on_both("accounts", "add", "acme", *ACME)
    _book(database_url, 10**9, 2 * 10**9)
    told = [
        json.loads(on_both("ledger", "statement", "acme", "--month", month, "--json").stdout)
        for month in ("2026-10", "2026-11", "2026-12")
    ]
    assert [(each["opening"], each["closing"]) for each in told] == [("0.00",) * 2, ("0.00", "3.00"), ("3.00",) * 2]
    for odd in ("11", "9999-12", "0001-01"):
        assert "--month takes a month" in on_both("ledger", "statement", "acme", "--month", odd, code=2).stderr


def test_the_end_of_a_trial_is_kept_and_shown(on_both: Run) -> None:
    on_both("accounts", "add", "acme", *ACME, "--trial-ends", "2026-12-24")
    on_both("accounts", "edit", "acme", "--name", "Acme")

    assert json.loads(on_both("accounts", "show", "acme", "--json").stdout)["trial_ends_at"].startswith("2026-12-24")
    on_both("accounts", "edit", "acme", "--trial-ends", "")
    assert json.loads(on_both("accounts", "show", "acme", "--json").stdout)["trial_ends_at"] is None


# ── setting up ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_migrating_twice_is_as_good_as_once(empty_url: str, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_url)
    first, second = run("migrate"), run("migrate")
    assert first.stdout == second.stdout == f"The database is at {newest()}.\n"


def test_on_postgres_nothing_is_migrated_behind_the_back(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    if empty_url.startswith("sqlite"):
        Path("credits.db").touch()
        run("accounts", "list")  # migrates by itself: there is nobody else it could disturb
        return
    monkeypatch.setenv("DATABASE_URL", empty_url)
    for words in (("accounts", "list"), ("ledger", "verify"), ("accounts", "show", "acme")):
        _one_line(run(*words, code=1), "credits-bot migrate")


def test_a_file_of_another_program_is_left_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect("credits.db")) as other:
        other.execute("CREATE TABLE letters (words TEXT)")
    kept = Path("credits.db").read_bytes()
    file = Path("credits.db").absolute()
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1", "STRIPE_API_KEY": "sk_test_1", "SLACK_APP_TOKEN": "xapp-1"}
    for name, value in tokens.items():
        monkeypatch.setenv(name, value)
    for words in (("migrate",), ("accounts", "list"), ("run",)):
        told = run(*words, code=1)
        _one_line(told, f"{file} is of another program: choose another place with DATABASE_URL")
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STRIPE_API_URL", "http://127.0.0.1:9")
    assert _found(run("doctor", "--json", code=1), "schema") == ("blocking", f"{file} is of another program")
    assert Path("credits.db").read_bytes() == kept


def test_the_tables_of_a_bot_at_work_are_not_changed_under_it(run: Run) -> None:
    """As when a newer checkout lists the accounts of one that is still running."""
    run("migrate")
    url = f"sqlite+aiosqlite:///{Path('credits.db').absolute()}"
    _sql(url, "DROP TABLE usage_discards")
    _sql(url, "UPDATE alembic_version SET version_num = '0007'")
    with Database(url).only_process():
        for words in (("accounts", "list"), ("migrate",)):
            _one_line(run(*words, code=1), "a bot of an older version is at work on ")
    run("accounts", "list")
    assert run("usage", "discarded", "--json").stdout == "[]\n"


def test_a_database_of_a_newer_program_is_left_alone_and_told_in_a_line(on_both: Run, database_url: str) -> None:
    _sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    for words in (("accounts", "list"), ("ledger", "verify"), ("migrate",)):
        told = on_both(*words, code=1)
        _one_line(told, f"of a newer version (9999) than this program knows ({newest()}): install the newer program")
    found = f"this database is of a newer version (9999) than this program knows ({newest()})"
    assert _found(on_both("doctor", "--json", code=1), "schema") == ("blocking", found)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_user_of_postgres_without_rights_is_told_which_it_lacks(
    database_url: str, postgres_connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    postgres_connection.execute("CREATE ROLE guest LOGIN")
    url = make_url(database_url).set(username="guest")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    mend = "let the user of DATABASE_URL own the database"
    for words in (("accounts", "list"), ("ledger", "verify"), ("migrate",)):
        _one_line(run(*words, code=1), f"Error: database: permission denied for table alembic_version: {mend}")
    assert "permission denied for table alembic_version" in run("doctor", "--json", code=1).stdout
    _sql(database_url, "GRANT SELECT ON alembic_version TO guest")
    told = run("doctor", "--json", code=1).stdout
    assert f"permission denied for table accounts: {mend}" in told
    assert "has a bug" not in told
    _sql(database_url, "DROP TABLE alembic_version")
    _one_line(run("migrate", code=1), f"Error: database: permission denied for schema public: {mend}")
    postgres_connection.execute("DROP ROLE guest")


@pytest.mark.parametrize(
    "words",
    [
        *(("accounts", "list"), ("accounts", "show", "acme"), ("accounts", "edit", "acme", "--name", "Acme")),
        *(("ledger", "verify"), ("ledger", "statement", "acme"), ("prices", "list"), ("usage", "parked")),
        *(("tokens", "list"), ("tokens", "create", "genstudio"), ("cases", "list"), ("reconcile",)),
    ],
    ids=" ".join,
)
def test_in_the_wrong_folder_no_empty_books_are_made(words: tuple[str, ...], run: Run) -> None:
    """They would be found right, and the token would open no door."""
    told = run(*words, code=1)
    _one_line(told, f"there is no database {Path('credits.db').absolute()}: credits-bot migrate makes it")
    assert list(Path().iterdir()) == []


def test_the_manifest_is_printed_for_both_ways_in(run: Run) -> None:
    assert run("manifest").stdout == manifest()
    over_http = yaml.safe_load(run("manifest", "--url", "https://bot.example").stdout)
    assert over_http["settings"]["interactivity"]["request_url"] == "https://bot.example/slack/events"
    _one_line(run("manifest", "--url", "http://bot.example", code=1), "https://")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "SLACK_BOT_TOKEN"),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, "STRIPE_API_KEY"),
        ({"SLACK_BOT_TOKEN": " ", "STRIPE_API_KEY": "sk_test_1"}, "SLACK_BOT_TOKEN"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "STRIPE_API_KEY": "sk_test_1"}, "SLACK_APP_TOKEN"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "STRIPE_API_KEY": "sk_test_1"}, "SLACK_SIGNING_SECRET"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "STRIPE_API_KEY": "sk_test_1", "SLACK_SIGNING_SECRET": ","}, "SLACK_APP_TOKEN"),
    ],
)
def test_the_bot_says_which_setting_is_missing(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    _one_line(run("run", code=1), named)


@pytest.mark.parametrize(
    "given",
    [
        {"DATABASE_URL": f"mysql://bot:{SECRET}@db/credits"},
        {"DATABASE_URL": f"postgresql://bot:{SECRET}@db:{SECRET}/credits"},
        {"PORT": SECRET},
        {"LOG_LEVEL": SECRET},
    ],
    ids=lambda given: next(iter(given)),
)
@pytest.mark.parametrize("words", [("run",), ("accounts", "list"), ("migrate",), ("doctor",)], ids=" ".join)
def test_a_setting_that_cannot_be_used_is_named_and_not_shown(
    given: dict[str, str], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    told = run(*words, code=1)
    assert next(iter(given)) in told.output
    assert SECRET not in told.output


@pytest.mark.parametrize(
    "words", [("accounts", "list"), ("migrate",), ("ledger", "verify"), ("accounts", "add", "x", *ACME)], ids=" ".join
)
@pytest.mark.parametrize(
    "url",
    [f"postgresql://bot:{SECRET}@127.0.0.1:9/credits", "sqlite:///taken/credits.db", "sqlite:///rubbish.db"],
    ids=["nobody there", "no folder", "no database"],
)
def test_a_database_that_does_not_answer_is_told_in_a_line(
    url: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    Path("taken").touch()
    Path("rubbish.db").write_bytes(b"no database " * 1000)
    monkeypatch.setenv("DATABASE_URL", url)
    _one_line(run(*words, code=1), "database")


@pytest.mark.parametrize("url", [f"postgresql://bot:{SECRET}@127.0.0.1:9/credits", "sqlite:///rubbish.db"])
def test_the_doctor_takes_it_for_what_it_is(url: str, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    Path("rubbish.db").write_bytes(b"no database " * 1000)
    monkeypatch.setenv("DATABASE_URL", url)
    told = json.loads(run("doctor", "--json", code=1).stdout)
    assert SECRET not in str(told)
    assert "has a bug" not in str(told)
    assert "check DATABASE_URL" in str(told)


def test_letters_that_a_terminal_lacks_are_shown_in_others(run: Run) -> None:
    run("accounts", "add", "acme", *ACME, "--name", "Ærø €")
    shown = CliRunner(charset="latin-1").invoke(main, ["accounts", "show", "acme"])
    assert shown.exception is None, shown.exception
    assert r"Ærø \u20ac" in shown.stdout


# ── a real process ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_program_runs_as_a_module_and_tells_mistakes_on_stderr() -> None:
    run = subprocess.run([sys.executable, "-m", "bot", "run"], capture_output=True, text=True, env=_bare(), check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("Error: set SLACK_BOT_TOKEN")
    assert len(run.stderr.splitlines()) == 1


def test_it_does_without_input_and_output() -> None:
    """As under some supervisors. uvloop gave the numbers of what is closed to sockets, and ended the process."""
    closed = 'exec "$0" -m bot accounts add x --name X --plan essential --team T1 --owner U1 <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", closed, sys.executable], env=_bare(), check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_full_disk_under_the_output_is_told_in_a_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "bot", "manifest"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=_bare(), check=False)
    told = "Error: the output cannot be written: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, told)


def test_commands_load_nothing_that_only_a_running_bot_needs() -> None:
    program = (
        "import sys\nfrom bot.cli import main\n"
        "for each in ' accounts cases doctor ledger manifest migrate prices run tokens usage'.split(' '):\n"
        "    main([*each.split(), '--help'], standalone_mode=False)\n"
        "print([name for name in ('slack_bolt', 'aiohttp', 'uvicorn', 'apscheduler', 'stripe') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_bare(), check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_the_bot_starts_without_slack_and_ends_when_asked() -> None:
    """A Slack that does not answer must not keep it from starting; it ends in order, with 0."""
    nobody = {
        "SLACK_BOT_TOKEN": f"xoxb-{SECRET}",
        "SLACK_APP_TOKEN": f"xapp-{SECRET}",
        "SLACK_API_URL": "http://127.0.0.1:9/api/",
        "STRIPE_API_KEY": f"sk_test_{SECRET}",
        "STRIPE_API_URL": "http://127.0.0.1:9",
        "PORT": "0",
    }
    bot = subprocess.Popen(
        [sys.executable, "-m", "bot", "run"], stderr=subprocess.PIPE, text=True, env={**_bare(), **nobody}
    )
    assert bot.stderr is not None
    said = []
    for line in bot.stderr:
        said.append(line)
        if '"at work"' in line:
            break
    else:
        pytest.fail("".join(said))
    second = subprocess.run(
        [sys.executable, "-m", "bot", "run"], capture_output=True, text=True, env={**_bare(), **nobody}, check=False
    )
    bot.send_signal(signal.SIGTERM)
    rest = bot.communicate(timeout=20)[1]
    assert bot.returncode == 0
    assert "Traceback" not in rest
    assert SECRET not in "".join(said) + rest + second.stderr
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith("Error: another bot is already at work on ")


@pytest.mark.skipif(os.name != "posix", reason="no such signal")
@pytest.mark.parametrize("words", [["run"], ["sandbox", "--port", "0"]], ids=" ".join)
def test_a_terminal_that_is_closed_while_it_starts_ends_it_in_order(words: list[str], tmp_path: Path) -> None:
    closed = (
        "import os, signal\nfrom bot import faultpoint\nfrom bot.cli import main\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # whatever nohup says, under which the tests may run
        "faultpoint.arm(lambda name: name == 'G2' and os.kill(os.getpid(), signal.SIGHUP))\n"
        f"main({words})"
    )
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "STRIPE_API_KEY": "sk_test_1"}
    (tmp_path / "temporary").mkdir()
    env = {**_bare(), **tokens, "TMPDIR": str(tmp_path / "temporary")}
    ran = subprocess.run([sys.executable, "-c", closed], capture_output=True, text=True, env=env, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list((tmp_path / "temporary").iterdir()) == []


def _bare() -> dict[str, str]:
    """The environment without any setting of ours."""
    names = {name.upper() for name in Settings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in names}


def _one_line(result: Result, named: str) -> None:
    """A mistake is one line on stderr that names what it is about, and nothing on stdout."""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert named in line
    assert SECRET not in line
    assert result.stdout == ""


def _found(result: Result, name: str) -> tuple[str, str]:
    """The level of a finding of the doctor, and its words."""
    [finding] = [each for each in json.loads(result.stdout)["findings"] if each["name"] == name]
    return finding["level"], finding["found"]


def _in_database(url: str, work: Callable[[Database], Any]) -> None:
    async def main() -> None:
        database = Database(url)
        await work(database)
        await database.dispose()

    asyncio.run(main())


def _book(url: str, *nanos: int) -> None:
    """Movements of the account acme, a day apart."""

    async def work(database: Database) -> None:
        for n, nano in enumerate(nanos):
            entry = transfer(f"opening:{n}", "acme", Credits(nano), Book.SALES, NOON, buyer="U1")
            at = NOON + timedelta(days=n)
            await database.write(lambda tx, entry=entry, at=at: ledger.post(tx, entry, at))  # type: ignore[misc]

    _in_database(url, work)


def _buy(url: str, *dollars: int) -> None:
    """What the account acme bought."""

    async def work(database: Database) -> None:
        for n, each in enumerate(dollars):
            await credit(database, "acme", Usd.dollars(each), NOON, n=n)

    _in_database(url, work)


def _sql(url: str, statement: str) -> None:
    _in_database(url, lambda database: database.write(lambda tx: tx.exec_driver_sql(statement)))
