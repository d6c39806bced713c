from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.answers import Answering, answering
from tests.support.run_store import empty


@pytest.fixture(scope="module")
def answers_database(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.getfixturevalue("postgres_server")
    url = server.create_database("answers")
    yield url
    server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgres"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Answering]:
    """A desk whose runs ask and are answered, on each database."""
    url = f"sqlite:///{tmp_path}/store.db"
    if request.param == "postgres":
        url = request.getfixturevalue("answers_database")
        empty(url)
    async with answering(url, tmp_path / "store.db") as case:
        yield case
