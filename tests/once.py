"""What a bot does once in its life, and a run of tests a thousand times if nobody remembers it for the next bot."""

import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.db import engine


def arrange() -> None:
    """From here on, statements are compiled and the world's certificates read once in this process."""
    engine.create_async_engine = _compiling_once(engine.create_async_engine)
    ssl.create_default_context = _reading_once(ssl.create_default_context)


def _compiling_once(create: Callable[..., AsyncEngine]) -> Callable[..., AsyncEngine]:
    """Engines that know every statement which another one of their kind has compiled in this process."""
    first: dict[str, Engine] = {}

    def create_async_engine(url: Any, **how: Any) -> AsyncEngine:
        made = create(url, query_cache_size=5_000, **how)
        known = first.get(made.dialect.name)
        if known and known.dialect.server_version_info:  # it has been connected, and knows what the server can do
            made.sync_engine.dialect, made.sync_engine._compiled_cache = known.dialect, known._compiled_cache
        else:
            first[made.dialect.name] = made.sync_engine
        return made

    return create_async_engine


def _reading_once(create: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    """Everybody's own contexts, but the one with the world's certificates, which HTTP clients ask for."""
    with_certificates = cache(create)
    return lambda *given, **how: (with_certificates if how.keys() == {"cafile"} else create)(*given, **how)
