"""The run store is lost and comes back from a backup: the procedure of docs/runbook.md."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

from devtools.broker import Broker
from tests.support.worker import Desk, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
def desk(broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    with desk_of(broker, tmp_path) as desk:
        yield desk


def read_again_from(desk: Desk, moment: datetime) -> None:
    """What ``kafka-consumer-groups.sh --reset-offsets --to-datetime`` does."""
    topic, at = desk.kafka.fleet.events, int(moment.timestamp() * 1_000)
    consumer = Consumer({**desk.kafka.broker.client, "group.id": desk.group})
    try:
        partitions = consumer.list_topics(topic, timeout=15).topics[topic].partitions
        wanted = [TopicPartition(topic, number, at) for number in partitions]
        places = [place for place in consumer.offsets_for_times(wanted, timeout=15) if place.offset >= 0]
    finally:
        consumer.close()
    reset = [ConsumerGroupTopicPartitions(desk.group, places)]
    for done in desk.kafka.admin.alter_consumer_group_offsets(reset).values():
        done.result(15)


def test_what_came_after_the_backup_runs_again_and_what_it_has_is_answered_again(desk: Desk, tmp_path: Path) -> None:
    store, copy = tmp_path / "langgraph-worker.db", tmp_path / "copy.db"
    done, after = desk.gate(), desk.gate()
    for gate in (done, after):
        gate.open()
    with desk.worker:
        before = desk.ask("gated", done.data)
        assert desk.answer(before).status is ResultStatus.SUCCESS
        moment = datetime.now(UTC)
        with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        lost = desk.ask("gated", after.data)
        assert desk.answer(lost).status is ResultStatus.SUCCESS
    for part in tmp_path.glob("langgraph-worker.db*"):
        part.unlink()
    copy.rename(store)
    read_again_from(desk, moment)
    with desk.worker:
        first, again = desk.messages(lost, 2)
        assert after.ledger == ["first", "waiting", "passed", "last"] * 2
        assert done.ledger == ["first", "waiting", "passed", "last"]
        assert first.value() != again.value()
