"""Goal 10: from the start of the process to its first acknowledgement, and its memory, beside its bare libraries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Check, Measured, Row
from tests.bench.processes import BARE_BOLT, BOT, Outside, Running, outside
from tests.bench.wire import Line

ROUNDS = 5
_AT_REST_AFTER = 1.5  # seconds: what is loaded in the background is there by then


def measure(folder: Path, python: str) -> Measured:
    first_ack, memory = Row("start to first ack", "s", 1.25), Row("memory at rest", "MB", 1.25)
    computed = Row("computed until then", "s", None)  # what other programs on this machine disturb less
    opened = 0
    with outside(folder) as world:
        for n in range(1 + ROUNDS):
            took = {module: _start(module, world, python) for module in sorted([BOT, BARE_BOLT], reverse=n % 2 == 0)}
            opened += sum(each.opened for each in took.values())
            if n:  # the first one only warms up
                first_ack.add(took[BOT].seconds, took[BARE_BOLT].seconds)
                computed.add(took[BOT].computed, took[BARE_BOLT].computed)
                memory.add(took[BOT].megabytes, took[BARE_BOLT].megabytes)
    return Measured(
        f"Goal 10: {ROUNDS} starts, beside Bolt + Starlette + SQLAlchemy + APScheduler alone",
        [first_ack, computed, memory],
        [Check("forms opened by the first command", opened, 2 * (1 + ROUNDS))],
    )


@dataclass(frozen=True)
class _Started:
    """One start: until its first acknowledgement, and at rest; how many forms that command opened."""

    seconds: float
    computed: float
    megabytes: float
    opened: int


def _start(module: Sequence[str], world: Outside, python: str) -> _Started:
    with Running(module, world, python) as running:
        running.wait_until_up()
        commands = world.commands(1)
        with Line(running.port, world.signing_secret) as line:
            line.post(commands[0].body)
        seconds, computed = time.perf_counter() - running.began, running.cpu_seconds
        opened = world.opened(commands)
        time.sleep(_AT_REST_AFTER)
        return _Started(seconds, computed, running.megabytes, opened)
