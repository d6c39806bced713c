"""A topic's id can be asked for whatever the nodes do."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from langgraph_worker.broker.kafka import topic_ids
from langgraph_worker.broker.kafka.topic_ids import TopicIds
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.settings.model import WorkerSettings


async def test_nodes_that_use_every_thread_hold_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is taken in waits for the answer: answers to questions, and later tries, too."""
    monkeypatch.setattr(topic_ids, "ClusterAdmin", lambda _: SimpleNamespace(topic_id=lambda topic: f"id of {topic}"))
    asyncio.get_running_loop().set_default_executor(NodeThreads(1))
    end = threading.Event()
    node = asyncio.get_running_loop().run_in_executor(None, end.wait)
    ids = TopicIds(WorkerSettings())
    try:
        async with asyncio.timeout(10):
            assert await ids.read("events") == "id of events"
        assert not node.done()
    finally:
        end.set()
        ids.close()
        await node
