"""One nursery of bots for all tests here, and databases on PostgreSQL."""

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from .lives import Nursery

NewDatabase = Callable[[], str]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def nursery(template_file: Path) -> Iterator[Nursery]:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork, and knows no kill -9")
    nursery = Nursery(template_file)
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def new_database(postgres: URL, template: str) -> NewDatabase:
    """Makes a database with all tables on PostgreSQL; its address."""
    return partial(_make, postgres, template)


@pytest.fixture(scope="session")
def new_empty_database(postgres: URL) -> NewDatabase:
    """Makes a database without any."""
    return partial(_make, postgres, "template1")


def _make(server: URL, template: str) -> str:
    name = f"kill_{next(_numbers)}"
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
    return server.set(database=name).render_as_string(hide_password=False)
