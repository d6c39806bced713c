"""The whole soak: start everything, load and interfere, come to rest, compare, and tell."""

from __future__ import annotations

import functools
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from devtools.apache_kafka import ApacheKafka
from devtools.processes import free_port, wait_until
from devtools.system_postgres import SystemPostgres
from langgraph_worker.telemetry import figures
from tests.chaos.fleet import QUICK, Life, Workers
from tests.chaos.ledger import read_ledgers
from tests.chaos.request_checks import header
from tests.chaos.topics import Listener
from tests.soak.figure_checks import CHECKS, Found, Still, disagreements
from tests.soak.interference import PAUSED_GRAPH, Interference
from tests.soak.load import Load
from tests.soak.outcome import Soaked, faults, story
from tests.soak.pages import Page, last_page, scrape
from tests.soak.plan import CONCURRENCY, Plan
from tests.soak.samples import Sampler
from tests.soak.store_tally import StoreReader, Tally
from tests.support.kafka import QUIET, KafkaTopics
from tests.support.model_server import model_server
from tests.support.otlp import otlp_receiver
from tests.support.undecodable import UNPACKS_LITTLE
from workflow_events.topics import consumer_group_of

MANIFEST = Path(__file__).resolve().parent.parent / "graphs" / "soak" / "langgraph.json"
REST_SECONDS = 180.0
"""Within which all that was sent is answered and published, once nothing new comes."""
_LOOK_SECONDS = 30.0
"""Within which every worker has looked at the store again: it does every five seconds."""
_HELD = {"desk": 6, PAUSED_GRAPH: 9}
"""Requests of the busy moment: of the first, as many run and are held; those of the second wait behind a pause."""


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def soak(plan: Plan, folder: Path, say: Callable[[str], None] = print_line) -> Sequence[str]:
    """What is wrong, a line each, after it was told.

    :param folder: gets logs, ledgers and pages.
    :raises MissingToolError: no Java or Maven for a Kafka, or no binaries for a PostgreSQL.
    """
    say(
        f"soak: seed {plan.seed}, {plan.seconds / 60:.1f} minutes, {plan.per_second:g} requests a second, "
        f"{plan.workers} worker(s) on {plan.store}"
    )
    with ExitStack() as stack:
        soaked = _Fleet(plan, folder, say, stack).soak()
    wrong = list(faults(soaked))
    for line in story(soaked):
        say(line)
    for line in wrong:
        say(f"WRONG: {line}")
    say(f"soak: seed {plan.seed}: {f'{len(wrong)} things are wrong' if wrong else 'all is as it should be'}")
    return wrong


class _Fleet:
    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None], stack: ExitStack) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        began = time.monotonic()
        broker = stack.enter_context(ApacheKafka())
        self._url, store_name = f"sqlite:///{folder / 'store.db'}", "SQLite"
        if plan.store == "postgresql":
            server = stack.enter_context(SystemPostgres())
            self._url, store_name = server.create_database("soak"), server.description
        self._kafka = KafkaTopics(broker, f"soak{uuid.uuid4().hex[:8]}")
        self._kafka.create_fleet(compression="producer")  # else the broker refuses what readers cannot decode
        self._listener = stack.enter_context(Listener(self._kafka))
        self._model, self._spans = stack.enter_context(model_server()), stack.enter_context(otlp_receiver())
        self._ports = [free_port() for _ in range(plan.workers)]
        self._pages = folder / "pages"
        self._pages.mkdir()
        self._workers = self._start_workers(stack)
        self._reader = StoreReader(self._url)
        stack.callback(self._reader.close)
        graph_files = folder / "files"
        graph_files.mkdir()
        self._load = Load(plan, self._kafka, self._listener, graph_files, self._model.url)
        stack.callback(self._load.stop)
        answered = functools.partial(len, self._listener.answered)
        self._sampler = Sampler(self._workers.running, answered, self._reader.sizes)
        stack.callback(self._sampler.stop)
        self._interference = Interference(
            plan, self._workers, self._kafka, self._load, self._url, self._reader.tally, say
        )
        say(f"{broker.description}, {store_name}; ready after {time.monotonic() - began:.0f} s; logs in {folder}")

    def _start_workers(self, stack: ExitStack) -> Workers:
        settings = [
            {
                "LANGGRAPH_WORKER_HEALTH_PORT": str(port),
                "LANGGRAPH_WORKER_CONCURRENCY": str(CONCURRENCY),
                "LANGGRAPH_WORKER_KEEP_CHECKPOINTS": "20",
                "SOAK_PAGES": str(self._pages),
                "SOAK_LEAK_BYTES": str(self._plan.leak_bytes),
                **self._spans.env,
            }
            for port in self._ports
        ]
        config = {**QUICK, **UNPACKS_LITTLE}
        fleet, broker = self._kafka.prefix, self._kafka.broker
        return stack.enter_context(
            Workers(broker, fleet, self._url, self._folder, settings, kafka_config=config, manifest=MANIFEST)
        )

    def soak(self) -> Soaked:
        """Both parts, and what there is to judge."""
        plan, began = self._plan, time.monotonic()
        self._load.start()
        self._sampler.start()
        self._load.go_on()
        self._interference.go_on_for(plan.kill_seconds, kills=True)
        self._come_to_rest("the first part, with kills, is over")
        before, lives, lived = self._reader.tally(), self._workers.running(), len(self._workers.lives)
        first_pages = {life.pid: scrape(self._ports[life.worker]) for life in lives}
        results, letters = self._records(self._kafka.fleet.results), len(self._letters())
        copies = self._load.counts["copy"]
        self._load.go_on()
        self._interference.go_on_for(plan.seconds - plan.kill_seconds, kills=False)
        self._come_to_rest("the second part is over")
        busy = self._busy_moment()
        self._come_to_rest("what was held has ended")
        seconds = time.monotonic() - began
        self._load.stop()
        self._sampler.stop()
        end = self._still({}, {}, paused=0)
        codes, after = self._workers.stop(), self._reader.tally()
        found = Found(
            [*self._last_pages([*lives, *self._workers.lives[lived:]], first_pages)],
            after.since(before),
            Counter(self._letters()[letters:]),
            self._records(self._kafka.fleet.results) - results,
            self._load.counts["copy"] - copies,
            [busy, end],
        )
        self._workers.deaths += [f"exit code {code} after SIGTERM" for code in codes if code]
        return Soaked(
            plan,
            seconds,
            self._load,
            self._listener,
            self._interference,
            self._sampler,
            self._workers,
            after,
            self._reader.unpublished(),
            read_ledgers(self._workers.ledgers),
            [*disagreements(found)],
            len(self._spans.spans),
        )

    def _come_to_rest(self, what: str) -> None:
        self._load.hold()
        wait_until("every answer", lambda: self._load.is_settled, timeout=REST_SECONDS)
        wait_until("the store to have no work", lambda: not self._reader.unfinished(), timeout=REST_SECONDS)
        wait_until("an empty outbox", lambda: not self._reader.unpublished(), timeout=REST_SECONDS)
        self._say(f"{what}: {len(self._listener.answered):,} requests are answered")

    def _busy_moment(self) -> Still:
        """Some runs are held, others wait: so that gauges have something to show."""
        self._interference.command("pause", "--graph", PAUSED_GRAPH, "--reason", "soak")
        with self._workers.holding():
            for graph, count in _HELD.items():
                self._load.send_some(graph, count)
            still = self._still({PAUSED_GRAPH: _HELD[PAUSED_GRAPH]}, {"desk": _HELD["desk"]}, paused=1)
        self._interference.command("unpause", "--graph", PAUSED_GRAPH)
        return still

    def _still(self, waiting: dict[str, int], running: dict[str, int], paused: int) -> Still:
        """The figures, once every worker has had time to look. What they should be by then, the store says."""

        def is_there() -> bool:
            found = self._reader.under_way()
            rests = self._reader.paused() == paused and not self._reader.unpublished() and not self._lag()
            return rests and found["PENDING"] == Counter(waiting) and found["RUNNING"] == Counter(running)

        wait_until("the store to hold just that", is_there, timeout=REST_SECONDS)
        end = time.monotonic() + _LOOK_SECONDS
        while True:
            still = Still(waiting, running, 0, paused, 0, [scrape(port) for port in self._ports])
            if time.monotonic() > end or self._agrees(still):
                return still
            time.sleep(0.5)

    @staticmethod
    def _agrees(still: Still) -> bool:
        gauges = (figures.WAITING, figures.RUNNING, figures.UNPUBLISHED, figures.PAUSED, figures.LAG)
        none = Found([], Tally(), Counter(), 0, 0, [still])
        return not any(text for figure in gauges for text in CHECKS[figure](none))

    def _last_pages(self, lives: Sequence[Life], first: dict[int, Page]) -> Iterator[tuple[Page | None, Page]]:
        """Of each of these processes, if it lived when the second part began, the page from then, and its last one."""
        for life in lives:
            page = last_page(self._pages, life.pid)
            if page is None:
                self._workers.deaths.append(f"worker-{life.worker} (process {life.pid}) has left no last page")
            else:
                yield first.get(life.pid), page

    def _letters(self) -> list[str]:
        """The error types of all dead letters, in order."""
        found = self._kafka.read_all(self._kafka.fleet.dead_letters, timeout=60)
        found.sort(key=lambda message: message.timestamp()[1])
        return [header(message, "dead-letter-error-type") or "" for message in found]

    def _records(self, topic: str) -> int:
        """How many there are of a topic."""
        return sum(self._ends(topic).values())

    def _ends(self, topic: str) -> dict[int, int]:
        config = {**self._kafka.client, **QUIET, "group.id": f"{self._kafka.prefix}-ends"}
        with Consumer(config) as consumer:
            partitions = consumer.list_topics(topic, timeout=15).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=15)[1]
                for number in partitions
            }

    def _lag(self) -> int:
        events = self._kafka.fleet.events
        committed = self._kafka.committed(consumer_group_of(self._kafka.prefix), events)
        return sum(end - max(0, committed[number]) for number, end in self._ends(events).items())
