"""The published client of the protocol, unchanged, against the bot."""

import asyncio
from typing import Any

import pytest
from corehttp.exceptions import HttpResponseError
from openmeter import Client
from openmeter.aio import Client as AsyncClient
from openmeter.models import Event

from ..genstudio import Program, use
from ..stage import OpenStage, Stage


async def ready(stage: Stage) -> Program:
    await stage.price()
    return await stage.program()


def event(id: str, stage: Stage, **told: Any) -> Event:
    facts = use(id, **told)
    return Event(**{**facts, "datacontenttype": "application/json", "time": stage.ago(minutes=int(id))})


async def test_the_synchronous_client_reports_usage(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    genstudio = await ready(stage)
    events = [event(str(n), stage) for n in range(1, 6)]

    def report() -> None:
        with Client(endpoint=genstudio.url, token=genstudio.token) as client:
            client.events.ingest_event(events[0])
            client.events.ingest_event(events[0])
            client.events.ingest_events(events[:3])
            client.events.ingest_events_json([dict(each) for each in events[2:]])
            client.events.ingest_events_json(events[4])
            client.events.ingest_event(use("6"))
            with pytest.raises(HttpResponseError) as refused:
                client.events.ingest_events([event("7", stage), event("8", stage, output_tokens=-1)])
            assert refused.value.status_code == 400
            with pytest.raises(HttpResponseError) as conflict:
                client.events.ingest_event(event("1", stage, output_tokens=1))
            assert conflict.value.status_code == 409

    await asyncio.to_thread(report)
    assert await genstudio.has() == "-6.00"


async def test_the_asynchronous_client_reports_usage(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    genstudio = await ready(stage)
    events = [event(str(n), stage) for n in range(1, 6)]

    async with AsyncClient(endpoint=genstudio.url, token=genstudio.token) as client:
        await asyncio.gather(*(client.events.ingest_event(events[0]) for _ in range(5)))
        await client.events.ingest_events(events[:3])
        await client.events.ingest_events_json([dict(each) for each in events[2:]])
        for bad in (
            event("8", stage, account="nobody"),
            event("8", stage, reasoning_tokens=10**6),
            use("8", provider=""),
        ):
            with pytest.raises(HttpResponseError) as refused:
                await client.events.ingest_events([events[0], bad])
            assert refused.value.status_code == 400
    async with AsyncClient(endpoint=genstudio.url, token="cb_wrong") as stranger:
        with pytest.raises(HttpResponseError) as refused:
            await stranger.events.ingest_event(event("9", stage))
        assert refused.value.status_code == 401
    assert await genstudio.has() == "-5.00"
