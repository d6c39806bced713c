from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

from airflow.triggers.base import TriggerEvent

from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers.result import Reply, WorkflowResultTrigger

NOW = datetime.now(UTC).isoformat()
HANDLE = RequestHandle(uuid4(), "d", "r", "kafka_default", "e", "r2", "c", {0: 1}, datetime.now(UTC)).to_dict()


def test_it_can_be_built_again_from_what_it_serializes():
    path, arguments = WorkflowResultTrigger(handle=HANDLE, not_before=NOW).serialize()
    assert path == "airflow_provider_langgraph.triggers.result.WorkflowResultTrigger"

    again = WorkflowResultTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_the_triggerers_log_shows_no_result():
    payload = Reply(kind="result", correlation_id="c1", status="success", result='{"secret": "s3cret"}')
    event = TriggerEvent(payload)

    assert "s3cret" not in repr(event)
    assert "c1" in repr(event)
    assert "success" in repr(event)
    assert "s3cret" in event.model_dump(mode="json")["payload"]["result"]
