"""Prices at the command line: looked at, imported, proposed, exported, and with a markup."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.prices import files

from .conftest import Run

HEADER = "provider,model,input,output,effective_date,expired_date\n"
ACME = ["--name", "Acme Labs", "--plan", "essential", "--team", "T1", "--owner", "U1"]
GPT_4 = ["--provider", "openai", "--model", "gpt-4"]  # an old one: its price has stayed for years


def told(result: Result) -> Any:
    return json.loads(result.stdout)


def write(*rows: str, name: str = "prices.csv") -> str:
    Path(name).write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return name


def listed(run: Run, *words: str) -> list[tuple[str, str, str | None]]:
    """Model, input price and end of each row."""
    shown = told(run("list", "--json", *words))["prices"]
    return [(each["model"], each["input"], each["expired_date"]) for each in shown]


# ── import, list, export ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_starting_table_is_imported_when_asked_for_and_once(on_both: Run) -> None:
    assert "There are no prices" in on_both("list").stdout
    assert "14 of 14 prices written" in on_both("import", "--start").stdout
    assert told(on_both("import", "--start", "--json")) == {"written": [], "read": 14}
    assert told(on_both("list", "--json"))["prices"] == [files.facts(each) for each in _sorted(files.starting_table())]


def test_a_change_is_a_new_row_and_the_old_one_shows_its_end(on_both: Run) -> None:
    file = write("a,m,1,2,2026-01-01,", "a,m,3,4,2026-07-01,2027-01-01", "b,n,0.075,1,2026-01-01,")
    assert told(on_both("import", file, "--json"))["read"] == 3
    assert listed(on_both) == [("m", "1.00", "2026-07-01"), ("m", "3.00", "2027-01-01"), ("n", "0.075", None)]
    assert listed(on_both, "--at", "2026-06-30") == [("m", "1.00", "2026-07-01"), ("n", "0.075", None)]
    assert listed(on_both, "--at", "2026-07-01T00:00:00Z") == [("m", "3.00", "2027-01-01"), ("n", "0.075", None)]
    assert listed(on_both, "--at", "2027-01-01") == [("n", "0.075", None)]
    assert listed(on_both, "--at", "2025-12-31") == []
    assert on_both("list", "--at", "2025-12-31").stdout == "No price holds then.\n"


def test_figures_stand_under_each_other(run: Run) -> None:
    run("import", write("a,m,1,2,2026-01-01,", "a,longer,1000.123,2,2026-01-01,"))
    assert [line.split() for line in run("list").stdout.splitlines()] == [
        [*files.COLUMNS],
        ["a", "longer", "1000.123", "–", "–", "2.00", "2026-01-01", "–"],
        ["a", "m", "1.00", "–", "–", "2.00", "2026-01-01", "–"],
    ]
    assert len({line.index("2026-") for line in run("list").stdout.splitlines()[1:]}) == 1


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["csv", "json"])
def test_what_is_exported_is_imported_elsewhere(form: list[str], on_both: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    on_both("import", write("a,m,1,2,2026-01-01,", "a,m,3,4,2026-07-01,2027-01-01", "=b,'-n,0.1,1,2026-01-01,"))
    exported = on_both("export", *form).stdout
    Path("exported").write_text(exported)
    assert told(on_both("import", "exported", "--json"))["written"] == [], "it is there already"
    monkeypatch.setenv("DATABASE_URL", "sqlite:///elsewhere.db")
    assert len(told(on_both("import", "exported", "--json"))["written"]) == 3
    assert on_both("export", *form).stdout == exported


def test_all_bad_rows_are_named_and_nothing_is_written(on_both: Run) -> None:
    on_both("import", write("a,m,1,2,2026-01-01,"))
    bad = write("a,good,1,2,2026-01-01,", "a,m,1,-2,2026-01-01,", "a,m,1e3,2,2026-01-01,")
    lines = on_both("import", bad, code=1).stderr.splitlines()
    assert lines[0] == "Error: nothing was written:"
    assert [line.partition(":")[0] for line in lines[1:]] == ["line 3", "line 4"]

    other = write(
        "a,good,1,2,2026-01-01,", "a,m,9,2,2026-01-01,", "b,x,1,2,2026-01-01,2026-09-01", "b,x,1,2,2026-08-01,"
    )
    lines = on_both("import", other, code=1).stderr.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["line 3", "line 5"]
    assert "costs input 1.00, output 2.00 already and cannot cost input 9.00, output 2.00" in lines[1]
    assert "overlaps with b x from 2026-01-01, which holds until 2026-09-01" in lines[2]
    assert listed(on_both) == [("m", "1.00", None)]


def test_a_price_ends_when_told(on_both: Run) -> None:
    on_both("import", write("a,m,1,2,2026-01-01,"))
    assert told(on_both("expire", "a", "m", "2999-01-01", "--json"))["expired_date"] == "2999-01-01"
    assert on_both("expire", "a", "m", "2999-01-01").stdout == "a m from 2026-01-01 holds until 2999-01-01.\n"
    assert "already" in _one_line(on_both("expire", "a", "m", "2999-01-02", code=1))
    assert "a x has no price" in _one_line(on_both("expire", "a", "x", "2999-01-01", code=1))
    assert listed(on_both) == [("m", "1.00", "2999-01-01")]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["import"], "FILE or --start"),
        (["import", "prices.csv", "--start"], "FILE or --start"),
        (["import", "nowhere.csv"], "nowhere.csv"),
        (["list", "--at", "yesterday"], "'yesterday' is no date"),
        (["expire", "a", "m", "2026-02-30"], "'2026-02-30' is no date"),
        (["markup", "10"], "--plan or --account"),
        (["markup", "10", "--plan", "essential", "--account", "acme"], "--plan or --account"),
        (["markup", "10", "--plan", "platinum"], "platinum"),
        (["markup", "1e2", "--plan", "essential"], "'1e2' is no percentage"),
        (["markup", "1.005", "--plan", "essential"], "'1.005' is no percentage"),
        (["propose"], "name the providers"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_a_misused_command_is_told_and_ends_with_2(words: list[str], named: str, run: Run) -> None:
    write()
    assert named in run(*words, code=2).stderr.splitlines()[-1]


# ── markups ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_markup_is_of_a_plan_or_of_an_account(on_both: Run) -> None:
    run_main("accounts", "add", "acme", *ACME)
    since = ["--from", "2026-01-01"]
    first = {"scope": "plan:essential", "percent": "12.5", "effective_date": "2026-01-01"}
    assert told(on_both("markup", "12.5", "--plan", "essential", *since, "--json")) == {**first, "new": True}
    assert told(on_both("markup", "12.50%", "--plan", "essential", *since, "--json"))["new"] is False
    assert "another markup from 2026-01-01" in _one_line(on_both("markup", "13", "--plan", "essential", *since, code=1))
    assert "1,000 %" in _one_line(on_both("markup", "1000.01", "--plan", "essential", code=1))
    assert "no account nobody" in _one_line(on_both("markup", "5", "--account", "nobody", code=1))
    on_both("markup", "0", "--account", "acme", "--from", "2026-02-01")
    on_both("markup", "20", "--plan", "essential", "--from", "2026-03-01")

    assert len(told(on_both("list", "--json"))["markups"]) == 3
    then = told(on_both("list", "--json", "--at", "2026-03-01"))["markups"]
    assert [(each["scope"], each["percent"]) for each in then] == [("account:acme", "0"), ("plan:essential", "20")]
    assert "markup of 12.5 % for plan:essential from 2026-01-01" in on_both("list").stdout


# ── proposals ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_new_is_written_when_it_is_confirmed(on_both: Run) -> None:
    shown = on_both("propose", *GPT_4, "--from", "2026-01-01", answer="y\n").stdout
    assert "new  openai    gpt-4  30.00             –            –   60.00  2026-01-01" in shown
    assert "1 new, 0 changed, 0 the same, 0 not listed by genai-prices, 0 skipped" in shown
    assert shown.endswith("1 prices written.\n")
    assert listed(on_both) == [("gpt-4", "30.00", None)]
    again = on_both("propose", *GPT_4).stdout
    assert "0 new, 0 changed, 1 the same" in again
    assert "Write" not in again, "there is nothing to confirm"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "enter", "nobody there"])
def test_what_is_not_confirmed_is_not_written(answer: str, run: Run) -> None:
    run("propose", *GPT_4, answer=answer, code=0 if answer else 1)
    assert listed(run) == []


def test_what_has_changed_is_a_new_row(on_both: Run) -> None:
    on_both("import", write("openai,gpt-4,31,60,2026-01-01,"))
    compared = told(on_both("propose", *GPT_4, "--from", "2026-07-01", "--json"))
    assert compared["written"] == 0, "a program that only reads writes nothing"
    [change] = compared["changed"]
    assert (change["from"]["input"], change["to"]["input"], change["to"]["effective_date"]) == (
        *("31.00", "30.00"),
        "2026-07-01",
    )
    assert "31.00 → 30.00" in on_both("propose", *GPT_4, "--from", "2026-07-01", "--yes").stdout
    assert listed(on_both) == [("gpt-4", "31.00", "2026-07-01"), ("gpt-4", "30.00", None)]


def test_the_providers_are_those_that_have_prices_already(run: Run) -> None:
    assert "name the providers" in run("propose", code=2).stderr
    run("import", write("openai,gpt-4,30,60,2026-01-01,", "openai,ours,1,1,2026-01-01,", "house,llama,1,1,2026-01-01,"))
    compared = told(run("propose", "--json"))
    assert {each["provider"] for each in compared["new"]} == {"openai"}
    assert [each["model"] for each in compared["gone"]] == ["ours"]
    assert compared["same"] == 1
    assert told(run("propose", "--yes", "--json"))["written"] == len(compared["new"]) > 20
    assert told(run("propose", "--yes", "--json"))["written"] == 0


def test_what_no_row_can_say_is_skipped_with_its_reason(run: Run) -> None:
    compared = told(run("propose", "--provider", "openai", "--provider", "google", "--json"))
    reasons = {each["model"]: each["reason"] for each in compared["skipped"]}
    assert reasons["gemini-1.5-pro"] == "the price depends on the length of the prompt"
    assert reasons["o3"] == "the price changes with the date or the hour"
    assert reasons["gpt-4o-transcribe"] == "there is a price for input audio too"
    assert reasons["text-embedding-3-small"] == "there is no price for input and output"
    assert reasons["whisper-1"].startswith("there is a price for")
    proposed = {each["model"] for each in compared["new"]}
    assert "gpt-4" in proposed
    assert not proposed & reasons.keys()
    shown = run("propose", "--provider", "openai", "--model", "gpt-4o", "--model", "o3", answer="n\n").stdout
    assert "skipped, because the price changes with the date or the hour: o3" in shown
    assert "not covered: web searches of gpt-4o" in shown


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--provider", "opanai"], "lists no provider opanai, but "),
        (["--provider", "openai", "--model", "gpt-4", "--model", "gpt-nine"], "lists no model gpt-nine of openai"),
    ],
    ids=["provider", "model"],
)
def test_a_name_that_is_not_listed_is_told(words: list[str], named: str, run: Run) -> None:
    assert named in _one_line(run("propose", *words, code=1))


def test_what_was_changed_while_somebody_looked_is_not_written_over(run: Run) -> None:
    run("import", write("openai,gpt-4,31,60,2026-01-01,"))

    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            with sqlite3.connect("credits.db") as other:
                other.execute(
                    "INSERT OR IGNORE INTO prices (id, provider, model, input, output, effective_at, created_at) "
                    "SELECT 9, provider, model, input + 1000000000, output, effective_at + 1, created_at FROM prices"
                )
            return super().read1(size)

    refused = run("propose", *GPT_4, answer=Slow(b"y\n"), code=1)
    assert "somebody else has changed the prices meanwhile" in refused.stderr
    assert [each[1] for each in listed(run)] == ["31.00", "32.00"]


def test_without_the_package_it_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    assert "pip install -e '.[prices]'" in _one_line(run("propose", *GPT_4, code=1))
    run("import", "--start")


def test_nothing_is_ever_fetched(tmp_path: Path) -> None:
    """The package can update itself over the network; here it must not."""
    guarded = (
        "import os, sys\n"
        "sys.addaudithook(lambda event, _: event in ('socket.connect', 'socket.getaddrinfo') and os._exit(9))\n"
        "from bot.cli import main\n"
        "main(['prices', 'propose', '--provider', 'openai', '--yes'])\n"
    )
    tried = subprocess.run(
        [sys.executable, "-c", guarded],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": "sqlite:///credits.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
    assert "prices written" in tried.stdout


def run_main(*words: str) -> None:
    assert CliRunner().invoke(main, words).exit_code == 0


def _sorted(prices: list[Any]) -> list[Any]:
    return sorted(prices, key=lambda each: (each.provider, each.model))


def _one_line(result: Result) -> str:
    """A mistake is one line on stderr, and nothing on stdout."""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert result.stdout == ""
    return line
