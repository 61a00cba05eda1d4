"""The house: who may import whom, where the few dangerous things stand, and what lies about at the top."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .source import BOT, MODULES, nodes, tree

ROOT = BOT.parent

BOUNDARIES = {"slack/boundary.py", "slack/socket.py", "clockwork.py", "outbox/service.py"}
READER_OF_THE_ENVIRONMENT = "settings.py"


def test_imports_go_one_way() -> None:
    checked = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_module_says_what_it_is_in_its_first_line() -> None:
    """A newcomer reads this first."""
    told = {_name(file): (ast.get_docstring(tree(file)[0]) or "").partition("\n")[0] for file in MODULES}
    assert [name for name, line in told.items() if len(line) < 10 or line[-1] not in ".:"] == []


def test_whatever_went_wrong_is_caught_at_the_boundaries_only() -> None:
    broad = {
        _name(file)
        for file, node in nodes(ast.ExceptHandler)
        if node.type is None or {"Exception", "BaseException"} & _names(node.type)
    }
    assert broad == BOUNDARIES


def test_the_environment_has_one_reader() -> None:
    readers = {
        _name(file)
        for file, node in nodes(ast.Attribute)
        if node.attr in ("environ", "getenv", "putenv") and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    imported = {
        _name(file)
        for file, node in nodes(ast.ImportFrom)
        if node.module == "os" and {"environ", "getenv"} & {each.name for each in node.names}
    }
    assert readers | imported <= {READER_OF_THE_ENVIRONMENT}


def test_money_is_never_a_float() -> None:
    parts = (
        "money.py",
        "ledger/",
        "prices/",
        "usage/",
        "purchases/",
        "accounts/",
        "payments/gateway.py",
        "payments/stripe_answers.py",
    )
    exact = [file for file in MODULES if _name(file).startswith(parts)]
    named = {_name(file) for file, node in nodes(ast.Name, exact) if node.id == "float"}
    divided = {_name(file) for file, _ in nodes(ast.Div, exact)}
    assert named | divided == set()


def test_the_clock_is_asked_and_not_the_machine() -> None:
    """``datetime.now`` and ``time.time`` cannot be wound. Stripe's and Slack's signatures are of the machine's time."""
    asking = {
        _name(file)
        for file, node in nodes(ast.Attribute)
        if isinstance(node.value, ast.Name)
        and f"{node.value.id}.{node.attr}" in ("datetime.now", "datetime.utcnow", "time.time", "date.today")
    }
    of_signatures = {"web/slack_http.py", "payments/stripe_gateway.py", "payments/stripe_events.py"}
    assert {name for name in asking if not name.startswith("sandbox/")} <= {"clock.py", *of_signatures}


def test_nothing_is_unpickled_and_nothing_is_evaluated() -> None:
    imported = {name for _, node in nodes(ast.Import) for name in (each.name for each in node.names)}
    imported |= {str(node.module) for _, node in nodes(ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in imported} & {"pickle", "marshal", "shelve"}
    called = {node.func.id for _, node in nodes(ast.Call) if isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "__import__"}


def test_at_the_top_lies_what_a_newcomer_needs_and_nothing_else() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what lies here need not be what is in the repository")
    top = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        *("bot", "tests", "manifest.yaml", "pyproject.toml", "README.md"),
    }


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _name(file: Path) -> str:
    return file.relative_to(BOT).as_posix()
