"""What the example DAGs promise: conversations, mapped agents, a cancel and a retry, in a real Airflow."""

from __future__ import annotations

import uuid

import pytest

from tests.system.witnesses import Wire, request_of, require_end

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("worker")]

CONVERSATION = "example_langgraph_conversation"
MAPPED = "example_langgraph_mapped"
CANCEL_AND_RETRY = "example_langgraph_cancel_and_retry"


@pytest.fixture
def customer() -> str:
    """A customer whose conversation nothing else continues."""
    return f"of {uuid.uuid4()}"


def asked(airflow, run_id: str) -> tuple[int, list[str]]:
    """The number of a run's turn, and what was asked before it."""
    turn = airflow.api.xcom(CONVERSATION, run_id, "turn")
    return turn["turn"], turn["asked_before"]


def test_a_dag_run_sees_what_was_said_in_those_before_it(airflow, customer):
    for number, question in enumerate(("one?", "two?"), start=1):
        run_id = airflow.run_dag(CONVERSATION, {"customer": customer, "question": question})
        require_end(airflow, CONVERSATION, run_id, "success")
        assert asked(airflow, run_id) == (number, ["one?", "two?"][: number - 1])
    assert airflow.api.xcom(CONVERSATION, run_id, "show") == "2: You ask 'two?'. Before that you asked 'one?'."


def test_dag_runs_that_start_at_once_take_their_turns_and_a_clear_takes_one_more(airflow, customer):
    runs = {
        question: airflow.run_dag(CONVERSATION, {"customer": customer, "question": question})
        for question in ("one?", "two?", "three?")
    }
    for run_id in runs.values():
        require_end(airflow, CONVERSATION, run_id, "success")
    turns = {question: asked(airflow, run_id) for question, run_id in runs.items()}
    in_order = sorted(turns, key=turns.__getitem__)
    assert [turns[question] for question in in_order] == [(n + 1, in_order[:n]) for n in range(3)]

    cleared = runs[in_order[1]]
    airflow.api.clear(CONVERSATION, cleared, ["turn"])
    require_end(airflow, CONVERSATION, cleared, "success")
    assert asked(airflow, cleared) == (4, in_order)  # nothing that was said is taken back


def test_a_symbol_that_fails_leaves_the_others_their_report(airflow):
    run_id = airflow.run_dag(MAPPED, {"symbols": ["IBM", "NONE", "MSFT"]})
    require_end(airflow, MAPPED, run_id, "success")
    tasks = {
        task.map_index: task.state for task in airflow.api.task_instances(MAPPED, run_id) if task.task_id == "desk"
    }
    assert tasks == {0: "success", 1: "failed", 2: "success"}
    assert set(airflow.api.xcom(MAPPED, run_id, "report")) == {"IBM", "MSFT"}
    assert "prices: a list of rows is needed" in airflow.api.logs(MAPPED, run_id, "desk", map_index=1)


def test_what_is_cancelled_ends_and_what_is_retried_is_paid_once(airflow, system_topics):
    run_id = airflow.run_dag(CANCEL_AND_RETRY)
    require_end(airflow, CANCEL_AND_RETRY, run_id, "success")
    states = {task.task_id: task.state for task in airflow.api.task_instances(CANCEL_AND_RETRY, run_id)}
    assert (states["cancel"], states["result"], states["retried"]) == ("success", "skipped", "success")
    errand = request_of(airflow.api.task_instance(CANCEL_AND_RETRY, run_id, "errand"))
    assert Wire(system_topics).wait_for_answer(errand) == ("cancelled", "cancelled")
    assert "12 is more than 10" in airflow.api.logs(CANCEL_AND_RETRY, run_id, "cancel")
    assert airflow.api.xcom(CANCEL_AND_RETRY, run_id, "retried") == {"item": "a cake", "bought": 1, "delivered": 2}
