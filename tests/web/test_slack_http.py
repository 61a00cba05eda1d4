"""Slack's door over HTTP, with the real Bolt behind it: what Slack signed gets in, and nothing else is even read."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.slack import bolt
from bot.web.build import build
from bot.web.slack_http import SlackDoor

SECRET, NEXT_SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
BODY = b"command=%2Fbuy-credits&text=250&team_id=T1&user_id=U1&trigger_id=1.2.3"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def signed(body: bytes, timestamp: str, secret: str = SECRET) -> dict[str, str]:
    signature = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={signature}", **FORM}


def now(offset: int = 0) -> str:
    return str(int(time.time()) + offset)


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
async def client(heard: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    async def buy(args: AsyncArgs) -> None:
        heard.append(args.body["text"])
        await args.ack(text="hello")

    app = bolt.build(token="xoxb-1", api_url="http://127.0.0.1:1/api/")
    app.command("/buy-credits")(buy)
    transport = httpx.ASGITransport(build(SlackDoor(app, [SECRET, NEXT_SECRET]).routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
        yield client


async def post(client: httpx.AsyncClient, body: bytes, headers: dict[str, Any]) -> httpx.Response:
    return await client.post("/slack/events", content=body, headers=headers)


@pytest.mark.parametrize("secret", [SECRET, NEXT_SECRET])
async def test_what_slack_signed_is_heard_and_answered(
    client: httpx.AsyncClient, heard: list[str], secret: str
) -> None:
    answer = await post(client, BODY, signed(BODY, now(), secret))

    assert (answer.status_code, answer.text) == (200, "hello")
    assert heard == ["250"]


@pytest.mark.parametrize(
    "change",
    [
        {"X-Slack-Request-Timestamp": "yesterday"},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "1e9"},
        {"X-Slack-Request-Timestamp": "9" * 5000},
        {"X-Slack-Request-Timestamp": "١٧٦٣".encode()},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": "v0=é".encode()},
        {"X-Slack-Signature": "v1=" + "0" * 64},
    ],
)
async def test_malformed_and_forged_requests_are_turned_away(
    client: httpx.AsyncClient, heard: list[str], change: dict[str, Any]
) -> None:
    answer = await post(client, BODY, {**signed(BODY, now()), **change})

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert heard == []


@pytest.mark.parametrize("missing", ["X-Slack-Request-Timestamp", "X-Slack-Signature"])
async def test_unsigned_requests_are_turned_away(client: httpx.AsyncClient, missing: str) -> None:
    headers = signed(BODY, now())
    del headers[missing]
    assert (await post(client, BODY, headers)).status_code == 401


@pytest.mark.parametrize("offset", [-301, 302])
async def test_old_and_future_requests_are_turned_away(client: httpx.AsyncClient, offset: int) -> None:
    assert (await post(client, BODY, signed(BODY, now(offset)))).status_code == 401


async def test_another_secret_or_another_body_is_turned_away(client: httpx.AsyncClient) -> None:
    assert (await post(client, BODY, signed(BODY, now(), "f" * 32))).status_code == 401
    assert (await post(client, BODY + b"0", signed(BODY, now()))).status_code == 401


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), json=st.booleans())
async def test_rubbish_nobody_signed_is_never_read(client: httpx.AsyncClient, body: bytes, json: bool) -> None:
    kind = {"Content-Type": "application/json"} if json else FORM
    answer = await post(client, body, {**signed(b"something else", now()), **kind})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *[(body, "application/json") for body in (b"{", b"[]", b"1", b"null", b"\xff", b"{}", b"[" * 100_000)],
        *[(body, FORM["Content-Type"]) for body in (b"payload=%7B", b"payload=[]", b"payload=1", b"\xff=\xfe", b"")],
        (b'{"type": "block_actions", "team": 1, "user": {"id": "U1"}}', "application/json"),
        (b'{"type": "event_callback", "team_id": "T1", "event": null}', "application/json"),
        (b'{"type": "event_callback", "team_id": "T1", "event": "x"}', "application/json"),
        (b'{"type": "view_submission", "team": {"id": "T1"}, "user": {"id": "U1"}, "view": []}', "application/json"),
    ],
    ids=lambda given: str(given[:60]),
)
async def test_what_is_signed_and_makes_no_sense_is_a_bad_request(
    client: httpx.AsyncClient, heard: list[str], body: bytes, kind: str
) -> None:
    answer = await post(client, body, {**signed(body, now()), "Content-Type": kind})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert heard == []


async def test_only_post_is_for_slack(client: httpx.AsyncClient) -> None:
    assert (await client.get("/slack/events")).status_code == 405
