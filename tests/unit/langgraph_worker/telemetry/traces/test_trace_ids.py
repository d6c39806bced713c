"""Which trace a start is in, and what it is linked to."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest

from langgraph_worker.telemetry.traces.trace_ids import StartIds, span_of_start, trace_of_logical_run
from tests.support.trace_claims import claim_of
from workflow_events.trace_context import TraceParent

TASK = TraceParent("a" * 32, "1" * 16)
SAME_RUN = TraceParent("a" * 32, "2" * 16)
OTHER_RUN = TraceParent("b" * 32, "3" * 16)
LOGICAL_RUN = UUID(int=7)


@pytest.mark.parametrize(
    ("first", "own", "trace", "parent", "links"),
    [
        (TASK, TASK, TASK.trace_id, TASK, ()),
        (TASK, SAME_RUN, TASK.trace_id, SAME_RUN, ()),  # a retry of the DAG run's task
        (TASK, OTHER_RUN, TASK.trace_id, TASK, (OTHER_RUN,)),  # an answer from another DAG run
        (TASK, None, TASK.trace_id, TASK, ()),  # an answer from a person
        (None, OTHER_RUN, trace_of_logical_run(LOGICAL_RUN), None, (OTHER_RUN,)),
        (None, None, trace_of_logical_run(LOGICAL_RUN), None, ()),
    ],
)
def test_all_starts_of_a_logical_run_are_in_the_trace_that_its_first_request_belongs_to(
    first, own, trace, parent, links
):
    claim = claim_of(first_traceparent=first and str(first), traceparent=own and str(own), logical_run=LOGICAL_RUN)
    ids = StartIds.of_claim(claim)
    assert (ids.trace_id, ids.parent, ids.links) == (trace, parent, links)


def test_a_later_start_is_linked_to_the_one_before_it():
    claim = claim_of(attempts=3)
    ids = StartIds.of_claim(claim)
    assert ids.span_id == span_of_start(claim.correlation_id, 3)
    assert ids.links == (TraceParent(ids.trace_id, span_of_start(claim.correlation_id, 2)),)


def test_a_trace_of_its_own_can_be_computed_by_anybody():
    wanted = hashlib.sha256(str(LOGICAL_RUN).encode()).hexdigest()[:32]
    assert trace_of_logical_run(LOGICAL_RUN) == wanted
