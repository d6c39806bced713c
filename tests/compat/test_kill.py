"""What a person kills in Airflow does not live on in a worker."""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("worker"),
]


def test_marking_a_waiting_task_failed_stops_its_agent_alone(airflow, pair, folder, wire):
    airflow.api.set_state("pair", pair.run_id, "left", "failed")

    folder.wait_for("left", "stopped")
    assert wire.wait_for_answer(pair.requests["left"]) == ("cancelled", "cancelled")
    folder.open_gate()
    assert airflow.wait_for_run("pair", pair.run_id) == "failed"
    assert airflow.api.task_instance("pair", pair.run_id, "left").state == "failed"
    assert airflow.api.task_instance("pair", pair.run_id, "right").state == "success"
    assert folder.times("left", "done") == []
    assert wire.cancels([pair.requests["right"]]) == {}
