"""What the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from tests.support.kafka import KafkaTopics
from tests.support.reply_routing import ReplyExchange

if TYPE_CHECKING:  # they import LangGraph
    from tests.support.crash_bench import Case, CrashBench
    from tests.support.crash_windows import Benches


@pytest.fixture
def exchange(kafka: KafkaTopics, monkeypatch: pytest.MonkeyPatch) -> ReplyExchange:
    """Publishes requests and their replies on the results topic of this test's fleet."""
    monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": kafka.client}))
    return ReplyExchange(kafka)


@pytest.fixture(scope="module")
def benches(
    request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Benches]:
    """Workers to be killed, on each store."""
    if broker.kind == "embedded":
        pytest.skip("the embedded broker knows no static members, and tells wrong end offsets")
    from tests.support.crash_bench import crash_bench
    from tests.support.crash_windows import SQLITE, Benches

    @contextmanager
    def make(store: str) -> Iterator[CrashBench]:
        folder = tmp_path_factory.mktemp(store)
        if store == SQLITE:
            with crash_bench(broker, folder, f"sqlite:///{folder}/store.db") as bench:
                yield bench
            return
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
        with crash_bench(broker, folder, url) as bench:
            yield bench
        server.drop_database(url)

    benches = Benches(make)
    yield benches
    benches.close()


@pytest.fixture
def bench(benches: Benches, store: str) -> Iterator[CrashBench]:
    """A running worker. After the test nothing is left to do."""
    bench = benches.sound(store)
    bench.is_sound = False
    yield bench
    bench.check_rest()
    bench.is_sound = True


@pytest.fixture
def case(bench: CrashBench) -> Case:
    """Input for a graph."""
    return bench.case()
