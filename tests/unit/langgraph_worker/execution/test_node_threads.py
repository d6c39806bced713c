"""Threads for synchronous nodes: which run each still works for."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from langgraph_worker.domain.models import Lease
from langgraph_worker.execution.node_threads import THREAD, NodeThreads, running

ONE, OTHER = Lease("one", 1), Lease("other", 1)
SIZE = 2


class Node:
    """A synchronous node that works until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started, self.go = threading.Event(), threading.Event()
        self._error = error

    def __call__(self) -> str:
        self.started.set()
        assert self.go.wait(10)
        if self._error is not None:
            raise self._error
        return threading.current_thread().name


@pytest.fixture
async def nodes() -> AsyncIterator[NodeThreads]:
    nodes = NodeThreads(SIZE)
    yield nodes
    nodes.shutdown()


def work(nodes: NodeThreads, lease: Lease | None, node: Callable[[], str]) -> asyncio.Future[str]:
    """A run's node, as LangGraph starts it: in the context of the run."""
    context = contextvars.copy_context()
    context.run(running.set, lease)
    return context.run(asyncio.get_running_loop().run_in_executor, nodes, node)


async def started(*nodes: Node) -> None:
    for node in nodes:
        assert await asyncio.to_thread(node.started.wait, 10)


async def test_a_run_without_threads_is_left_at_once(nodes):
    assert nodes.is_idle(ONE)


async def test_a_run_is_left_when_its_threads_are_done(nodes):
    first, second = Node(), Node()
    working = [work(nodes, ONE, node) for node in (first, second)]
    await started(first, second)
    assert not nodes.is_idle(ONE)
    first.go.set()
    await working[0]
    assert not nodes.is_idle(ONE)
    leaving = asyncio.create_task(nodes.wait_idle(ONE))
    second.go.set()
    await leaving
    assert nodes.is_idle(ONE)


async def test_others_threads_are_not_waited_for(nodes):
    mine, other = Node(), Node()
    working = [work(nodes, ONE, mine), work(nodes, OTHER, other)]
    await started(mine, other)
    other.go.set()
    await working[1]
    assert nodes.is_idle(OTHER)
    assert not nodes.is_idle(ONE)
    mine.go.set()
    await working[0]


async def test_a_later_lease_of_the_same_thread_is_another_run(nodes):
    node = Node()
    working = work(nodes, ONE, node)
    await started(node)
    assert nodes.is_idle(Lease(ONE.thread_id, 2))
    node.go.set()
    await working


async def test_a_call_outside_of_a_run_belongs_to_none(nodes):
    node = Node()
    working = work(nodes, None, node)
    await started(node)
    assert nodes.is_idle(ONE)
    node.go.set()
    assert (await working).startswith(THREAD)


async def test_a_node_goes_on_when_its_run_is_cancelled_and_is_waited_for(nodes):
    node = Node()
    working = work(nodes, ONE, node)
    await started(node)
    working.cancel()
    assert not nodes.is_idle(ONE)
    leaving = asyncio.create_task(nodes.wait_idle(ONE))
    node.go.set()
    await leaving


async def test_a_node_that_waits_for_a_thread_never_runs_once_its_run_is_cancelled(nodes):
    busy = [Node() for _ in range(SIZE)]
    working = [work(nodes, OTHER, node) for node in busy]
    await started(*busy)
    queued = Node()
    waiting = work(nodes, ONE, queued)
    assert not nodes.is_idle(ONE)
    waiting.cancel()
    await asyncio.sleep(0)  # the loop hands the cancellation on
    assert nodes.is_idle(ONE)
    for node in busy:
        node.go.set()
    await asyncio.gather(*working)
    assert not queued.started.is_set()


async def test_no_more_run_at_once_than_there_are_threads(nodes):
    several = [Node() for _ in range(SIZE + 1)]
    working = [work(nodes, ONE, node) for node in several]
    await started(*several[:SIZE])
    assert not several[SIZE].started.is_set()
    several[0].go.set()
    await started(several[SIZE])
    for node in several:
        node.go.set()
    await asyncio.gather(*working)
    assert nodes.is_idle(ONE)


async def test_what_a_node_raises_after_its_run_was_stopped_is_not_reported(nodes):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: reported.append(about))
    node = Node(ValueError("late"))
    working = work(nodes, ONE, node)
    await started(node)
    working.cancel()
    assert not nodes.is_idle(ONE)
    leaving = asyncio.create_task(nodes.wait_idle(ONE))
    node.go.set()
    await leaving
    del leaving, working
    gc.collect()
    await asyncio.sleep(0)
    assert reported == []
