"""Events that are kept for ever: so are the cancels that name them."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.support.kafka import QUIET
from tests.support.worker import Desk, desk_of
from workflow_events import ResultStatus
from workflow_events.codec import encode
from workflow_events.control import WorkflowCancelledEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

A_YEAR_MS = 365 * 86_400_000


def set_retention(desk: Desk, topic: str, retention_ms: int) -> None:
    entry = ConfigEntry("retention.ms", str(retention_ms), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    desk.kafka.admin.incremental_alter_configs([resource])[resource].result(15)


def write_a_year_ago(desk: Desk, message: WorkflowCancelledEvent) -> None:
    producer = Producer({**desk.kafka.client, **QUIET})
    body, then = encode(message), time.time_ns() // 1_000_000 - A_YEAR_MS
    producer.produce(desk.kafka.fleet.control, body.value, body.key, headers=body.headers, timestamp=then)
    assert producer.flush(15) == 0


@pytest.mark.parametrize("retention_ms", [-1, 2**63 - 1])
def test_a_cancel_of_an_event_that_is_kept_for_ever_is_read_back(broker, tmp_path, retention_ms):
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has no settings of topics")
    with desk_of(broker, tmp_path) as desk:
        for topic in (desk.kafka.fleet.events, desk.kafka.fleet.control):
            set_retention(desk, topic, retention_ms)
        event, gate = uuid4(), desk.gate()
        write_a_year_ago(desk, WorkflowCancelledEvent(correlation_id=event, reason="enough"))
        with desk.worker:
            assert desk.run("steps", gate.data, event_id=str(event)).status is ResultStatus.CANCELLED
            desk.logged("LANGGRAPH_WORKER_TOMBSTONE_DAYS is 30")
        assert gate.ledger == []
