"""PostgreSQL's driver, with an end to its patience."""

import asyncio
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

PATIENCE = 20.0  # seconds: the server itself ends a statement after 15


class Connection(psycopg.AsyncConnection[Any]):
    """Gives up a server that says nothing any more.

    A proxy on the way may keep a connection open whose server is gone: every packet arrives, and no answer ever comes.
    What waited for one held its place in the pool for good, and SQLAlchemy waits for the end of a transaction whoever
    cancels.
    """

    patience: float | None = PATIENCE

    async def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        try:
            async with asyncio.timeout(self.patience):
                return await super().wait(gen, *args, **options)
        except TimeoutError as error:
            raise psycopg.OperationalError("no answer in time") from error
