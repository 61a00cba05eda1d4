"""Health: alive while the event loop turns, ready while every check says so, and never waiting long to say."""

import asyncio
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from bot.web.build import build
from bot.web.health import Health


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def health(registry: CollectorRegistry) -> Health:
    return Health(registry)


@pytest.fixture
def client(health: Health) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(build(health.routes)), base_url="http://bot")


async def good() -> str | None:
    return None


async def bad() -> str | None:
    return "no connection to Slack for 20 seconds"


async def broken() -> str | None:
    raise LookupError("password=hunter2")


async def frozen() -> str | None:
    while True:
        try:
            await asyncio.sleep(5)
            break
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)  # as a driver that takes its time to let go
            raise
    return None


async def test_ready_when_nothing_is_wrong(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/readyz")).json() == {"ready": True, "wrong": {}}
    health.check("database", good)

    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "wrong": {}})


async def test_what_is_wrong_is_named_and_alive_stays_alive(client: httpx.AsyncClient, health: Health) -> None:
    health.check("database", good)
    health.check("slack", bad)
    health.check("ledger", broken)

    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "wrong": {"slack": "no connection to Slack for 20 seconds", "ledger": "the check failed: LookupError"},
    }
    assert (await client.get("/healthz")).status_code == 200


async def test_what_can_be_borne_is_told_and_keeps_no_request_away(client: httpx.AsyncClient, health: Health) -> None:
    health.check("stripe", bad, bearable=True)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"], list(answer.json()["wrong"])) == (200, True, ["stripe"])

    health.check("slack", bad)
    assert (await client.get("/readyz")).status_code == 503


async def test_slow_checks_are_asked_at_once_and_not_waited_for(client: httpx.AsyncClient, health: Health) -> None:
    for name in ("one", "two", "three"):
        health.check(name, frozen)

    started = time.monotonic()
    answer = await client.get("/readyz")

    assert time.monotonic() - started < 2.2
    assert answer.status_code == 503
    assert answer.json()["wrong"] == dict.fromkeys(("one", "two", "three"), "no answer within 2 seconds")


async def test_metrics_come_from_the_registry_that_was_given(
    client: httpx.AsyncClient, registry: CollectorRegistry
) -> None:
    Counter("credits_sold", "Credits sold", registry=registry).inc(25)

    plain = await client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "credits_sold_total 25.0" in plain.text
    assert "python_info" not in plain.text
    open_metrics = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")
