"""What a soak starts (Kafka, a store, workers, a model, a receiver of traces), and what it reads there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from devtools.apache_kafka import ApacheKafka
from devtools.processes import free_port
from devtools.system_postgres import SystemPostgres
from tests.chaos.fleet import QUICK, Life, Workers
from tests.chaos.request_checks import header
from tests.chaos.topics import Listener
from tests.soak.pages import Page, last_page, scrape
from tests.soak.plan import CONCURRENCY, Plan
from tests.soak.store_tally import StoreReader
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.model_server import model_server
from tests.support.otlp import otlp_receiver
from tests.support.undecodable import UNPACKS_LITTLE
from workflow_events.topics import consumer_group_of

MANIFEST = Path(__file__).resolve().parent.parent / "graphs" / "soak" / "langgraph.json"


class Parts:
    """All of them run, and end with the stack.

    :param folder: gets logs, ledgers, pages and the files of graphs.
    :raises MissingToolError: no Java or Maven for a Kafka, or no binaries for a PostgreSQL.
    :ivar files: the folder of the graphs' files.
    """

    def __init__(self, plan: Plan, folder: Path, stack: ExitStack) -> None:
        began = time.monotonic()
        broker = stack.enter_context(ApacheKafka())
        self.url, store = f"sqlite:///{folder / 'store.db'}", "SQLite"
        if plan.store == "postgresql":
            server = stack.enter_context(SystemPostgres())
            self.url, store = server.create_database("soak"), server.description
        self.kafka = KafkaTopics(broker, f"soak{uuid.uuid4().hex[:8]}")
        self.kafka.create_fleet(compression="producer")  # else the broker refuses what readers cannot decode
        self.listener = stack.enter_context(Listener(self.kafka))
        self.model, self.spans = stack.enter_context(model_server()), stack.enter_context(otlp_receiver())
        self.files, self._pages = folder / "files", folder / "pages"
        self.files.mkdir()
        self._pages.mkdir()
        self._ports = [free_port() for _ in range(plan.workers)]
        settings = [self._settings(port, plan) for port in self._ports]
        config = {**QUICK, **UNPACKS_LITTLE}
        fleet = Workers(broker, self.kafka.prefix, self.url, folder, settings, kafka_config=config, manifest=MANIFEST)
        self.workers = stack.enter_context(fleet)
        self.store = StoreReader(self.url)
        stack.callback(self.store.close)
        seconds = time.monotonic() - began
        self.description = f"{broker.description}, {store}; ready after {seconds:.0f} s; logs in {folder}"

    def _settings(self, port: int, plan: Plan) -> dict[str, str]:
        return {
            "LANGGRAPH_WORKER_HEALTH_PORT": str(port),
            "LANGGRAPH_WORKER_CONCURRENCY": str(CONCURRENCY),
            "LANGGRAPH_WORKER_KEEP_CHECKPOINTS": "20",
            "SOAK_PAGES": str(self._pages),
            "SOAK_LEAK_BYTES": str(plan.leak_bytes),
            **self.spans.env,
        }

    def page_of(self, life: Life) -> Page:
        """The figures of a process that runs."""
        return scrape(self._ports[life.worker])

    def pages(self) -> list[Page]:
        """Those of all workers."""
        return [self.page_of(life) for life in self.workers.running()]

    def last_pages(self, lives: Sequence[Life], first: dict[int, Page]) -> Iterator[tuple[Page | None, Page]]:
        """Of processes that have ended: an earlier page, if there is one, and the last one."""
        for life in lives:
            page = last_page(self._pages, life.pid)
            if page is None:
                self.workers.deaths.append(f"worker-{life.worker} (process {life.pid}) has left no last page")
            else:
                yield first.get(life.pid), page

    def letters(self) -> list[str]:
        """The error types of all dead letters, in order."""
        found = self.kafka.read_all(self.kafka.fleet.dead_letters, timeout=60)
        found.sort(key=lambda message: message.timestamp()[1])
        return [header(message, "dead-letter-error-type") for message in found]

    def published(self) -> int:
        """How many records the results topic has."""
        return sum(self._ends(self.kafka.fleet.results).values())

    def lag(self) -> int:
        """Records of the events topic behind those that the fleet has taken in."""
        events = self.kafka.fleet.events
        committed = self.kafka.committed(consumer_group_of(self.kafka.prefix), events)
        return sum(end - max(0, committed[number]) for number, end in self._ends(events).items())

    def _ends(self, topic: str) -> dict[int, int]:
        config = {**self.kafka.client, **QUIET, "group.id": f"{self.kafka.prefix}-ends"}
        with Consumer(config) as consumer:
            partitions = consumer.list_topics(topic, timeout=15).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=15)[1]
                for number in partitions
            }
