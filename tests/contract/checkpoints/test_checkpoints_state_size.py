"""A state that grows large is warned of: at a threshold, and each time that its size has doubled."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from langgraph.graph import START, StateGraph

from langgraph_worker.checkpoints.saver import Checkpoints
from tests.support.checkpoints import Shelf, put, put_config
from tests.support.runs import State, chain

THRESHOLD = 10_000  # bytes


@pytest.fixture
def watched(fenced: Shelf) -> Shelf:
    return replace(fenced, savers=Checkpoints(fenced.store, warn_state_bytes=THRESHOLD))


def warned(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "action", None) == "large_state"]


async def test_one_line_at_the_threshold_and_one_at_each_doubling(
    watched: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await watched.claim()
    saver = watched.saver(claim)
    lines = []
    for number, size in enumerate([9_000, 11_000, 12_000, 19_000, 23_000, 40_000, 47_000, 100, 60_000], start=1):
        before = len(warned(caplog))
        await put(saver, claim, number, x="a" * size)
        lines.append(len(warned(caplog)) - before)
    assert lines == [0, 1, 0, 0, 1, 0, 1, 0, 0]


async def test_the_line_names_graph_thread_size_and_remedy(watched: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    claim = await watched.claim()
    await put(watched.saver(claim), claim, 1, x=["é" * 10_000])
    [line] = warned(caplog)
    text = line.getMessage()
    assert line.levelno == logging.WARNING
    assert (line.graph, line.correlation_id) == (claim.graph, str(claim.correlation_id))
    assert 20_000 < line.bytes < 21_000  # bytes, not characters
    assert claim.graph in text
    assert claim.thread_id in text
    assert f"{line.bytes:,} bytes" in text
    assert "keep_checkpoints" in text
    assert "LANGGRAPH_WORKER_WARN_STATE_BYTES" in text


async def test_what_a_node_returns_counts_before_a_checkpoint_holds_it(
    watched: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await watched.claim()
    saver = watched.saver(claim)
    await put(saver, claim, 1, x=1)
    await saver.aput_writes(
        {"configurable": {**put_config(claim)["configurable"], "checkpoint_id": "c"}}, [("x", "a" * 20_000)], "task"
    )
    assert len(warned(caplog)) == 1


async def test_a_run_that_goes_on_with_a_large_state_is_warned_of_again(
    watched: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    claim = await watched.claim()
    await put(watched.saver(claim), claim, 1, x="a" * 20_000)
    taken = await watched.take_over()
    await put(watched.saver(taken), taken, 2, x="a" * 20_000)
    assert len(warned(caplog)) == 2


async def test_a_subgraph_that_a_synchronous_node_calls_counts(
    watched: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    inner = StateGraph(State)
    inner.add_node("large", lambda _: {"log": ["a" * 20_000]})
    inner.add_edge(START, "large")
    child = inner.compile()

    def calls(state: State) -> State:
        child.invoke(state)
        return {"log": ["small"]}

    claim = await watched.claim()
    await watched.on(claim, chain(calls=calls)).run({"log": []})
    assert len(warned(caplog)) == 1


async def test_a_small_state_is_not_warned_of(watched: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    claim = await watched.claim()
    await watched.on(claim, chain(a=lambda _: {"log": ["a"]})).run({"log": []})
    assert not warned(caplog)
