from __future__ import annotations

from langgraph_worker.operations.redacted_detail import _NAMES
from workflow_events.models import WorkflowEvent


def test_each_field_of_an_event_is_a_name_or_content():
    assert set(WorkflowEvent.model_fields) - _NAMES == {"payload", "metadata", "context", "config", "answers"}
    assert set(WorkflowEvent.model_fields) >= _NAMES
