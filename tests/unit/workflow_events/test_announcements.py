from __future__ import annotations

import json
from datetime import UTC, datetime

import jsonschema
import pytest

from workflow_events import DecodeError, Fleet, GraphAnnouncement, WorkerAnnouncement
from workflow_events.__main__ import schemas
from workflow_events.announcements import ANNOUNCE_SECONDS, BELIEVED_SECONDS, key_of
from workflow_events.codec import Record, decode_announcement, encode

DESK = GraphAnnouncement(
    graph="desk", description="Trades", input={"type": "object"}, output=None, assistants={"night": "Cheap"}
)
WORKER = WorkerAnnouncement(worker_id="one", events_topic="workflow-events", graphs={"desk": DESK.digest, "made": None})


def received(message: GraphAnnouncement | WorkerAnnouncement, **changes: object) -> Record:
    encoded = encode(message)
    body = json.loads(encoded.value) | changes
    return Record("workflow-graphs", 0, 0, json.dumps(body).encode(), encoded.headers, encoded.key)


@pytest.mark.parametrize("message", [DESK, WORKER])
def test_what_is_announced_is_read_back_and_fits_its_published_schema(message):
    assert decode_announcement(received(message)) == message
    jsonschema.validate(json.loads(encode(message).value), schemas()[type(message).__name__])


def test_a_newer_workers_further_fields_are_ignored():
    assert decode_announcement(received(WORKER, mood="good")) == WORKER


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"event_type": "workflow.result"}, "'event_type': must be one of graph.announced, worker.announced"),
        ({"worker_id": ""}, "field 'worker_id'"),
        ({"graphs": ["desk"]}, "field 'graphs'"),
    ],
)
def test_what_is_none_is_refused(changes, says):
    with pytest.raises(DecodeError, match=says):
        decode_announcement(received(WORKER, **changes))


def test_workers_with_the_same_graph_write_one_record_and_two_releases_two():
    again = GraphAnnouncement.model_validate(json.loads(encode(DESK).value))
    assert encode(again).key == encode(DESK).key
    assert encode(again).value == encode(DESK).value
    other = GraphAnnouncement(graph="desk", input={"type": "object", "required": ["symbol"]})
    assert key_of(other) != key_of(DESK)


def test_a_newer_workers_graph_keeps_the_hash_that_its_worker_names():
    newer = decode_announcement(received(DESK, mood="good", digest="0123456789abcdef"))
    assert isinstance(newer, GraphAnnouncement)
    assert newer.digest == "0123456789abcdef"
    assert key_of(newer) == "graph/0123456789abcdef/desk"


def test_the_order_of_fields_is_no_other_graph():
    first = GraphAnnouncement(graph="desk", input={"a": 1, "b": 2}, assistants={"x": "", "y": ""})
    second = GraphAnnouncement(graph="desk", input={"b": 2, "a": 1}, assistants={"y": "", "x": ""})
    assert key_of(first) == key_of(second)


def test_no_worker_overwrites_one_of_another_fleet():
    workers = [
        WORKER,
        WORKER.model_copy(update={"events_topic": "risk.workflow-events"}),
        WORKER.model_copy(update={"worker_id": "workflow-events/one"}),
        WORKER.model_copy(update={"worker_id": "two"}),
    ]
    assert len({key_of(worker) for worker in workers}) == 4
    newer = WORKER.model_copy(update={"release": "2", "announced_at": datetime(2027, 1, 1, tzinfo=UTC)})
    assert key_of(newer) == key_of(WORKER)


def test_a_worker_is_believed_although_two_of_its_records_are_lost():
    assert BELIEVED_SECONDS > 3 * ANNOUNCE_SECONDS


def test_the_topic_is_compacted_and_forgets_what_nobody_writes_again():
    [spec] = [spec for spec in Fleet().specs() if spec.name == "workflow-graphs"]
    assert spec.partitions == 1
    assert spec.config == {
        "cleanup.policy": "compact,delete",
        "retention.ms": "604800000",
        "segment.ms": "21600000",
        "segment.bytes": "52428800",
        "compression.type": "uncompressed",
    }
