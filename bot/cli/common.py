"""What all commands share: coroutines as commands, the database of the settings, and looking an account up."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import click

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.db.engine import Database
from bot.db.migrate import prepare
from bot.errors import Outage, Unusable
from bot.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def asynchronous(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run a coroutine as a command; what can be expected to go wrong becomes one line and exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with asyncio.Runner(loop_factory=_quick_loop()) as runner:
                return runner.run(command(*args, **kwargs))
        except (Unusable, Outage) as wrong:
            raise click.ClickException(str(wrong)) from None

    return run


async def found(tx: Any, id: str) -> Account:
    account = await accounts.of_id(tx, id)
    if account is None:
        raise click.ClickException(f"there is no account {id}: credits-bot accounts list shows them all")
    return account


def must_be_there(database: Database) -> None:
    if database.is_sqlite and not database.file.exists():
        raise Unusable(f"there is no database {database.file}: credits-bot migrate makes it")


def _quick_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop; Python's own on Windows, for which there is no other."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


class Opened:
    """The database of the settings, closed after use.

    ``makes``: it may be the first command of all. Any other would find empty books right in the wrong folder.
    """

    def __init__(self, *, migrated: bool = False, makes: bool = False) -> None:
        self._migrated = migrated
        self._makes = makes
        self._database = Database(Settings.read().database_url)

    async def __aenter__(self) -> Database:
        if self._migrated:
            if not self._makes:
                must_be_there(self._database)
            await prepare(self._database)
        return self._database

    async def __aexit__(self, *error: object) -> None:
        await self._database.dispose()
