from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from workflow_events import identity
from workflow_events.models import EventType, WorkflowEvent

TI = UUID("019a0000-0000-7000-8000-000000000001")


def test_names_never_change_between_releases():
    # Pinned: a release that computed others would orphan every request and thread under way. (A logical run's is stored
    # with its lineage.)
    assert identity.correlation_id(TI) == UUID("f1cd7f8d-13b1-5c56-8882-1f0146b7d0db")
    assert identity.record_id("c", "t", 1, 2) == UUID("8de5dfb0-1101-5dda-9ffc-3f52441b747c")
    assert identity.task_key("d", "dag", "run", "task", 3)[:16] == "d563a3431016c10e"
    assert identity.lineage_key("task", "default")[:16] == "39078b1600848907"
    assert identity.logical_run_id("lineage", UUID(int=1)) == UUID("b4f7c67e-a349-591a-9f20-9d22c0245df3")
    assert identity.logical_run_id("lineage", UUID(int=1), 2) == UUID("f43a7e5b-ab06-582a-90e6-99d8693d3715")


def test_a_request_is_named_by_attempt_agent_and_round():
    names = {
        identity.correlation_id(ti, agent, number)
        for ti in (TI, uuid4())
        for agent in ("default", "other")
        for number in (0, 1)
    }
    assert len(names) == 8
    assert identity.correlation_id(str(TI)) == identity.correlation_id(TI)


def test_parts_cannot_run_into_each_other():
    assert identity.task_key("a", "b:c", "r", "t") != identity.task_key("a:b", "c", "r", "t")
    assert identity.task_key("a", "b", "r", "t", 1) != identity.task_key("a", "b", "r", "t1")


def test_each_iteration_of_a_task_loop_is_a_task_of_its_own():
    tasks = [("t", -1, None), ("t", -1, 1), ("t", -1, 2), ("t", 1, None), ("t", 1, 1), ("t", 1, 2)]
    keys = {identity.task_key("d", "dag", "run", task, mapped, loop) for task, mapped, loop in tasks}
    assert len(keys) == len(tasks)


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({"x": "é"}, {"x": "\u00e9"})],
)
def test_equal_inputs_hash_alike(one, other):
    assert identity.input_hash(one) == identity.input_hash(other)


def test_different_inputs_hash_differently():
    hashes = {identity.input_hash(data) for data in ({}, {"a": 1}, {"a": "1"}, {"a": None}, {"a": [1]}, {"a": 1.5})}
    assert len(hashes) == 6


def test_no_two_kinds_of_work_hash_alike():
    def asked(kind=EventType.WORKFLOW_TRIGGERED, **fields):
        fields |= {"event_type": kind, "source": "airflow", "workflow_id": "w", "workflow_run_id": "r"}
        return WorkflowEvent.model_validate(fields)

    answers = {"answers": [{"interrupt_id": "i", "value": 1}], "round": 1}
    works = [
        asked(EventType.WORKFLOW_RESUMED, **answers),
        asked(payload={"data": [["i", 1]]}),
        asked(payload={"data": {"goto": "a", "update": None}}),
        asked(payload={"command": {"goto": "a"}}),
        asked(payload={"command": {"goto": "b"}}),
        asked(payload={"data": "a"}),
        asked(),
    ]
    assert len({identity.work_hash(one) for one in works}) == len(works)
    assert identity.work_hash(asked(payload={"data": {"a": 1}})) == identity.input_hash({"a": 1})


@pytest.mark.parametrize("made", [identity.thread_name, identity.thread_id])
def test_threads_are_kept_apart_by_graph_and_deployment(made):
    run = uuid4()
    names = {
        made("g", run),
        made("h", run),
        made("g", run, "talk"),
        made("g", run, "talk", "prod"),
        made("h", run, "talk", "prod"),
    }
    assert len(names) == 5
    assert made("g", uuid4(), "talk", "prod") == made("g", run, "talk", "prod")


def test_the_id_of_a_thread_is_a_uuid():
    run = UUID(int=7)
    assert UUID(identity.thread_id("g", run)).version == 5
    assert identity.thread_id("g", run, "talk", "prod") == "862fbd73-fd53-59f4-976f-a9b04aad25a7"
