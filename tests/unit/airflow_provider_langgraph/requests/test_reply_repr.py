"""How Airflow's log shows the payload of a trigger's event."""

from __future__ import annotations

from airflow_provider_langgraph.requests.reply import Reply


def test_a_payload_is_one_line_whatever_an_error_says():
    shown = repr(Reply(kind="broken", error="bad\n2026-01-01 INFO fine\x1b[2J", result="secret"))
    assert shown == "<kind=broken error=bad\\n2026-01-01 INFO fine\\x1b[2J>"
