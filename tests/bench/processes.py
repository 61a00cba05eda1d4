"""The processes that a measurement starts, and ends again."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import Order
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[2]
BOT = ("bot", "run")
BARE_ASGI = ("tests.bench.bare_asgi",)
BARE_BOLT = ("tests.bench.bare_bolt",)
BARE_EVENTS = ("tests.bench.bare_events",)
_OUTSIDE = "tests.bench.outside"
_LOAD = "tests.bench.load"
_STARTED_WITHIN = 30.0
_OPENED_WITHIN = 5.0
_IDLE = 0.03  # of a processor, or less
_IDLE_FOR = 3  # seconds


@dataclass(frozen=True)
class Command:
    """A slash command, ready to be sent; its trigger opens one form, within three seconds."""

    trigger: str
    body: bytes


@dataclass(frozen=True)
class Outside:
    """The sandbox's Slack and Stripe, in a process of their own."""

    folder: Path
    ears: str
    signing_secret: str
    environment: Mapping[str, str]

    def commands(self, n: int) -> list[Command]:
        """So many ``/buy-credits`` of the owner."""
        return [Command(one["trigger"], one["body"].encode()) for one in self._ask(f"commands/{n}")]

    def opened(self, commands: Sequence[Command]) -> int:
        """How many of these have opened their form, once all have or none of the rest can any more."""
        triggers = json.dumps([command.trigger for command in commands]).encode()
        give_up = time.monotonic() + _OPENED_WITHIN
        while (opened := int(self._ask("opened", triggers))) < len(commands) and time.monotonic() < give_up:
            time.sleep(0.01)
        return opened

    def form(self) -> dict[str, Any]:
        """The form that the owner has before them."""
        form: dict[str, Any] = self._ask("form")
        return form

    def _ask(self, what: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(f"{self.ears}/{what}", body, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Slack and Stripe are up, and ``folder`` holds a database with their people's accounts."""
    started = subprocess.Popen(
        [sys.executable, "-m", _OUTSIDE, str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started as process:
        assert process.stdout
        yield Outside(folder, **json.loads(process.stdout.readline()))


class Running:
    """A bot, or what stands beside it, in a process of its own. ``port`` is where it answers."""

    def __init__(self, module: Sequence[str], world: Outside, python: str, **environment: str) -> None:
        self.port = free_port()
        self.began = time.perf_counter()
        self._log = (world.folder / f"{module[0]}.log").open("ab")
        self._process = subprocess.Popen(
            [python, "-m", *module],
            cwd=world.folder,  # where there is no .env
            env={
                "PATH": os.environ.get("PATH", ""),
                "PYTHONPATH": str(REPOSITORY),
                "PORT": str(self.port),
                **world.environment,
                **environment,
            },
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def kill(self) -> None:
        """As a power cut ends a process: without a last word."""
        self._process.kill()
        self._process.wait()

    def wait_until_up(self) -> None:
        """Return once somebody listens."""
        while not self._listens():
            if self._process.poll() is not None or time.perf_counter() - self.began > _STARTED_WITHIN:
                raise RuntimeError(f"it did not start: {Path(self._log.name).read_text()}")
            time.sleep(0.001)

    def wait_until_idle(self) -> None:
        """Return once it has done what it does by itself: it looks at each account that is new or newly used."""
        idle = 0
        while idle < _IDLE_FOR:
            computed = self.cpu_seconds
            time.sleep(1)
            idle = idle + 1 if self.cpu_seconds - computed <= _IDLE else 0

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    @property
    def cpu_seconds(self) -> float:
        """What its threads have computed so far. Linux only."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        """Memory in use now. Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [line] = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024


@dataclass(frozen=True)
class Sent:
    """What became of an order: the numbers of the requests that were acknowledged, and milliseconds to it."""

    seconds: float
    acknowledged: Sequence[int]
    p50: float
    p99: float


class Load:
    """The process that sends usage."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _LOAD],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def prepare(self, order: Order) -> None:
        """Return once every request lies ready."""
        self._say(str(order))
        self._hear()

    def send(self) -> Sent:
        """Send what was prepared; return when all is answered, or the other side is gone."""
        self.begin()
        return self.end()

    def begin(self) -> None:
        self._say("go")

    def end(self) -> Sent:
        return Sent(**json.loads(self._hear()))

    def _say(self, line: str) -> None:
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)

    def _hear(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the load has failed: its traceback is above")
        return line


@dataclass(frozen=True)
class Surroundings:
    """What a bot needs around it, and who sends it events."""

    world: Outside
    load: Load
    python: str

    def bot(self, url: str) -> Running:
        return Running(BOT, self.world, self.python, DATABASE_URL=url)

    def nothing(self) -> Running:
        return Running(BARE_EVENTS, self.world, self.python)
