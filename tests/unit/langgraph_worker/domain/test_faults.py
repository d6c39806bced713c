from __future__ import annotations

from langgraph_worker.domain import faults
from workflow_events import ResultStatus


def test_every_fault_of_the_worker_is_listed_once():
    named = [value for value in vars(faults).values() if isinstance(value, faults.Fault)]
    assert sorted(fault.name for fault in faults.FAULTS) == sorted({fault.name for fault in named})
    assert all(fault.when for fault in faults.FAULTS)


def test_what_the_intake_refuses_is_an_error_and_dead_lettered():
    refused = [fault for fault in faults.FAULTS if fault.dead_letter and fault is not faults.WORKER_LOST]
    assert {fault.status for fault in refused} == {ResultStatus.ERROR}
    assert not any(fault.retriable for fault in refused)
