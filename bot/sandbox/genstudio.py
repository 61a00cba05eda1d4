"""GenStudio, as far as the bot hears of it: a program that uses models for accounts and reports the tokens over HTTP.

It knows no prices and no balances. What it reports are CloudEvents, as OpenMeter's clients send them.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from bot.sandbox.clock import WindableClock

EVENTS: Final = "/api/v1/events"
_PATIENCE: Final = 30.0  # seconds
_BESIDE: Final = {"anthropic"}  # they count what came from a cache beside the input, the others as a part of it


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Model:
    provider: str
    name: str
    note: str = ""

    @property
    def id(self) -> str:
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class Work:
    """What somebody does with a model: calls of it, and the tokens of each call."""

    id: str
    name: str
    calls: int
    input: int  # read anew
    cached: int  # read from a cache
    output: int

    @property
    def tokens(self) -> int:
        return self.calls * (self.input + self.cached + self.output)


WORKS: Final = (
    Work("question", "a question", calls=1, input=1_200, cached=0, output=350),
    Work("document", "a long document", calls=1, input=180_000, cached=0, output=4_000),
    Work("afternoon", "an afternoon of work", calls=40, input=5_000, cached=15_000, output=1_000),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered to a report of so many events, as it came."""

    events: int
    status: int
    phrase: str
    body: str

    @property
    def good(self) -> bool:
        return self.status < 300


class GenStudio:
    """``accounts`` and ``models`` are those on offer; ``token`` is the bearer token that the bot knows it by."""

    def __init__(
        self, bot_url: str, token: str, clock: WindableClock, accounts: Sequence[Account], models: Sequence[Model]
    ) -> None:
        self._url = bot_url + EVENTS
        self._token = token
        self._clock = clock
        self.accounts = accounts
        self.models = models
        self.works = WORKS
        self.answers: list[Answer] = []

    async def use(self, account_id: str, model: Model, work: Work) -> Answer:
        """Do this work and report it: one event for each call, all of them in one request."""
        events = [self._event(account_id, model, work) for _ in range(work.calls)]
        single = len(events) == 1
        kind = "application/cloudevents+json" if single else "application/cloudevents-batch+json"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        body = json.dumps(events[0] if single else events)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
            session.post(self._url, data=body, headers=headers) as told,
        ):
            answer = Answer(len(events), told.status, told.reason or "", await told.text())
        self.answers.append(answer)
        return answer

    def _event(self, account_id: str, model: Model, work: Work) -> dict[str, Any]:
        beside = model.provider in _BESIDE
        return {
            "specversion": "1.0",
            "type": "model.used",
            "id": str(uuid.uuid4()),
            "source": "genstudio",
            "subject": account_id,
            "time": self._clock.now().isoformat(),
            "data": {
                "provider": model.provider,
                "model": model.name,
                "input_tokens": work.input if beside else work.input + work.cached,
                "input_includes_cached": not beside,
                "cached_input_tokens": work.cached,
                "output_tokens": work.output,
            },
        }
