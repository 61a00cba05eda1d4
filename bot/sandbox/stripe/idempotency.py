"""Idempotency keys as Stripe keeps them: the first answer again, whatever it was, for 24 hours."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.clock import Clock
from bot.sandbox.stripe.errors import JsonObject, StripeRefusal

KEPT = timedelta(hours=24)
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API, before it is written to the wire."""

    status: int
    body: JsonObject
    request_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Record:
    path: str
    params: JsonObject
    at: datetime
    answer: Answer | None = None  # none yet: the first request is still at work


class IdempotencyKeys:
    """Every key seen in the last day. Claim a key before the work; afterwards keep the answer, or let the key go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def claim(self, key: str, path: str, params: JsonObject) -> Answer | None:
        """The answer to repeat, or ``None`` when the work is yours to do."""
        self._forget_old()
        if len(key) > LONGEST_KEY:
            raise _conflict(400, f"Idempotency keys must be {LONGEST_KEY} characters or less.")
        record = self._records.get(key)
        if record is None:
            self._records[key] = _Record(path, params, self._clock.now())
            return None
        return self._repeat(record, key, path, params)

    def keep(self, key: str, answer: Answer) -> None:
        self._records[key].answer = answer

    def let_go(self, key: str) -> None:
        del self._records[key]

    def _repeat(self, record: _Record, key: str, path: str, params: JsonObject) -> Answer:
        if record.path != path:
            raise _conflict(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{record.path}'). Try using a key other than '{key}' if you meant to execute a "
                "different request.",
            )
        if record.params != params:
            raise _conflict(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
                f"using a key other than '{key}' if you meant to execute a different request.",
            )
        if record.answer is None:
            raise _conflict(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        return record.answer

    def _forget_old(self) -> None:
        limit = self._clock.now() - KEPT
        old = [key for key, record in self._records.items() if record.at <= limit and record.answer]
        for key in old:
            del self._records[key]


def _conflict(status: int, message: str, *, code: str = "") -> StripeRefusal:
    return StripeRefusal(status, "idempotency_error", message, executed=False, code=code)
