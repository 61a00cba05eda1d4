"""The real bot as a process to be killed. A nursery has everything imported, and forks a bot in a few milliseconds.

``lives.Nursery`` runs this file. An order is a line of JSON on a connection of its own; what comes back is the id of
the new process and, once that has ended, how: as ``subprocess`` tells it, -9 for one that was killed.
"""

import asyncio
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import stripe
from pydantic import SecretStr

from bot import faultpoint
from bot.app import Bot
from bot.cli import main
from bot.cli.common import asynchronous
from bot.db.engine import Database
from bot.errors import Outage
from bot.money import Usd
from bot.sandbox.clock import WindableClock
from bot.settings import Settings
from tests import once

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
    """Open a bot that reaches nobody, because much is imported only when it is first used."""
    logging.disable()
    nowhere = "http://127.0.0.1:9"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            slack_bot_token=SecretStr("xoxb-rehearsal"),
            slack_app_token=SecretStr("xapp-rehearsal"),
            slack_api_url=nowhere,
            stripe_api_key=SecretStr("rk_test_rehearsal"),
            stripe_api_url=nowhere,
            database_url=f"sqlite:///{folder}/rehearsal.db",
            port=0,
        )
        async with Bot.open(settings) as bot:
            bot.texts_of("U0NOBODY").show(Usd.dollars(1))
            with suppress(Outage):
                await bot.gateway.hints(datetime.now(UTC))
    Database("postgresql+psycopg://")  # imports the driver
    for kind in ("Charge", "Customer", "Event", "Invoice", "PaymentIntent", "PaymentMethod", "checkout.Session"):
        attrgetter(kind)(stripe)  # imports it
    for service in ("checkout.sessions", "customers", "disputes", "invoices", "payment_intents", "refunds"):
        attrgetter(service)(stripe.StripeClient("rk_test_rehearsal").v1)
    logging.disable(logging.NOTSET)


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
    try:
        if order["ahead"]:
            asyncio.run(_run_ahead(order["ahead"]))
        main(order["command"])
    except SystemExit as end:
        # Taking Python apart would touch, and so copy, all the memory that is shared with the nursery.
        os._exit(int(end.code or 0))


async def _run_ahead(seconds: float) -> None:
    """``credits-bot run`` on a machine whose clock has moved on."""
    clock = WindableClock()
    clock.wind(seconds)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Bot.open(Settings.read(), clock=clock):
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
