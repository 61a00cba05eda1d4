"""What all commands share: coroutines as commands, the database of the settings, and looking an account up."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import click

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.db.engine import Database, must
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
                return runner.run(_in_order(command(*args, **kwargs)))
        except asyncio.CancelledError:
            raise click.Abort from None
        except (Unusable, Outage) as wrong:
            raise click.ClickException(str(wrong)) from None

    return run


async def _in_order(command: Coroutine[Any, Any, T]) -> T:
    """SIGTERM ends it as Ctrl+C does, and so does the end of its terminal: what is open is closed."""
    with when_told(must(asyncio.current_task()).cancel, "SIGTERM", "SIGHUP"):
        return await command


@contextmanager
def when_told(act: Callable[[], object], *signals: str) -> Iterator[None]:
    """Do this instead of ending at once. On Windows, and in a thread, nobody hears of signals this way."""
    loop, heard = asyncio.get_running_loop(), []
    for name in signals if threading.current_thread() is threading.main_thread() else ():
        sign = getattr(signal, name, None)  # Windows knows no SIGHUP
        if sign is None or (name == "SIGHUP" and signal.getsignal(sign) is signal.SIG_IGN):  # which is nohup's doing
            continue
        with suppress(NotImplementedError):
            loop.add_signal_handler(sign, act)
            heard.append(sign)
    try:
        yield
    finally:
        for sign in heard:
            loop.remove_signal_handler(sign)


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
