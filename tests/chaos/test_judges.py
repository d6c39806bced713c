"""The judges themselves: a sound history passes, and each thing that may go wrong is told."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.faults import Snapshot, Window
from tests.chaos.history import ONE, OTHER, History, Record, T, at
from tests.chaos.ledger import Execution
from tests.chaos.plan import Fault, Kind, Plan, short_form
from tests.chaos.report import Memory
from tests.chaos.sent_requests import Garbage
from workflow_events import ResultStatus

ONE_RESULT = "one distinct terminal result for each accepted event"
CANCEL = "a cancelled request ends cancelled, or had ended before"
OFFSETS = "committed offsets cover exactly the accepted"
GARBAGE = "garbage is in the dead-letter topic with its reason"
DURABLE = "no durable node runs again"
IN_FLIGHT = "only what was in flight runs again"
WRITERS = "no thread has two writers"


@pytest.fixture
def history() -> History:
    return History()


def test_a_sound_history_passes(history):
    assert history.rules() == set()


def test_results_are_there_once_and_for_whoever_asked(history):
    [record] = history.results[history.asked.id]
    history.results[history.asked.id].append(record)
    assert history.rules() == set()
    history.results[history.asked.id].append(replace(record, named=(("x", b"y"),)))
    assert history.rules() == {ONE_RESULT}
    del history.results[history.asked.id]
    assert ONE_RESULT in history.rules()
    foreign = uuid.uuid4()
    history.result(ResultStatus.SUCCESS)
    history.results[foreign] = [Record(str(foreign).encode(), b"{}")]
    assert ONE_RESULT in history.rules()


def test_a_cancel_counts_from_when_the_broker_had_it(history):
    history.asked.cancelled_at = history.asked.cancel_acknowledged_at = T + 3.5
    assert history.rules() == set()
    history.asked.cancelled_at = history.asked.cancel_acknowledged_at = T + 0.5
    assert history.rules() == {CANCEL}
    history.windows = [Window(Fault(0, Kind.STORE, 0, False, 1.0), T + 1, T + 2, "")]
    assert history.rules() == set()
    history.asked.down_since = T + 0.4
    assert history.rules() == {CANCEL}


def test_nothing_ends_as_nobody_may_have_wanted_it(history):
    history.result(ResultStatus.CANCELLED, error_type="cancelled")
    assert history.rules() == {"a request ends as it should"}
    history.asked.cancelled_at = T
    assert history.rules() == set()


def test_a_newer_attempt_ends_the_older():
    history = History("first")
    history.asked.newer = newer = uuid.uuid4()
    history.further[newer] = {"accepted_at": at(5), "decision": "fresh"}
    assert history.rules() == set()
    history.further[newer] = {"accepted_at": at(3.5), "decision": "fresh"}
    assert history.rules() == set()
    history.further[newer] = {"accepted_at": at(2), "decision": "answered"}
    assert history.rules() == set()
    history.further[newer] = {"accepted_at": at(2), "decision": "fresh"}
    assert history.rules() == {"a newer attempt ends the older"}


def test_a_late_attempt_never_runs():
    history = History("late")
    assert "a late attempt never runs" in history.rules()
    history.result(ResultStatus.CANCELLED, error_type="superseded")
    history.row["attempts"], history.executions, history.checkpoints = 0, [], []
    assert history.rules() == set()


@pytest.mark.parametrize("cut", [slice(0, 3), slice(1, 4)])
def test_a_result_that_lacks_a_node_is_told(history, cut):
    trail = [f"{one.node}:{one.name}" for one in history.executions]
    history.result(ResultStatus.SUCCESS, result={**history.asked.event.payload.data, "trail": trail[cut]})
    assert history.rules() == {"a result comes through each node once"}


def test_a_state_of_executions_that_did_not_end_is_told(history):
    history.executions[1].is_cut = True
    assert history.rules() == {"a state is of executions that ended"}


def test_the_answer_of_an_older_logical_run_is_told(history):
    history.row["logical_run"] = "run-of-a-clear"
    assert history.rules() == {"a result is of its own logical run"}


def test_offsets_cover_what_was_accepted_and_no_more(history):
    history.committed = {0: 0}
    assert history.rules() == {OFFSETS}
    history.committed = {0: 2}
    assert history.rules() == {OFFSETS}
    history.events.append(Record(b"", b"lost", place=(0, 1)))
    assert history.rules() == {OFFSETS}


def test_an_offset_that_was_committed_before_its_request_was_accepted_is_told(history):
    history.snapshots = [Snapshot(T + 1, {0: 1})]
    assert history.rules() == set()
    history.row["accepted_at"] = at(2)
    assert history.rules() == {OFFSETS}


def test_garbage_has_to_be_a_dead_letter_with_its_reason(history):
    key = history.sent_requests.drop(Garbage(b"?", (), "invalid_event", None))
    assert history.rules() == {GARBAGE}
    facts = {"error-type": "invalid_event", "reason": "not JSON", "partition": "0", "offset": "7"}
    named = [(f"dead-letter-{name}", text.encode()) for name, text in facts.items()]
    history.letters = [Record(key, b"?", tuple(named))]
    assert history.rules() == set()
    history.letters = [Record(key, b"?", (*named, ("dead-letter-error-type", b"not_supported")))]
    assert history.rules() == {GARBAGE}
    history.letters = [Record(key, b"?", (*named, ("dead-letter-reason", b"")))]
    assert history.rules() == {GARBAGE}


def again(history: History, began: float, pid: int = OTHER) -> Execution:
    """The second node once more."""
    one = history.execution("think", 2, began, pid)
    history.executions.append(one)
    return one


def test_a_durable_node_must_not_run_again(history):
    again(history, 10.0)
    history.row["finished_at"] = at(20)
    assert history.rules() == {DURABLE, IN_FLIGHT}


def test_a_node_in_flight_at_a_kill_may_run_again(history):
    history.executions = history.executions[:2]
    history.executions[1].ended = None
    history.lives[0].killed_at = history.lives[0].died_at = T + 1.5
    history.checkpoints = [history.checkpoint(0, 0.0), history.checkpoint(1, 1.0), history.checkpoint(2, 13.0)]
    again(history, 12.0)
    history.result(ResultStatus.CANCELLED, error_type="cancelled")
    history.asked.cancelled_at, history.row["finished_at"] = T + 14, at(14)
    assert history.rules() == set()
    history.lives[0].killed_at, history.lives[0].died_at = None, T + 99
    assert WRITERS in history.rules()


def test_two_executions_at_once_are_told_unless_the_older_stood_still(history):
    one = again(history, 1.5)
    history.checkpoints[2] = history.checkpoint(2, 2.4)
    assert WRITERS in history.rules()
    history.executions.remove(one)
    history.executions[1].ended = T + 20
    again(history, 11.0)
    history.checkpoints = [history.checkpoint(0, 0.0), history.checkpoint(1, 1.0), history.checkpoint(2, 12.0)]
    history.executions = [history.executions[0], history.executions[1], history.executions[-1]]
    history.result(ResultStatus.FAILURE)
    history.row["finished_at"] = at(30)
    assert WRITERS in history.rules()
    history.suspend(ONE, 1.2, 15.0)
    assert WRITERS not in history.rules()


def test_a_fork_of_the_checkpoints_is_told(history):
    history.checkpoints.append(replace(history.checkpoints[3], id="c35"))
    assert history.rules() == {WRITERS}


def test_a_node_that_begins_long_after_the_end_is_told(history):
    history.executions.append(history.execution("report", 5, 12.0))
    assert history.rules() == {"what has ended runs no more"}


def sizes(*values: float) -> Sequence[tuple[float, int]]:
    return [(T + 10 * number, int(size * 2**20)) for number, size in enumerate(values)]


def test_memory_is_judged_by_its_most_and_its_growth(history):
    life = history.lives[0]
    life.memory += sizes(*([150] * 40))
    assert list(Memory.measured(history.lives).verdicts()) == []
    life.memory[:] = sizes(*(150 + 2 * number for number in range(40)))
    assert [found.text for found in Memory.measured(history.lives).verdicts()] == [
        "a worker grew by 12.00 MiB a minute"
    ]
    life.memory[:] = sizes(*([150] * 39), 900)
    assert "a worker had 900 MiB" in [found.text for found in Memory.measured(history.lives).verdicts()]


def test_a_plan_is_the_same_for_the_same_seed():
    assert short_form(5).faults() == short_form(5).faults() != short_form(6).faults()
    kinds = [fault.kind for fault in Plan(1, 10_000, 1500.0).faults()]
    assert kinds.count(Kind.KILL) == 20
    assert kinds.count(Kind.BROKER) == kinds.count(Kind.STORE) == 3
