"""The command line for prices, on a database of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import main
from bot.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs ``credits-bot prices``; it must end with an exit code, never with a traceback."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, answer: Any = None) -> Result:
        result = CliRunner().invoke(main, ["prices", *words], input=answer)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def on_both(database_url: str, monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    """On an SQLite file and on PostgreSQL, where all tables are there already."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return run
