"""The README tells the truth: its settings, commands, addresses, links and clicks are those of the program."""

import asyncio
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner

from bot.app import Bot
from bot.cli import main
from bot.ledger.service import verify
from bot.mail.model import TRIED_FOR
from bot.payments.stripe_events import KINDS
from bot.sandbox.world import World
from bot.settings import Settings, StartTls, read_smtp_url
from bot.slack import names
from bot.slack.manifest import OPTIONAL_SCOPES, manifest
from bot.support.listeners import WORDS as SUPPORT_WORDS
from bot.support.model import new_number

from .stage import Stage

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
IN_WORDS = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE))
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = [
    step for line in [*LINES, *IN_WORDS] for step in line.split("&&") if step.strip().startswith("credits-bot ")
]
ADDRESSES = [word.split() for word in IN_WORDS if re.match(r"(GET|POST|DELETE) /", word)]
RUN_BY_CI = ("credits-bot sandbox", "pytest")


def settings_told() -> dict[str, str]:
    """Each setting of the table with its default; some share a row."""
    told: dict[str, str] = {}
    for row in re.findall(r"^\| (`[A-Z].*) \|$", README, re.MULTILINE):
        settings, defaults, _ = (re.findall(r"`([^`]+)`", cell) for cell in row.split(" |", 2))
        told |= dict(zip(settings, defaults or [""] * len(settings), strict=True))
    return told


def test_the_table_of_settings_is_what_can_be_set_with_the_defaults_it_has() -> None:
    fields = Settings.model_fields.items()

    assert settings_told() == {name.upper(): str(field.default or "") for name, field in fields}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_the_program_takes(command: str) -> None:
    asked = CliRunner().invoke(main, [*shlex.split(command, comments=True)[1:], "--help"])

    assert asked.exit_code == 0, asked.output


def test_every_kind_of_command_is_told_of() -> None:
    assert len(COMMANDS) >= 8


async def test_every_address_is_answered_by_the_running_bot() -> None:
    assert len(ADDRESSES) == 10
    async with World.open() as world:
        world.slack.install(yaml.safe_load(manifest()))
        settings = world.settings(slack_signing_secret="signs")
        async with Bot.open(settings) as bot, httpx.AsyncClient(base_url=bot.server.url) as http:
            for method, path in ADDRESSES:
                assert (await http.request(method, path)).status_code not in (404, 405), path
            assert (await http.get("/nothing")).status_code == 404


def test_the_events_to_choose_at_stripe_are_those_that_lead_somewhere() -> None:
    chosen = [word for word in IN_WORDS if re.fullmatch(r"(payment_intent|checkout|charge|refund)[a-z_.]*\*?", word)]
    assert all(any(fnmatch(kind, each) for each in chosen) for kind in KINDS)
    assert all(any(fnmatch(kind, each) for kind in KINDS) for each in chosen)


async def test_a_program_is_connected_in_ten_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are run one after the other, with the address of a bot and the token that it made."""
    [before, python, after] = _lines_below("## Where the credits go")
    assert len([line for line in before + python + after if line]) == 10
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'credits.db'}")
    async with World.open() as world:
        world.slack.install(yaml.safe_load(manifest()))
        async with Bot.open(world.settings(database_url=f"sqlite:///{tmp_path / 'credits.db'}")) as bot:
            [added] = [line for line in LINES if line.startswith("credits-bot accounts add acme")]
            await asyncio.to_thread(_run, added)
            token = [said for line in before if (said := await asyncio.to_thread(_run, line)).startswith("cb_")]
            program = "\n".join(python).replace("http://127.0.0.1:8080", bot.server.url)
            await asyncio.to_thread(exec, program.replace("cb_…", token[0].strip()), {})
            [shown] = [await asyncio.to_thread(_run, line) for line in after]

    [told] = re.findall(r"has ([0-9.]+) credits less", "\n".join(after))
    assert re.search(rf"^balance +-{told}$", shown, re.MULTILINE)


def _lines_below(heading: str) -> list[list[str]]:
    """The lines of each block in a chapter."""
    [chapter] = re.findall(rf"^{heading}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    return [block.splitlines() for block in re.findall(r"^```[a-z]+\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE)]


def _run(line: str) -> str:
    """What a command of ours prints; what others install is there already."""
    command = shlex.split(line, comments=True)
    if command[0] != "credits-bot":
        assert line == f"pip install {_required(command[2].partition('==')[0])}"
        return ""
    done = CliRunner().invoke(main, command[1:])
    assert done.exit_code == 0, done.output
    return done.stdout


def _required(package: str) -> str:
    """How the tests themselves require it."""
    [found] = re.findall(rf'"({package}==[^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(found)


async def test_a_copy_made_beside_a_running_bot_has_all_of_the_books_and_takes_their_place(
    stage: Stage, tmp_path: Path
) -> None:
    if not stage.bot.database.is_sqlite:
        pytest.skip("PostgreSQL has pg_dump")
    await stage.bought("25")
    await stage.calm()
    [line] = [line for line in LINES if "VACUUM INTO" in line]
    [_, *program] = shlex.split(line)
    making = await asyncio.create_subprocess_exec(sys.executable, *program, cwd=tmp_path)
    assert await making.wait() == 0

    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o777 == 0o600, "for nobody else, as the books themselves"
    await stage.bought("40")
    await stage.calm()
    [since, _] = await stage.purchases()
    stage.lost_purchases.add(since.id)
    await stage.stop()
    _put_in_the_place_of(tmp_path / "credits.db", copy)
    await stage.start()
    assert (await verify(stage.bot.database)).problems == []
    await stage.slack.until(lambda: stage.slack.connected)
    await stage.wind(minutes=5)  # Stripe tells once more what has happened
    await stage.calm()
    assert [intent["amount_received"] for intent in stage.stripe.succeeded_intents()] == [2500, 4000]
    assert await stage.balance() == "25.00", "what was paid since the copy is not taken in again"
    await stage.bought("30")
    assert await stage.balance() == "55.00"


def _put_in_the_place_of(books: Path, copy: Path) -> None:
    for file in books.parent.glob(f"{books.name}*"):
        file.unlink()
    copy.rename(books)


def test_every_link_into_the_project_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https://)([^)]+)\)", README)

    assert {"manifest.yaml", "tests/browser/sandbox.png"} <= set(links)
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_first_two_commands_are_those_that_ci_runs_on_a_fresh_machine() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    place, *told = [line.partition("#")[0].strip() for line in BLOCKS[0].splitlines()]
    extras = re.findall(r"^fresh \w+ (\w+)$", ci, re.MULTILINE)

    assert told == [f"pip install -e '.[{extra}]' && {run}" for extra, run in zip(extras, RUN_BY_CI, strict=True)]
    assert place == "python3 -m venv .venv && . .venv/bin/activate", "Debian's own Python takes no packages"
    assert '"$python" -m venv "$work/$1"' in ci
    assert 'install --quiet --disable-pip-version-check -e ".[$2]"' in ci
    assert '/bin/credits-bot" sandbox --headless' in ci
    assert "\npytest\n" in ci


def test_the_eight_clicks_are_numbered_and_paste_the_manifest_that_the_program_prints() -> None:
    clicks = re.findall(r"^(\d)\. (.*(?:\n   .*)*)", README, re.MULTILINE)

    assert [int(number) for number, _ in clicks] == list(range(1, 9))
    assert "[manifest.yaml](manifest.yaml)" in clicks[2][1]
    assert (ROOT / "manifest.yaml").read_text(encoding="utf-8") == manifest()


def test_the_slash_command_is_called_by_its_name() -> None:
    told = {word.split()[0] for word in IN_WORDS if word.startswith("/")}

    assert names.BUY_COMMAND in told
    assert told <= {names.BUY_COMMAND, *(path for _, path in ADDRESSES)}


def test_mail_servers_are_named_as_it_says() -> None:
    [row] = re.findall(r"^\| `SMTP_URL` .*$", README, re.MULTILINE)
    url, other = re.findall(r"`(smtps?://[^`]+)`", row)
    options = re.findall(r"`[?&]([a-z]+=[^`]+)`", README)
    server = read_smtp_url(f"{url}?{'&'.join(options)}", "support@skydeck.ai")

    assert (server.host, server.port, server.user, server.password) == ("host", 587, "user", "password")
    assert (server.starttls, server.sender) == (StartTls.REQUIRED, "credits@example.com")
    assert read_smtp_url(other.replace("…", "user:password@host"), "support@skydeck.ai").tls


def test_a_case_is_numbered_and_a_person_is_reached_as_it_says() -> None:
    [shown] = {word for word in IN_WORDS if word.startswith("SKY-")}
    assert len(shown) == len(new_number())
    assert f"{names.BUY_COMMAND} {SUPPORT_WORDS[0]}" in IN_WORDS
    assert "users:read.email" in OPTIONAL_SCOPES
    assert f"has not done so for {TRIED_FOR.total_seconds() / 3600:.0f} hours" in README
