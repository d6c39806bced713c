"""A worker whose topics hold records that grow too large when they are read: it serves all the others."""

from __future__ import annotations

import pytest

from tests.support.kafka import PARTITIONS
from tests.support.undecodable import UNPACKS_LITTLE, write_undecodable
from tests.support.worker import desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


def test_events_and_cancels_behind_undecodable_records_are_served(broker, tmp_path):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has no settings of topics")
    little = {name: str(value) for name, value in UNPACKS_LITTLE.items()}
    with desk_of(broker, tmp_path, kafka_config=little, compression="producer") as desk:
        events, control = desk.kafka.fleet.events, desk.kafka.fleet.control
        cancelled = desk.ask("echo")
        for partition in range(PARTITIONS):
            write_undecodable(desk.kafka, events, partition, records=2)
        write_undecodable(desk.kafka, control, 0)
        desk.cancel(cancelled)
        asked = [desk.ask("echo") for _ in range(6)]
        with desk.worker:
            assert {desk.answer(one).status for one in asked} == {ResultStatus.SUCCESS}
            assert desk.answer(cancelled).status is ResultStatus.CANCELLED
            desk.wait_committed(1 + 2 * PARTITIONS + len(asked))
            for topic in (events, control):
                desk.logged(f"topic {topic} has compression.type=producer")
            desk.logged(f"{control}[0]: offsets 0 to 0 cannot be decoded")
        letters = [dict(letter.headers()) for letter in desk.kafka.read_all(desk.kafka.fleet.dead_letters)]
    assert {letter["dead-letter-error-type"] for letter in letters} == {b"undecodable"}
    assert {letter["dead-letter-partition"] for letter in letters} == {b"0", b"1", b"2"}
    assert len(letters) == PARTITIONS
    for letter in letters:
        first, last = int(letter["dead-letter-offset"]), int(letter["dead-letter-last-offset"])
        assert last == first + 1
        assert f"offsets {first} to {last} cannot be decoded" in letter["dead-letter-reason"].decode()
