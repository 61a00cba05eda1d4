"""Runs one world from its seed, and says what was wrong with it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.db.migrate import upgrade
from bot.errors import Outage

from .driver import SharedDatabase
from .loop import leap
from .people import everybody, tidy_up
from .process import Parts
from .truths import violations
from .world import World


@dataclass(frozen=True)
class Story:
    """What a seed told."""

    seed: int
    wrong: list[str]
    trace: list[str]
    odds: str

    def __str__(self) -> str:
        wrong = "\n".join(f"  {each}" for each in self.wrong)
        trace = "\n".join(self.trace)
        return f"seed {self.seed}\n{self.odds}\n{trace}\nwrong:\n{wrong}"


def make_template(folder: Path) -> Path:
    """An empty database with all tables, to be copied for each world."""
    file = folder / "template.db"

    async def make() -> None:
        database = SharedDatabase(file, None, asyncio.Lock(), replicas=False)
        await upgrade(database)
        await database.dispose()

    leap(make)
    return file


def tell(seed: int, folder: Path, template: Path, parts: Parts | None = None) -> Story:
    """Play the world of this seed to its end."""
    world = World(seed, folder, template, parts)

    async def play() -> list[str]:
        async with world.open():
            await world.play(everybody, tidy_up)
            return await violations(world)

    with _errors() as logged:
        wrong = leap(play)
    return Story(seed, [*wrong, *(f"logged: {line}" for line in logged)], world.trace, str(world.odds))


class _Errors(logging.Handler):
    """Bugs end up in the log, at the boundaries that keep the bot alive."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Outage):
            return  # a piece of work was lost with its lease, and is taken up again
        self.lines.append(f"{record.getMessage()} {error!r}" if error else record.getMessage())


@contextmanager
def _errors() -> Iterator[list[str]]:
    logger, handler = logging.getLogger("bot"), _Errors()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
