from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from airflow_provider_langgraph.task_log.phrases import progress_line
from airflow_provider_langgraph.task_log.progress_inbox import MOST_MESSAGES, ProgressInbox
from airflow_provider_langgraph.task_log.run_position import MOST_NODES, RunPosition
from workflow_events.control import WorkflowProgressEvent

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def message(kind, node=None, ago=0, data=None, worker="w1"):
    return progress_line(
        WorkflowProgressEvent(
            correlation_id=uuid4(),
            workflow_id="d",
            workflow_run_id="r",
            kind=kind,
            node=node,
            data=data,
            worker_id=worker,
            timestamp=NOW - timedelta(seconds=ago),
        )
    )


def after(*messages):
    position = RunPosition()
    for one in messages:
        position.note(one)
    return position.words(NOW)


def test_nothing_is_known_before_a_node_starts():
    assert after() == after(message("accepted"), message("custom", "plan", data="hm")) == ""


def test_it_says_which_node_since_when_and_what_was_counted():
    assert (
        after(
            message("accepted"),
            message("node_started", "plan", 300),
            message("node_finished", "plan", 252, {"status": "COMPLETED", "finished": 1, "tokens": 1204}),
            message("node_started", "trade", 252),
        )
        == "in trade for 0:04:12; 1 node finished; 1,204 tokens"
    )


def test_nodes_side_by_side_are_named_and_many_are_counted():
    starts = [message("node_started", f"n{number}", 10 - number) for number in range(5)]
    assert after(*starts[:2]) == "in n0 for 0:00:10, n1 for 0:00:09"
    assert after(*starts) == "in n0 for 0:00:10, n1 for 0:00:09, n2 for 0:00:08 and 2 more nodes"
    assert len(RunPosition().words(NOW)) == 0


def test_another_worker_is_in_none_of_the_nodes_of_the_one_before():
    assert (
        after(
            message("node_started", "plan", 300, worker="w1"),
            message("node_finished", "other", 290, {"finished": 4}, worker="w1"),
            message("node_started", "trade", 10, {"not_run_again": ["plan"]}, worker="w2"),
        )
        == "in trade for 0:00:10; 4 nodes finished"
    )


def test_a_workers_clock_that_is_ahead_gives_no_negative_time():
    assert after(message("node_started", "plan", -90)) == "in plan for 0:00:00"


@pytest.mark.parametrize("count", ["7", -7, 7.5, 10**30, True, None, [7]])
def test_what_is_no_count_is_left_out(count):
    assert after(message("node_finished", "plan", 1, {"finished": count, "tokens": count})) == ""


def test_a_hostile_graph_makes_no_long_line_and_no_second_one():
    nodes = [message("node_started", f"{number}\nFAKE {'x' * 9999}") for number in range(3 * MOST_NODES)]
    words = after(*nodes)
    assert "\n" not in words
    assert len(words) < 400


def test_messages_that_no_line_has_room_for_are_noted_too():
    inbox = ProgressInbox(lambda: None)
    for number in range(3 * MOST_MESSAGES):
        inbox.add(message("node_finished", "plan", 0, {"finished": number + 1}))
    inbox.add(message("token", "plan", data="x"))
    assert inbox.position.words(NOW) == f"{3 * MOST_MESSAGES} nodes finished"


def test_a_run_that_backs_off_is_in_no_node_and_its_log_says_when_it_goes_on():
    backs_off = message("backs_off", "ask", data={"seconds": 12.4, "words": "rate_limit, retry 2"})
    assert backs_off.words == "goes on in 12 s (rate_limit, retry 2)"
    assert after(message("node_started", "ask", 9), backs_off) == ""
    assert message("backs_off", data="of a newer worker").words == "goes on in ? s (after an error)"


def test_a_paused_run_is_in_no_node_and_its_line_says_since_when_and_why():
    words = "the fleet is paused since 2026-11-30 11:00:00 UTC by ann: closed\x1b[2J"
    paused = message("paused", data={"words": words})
    assert paused.words == "waits: the fleet is paused since 2026-11-30 11:00:00 UTC by ann: closed\\x1b[2J"
    assert message("paused").words == "waits: it is paused"
    assert after(message("node_started", "plan", 9), paused) == ""
