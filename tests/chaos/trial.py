"""The whole proof: start everything, ask and strike, wait for the last answer, judge."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg

from devtools.apache_kafka import ApacheKafka
from devtools.system_postgres import SystemPostgres
from tests.chaos.evaluation import Happened, judge, report
from tests.chaos.evidence import gather
from tests.chaos.faults import Faults
from tests.chaos.fleet import Workers
from tests.chaos.ledger import read_ledgers
from tests.chaos.load import LAST_ANSWERS_SECONDS, Load
from tests.chaos.plan import Plan
from tests.chaos.request_checks import Violation
from tests.chaos.sent_requests import SentRequests
from tests.chaos.topics import Listener
from tests.support.kafka import KafkaTopics
from workflow_events.topics import consumer_group_of


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def prove(plan: Plan, folder: Path, say: Callable[[str], None] = print_line) -> Sequence[Violation]:
    """What went wrong, after it was told.

    :param folder: gets the logs and the ledgers.
    :param say: takes a line for people.
    :raises MissingToolError: no Java or Maven for a Kafka, or no binaries for a PostgreSQL, that may be killed.
    """
    say(f"chaos: seed {plan.seed}, {plan.runs} runs in {plan.seconds:.0f} s")
    with ExitStack() as stack:
        happened = _happen(plan, folder, say, stack)
    judgement = judge(happened)
    for line in report(happened, judgement):
        say(line)
    say(f"chaos: seed {plan.seed}: {len(judgement.violations)} violations")
    return judgement.violations


def _happen(plan: Plan, folder: Path, say: Callable[[str], None], stack: ExitStack) -> Happened:
    began = time.monotonic()
    broker, store = stack.enter_context(ApacheKafka()), stack.enter_context(SystemPostgres())
    _keep_commit_times(store)
    url, prefix = store.create_database("chaos"), f"chaos{uuid.uuid4().hex[:8]}"
    kafka = KafkaTopics(broker, prefix)
    kafka.create_fleet()
    group = consumer_group_of(kafka.prefix)
    listener = stack.enter_context(Listener(kafka))
    workers = stack.enter_context(Workers(broker, kafka.prefix, url, folder))
    say(f"{broker.description}, {store.description}; ready after {time.monotonic() - began:.1f} s")
    sent_requests, calm = SentRequests(), threading.Event()
    load = Load(plan, kafka, sent_requests, listener, calm)
    committed = functools.partial(kafka.committed, group, kafka.fleet.events)
    faults = Faults(plan, workers, broker, store, url, committed, load, say)
    load.start()
    stack.callback(load.abandon)
    with _set_at_the_end(calm):
        faults.run()
    load.join()
    _wait_for_answers(sent_requests, listener)
    _wait_for_repeats(url, lambda: kafka.lag(group, kafka.fleet.events))
    seconds, codes = time.monotonic() - load.started_at, workers.stop()
    evidence, executions = gather(url, kafka, group), read_ledgers(workers.ledgers)
    return Happened(plan, folder, sent_requests, listener, workers, faults, evidence, executions, seconds, codes)


def _keep_commit_times(store: SystemPostgres) -> None:
    """When a write was durable, only the server can tell."""
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    store.stop()
    store.start()


@contextlib.contextmanager
def _set_at_the_end(event: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        event.set()


def _wait_for_answers(sent_requests: SentRequests, listener: Listener) -> None:
    """Until everybody is answered, or nobody was for long."""
    count, since = -1, time.monotonic()
    while sent_requests.expected() - listener.answered_ids():
        if len(listener.answered) != count:
            count, since = len(listener.answered), time.monotonic()
        if time.monotonic() - since > LAST_ANSWERS_SECONDS:
            return
        time.sleep(0.2)


def _wait_for_repeats(url: str, lag: Callable[[], int]) -> None:
    """Until what was asked last is taken in, and published again: a result is repeated every 10 s at most."""
    end = time.monotonic() + LAST_ANSWERS_SECONDS
    query = "SELECT count(*) FROM workflow_runs WHERE finished_at IS NOT NULL AND published_at IS NULL"
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < end and (lag() or (connection.execute(query).fetchone() or [0])[0]):
            time.sleep(0.2)
