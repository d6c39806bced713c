from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.task_log import wait_log
from airflow_provider_langgraph.task_log.phrases import progress_line
from airflow_provider_langgraph.task_log.progress_inbox import MOST_MESSAGES, ProgressInbox
from airflow_provider_langgraph.task_log.wait_log import WaitLog
from workflow_events.control import WorkflowProgressEvent

REQUEST = uuid4()


def handle():
    """Of a request that was asked just now."""
    now = datetime.now(UTC)
    deadline = now + timedelta(hours=1)
    return RequestHandle(REQUEST, "d", "r", "kafka_default", "asks", "answers", "c", {}, deadline, asked_at=now)


def message(kind, **fields):
    return progress_line(
        WorkflowProgressEvent(correlation_id=REQUEST, workflow_id="d", workflow_run_id="r", kind=kind, **fields)
    )


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
async def wait(clock):
    progress = SimpleNamespace(line_seconds=1.0, trouble=None, heard_at=None, covers=lambda asked_at: True)
    inbox = ProgressInbox(lambda: None)
    log = WaitLog(handle(), logging.getLogger("task"), progress, inbox, lambda: clock.now)
    return SimpleNamespace(progress=progress, inbox=inbox, log=log)


async def test_progress_is_written_once_a_second_at_most(wait, clock, lines):
    wait.inbox.add(message("accepted", worker_id="w1"))
    wait.log.write_due(None)
    wait.inbox.add(message("node_started", node="plan", data={"thread_id": "t-1"}))
    wait.inbox.add(message("node_finished", node="plan", data={"status": "COMPLETED", "seconds": 1.5}))
    wait.log.write_due(None)
    assert wait.log.pause() == pytest.approx(1.0)
    clock.now += 1
    wait.log.write_due(None)
    assert lines() == [
        "Agent: taken by worker w1",
        "Agent: plan started; plan finished in 1.5 s",
    ]


async def test_what_does_not_fit_is_counted(wait, lines):
    for number in range(MOST_MESSAGES + 7):
        wait.inbox.add(message("custom", node="plan", data={"n": number}))
    wait.log.write_due(None)
    last = "; ".join(f'plan says {{"n": {number}}}' for number in range(MOST_MESSAGES + 2, MOST_MESSAGES + 7))
    assert lines() == [f"Agent: ({MOST_MESSAGES + 2} more before) {last}"]


async def test_tokens_are_no_lines_and_push_none_away(wait, clock, lines):
    wait.inbox.add(message("node_started", node="plan"))
    for _ in range(MOST_MESSAGES + 7):
        wait.inbox.add(message("token", node="plan", data="x"))
    wait.log.write_due(None)
    assert lines() == ["Agent: plan started"]
    clock.now += wait_log.NO_WORKER_SECONDS
    wait.log.write_due(None)
    assert not any(line.startswith("No worker") for line in lines())


async def test_a_graph_cannot_write_a_line_of_its_own(wait, lines):
    wait.inbox.add(message("custom", node="plan\n[ERROR]", data="x\x1b[31m\r\ny" + "z" * 1000))
    wait.log.write_due(None)
    (line,) = lines()
    assert line.isprintable()
    assert "\\n[ERROR]" in line
    assert len(line) < 400


async def test_a_failed_node_says_why(wait, lines):
    wait.inbox.add(message("node_finished", node="plan", data={"status": "FAILED", "error": "ValueError: no"}))
    wait.log.write_due(None)
    assert lines() == ["Agent: plan failed: ValueError: no"]


@pytest.mark.parametrize(
    ("finished", "said"),
    [(["read", "plan"], "resumed: read, plan not run again; "), ([], "resumed; "), ("no list", ""), (None, "")],
)
@pytest.mark.parametrize("kind", ["started", "finished"])
async def test_a_run_that_goes_on_names_what_is_not_run_again(wait, lines, kind, finished, said):
    """A quick node has no message of its start."""
    data = {"thread_id": "t-1", "not_run_again": finished}
    wait.inbox.add(message(f"node_{kind}", node="trade", data=data))
    wait.log.write_due(None)
    assert lines() == [f"Agent: {said}trade {kind}"]


async def test_no_worker_has_taken_the_request(wait, clock, lines):
    clock.now += wait_log.NO_WORKER_SECONDS
    wait.log.write_due(None)
    first = lines()[0]
    assert first.startswith("No worker has reported in 0:0")
    assert "from asks. None has reported of any other request either: start a langgraph-worker" in first
    wait.log.write_due(None)
    assert sum(line.startswith("No worker") for line in lines()) == 1


async def test_where_workers_report_of_others_the_log_blames_no_missing_worker(wait, clock, lines):
    wait.progress.heard_at = datetime.now(UTC) + timedelta(seconds=1)
    clock.now += wait_log.NO_WORKER_SECONDS
    wait.log.write_due(None)
    [line] = [line for line in lines() if line.startswith("No worker")]
    assert "Workers report of other requests, so the fleet runs: it is full, or" in line
    assert "start a langgraph-worker" not in line


async def test_what_workers_reported_before_the_request_shows_no_running_fleet(wait, clock, lines):
    wait.progress.heard_at = datetime.now(UTC) - timedelta(minutes=5)
    clock.now += wait_log.NO_WORKER_SECONDS
    wait.log.write_due(None)
    assert any("start a langgraph-worker" in line for line in lines())


async def test_notes_about_the_request_are_warnings_of_their_own(wait, caplog):
    caplog.set_level(logging.INFO)
    wait.inbox.add(
        message("accepted", worker_id="w1", data={"notes": ["field 'dead_line'\n is not known", 3, "x" * 9_000]})
    )
    wait.log.write_due(None)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings[0] == "The worker says of this request: field 'dead_line'\\n is not known"
    assert len(warnings) == 2
    assert len(warnings[1]) < 700


@pytest.mark.parametrize("data", [{"notes": "text"}, {"notes": {"a": 1}}, ["notes"], None])
async def test_notes_of_another_form_are_ignored(wait, data, caplog):
    wait.inbox.add(message("accepted", worker_id="w1", data=data))
    wait.log.write_due(None)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("how", ["has heard", "not covered", "trouble"])
async def test_that_is_said_only_if_it_can_be_known(wait, clock, lines, how):
    if how == "has heard":
        wait.inbox.add(message("accepted"))
    elif how == "trouble":
        wait.progress.trouble = "the topic does not exist"
    wait.progress.covers = lambda asked_at: how != "not covered"
    clock.now += wait_log.NO_WORKER_SECONDS
    wait.log.write_due(None)
    assert not any(line.startswith("No worker") for line in lines())
    assert ("What the agent does cannot be shown: the topic does not exist" in lines()) == (how == "trouble")


async def test_it_says_now_and_then_that_it_waits(wait, clock, lines):
    wait.inbox.add(message("node_started", node="plan"))
    for _ in range(4 * 3600):
        clock.now += 1
        wait.log.write_due(None)
    still = [line for line in lines() if line.startswith("Still waiting")]
    assert len(still) == 4 + 7
    assert re.fullmatch(
        rf"Still waiting after 0:0\d:\d\d; in plan for 0:0\d:\d\d; last heard: plan started "
        rf"\(until \S+ \S+ UTC at the latest, "
        rf"request {str(REQUEST)[:8]}\)",
        still[0],
    )


async def test_trouble_is_written_when_it_comes_and_when_it_goes(wait, lines):
    for trouble in None, "no broker", "no broker", None:
        wait.log.write_due(trouble)
    assert lines() == ["Waiting on: no broker", "Waiting on: answers can be read again"]


async def test_a_worker_whose_clock_is_ahead_is_named_once(wait, clock, lines):
    ahead = datetime.now(UTC) + timedelta(seconds=90)
    for _ in range(2):
        wait.inbox.add(message("node_started", node="plan", worker_id="w1", timestamp=ahead))
        wait.log.write_due(None)
        clock.now += 1
    [line] = [line for line in lines() if "clock" in line]
    assert line.startswith("The clock of worker w1 is at least ")


async def test_clocks_that_differ_a_little_are_not_mentioned(wait, lines):
    late = datetime.now(UTC) + timedelta(seconds=4)
    wait.inbox.add(message("node_started", node="plan", worker_id="w1", timestamp=late))
    wait.log.write_due(None)
    assert not any("clock" in line for line in lines())


async def test_what_was_heard_last_is_known_whether_it_was_written_or_not(wait, clock):
    assert wait.log.last_heard == ""
    wait.inbox.add(message("accepted", worker_id="w1"))
    assert wait.log.last_heard == "taken by worker w1"
    wait.log.write_due(None)
    wait.inbox.add(message("node_started", node="plan"))
    assert wait.log.last_heard == "plan started"
    clock.now += 1
    wait.log.write_due(None)
    assert wait.log.last_heard == "plan started"
