from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

from airflow_provider_langgraph.requests.handle import RequestHandle

HANDLE = RequestHandle(uuid4(), "dag", "run", "kafka_default", "e", "r", "cluster", {0: 7, 11: 0}, datetime.now(UTC))


def test_it_survives_json():
    assert RequestHandle.from_dict(json.loads(json.dumps(HANDLE.to_dict()))) == HANDLE


def test_a_newer_version_may_add_to_it():
    assert RequestHandle.from_dict(HANDLE.to_dict() | {"signature": "x"}) == HANDLE
