"""Usage from a file, as somebody in a terminal brings it in: all of it, once, however often it is stopped."""

import asyncio
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.db.engine import Database
from bot.settings import Settings

from .metered import furnish

Json = dict[str, Any]
Run = Callable[..., Result]
ALL_BOOKED = {"complete": True, "repeated": 0, "parked": 0, "problems": []}


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database with two accounts and a price, which is the one of the settings."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def prepare() -> None:
        database = Database(database_url)
        await furnish(database)
        await database.dispose()

    asyncio.run(prepare())
    return database_url


@pytest.fixture
def run(url: str) -> Run:
    def run(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


def brought(run: Run, file: str, code: int = 0) -> Json:
    told: Json = json.loads(run("usage", "import", file, "--json", code=code).stdout)
    return told


def balance(run: Run, account: str = "acme") -> str:
    return str(json.loads(run("accounts", "show", account, "--json").stdout)["balance"])


def use(n: int, account: str = "acme", **data: Any) -> Json:
    """A use for a thousandth of a credit: 500 tokens at $2 for a million."""
    counts = {"input_tokens": 500, "output_tokens": 0, "input_includes_cached": True}
    return {
        **{"specversion": "1.0", "type": "use", "source": "genstudio", "id": str(uuid.UUID(int=n)), "subject": account},
        **{"time": "2026-11-03T12:00:00Z", "data": {"provider": "openai", "model": "gpt", **counts, **data}},
    }


def write(*events: Json | str, name: str = "usage.ndjson") -> str:
    Path(name).write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in events))
    return name


def many(n: int) -> Iterator[Json]:
    return (use(each, "acme" if each % 2 else "other") for each in range(n))


def test_each_event_counts_once_however_often_it_is_imported(run: Run) -> None:
    file = write(*many(2_500))
    assert brought(run, file) == {**ALL_BOOKED, "new": 2_500}
    assert (balance(run), balance(run, "other")) == ("998.75", "998.75")

    assert brought(run, file) == {**ALL_BOOKED, "new": 0, "repeated": 2_500}
    assert run("usage", "import", file).stdout == "Events: 0 new, 2500 there already.\n"
    assert balance(run) == "998.75"
    assert run("ledger", "verify").stdout.endswith("The books are right.\n")


def test_a_table_is_as_good(run: Run) -> None:
    columns = ["source", "id", "subject", "provider", "model", "input_tokens", "output_tokens", "input_includes_cached"]
    told = io.StringIO()
    writer = csv.DictWriter(told, columns, extrasaction="ignore")
    writer.writeheader()
    for each in many(10):
        writer.writerow({**each, **each["data"]})
    Path("usage.csv").write_text(told.getvalue())

    assert brought(run, "usage.csv") == {**ALL_BOOKED, "new": 10}
    assert balance(run) == "999.995"


def test_the_statement_shows_each_use_in_three_ways(run: Run) -> None:
    brought(run, write(*many(4), use(9, cached_input_tokens=100)))
    told = json.loads(run("ledger", "statement", "acme", "--debits", "--json").stdout)
    assert [len(each["debits"]) for each in told["movements"]] == [0, 3]
    assert (told["closing"], told["movements"][1]["change"]) == ("999.99715", "-0.00285")

    rows = list(csv.DictReader(io.StringIO(run("ledger", "statement", "acme", "--debits", "--csv").stdout)))
    assert [row["kind"] for row in rows] == ["opening", "movement", "movement", "debit", "debit", "debit", "closing"]
    assert sorted(row["cost"] for row in rows if row["cost"]) == ["0.00085", "0.001", "0.001"]

    lines = run("ledger", "statement", "acme", "--debits").stdout.splitlines()
    assert len(lines) == 7
    assert [line for line in lines if line.endswith("400 input at 2.00, 100 cached input at 0.50")]
    assert len(run("ledger", "statement", "acme").stdout.splitlines()) == 4


def test_bad_lines_are_named_and_the_rest_is_imported_after_mending(run: Run) -> None:
    events: list[Json | str] = list(many(2_500))
    bad = [*events]
    bad[1_200] = "{"
    bad[1_999] = use(1_999, input_token=5)
    told = brought(run, write(*bad), code=1)
    assert told["problems"] == [
        {"line": 1_201, "reason": "not JSON: Input data was truncated"},
        {"line": 2_000, "reason": "data: object contains unknown field input_token"},
    ]
    assert (told["complete"], told["new"]) == (False, 1_000), "what stands before the bad thousand"
    said = run("usage", "import", "usage.ndjson", code=1)
    assert said.stdout == "Events: 0 new, 1000 there already.\n"
    assert said.stderr.splitlines() == [
        "line 1201: not JSON: Input data was truncated",
        "line 2000: data: object contains unknown field input_token",
        "The rest of the file is not booked: mend it and import it again to go on.",
    ]

    assert brought(run, write(*events)) == {**ALL_BOOKED, "new": 1_500, "repeated": 1_000}
    assert balance(run) == "998.75"


def test_what_cannot_be_booked_is_named_by_its_line_too(run: Run) -> None:
    brought(run, write(use(1)))
    told = brought(run, write(use(2), "", use(3, "nobody"), use(4)), code=1)
    assert told["problems"] == [{"line": 3, "reason": "there is no account nobody"}]
    told = brought(run, write(use(5), use(1, input_tokens=501)), code=1)
    [problem] = told["problems"]
    assert problem == {"line": 2, "reason": f"the id {uuid.UUID(int=1)} was used before, with other content"}
    assert balance(run) == "999.999", "nothing of either file was booked"


def test_twenty_bad_lines_are_shown_and_the_others_counted(run: Run) -> None:
    said = run("usage", "import", write(*["{"] * 25), code=1).stderr.splitlines()
    assert [line.split(":")[0] for line in said[:20]] == [f"line {n}" for n in range(1, 21)]
    assert said[20] == "and 5 more"
    assert len(brought(run, "usage.ndjson", code=1)["problems"]) == 20


def test_what_has_no_price_is_parked_and_said(run: Run) -> None:
    said = run("usage", "import", write(use(1), use(2, model="new")))
    assert said.stdout.splitlines() == [
        "Events: 2 new, 0 there already.",
        "1 of all these is parked and not booked yet: credits-bot doctor says what it waits for.",
    ]
    assert balance(run) == "999.999"


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_nothing_is_nothing(run: Run, content: str) -> None:
    Path("usage.ndjson").write_text(content)
    assert brought(run, "usage.ndjson") == {**ALL_BOOKED, "new": 0}


def test_a_file_that_is_not_there_is_told_and_ends_with_2(run: Run) -> None:
    assert "does not exist" in run("usage", "import", "nothing.ndjson", code=2).stderr
    assert "is a directory" in run("usage", "import", ".", code=2).stderr


@pytest.mark.parametrize(
    ("database_url", "sign"),
    [("sqlite", signal.SIGINT), ("sqlite", signal.SIGHUP), ("postgres", signal.SIGTERM)],
    indirect=["database_url"],
)
def test_it_is_stopped_and_started_again_in_a_real_terminal(run: Run, sign: signal.Signals) -> None:
    """Ctrl+C, or the like, in the midst of it; the bar is shown; whatever it had booked counts, and counts once."""
    events = 10_000
    file = write(*many(events))
    shown = _in_a_terminal(file, sign, stop_at=b"10%")
    assert b"usage.ndjson  [###" in shown
    assert b"The rest of the file is not booked: import it again to go on." in shown

    told = brought(run, file)
    assert told["complete"]
    assert told["new"] + told["repeated"] == events
    assert 0 < told["new"] < events
    assert (balance(run), balance(run, "other")) == ("995.00", "995.00")


def _in_a_terminal(file: str, sign: signal.Signals, stop_at: bytes) -> bytes:
    """What the command shows there; as soon as it shows ``stop_at``, it gets the signal, as by Ctrl+C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background are deaf to Ctrl+C
    deaf = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and so is what nohup starts to the end of its terminal
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "bot", "usage", "import", file]
    with subprocess.Popen(
        command, stdout=inside, stderr=inside, stdin=inside, start_new_session=True, env=dict(os.environ)
    ) as bot:
        signal.signal(signal.SIGHUP, deaf)
        os.close(inside)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
            if stop_at in shown:
                bot.send_signal(sign)
                stop_at = b"never again"
        assert bot.wait(30) == 1
    os.close(terminal)
    return shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so that nobody writes any more
        return b""


def test_it_works_beside_a_process_that_books_the_same(run: Run, url: str) -> None:
    """Two imports of one file at once, as an import beside a running bot: each event counts once all the same."""
    file = write(*many(2_000))
    command = [sys.executable, "-m", "bot", "usage", "import", file, "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) for _ in range(2)]
    told = [json.loads(each.communicate(timeout=60)[0]) for each in both]

    assert [each["complete"] for each in told] == [True, True]
    assert sum(each["new"] for each in told) == sum(each["repeated"] for each in told) == 2_000
    assert balance(run) == "999.00"
    assert json.loads(run("ledger", "verify", "--json").stdout)["ok"]
