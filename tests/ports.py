"""Ports for servers that are started more than once, or by another process."""

import socket
from random import Random


def free_port() -> int:
    """One that nobody is given by chance meanwhile: where the system chooses, it takes 32768 or higher."""
    while True:
        port = Random().randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
