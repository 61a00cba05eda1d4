"""One nursery of bots for all tests here, and empty databases on PostgreSQL."""

import itertools
import os
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import URL

from .lives import Nursery

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork, and knows no kill -9")
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def new_database(postgres: URL) -> NewDatabase:
    """Makes an empty database on PostgreSQL; its address."""
    numbers = itertools.count(1)

    def new() -> str:
        name = f"kill_{next(numbers)}"
        plain = postgres.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return postgres.set(database=name).render_as_string(hide_password=False)

    return new
