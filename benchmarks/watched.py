"""What being watched costs: runs per second of the worker on PostgreSQL, and its CPU time, in turns.

``off``: nothing. ``OTLP``: traces. ``all``: traces, metrics that are scraped each second, and progress on Kafka.
``masks``: ten known secrets are masked in all that leaves.

Run it alone: ``make bench-watched``. It needs a PostgreSQL (:mod:`devtools.postgres`) and a Kafka
(:mod:`devtools.kafka`). The receiver of traces, the scraper, the broker and the database are on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.runs import CONCURRENCY, Spent, Watched, worker
from devtools.kafka import choose
from devtools.postgres import choose_postgres
from langgraph_worker.broker.kafka.best_effort_producer import KafkaBestEffortProducer
from langgraph_worker.broker.kafka.client_configs import best_effort_config
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.health import Health
from langgraph_worker.telemetry.health_server import HealthServer
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.traces.make_tracing import make_tracing, trace_targets
from langgraph_worker.telemetry.traces.port import Tracing

_RECEIVE, _SCRAPE = "receive", "scrape"
_SECRETS = [f"sk-benchmark-{number}" for number in range(10)]


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


@contextmanager
def _off(_: str) -> Iterator[Watched]:
    yield Watched()


@contextmanager
def _masks(_: str) -> Iterator[Watched]:
    yield Watched(redactor=Redactor(_SECRETS))


@contextmanager
def _otlp(_: str) -> Iterator[Watched]:
    tracing = _tracing()
    try:
        yield Watched(tracing)
    finally:
        tracing.close()


@contextmanager
def _all(brokers: str) -> Iterator[Watched]:
    metrics, tracing = Metrics(["g"], CONCURRENCY), _tracing()
    settings = load_settings({"kafka_bootstrap_servers": brokers, "fleet": f"bench{uuid.uuid4().hex[:6]}"})
    topic = settings.kafka_workflow_progress_topic
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(topic, 3, -1)])[topic].result(15)
    producer = KafkaBestEffortProducer(best_effort_config(settings))
    server = HealthServer("127.0.0.1", 0, Health(60.0), metrics)
    try:
        with _helper(_SCRAPE, server.address):
            yield Watched(tracing, metrics, Progress(producer, topic, None, "bench", settings.progress_per_second))
    finally:
        server.close()
        producer.close(10.0)
        tracing.close()


def _tracing() -> Tracing:
    return make_tracing(trace_targets(), "bench", exception_texts=True)


_MODES: dict[str, Callable[[str], object]] = {"off": _off, "OTLP": _otlp, "all": _all, "masks": _masks}


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("role", nargs="?", choices=(_RECEIVE, _SCRAPE), help=argparse.SUPPRESS)
    parser.add_argument("address", nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == _RECEIVE:
        _receive()
    elif arguments.role == _SCRAPE:
        _scrape(arguments.address)
    else:
        measure(arguments.runs, arguments.rounds)


def measure(runs: int, rounds: int) -> None:
    """Measure each mode once in each round; print the medians."""
    rates, busy = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    with ExitStack() as stack:
        server, broker = stack.enter_context(choose_postgres()), stack.enter_context(choose())
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{stack.enter_context(_helper(_RECEIVE))}"
        for number in range(rounds + 1):  # the first one warms up
            if number == 1:  # as a worker does before its first run
                gc.collect()
                gc.freeze()
            for name, mode in _MODES.items():
                with mode(broker.bootstrap_servers) as watched:  # type: ignore[attr-defined]
                    began = time.process_time()
                    seconds = asyncio.run(worker(server.create_database("bench"), runs, Spent(), watched))
                    spent = time.process_time() - began
                if number:
                    rates[name].append(runs / seconds)
                    busy[name].append(spent / runs * 1_000)
    print(f"{runs} runs of a 3-node no-op graph, {CONCURRENCY} at once, {rounds} rounds in turns")
    for name, found in rates.items():
        shown = f"({min(found):.0f} to {max(found):.0f})"
        ratio = statistics.median(found) / statistics.median(rates["off"])
        cpu = statistics.median(busy[name])
        rate = f"{statistics.median(found):6.0f} runs/s"
        print(f"{name:<6}{rate}   {shown:<14} {cpu:5.2f} ms of CPU a run   {ratio:.3f} of off")


if __name__ == "__main__":
    main()
