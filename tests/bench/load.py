"""A process of its own that sends usage over HTTP with as few instructions as possible.

It takes orders, one a line: it prepares the requests of a stream, says so, waits for the word, sends them over
connections that stay open, one request at a time on each, and tells which were acknowledged and how long it took.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tests.bench.figures import percentile
from tests.bench.stream import Stream, as_request

PATH = "/api/v1/events"
_ACKNOWLEDGED = b"HTTP/1.1 204 "
_END = b"\r\n\r\n"  # of the head: this answer has nothing else


@dataclass(frozen=True)
class Order:
    """What to send, where to, and how: ``per_request`` events in each, ``in_flight`` requests at once."""

    port: int
    token: str
    stream: Stream
    per_request: int
    in_flight: int

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> "Order":
        told = json.loads(line)
        return cls(**told | {"stream": Stream(**told["stream"])})


class Sending:
    """One order on its way."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._waiting: Iterator[int] = iter(range(len(requests)))
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acknowledged: list[int] = []
        self.milliseconds: list[float] = []

    async def run(self, port: int, in_flight: int) -> float:
        """Seconds until every request was answered, or the other side was gone."""
        loop = asyncio.get_running_loop()
        lines = [(await loop.create_connection(lambda: _Line(self), "127.0.0.1", port))[1] for _ in range(in_flight)]
        began = time.perf_counter()
        for line in lines:
            line.send()
        await self._over
        took = time.perf_counter() - began
        for line in lines:
            line.close()
        return took

    def take(self) -> tuple[int, bytes] | None:
        """The next request and its number."""
        number = next(self._waiting, None)
        return None if number is None else (number, self._requests[number])

    def acknowledge(self, number: int, milliseconds: float) -> None:
        self.acknowledged.append(number)
        self.milliseconds.append(milliseconds)
        if len(self.acknowledged) == len(self._requests):
            self._over.set_result(None)

    def gone(self) -> None:
        """The other side is not there any more."""
        if not self._over.done():
            self._over.set_result(None)

    def refused(self, answer: bytes) -> None:
        if not self._over.done():
            self._over.set_exception(ConnectionError(f"not an acknowledgement: {answer!r}"))


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self) -> None:
        if taken := self._sending.take():
            self._number, request = taken
            self._began = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.startswith(_ACKNOWLEDGED[: len(self._answer)]):
            self._sending.refused(self._answer)
        elif self._answer.endswith(_END):
            self._answer = b""
            self._sending.acknowledge(self._number, 1000 * (time.perf_counter() - self._began))
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self._sending.gone()

    def close(self) -> None:
        self._transport.close()


def _request(order: Order, body: bytes) -> bytes:
    kind = "application/cloudevents+json" if order.per_request == 1 else "application/cloudevents-batch+json"
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {order.token}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _carry_out(order: Order, requests: Sequence[bytes]) -> dict[str, object]:
    sending = Sending(requests)
    seconds = await sending.run(order.port, order.in_flight)
    answered = sending.milliseconds or [0.0]
    return {
        "seconds": seconds,
        "acknowledged": sending.acknowledged,
        "p50": percentile(answered, 50),
        "p99": percentile(answered, 99),
    }


def main() -> None:
    for line in sys.stdin:
        order = Order.read(line)
        requests = [_request(order, as_request(part)) for part in order.stream.parts([order.per_request])]
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(asyncio.run(_carry_out(order, requests))), flush=True)


if __name__ == "__main__":
    main()
