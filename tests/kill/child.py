"""The real bot as a process to be killed. A nursery has everything imported, and forks a bot in a few milliseconds.

``lives.Nursery`` runs this file. An order is a line of JSON on a connection of its own; what comes back is the id of
the new process and, once that has ended, how: as ``subprocess`` tells it, -9 for one that was killed.
"""

import asyncio
import gc
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

from bot import faultpoint, logs
from bot.app import Bot
from bot.cli import main
from bot.cli.common import asynchronous
from bot.db.engine import Database
from bot.sandbox.clock import WindableClock
from bot.settings import Settings
from tests import once
from tests.stage import Stage

THE_WORD = signal.SIGUSR1


def nurse() -> None:
    """Take orders until whoever started us is gone, and leave nobody behind."""
    once.arrange()
    asynchronous(_rehearse)()
    gc.freeze()
    listener = socket.create_server(("127.0.0.1", 0))
    heard, hear = socket.socketpair()
    hear.setblocking(False)
    signal.set_wakeup_fd(hear.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)  # ignored signals would not wake us
    print(listener.getsockname()[1], flush=True)
    waiting: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listener, heard, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if sys.stdin in ready:
                break
            if listener in ready:
                _take_order(listener, waiting)
            if heard in ready:
                heard.recv(4096)
                _tell_ends(waiting)
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)


async def _rehearse() -> None:
    """Play a story to its end, so that no bot has to import, compile or read anew what each one needs."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        database = f"sqlite+aiosqlite:///{folder}/rehearsal.db"
        async with Stage.open(Path(folder), database, customer=False) as stage:
            await stage.buy("25")
            await stage.until(stage.pages)
            await stage.pay(save=True)
            await stage.said("Paid and credited")
            await stage.bought("30")
    Database("postgresql+psycopg://")  # imports the driver


def _take_order(listener: socket.socket, waiting: dict[int, socket.socket]) -> None:
    customer, _ = listener.accept()
    with customer.makefile() as lines:
        order = json.loads(lines.readline())
    assert threading.active_count() == 1, "a fork would lose the other threads"
    pid = os.fork()
    if not pid:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        _live(order)
    waiting[pid] = customer
    _tell(customer, pid)


def _tell_ends(waiting: dict[int, socket.socket]) -> None:
    while waiting:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with waiting.pop(pid) as customer:
            _tell(customer, os.waitstatus_to_exitcode(status))


def _tell(customer: socket.socket, number: int) -> None:
    with suppress(OSError):  # whoever asked has gone; others have not
        customer.sendall(f"{number}\n".encode())


def _live(order: dict[str, Any]) -> None:
    """Be ``credits-bot run``, or whatever was ordered, and never return."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(order["folder"])
    os.environ.update(order["settings"])
    hook = die_at(order["moments"])
    if order["on_word"]:
        signal.signal(THE_WORD, lambda *_: faultpoint.arm(hook))
    else:
        faultpoint.arm(hook)
    code = 1
    try:
        if order["ahead"]:
            asyncio.run(_run_ahead(order["ahead"]))
        main(order["command"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - above it is only what belongs to the nursery
        traceback.print_exc()
    finally:
        # Taking Python apart would touch, and so copy, all the memory that is shared with the nursery.
        os._exit(code)


async def _run_ahead(seconds: float) -> None:
    """``credits-bot run`` on a machine whose clock has moved on."""
    clock = WindableClock()
    clock.wind(seconds)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings.read()
    logs.configure(settings.log_level, sys.stderr, secrets=settings.secrets)
    async with Bot.open(settings, clock=clock):
        await stop.wait()
    sys.exit()


def die_at(moments: Sequence[str]) -> Callable[[str], None]:
    """Kill this process at the last of these moments, once the ones before it have passed, in this order."""
    left = list(moments)

    def hook(name: str) -> None:
        if left and left[0] == name:
            del left[0]
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


if __name__ == "__main__":
    nurse()
