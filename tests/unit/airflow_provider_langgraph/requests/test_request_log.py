"""A request in its task's log: names that come from the conf of a DAG run write no line of their own."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest

from airflow_provider_langgraph.kafka.topic_admin import EndOffsets
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from airflow_provider_langgraph.requests.publish import publish_request
from airflow_provider_langgraph.task_log.progress_inbox import ProgressInbox
from airflow_provider_langgraph.task_log.wait_log import WaitLog
from workflow_events.models import WorkflowEvent
from workflow_events.topics import Fleet

HOSTILE = "a\n2026-01-01 INFO the task is done\x1b[2K\u202e"


def test_a_graph_and_a_thread_of_any_text_stay_in_their_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log, now = logging.getLogger("task"), [0.0]
    client: Any = MagicMock(topics=Fleet.named(""), kafka_config_id="kafka_default")
    client.end_offsets.return_value = EndOffsets("c", {})
    event = WorkflowEvent.model_validate(
        {
            "event_type": "workflow.triggered",
            "source": "airflow",
            "workflow_id": "d",
            "workflow_run_id": "r",
            "graph": HOSTILE,
            "thread_id": HOSTILE,
            "deadline": datetime.now(UTC) + timedelta(hours=1),
        }
    )
    handle = publish_request(client, event, KillSignal(), MagicMock(), log)
    progress: Any = MagicMock(trouble=None, line_seconds=1.0, heard_at=None)
    waits = WaitLog(handle, log, progress, ProgressInbox(lambda: None), lambda: now[0])
    now[0] = 3600.0
    waits.write_due(None)
    shown = [line for line in caplog.messages if "the task is done" in line]
    assert [line.split()[0] for line in shown] == ["Asked"]  # the only line of a wait that names them
    assert all(line.isprintable() for line in shown)
