"""Goal 7: from a signed slash command over HTTP to its acknowledgement, beside bare ASGI that does the least."""

import json
import time
from pathlib import Path

from tests.bench.figures import Check, Measured, Row, percentile
from tests.bench.processes import BARE_ASGI, BOT, Command, Outside, Running, outside
from tests.bench.wire import Line

ROUNDS = 7
COMMANDS = 120  # in a round, to each side
_AT_A_TIME = 40  # their triggers live for three seconds
_PAUSE = 0.025  # seconds between two commands: people are slower, and the form of one is open before the next comes


def measure(folder: Path, python: str) -> Measured:
    p50, p99 = Row("acknowledged, p50", "ms", 1.6), Row("acknowledged, p99", "ms", 1.8)
    with outside(folder) as world, Running(BOT, world, python) as bot:
        bot.wait_until_up()
        form = _first_form(world, bot)
        with Running(BARE_ASGI, world, python, FORM=json.dumps(form)) as bare:
            bare.wait_until_up()
            sides = {"bot": _Side(world, bot), "bare": _Side(world, bare)}
            for n in range(1 + ROUNDS):
                took = {name: sides[name].round() for name in sorted(sides, reverse=n % 2 == 0)}
                if n:  # the first one only warms up
                    p50.add(percentile(took["bot"], 50), percentile(took["bare"], 50))
                    p99.add(percentile(took["bot"], 99), percentile(took["bare"], 99))
    return Measured(
        f"Goal 7: /buy-credits over HTTP, {ROUNDS} rounds of {COMMANDS}, beside bare ASGI",
        [p50, p99],
        [
            Check(f"forms opened by their own trigger, {name}", side.opened, (1 + ROUNDS) * COMMANDS)
            for name, side in sides.items()
        ],
    )


class _Side:
    """One of the two, and how many forms it has opened."""

    def __init__(self, world: Outside, running: Running) -> None:
        self._world = world
        self._running = running
        self.opened = 0

    def round(self) -> list[float]:
        """Milliseconds to each acknowledgement."""
        took: list[float] = []
        with Line(self._running.port, self._world.signing_secret) as line:
            for _ in range(0, COMMANDS, _AT_A_TIME):
                commands = self._world.commands(_AT_A_TIME)
                took += [_post(line, command) for command in commands]
                self.opened += self._world.opened(commands)
        return took


def _post(line: Line, command: Command) -> float:
    milliseconds = 1000 * line.post(command.body)
    time.sleep(_PAUSE)
    return milliseconds


def _first_form(world: Outside, bot: Running) -> dict[str, object]:
    """What the bot opens, for the other side to open the same."""
    [command] = world.commands(1)
    with Line(bot.port, world.signing_secret) as line:
        line.post(command.body)
    if not world.opened([command]):
        raise RuntimeError("the bot opened no form")
    return world.form()
