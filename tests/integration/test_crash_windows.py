"""A worker killed at each await between the poll of a request and the note that its result is published.

Each test kills a real worker with SIGKILL at a named point (see ``tests/support/crashing.py``), starts another on the
same store, and looks at what has become of the request. The awaits, in order, and where else they are opened:

- ``offer``: the poll's batch reaches the intake. ``write``: a dead letter. ``accept``: the store has the request.
  ``commit``: its offset. (Dead letters, repeats, answers and newer attempts: ``test_crash_windows_repeats.py``.)
- ``claim``; ``aget_tuple``: the thread's state; ``remember_nodes``; ``put_checkpoint``; ``see``: a part of the stream;
  ``node``: in a node itself; ``record``: steps; ``renew`` and ``release``: the lease; ``finish``, ``back_off`` or
  ``expire``.
- ``unpublished``: the outbox; ``send``: the broker; ``published``: the note.

In the order of LangGraph's calls, a run of three nodes puts its input and two checkpoints of the start (1 to 3), then
for each node its writes (4, 6, 8) and the checkpoint after it (5, 7, 9), which does not wait for the writes.

Each window is opened on SQLite or on PostgreSQL, those around which everything turns on both; with CRASH_WINDOWS=all in
the environment every one is opened on both.
"""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from langgraph_worker.store.migrations.schema import workflow_errors
from tests.support.crash_bench import Place
from tests.support.crash_windows import (
    ANY,
    CHAIN,
    COMPLETED,
    PENDING,
    RUNNING,
    SQLITE,
    UNKNOWN,
    at,
    both,
    check_nodes,
    kill,
    kills,
    wait_at_gate,
)
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

INTAKE = (
    at("before:offer", left=UNKNOWN),
    both("before:accept", left=UNKNOWN),
    both("inside:accept", left=UNKNOWN),
    both("after:accept", left=PENDING),
    at("before:commit", left=PENDING),
    at("after:commit", left=PENDING),
    both("heard:commit", left=ANY, maybe=CHAIN),  # the run goes on meanwhile
)
CLAIM = (
    at("before:claim", left=PENDING),
    both("inside:claim", left=PENDING),
    both("after:claim"),
    at("before:aget_tuple"),
    at("after:aget_tuple"),
    at("before:remember_nodes"),
    at("inside:remember_nodes"),
    at("after:remember_nodes"),
)
CHECKPOINTS = (
    at("before:put_checkpoint"),
    both("inside:put_checkpoint"),
    both("after:put_checkpoint"),
    at("before:put_checkpoint 2"),
    at("inside:put_checkpoint 2"),
    at("after:put_checkpoint 2"),
    at("before:put_checkpoint 3"),
    at("inside:put_checkpoint 3"),
    at("after:put_checkpoint 3"),
    at("before:see"),  # a node's beginning, in the stream
    at("inside:node", again="one"),
    at("before:put_checkpoint 4", again="one"),
    at("before:see 2", maybe=("one",)),  # its end
    both("inside:put_checkpoint 4", again="one"),
    both("after:put_checkpoint 4"),
    at("before:put_checkpoint 5", maybe=("one",)),
    both("inside:put_checkpoint 5", maybe=("one",)),
    both("after:put_checkpoint 5"),
    at("before:see 3"),
    both("inside:node 2", again="two"),
    at("before:put_checkpoint 6", again="two"),
    at("inside:put_checkpoint 6", again="two"),
    at("after:put_checkpoint 6"),
    at("inside:put_checkpoint 7", maybe=("two",)),
    at("after:put_checkpoint 7"),
    at("inside:node 3", again="three"),
    at("inside:put_checkpoint 8", again="three"),
    at("after:put_checkpoint 8"),
    at("inside:put_checkpoint 9", maybe=("three",)),
    both("after:put_checkpoint 9"),
)
END = (
    at("before:record", maybe=CHAIN),  # a slow run's is written beside its nodes
    at("inside:record", maybe=CHAIN),
    at("after:record", maybe=CHAIN),
    both("before:finish"),
    both("inside:finish"),
    both("after:finish", left=COMPLETED),
)
PUBLISH = (
    at("before:unpublished", left=COMPLETED),
    at("after:unpublished", left=COMPLETED),
    both("before:send", left=COMPLETED),
    both("heard:send", left=COMPLETED, copies=2),
    at("after:send", left=COMPLETED, copies=2),
    at("before:published", left=COMPLETED, copies=2),
    both("inside:published", left=COMPLETED, copies=2),
    both("after:published", left=COMPLETED),
)
REPEATED = (
    at("after:accept", "inside:accept", left=ANY, maybe=CHAIN),  # delivered again, while its run goes on
    at("after:accept", "after:claim", "inside:node 2", again="two"),
    at("inside:put_checkpoint 6", "after:aget_tuple", "inside:node", again="two", maybe=("two",)),
    at("inside:finish", "inside:finish", "before:finish"),
    both("heard:send", "heard:send", left=COMPLETED, copies=3),
    at("inside:node 2", "inside:void_all", again="two", only=SQLITE),
)


@kills(*INTAKE, *CLAIM, *CHECKPOINTS, *END, *PUBLISH, *REPEATED)
def test_a_request_is_run_and_answered_once(bench, window, case):
    event = uuid4()
    kill(bench, window, event, lambda: bench.ask(event, "chain", case.data))
    bench.start()
    result = bench.result(event)
    assert result.status is ResultStatus.SUCCESS
    assert result.result["done"] == list(CHAIN)
    if window.left is not ANY and len(window.points) == 1:
        assert result.attempts == (2 if window.left == RUNNING else 1)
    assert bench.copies(event) >= window.copies
    check_nodes(case, window)


@kills(
    both("inside:accept", left=UNKNOWN),
    at("inside:claim", left=PENDING, maybe=CHAIN),
    at("inside:put_checkpoint 2", maybe=CHAIN),
    both("inside:put_checkpoint 7", maybe=CHAIN),
    at("inside:finish", maybe=CHAIN),
    both("heard:send", left=COMPLETED, maybe=CHAIN),
    at("inside:published", left=COMPLETED, maybe=CHAIN),
)
def test_requests_that_share_transactions_are_run_and_answered_once_each(bench, window):
    asked = {uuid4(): bench.case() for _ in range(8)}
    first = next(iter(asked))

    def ask_all() -> Place:
        place, *_ = [bench.ask(event, "chain", case.data) for event, case in asked.items()]
        return place

    kill(bench, window, first, ask_all)
    bench.start()
    for event, case in asked.items():
        assert bench.result(event).status is ResultStatus.SUCCESS
        check_nodes(case, window)


@kills(
    at("before:renew", again="two"),
    at("inside:renew", again="two"),
    at("after:renew", again="two"),
)
def test_a_worker_killed_while_it_renews_leaves_a_run_that_goes_on(bench, window, case):
    event = uuid4()
    place = bench.ask(event, "chain", case.gated)
    wait_at_gate(bench, case)
    kill(bench, window, event, lambda: place)
    case.open_gate()
    bench.start()
    assert bench.result(event).attempts == 2
    check_nodes(case, window)


@kills(
    at("before:release", again="two"),
    both("inside:release", again="two"),
    at("after:release", left=PENDING, again="two"),
)
def test_a_worker_killed_while_it_stops_leaves_a_run_that_goes_on(bench, window, case):
    event = uuid4()
    place = bench.ask(event, "chain", case.gated)
    wait_at_gate(bench, case)

    def stop() -> Place:
        bench.worker.signal(signal.SIGTERM)
        return place

    kill(bench, window, event, stop)
    case.open_gate()
    bench.start()
    assert bench.result(event).attempts == 2
    check_nodes(case, window)


@kills(
    at("before:finish"),
    both("inside:finish"),
    at("after:finish", left="FAILED"),
    at("heard:send", left="FAILED", copies=2),
)
def test_a_failure_is_told_once(bench, window, case):
    event = uuid4()
    kill(bench, window, event, lambda: bench.ask(event, "raises", case.data))
    bench.start()
    result = bench.result(event)
    assert (result.status, result.error) == (ResultStatus.FAILURE, "node 'fail': ValueError: the market is closed")
    assert bench.copies(event) >= window.copies
    assert len(bench.rows(workflow_errors, correlation_id=event)) == 1
    assert Counter(case.nodes) == Counter(("one", "fail") if window.left == "FAILED" else ("one", "fail", "fail"))


@kills(both("before:back_off"), both("inside:back_off"), both("after:back_off", left=PENDING))
def test_an_error_that_passes_is_repeated_once_and_is_a_row_if_it_was_stored(bench, window, case):
    event = uuid4()
    kill(bench, window, event, lambda: bench.ask(event, "stumbles", case.data))
    bench.start()
    result = bench.result(event)
    assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert case.nodes == ["one", "stumble", "stumble", "three"]
    assert len(bench.rows(workflow_errors, correlation_id=event)) == (window.left == PENDING)


@kills(
    at("before:expire", left=ANY),
    both("inside:expire", left=PENDING),
    at("after:expire", left="FAILED"),
    at("before:send", left="FAILED"),
)
def test_a_request_past_its_deadline_is_answered_and_never_runs(bench, window, case):
    event = uuid4()
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    kill(bench, window, event, lambda: bench.ask(event, "chain", case.data, deadline=past))
    bench.start()
    assert bench.result(event).status is ResultStatus.TIMEOUT
    assert case.nodes == []
