"""What being watched costs: runs per second of a whole worker on PostgreSQL and Kafka, and its CPU time, in turns.

``off``: nothing. ``OTLP``: traces. ``all``: traces, metrics that are scraped each second, and progress on Kafka.
``masks``: ten known secrets are masked in all that leaves.

Each measurement is of a new ``langgraph-worker run`` with a fleet and a database of its own, which has done some runs
before. Its time is from the first of many requests in Kafka to the last result in Kafka.

Run it alone: ``make bench-watched``. It needs a PostgreSQL (:mod:`devtools.postgres`) and a Kafka
(:mod:`devtools.kafka`). The receiver of traces, the scraper, the broker and the database are on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from devtools.broker import Broker
from devtools.kafka import choose
from devtools.postgres import PostgresServer, choose_postgres
from devtools.processes import free_port, wait_until
from devtools.worker import Worker
from workflow_events import EventSource, EventType, Fleet, WorkflowEvent, WorkflowEventPayload
from workflow_events.codec import encode
from workflow_events.kafka_rules import PARTITIONER

_RECEIVE, _SCRAPE = "receive", "scrape"
_WARM_UP_RUNS = 200
_SECONDS = 600.0  # for all runs of one measurement
GRAPH = """
from typing import TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict):
    count: int


async def add(state: State) -> State:
    return {"count": state["count"] + 1}


graph = StateGraph(State)
before = START
for name in ("a", "b", "c"):
    graph.add_node(name, add)
    graph.add_edge(before, name)
    before = name
"""

# ---- what watches ----


class _Sink(BaseHTTPRequestHandler):
    """Takes everything, and keeps nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _receive() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def _scrape(address: str) -> None:
    print(0, flush=True)
    while True:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            answer.read()
        time.sleep(1)


@contextmanager
def _helper(*role: str) -> Iterator[int]:
    """A process of this module; the number that it writes."""
    child = subprocess.Popen([sys.executable, "-m", __spec__.name, *role], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline())
    finally:
        child.terminate()
        child.wait()


_OFF = {"LANGGRAPH_WORKER_PROGRESS_PER_SECOND": "0"}


@contextmanager
def _off() -> Iterator[Mapping[str, str]]:
    yield _OFF


@contextmanager
def _masks() -> Iterator[Mapping[str, str]]:
    yield _OFF | {f"BENCHMARK_{number}_API_KEY": f"sk-benchmark-{number}-{number}" for number in range(10)}


@contextmanager
def _otlp() -> Iterator[Mapping[str, str]]:
    with _helper(_RECEIVE) as port:
        yield _OFF | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


@contextmanager
def _all() -> Iterator[Mapping[str, str]]:
    with _otlp() as traces:
        kept = {name: value for name, value in traces.items() if name not in _OFF}
        yield kept | {_PORT: str(free_port())}


_PORT = "LANGGRAPH_WORKER_HEALTH_PORT"
_MODES: dict[str, Callable[[], object]] = {"off": _off, "OTLP": _otlp, "all": _all, "masks": _masks}

# ---- one measurement ----


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement.

    :param rate: runs per second.
    :param cpu: milliseconds of the worker's CPU time for each run.
    """

    rate: float
    cpu: float


class _Fleet:
    """The requests and the results of one worker."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._topics = Fleet.named(name)
        self._producer = Producer({**broker.client, "partitioner": PARTITIONER, "linger.ms": 5, "log_level": 0})
        self._results = Consumer({**broker.client, "group.id": name, "log_level": 0})

    def run(self, runs: int) -> float:
        """The seconds from the first request to the last result."""
        expected = self._count() + runs
        requests = [encode(_request()) for _ in range(runs)]
        began = time.perf_counter()
        for request in requests:
            self._producer.produce(self._topics.events, request.value, request.key, headers=list(request.headers))
        self._producer.flush(60)
        wait_until(f"{expected} results", lambda: self._count() >= expected, timeout=_SECONDS)
        return time.perf_counter() - began

    def _count(self) -> int:
        topic = self._topics.results
        partitions = self._results.list_topics(topic, timeout=30).topics[topic].partitions
        places = (TopicPartition(topic, number) for number in partitions)
        return sum(self._results.get_watermark_offsets(place, timeout=30)[1] for place in places)

    def close(self) -> None:
        self._results.close()


def _request() -> WorkflowEvent:
    return WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="bench",
        workflow_run_id="bench",
        payload=WorkflowEventPayload(data={"count": 0}),
    )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(broker: Broker, server: PostgresServer, folder: Path, runs: int, settings: Mapping[str, str]) -> Measured:
    name = f"bench{uuid.uuid4().hex[:6]}"
    (home := folder / name).mkdir()
    (home / "graph.py").write_text(GRAPH)
    (home / "langgraph.json").write_text(json.dumps({"graphs": {"add": "./graph.py:graph"}, "dependencies": ["."]}))
    env = {"LANGGRAPH_WORKER_STORE_URL": server.create_database("bench"), **settings}
    with Worker(broker, home / "langgraph.json", home, fleet=name, env=env) as worker:
        fleet = _Fleet(broker, name)
        fleet.run(_WARM_UP_RUNS)
        assert worker.child is not None
        pid = worker.child.pid
        spent = _cpu_seconds(pid)
        if _PORT in settings:
            with _helper(_SCRAPE, f"127.0.0.1:{settings[_PORT]}"):
                seconds = fleet.run(runs)
        else:
            seconds = fleet.run(runs)
        spent = _cpu_seconds(pid) - spent
        fleet.close()
    return Measured(runs / seconds, spent / runs * 1_000)


# ---- all of them ----


def measure(runs: int, rounds: int) -> None:
    """Measure each mode once in each round, in the other order each time; print the medians.

    A ratio is that of a mode and of ``off`` in the same round: the machine may be slower in another one.
    """
    found: dict[str, list[Measured]] = {name: [] for name in _MODES}
    with choose_postgres() as server, choose() as broker, tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name in list(_MODES) if number % 2 else reversed(_MODES):
                with _MODES[name]() as settings:  # type: ignore[attr-defined]
                    found[name].append(_measure(broker, server, Path(folder), runs, settings))
    print(f"{runs} runs of a 3-node no-op graph through Kafka, by one worker, {rounds} rounds in turns")
    for name, some in found.items():
        rates = [one.rate for one in some]
        ratio = statistics.median(one.rate / off.rate for one, off in zip(some, found["off"], strict=True))
        print(
            f"{name:<6}{statistics.median(rates):6.0f} runs/s   {f'({min(rates):.0f} to {max(rates):.0f})':<14} "
            f"{statistics.median(one.cpu for one in some):5.2f} ms of CPU a run   {ratio:.3f} of off"
        )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("role", nargs="?", choices=(_RECEIVE, _SCRAPE), help=argparse.SUPPRESS)
    parser.add_argument("address", nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == _RECEIVE:
        _receive()
    elif arguments.role == _SCRAPE:
        _scrape(arguments.address)
    else:
        measure(arguments.runs, arguments.rounds)


if __name__ == "__main__":
    main()
