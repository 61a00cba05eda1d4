"""A client of as few instructions as possible, so that what it measures is the other side."""

import hashlib
import hmac
import socket
import time
from types import TracebackType
from typing import Self

PATH = "/slack/events"


class Line:
    """One connection that stays open, to whatever answers Slack's requests on this port."""

    def __init__(self, port: int, signing_secret: str) -> None:
        self._secret = signing_secret.encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def post(self, body: bytes) -> float:
        """Send a signed request; the seconds until the whole answer is there. Raise for any answer but an empty 200."""
        request = self._signed(body)
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(65536)
        while not answer.endswith(b"\r\n\r\n"):
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(f"an answer was cut short: {answer!r}")
            answer += more
        took = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 200 ") or b"content-length: 0" not in answer.lower():
            raise ConnectionError(f"not an acknowledgement: {answer!r}")
        return took

    def _signed(self, body: bytes) -> bytes:
        stamp = str(int(time.time()))
        signature = hmac.new(self._secret, f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST {PATH} HTTP/1.1\r\n"
            "Host: 127.0.0.1\r\n"
            "User-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n"
            "Accept: application/json,*/*\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"X-Slack-Request-Timestamp: {stamp}\r\n"
            f"X-Slack-Signature: v0={signature}\r\n\r\n"
        )
        return head.encode() + body
