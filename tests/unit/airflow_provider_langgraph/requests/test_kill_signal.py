from __future__ import annotations

from airflow_provider_langgraph.requests.kill_signal import KillSignal


def test_it_stops_what_is_under_way():
    kill, stopped = KillSignal(), []
    kill.stop_with(lambda: stopped.append("wait"))
    assert (kill.is_set, stopped) == (False, [])
    kill.set()
    assert (kill.is_set, stopped) == (True, ["wait"])


def test_it_stops_at_once_what_begins_after_it():
    kill, stopped = KillSignal(), []
    kill.set()
    kill.stop_with(lambda: stopped.append("wait"))
    assert stopped == ["wait"]
