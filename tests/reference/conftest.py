"""What plays the projects: a process that each job forks from, and empty stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from devtools.postgres import PostgresServer
from tests.random_graphs.stores import Stores, postgres_stores, sqlite_stores
from tests.reference.zygote import Zygote
from tests.support.hostile_defaults import set_defaults


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as process:
        yield process


StoresOf = Callable[[str], Stores]
"""Gives the empty stores of a kind: sqlite, postgres, or vectors, which is a PostgreSQL with pgvector."""


@pytest.fixture(scope="module")
def stores_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoresOf]:
    with ExitStack() as stack:

        @cache
        def stores(kind: str) -> Stores:
            if kind == "sqlite":
                return stack.enter_context(sqlite_stores(tmp_path_factory.mktemp("stores")))
            name = "vector_server" if kind == "vectors" else "postgres_server"
            server: PostgresServer = request.getfixturevalue(name)
            url = server.create_database("reference")
            set_defaults(url)
            stack.callback(server.drop_database, url)
            return stack.enter_context(postgres_stores(url))

        yield stores
