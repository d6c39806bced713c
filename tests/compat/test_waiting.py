"""A task waits without a slot, and nothing that happens meanwhile costs it its answer."""

from __future__ import annotations

import re

import pytest

from tests.system.witnesses import request_of

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("worker"),
]


def ledger(folder) -> list[str]:
    """Which nodes ran, in order."""
    return (folder.path / "ledger").read_text().splitlines()


def test_a_task_defers_while_the_agent_works_and_returns_its_result(airflow, run, folder):
    run_id = run("deferred")
    request = request_of(airflow.wait_for_task("deferred", run_id, "agent", "deferred"))
    folder.open_gate()

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert airflow.api.xcom("deferred", run_id, "agent")["answer"] == "done for deferred"
    log = airflow.api.logs("deferred", run_id, "agent")
    assert f"Published request {request} to" in log
    assert re.search(rf"Waiting for the answer, until .* UTC at the latest \(request {request[:8]} on ", log)
    assert re.search(rf"The agent succeeded in .* \(request {request[:8]}, ", log)


def test_no_log_of_airflow_shows_the_result(airflow, run, folder):
    """It may be large or secret. The triggerer writes the event's repr to the task's log, beside the line's text."""
    folder.open_gate()
    run_id = run("deferred")
    assert airflow.wait_for_run("deferred", run_id) == "success"

    texts = [log.read_text() for log in (airflow.home / "logs").rglob("*") if log.is_file() and run_id in str(log)]
    assert any("Trigger fired event" in text for text in texts)
    assert not any("done for deferred" in text for text in texts)
    assert "done for deferred" not in "".join(airflow.children[name].output() for name in airflow.triggerers)


def test_a_reply_that_comes_while_no_triggerer_runs_is_not_missed(airflow, run, folder, wire):
    run_id = run("deferred")
    request = request_of(airflow.wait_for_task("deferred", run_id, "agent", "deferred"))
    for name in airflow.triggerers:
        airflow.kill(name)
    folder.open_gate()
    assert wire.wait_for_answer(request) == ("success", None)
    for name in airflow.triggerers:
        airflow.launch_triggerer(name)

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert ledger(folder) == ["deferred:first", "deferred:second"]


def test_a_connection_in_airflows_database_serves_as_well(airflow, run, wait_for_trigger, folder):
    run_id = run("stored")
    wait_for_trigger("stored", run_id, "agent")
    folder.open_gate()

    assert airflow.wait_for_run("stored", run_id) == "success"
    assert airflow.api.xcom("stored", run_id, "agent")["answer"].startswith("agent saw ")


def test_mapped_tasks_each_get_their_own_answer(airflow, run, folder):
    folder.open_gate()
    run_id = run("mapped")

    assert airflow.wait_for_run("mapped", run_id) == "success"
    answers = [airflow.api.xcom("mapped", run_id, "agent", map_index=number) for number in range(4)]
    assert [answer["answer"] for answer in answers] == [f"done for n{number}" for number in range(4)]


def test_a_retry_resumes_and_pays_for_no_finished_node_again(airflow, run, folder):
    folder.open_gate()
    (folder.path / "broken").write_text("OSError")
    run_id = run("retried")
    airflow.wait_for_task("retried", run_id, "agent", "up_for_retry")
    (folder.path / "broken").unlink()

    assert airflow.wait_for_run("retried", run_id) == "success"
    assert ledger(folder) == ["retried:first", "retried:second", "retried:second"]


def test_what_a_retry_cannot_help_is_not_retried(airflow, run, folder):
    folder.open_gate()
    (folder.path / "broken").write_text("TypeError")
    run_id = run("retried")

    assert airflow.wait_for_run("retried", run_id) == "failed"
    assert airflow.api.task_instance("retried", run_id, "agent").try_number == 1


def test_clearing_a_finished_task_asks_again(airflow, run, folder):
    folder.open_gate()
    run_id = run("deferred")
    assert airflow.wait_for_run("deferred", run_id) == "success"
    airflow.api.clear("deferred", run_id, ["agent"])
    airflow.wait_for_task("deferred", run_id, "agent", "deferred", "running")

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert ledger(folder) == ["deferred:first", "deferred:second"] * 2


def test_a_blocking_task_returns_the_same(airflow, run, folder):
    folder.open_gate()
    run_id = run("blocking")

    assert airflow.wait_for_run("blocking", run_id) == "success"
    assert airflow.api.xcom("blocking", run_id, "agent")["answer"] == "done for blocking"
