"""Ports for servers that are started more than once, or by another process."""

import itertools
import os
import random
import socket

_FIRST, _SOME = 20_000, 1_500  # where the system chooses, it takes 32768 or higher
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_numbers = itertools.count(random.randrange(_SOME))  # two runs at once seldom meet


def free_port() -> int:
    """One that nobody else is given soon, so that a bot that was killed finds it free when it is back."""
    while True:
        port = _FIRST + _worker * _SOME + next(_numbers) % _SOME
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
