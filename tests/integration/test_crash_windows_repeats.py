"""A worker killed over what cannot run, comes again, asks, answers, or is tried anew: see ``test_crash_windows.py``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from langgraph_worker.store.migrations.schema import interrupts, workflow_runs
from tests.support.crash_bench import CrashBench, Place
from tests.support.crash_windows import (
    CHAIN,
    COMPLETED,
    PENDING,
    UNKNOWN,
    Window,
    at,
    both,
    check_nodes,
    kill,
    kills,
    wait_at_gate,
)
from tests.support.run_store import attempt
from tests.support.ti_ids import new_ti_id
from workflow_events import ResultStatus, WorkflowResultEvent
from workflow_events.headers import value_of
from workflow_events.identity import correlation_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

# ---- a record that cannot run, and one that comes twice ----


@kills(
    both("before:write", left=UNKNOWN),
    at("heard:write", left=UNKNOWN, copies=2),
    both("after:write", left=UNKNOWN, copies=2),
    at("before:accept", left=UNKNOWN, copies=2),
    at("inside:accept", left=UNKNOWN, copies=2),
    both("after:accept", left="FAILED", copies=2),
    at("before:commit", left="FAILED", copies=2),
    at("after:commit", left="FAILED"),
    at("before:send", left="FAILED"),
    at("heard:send", left="FAILED"),
)
def test_garbage_that_names_its_waiter_is_dead_lettered_and_answered(bench, window):
    event = uuid4()
    headers = (("correlation-id", str(event).encode()),)
    place = kill(bench, window, event, lambda: bench.send(b"garbage", headers))
    bench.start()
    result = bench.result(event)
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "invalid_event")
    bench.check_rest()
    assert len(bench.letters(place)) >= window.copies


@kills(
    at("before:write", left=UNKNOWN),
    both("heard:write", left=UNKNOWN, copies=2),
    at("after:write", left=UNKNOWN, copies=2),
    at("before:commit", left=UNKNOWN, copies=2),
    at("after:commit", left=UNKNOWN),
    at("heard:commit", left=UNKNOWN),
)
def test_garbage_is_dead_lettered(bench, window):
    name = uuid4()
    place = kill(bench, window, name, lambda: bench.send(f"garbage {name}"))
    if window.points[0].endswith("write") or window.points == ("before:commit",):
        assert not bench.is_committed(place)
    bench.start()
    bench.until("the offset to be committed", lambda: bench.is_committed(place))
    letters = bench.letters(place)
    assert len(letters) >= window.copies
    assert {value_of(letter.headers(), "dead-letter-error-type") for letter in letters} == {"invalid_event"}


@kills(
    at("before:accept", left=COMPLETED, copies=2),
    both("inside:accept", left=COMPLETED, copies=2),
    both("after:accept", left=COMPLETED, copies=2),
    at("after:commit", left=COMPLETED, copies=2),
    at("before:send", left=COMPLETED, copies=2),
    at("heard:send", left=COMPLETED, copies=3),
    at("inside:published", left=COMPLETED, copies=3),
)
def test_a_request_that_comes_again_is_answered_again_with_the_same_bytes(bench, window, case):
    event = uuid4()
    bench.ask(event, "chain", case.data)
    bench.result(event)
    kill(bench, window, event, lambda: bench.ask(event, "chain", case.data))
    bench.start()
    assert bench.result(event).status is ResultStatus.SUCCESS
    bench.check_rest()
    assert bench.copies(event) >= window.copies
    check_nodes(case, window)


# ---- a question and its answer ----


def answer(bench: CrashBench, event: UUID, asked: WorkflowResultEvent) -> Place:
    """Answer a graph's question."""
    answers = [{"interrupt_id": asked.interrupts[0].id, "value": "yes", "answered_by": "ann"}]
    return bench.ask(event, event_type="workflow.resumed", round=1, answers=answers)


@kills(
    at("inside:node 2", again="ask"),
    at("inside:put_checkpoint 6", again="ask"),
    both("after:put_checkpoint 6"),  # the question
    both("inside:finish"),
    at("after:finish", left="INTERRUPTED"),
    at("heard:send", left="INTERRUPTED", copies=2),
)
def test_a_question_is_asked_once_and_can_be_answered(bench, window, case):
    event, its_answer = uuid4(), uuid4()
    kill(bench, window, event, lambda: bench.ask(event, "asks", case.data))
    bench.start()
    asked = bench.result(event)
    assert (asked.status, len(asked.interrupts)) == (ResultStatus.INTERRUPTED, 1)
    assert bench.copies(event) >= window.copies
    assert len(bench.rows(interrupts, correlation_id=event)) == 1
    check_nodes(case, window, ("one", "ask"))
    answer(bench, its_answer, asked)
    assert bench.result(its_answer).result["answer"] == "yes"
    check_nodes(case, window, ("one", "ask", "ask", "three"))


@kills(
    both("inside:accept", left=UNKNOWN),
    at("after:accept", left=PENDING),
    at("after:claim"),
    at("inside:node", again="ask"),
    both("inside:put_checkpoint", again="ask"),  # the answer
    both("after:put_checkpoint"),
    at("after:put_checkpoint 2"),
    at("inside:node 2", again="three"),
    both("inside:finish"),
    at("after:finish", left=COMPLETED),
    at("heard:send", left=COMPLETED, copies=2),
)
def test_an_answer_is_applied_once(bench, window, case):
    event, its_answer = uuid4(), uuid4()
    bench.ask(event, "asks", case.data)
    asked = bench.result(event)
    kill(bench, window, its_answer, lambda: answer(bench, its_answer, asked))
    bench.start()
    result = bench.result(its_answer)
    assert (result.status, result.result["answer"]) == (ResultStatus.SUCCESS, "yes")
    assert bench.copies(its_answer) >= window.copies
    (question,) = bench.rows(interrupts, thread_id=asked.thread_id)
    assert (question.answer_id, question.answered_by) == (its_answer, "ann")
    check_nodes(case, window, ("one", "ask", "ask", "three"))


# ---- attempts of one task ----


@dataclass
class Task:
    """Asks again and again, as Airflow's retries do."""

    bench: CrashBench
    data: dict[str, str]

    def __post_init__(self) -> None:
        self._name = uuid4().hex * 2
        self._attempts = [attempt(number, task=self._name) for number in (1, 2)]
        self._attempts = [one.model_copy(update={"id": new_ti_id()}) for one in self._attempts]

    def id_of(self, number: int) -> UUID:
        one = self._attempts[number - 1]
        return correlation_id(one.id, one.agent)

    def ask(self, number: int) -> Place:
        one = self._attempts[number - 1].model_dump(mode="json")
        return self.bench.ask(self.id_of(number), "chain", self.data, attempt=one)

    def wait_accepted(self, number: int) -> None:
        self.bench.until(f"attempt {number}", lambda: self.bench.status(self.id_of(number)))


@kills(
    both("after:put_checkpoint 4"),
    at("after:put_checkpoint 5"),
    both("inside:node 2"),
)
def test_a_retry_that_comes_while_no_worker_runs_goes_on_where_the_killed_one_was(bench, window, case):
    task = Task(bench, case.gated)
    kill(bench, window, task.id_of(1), lambda: task.ask(1))
    task.ask(2)
    bench.start()
    task.wait_accepted(2)
    case.open_gate()
    assert bench.result(task.id_of(2)).status is ResultStatus.SUCCESS
    older = bench.result(task.id_of(1))
    assert (older.status, older.error_type) == (ResultStatus.CANCELLED, "superseded")
    began = Counter(case.nodes)
    assert (began["one"], began["three"]) == (1, 1)
    assert 1 <= began["two"] <= 3  # of the killed worker, of the older attempt's successor, of the newer attempt


@kills(
    at("before:finish"),
    both("inside:finish"),
    both("after:finish", left=COMPLETED),
    at("heard:send", left=COMPLETED),
)
def test_a_retry_of_what_was_done_runs_nothing(bench, window, case):
    task = Task(bench, case.data)
    kill(bench, window, task.id_of(1), lambda: task.ask(1))
    task.ask(2)
    bench.start()
    newer, older = bench.result(task.id_of(2)), bench.result(task.id_of(1))
    assert (newer.status, newer.result["done"]) == (ResultStatus.SUCCESS, list(CHAIN))
    assert older.status in (ResultStatus.SUCCESS, ResultStatus.CANCELLED)
    if window.left == COMPLETED:
        assert older.status is ResultStatus.SUCCESS
    check_nodes(case, window)


@kills(
    both("inside:accept", left=UNKNOWN),
    both("after:accept", left=PENDING),
    at("after:commit", left=PENDING),
)
def test_a_newer_attempt_ends_the_older_run_also_if_the_worker_dies_over_it(bench, window, case):
    task = Task(bench, case.gated)
    task.ask(1)
    wait_at_gate(bench, case)
    kill(bench, window, task.id_of(2), lambda: task.ask(2))
    assert bench.status(task.id_of(1)) == ("RUNNING" if window.left is UNKNOWN else "CANCELLED")
    bench.start()
    task.wait_accepted(2)
    case.open_gate()
    assert bench.result(task.id_of(2)).status is ResultStatus.SUCCESS
    assert bench.result(task.id_of(1)).error_type == "superseded"
    began = Counter(case.nodes)
    assert (began["one"], began["three"]) == (1, 1)


# ---- a run that is given up ----


@kills(
    both("before:write", left="FAILED"),
    at("heard:write", left="FAILED", copies=2),
    at("before:send", left="FAILED", copies=2),
    at("inside:published", left="FAILED", copies=2),
    at("after:published", left="FAILED"),
)
def test_a_run_that_is_given_up_is_kept_for_a_person_before_it_is_answered(bench, window, case):
    event = uuid4()
    killer = Window(("after:remember_nodes",))
    place = kill(bench, killer, event, lambda: bench.ask(event, "chain", case.data))
    bench.change(update(workflow_runs).where(workflow_runs.c.correlation_id == event).values(takeovers=3))
    bench.set_trap(window.points[0], event)
    bench.start()
    bench.wait_for_kill()
    assert bench.status(event) == window.left
    if window.points == ("before:write",):
        assert bench.copies(event) == 0
    bench.start()
    result = bench.result(event)
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "worker_lost")
    assert len(bench.letters(place)) >= window.copies
    assert case.nodes == []
