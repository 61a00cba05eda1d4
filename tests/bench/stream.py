"""Streams of usage events: whoever measures and whoever checks makes the same ones from the same few numbers."""

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.prices.model import Tokens
from bot.usage.model import Event

SOURCE = "genstudio"
PROVIDER, MODEL = "anthropic", "claude-bench"
ACCOUNTS = 10_000

# In nano-credits per token. Whole numbers, so that costs can be checked without the code that is measured.
INPUT, CACHED, OUTPUT = 3_000, 300, 15_000

_BEGAN = datetime(2026, 2, 1, tzinfo=UTC)
_A_MILLISECOND = 4  # events: of one stream after the other, so that time-ordered ids stay in order


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a model. ``key`` is its id."""

    key: uuid.UUID
    account_id: str
    at: datetime
    input: int
    cached: int
    output: int

    @property
    def nano(self) -> int:
        """What it costs, in nano-credits."""
        return self.input * INPUT + self.cached * CACHED + self.output * OUTPUT


@dataclass(frozen=True)
class Stream:
    """So many uses, the first of which has this number. Streams whose numbers do not meet have no use in common."""

    first: int
    events: int
    hot: bool = True  # all of one account, or spread over ``ACCOUNTS``
    ordered: bool = True  # ids are UUIDs of version 7, or else of version 4

    def __iter__(self) -> Iterator[Use]:
        chance = random.Random(self.first)
        for n in range(self.first, self.first + self.events):
            millisecond = n // _A_MILLISECOND
            at = _BEGAN + timedelta(milliseconds=millisecond)
            bits = chance.getrandbits(128)
            key = _v7(int(_BEGAN.timestamp() * 1000) + millisecond, bits) if self.ordered else _v4(bits)
            account_id = account(0 if self.hot else bits % ACCOUNTS)
            yield Use(key, account_id, at, 200 + n % 1000, n % 3 * 100, 50 + n % 500)

    @property
    def nano(self) -> int:
        """What all of it costs."""
        return sum(use.nano for use in self)

    def parts(self, sizes: Sequence[int]) -> Iterator[list[Use]]:
        """The uses in groups of these sizes, over again where there are more uses."""
        uses = list(self)
        first = turn = 0
        while first < len(uses):
            size = sizes[turn % len(sizes)]
            yield uses[first : first + size]
            first += size
            turn += 1


def account(number: int) -> str:
    """The id of an account."""
    return f"bench-{number:05d}"


def as_event(use: Use) -> Event:
    """A use as the meter takes it."""
    tokens = Tokens(input=use.input, cached=use.cached, output=use.output)
    return Event(SOURCE, str(use.key), use.account_id, PROVIDER, MODEL, use.at, tokens)


def as_request(uses: Sequence[Use]) -> bytes:
    """Uses as one body: a CloudEvent, or an array of them."""
    written = ",".join(map(_cloud_event, uses))
    return (written if len(uses) == 1 else f"[{written}]").encode()


def _cloud_event(use: Use) -> str:
    return (
        f'{{"specversion":"1.0","id":"{use.key}","source":"{SOURCE}","type":"tokens","subject":"{use.account_id}",'
        f'"time":"{use.at.isoformat()}","datacontenttype":"application/json","data":{{"provider":"{PROVIDER}",'
        f'"model":"{MODEL}","input_tokens":{use.input},"cached_input_tokens":{use.cached},'
        f'"output_tokens":{use.output},"input_includes_cached":false}}}}'
    )


def _v7(milliseconds: int, bits: int) -> uuid.UUID:
    return uuid.UUID(
        int=milliseconds << 80 | 0x7 << 76 | (bits >> 64 & 0xFFF) << 64 | 0b10 << 62 | bits & (1 << 62) - 1
    )


def _v4(bits: int) -> uuid.UUID:
    return uuid.UUID(int=bits & ~(0xF << 76) & ~(0b11 << 62) | 0x4 << 76 | 0b10 << 62)
