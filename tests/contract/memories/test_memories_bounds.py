"""Memories are apart by graph and deployment, bounded together, and their run's alone to write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.store.base import PutOp

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.domain.memory import MemoryLimits, MemoryName
from langgraph_worker.errors import LeaseLostError, MemoryFullError, MemoryValueError
from langgraph_worker.store.migrations.schema import memories as memories_table
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE
from tests.support.memories import in_thread
from tests.support.run_store import attempt, request, result

USERS = ("users", "ann")
OTHERS = [("desk", "there"), ("chat", "here"), ("desk", ""), ("here", "desk"), ("desk.here", ""), ("*", "%")]


@pytest.mark.parametrize(("graph", "deployment"), OTHERS)
async def test_no_graph_and_no_deployment_reads_what_another_wrote(desk, graph, deployment):
    mine = await desk.memory()
    await mine.aput(USERS, "k", {"likes": "tea"})
    theirs = await desk.memory(graph, deployment)
    assert await theirs.aget(USERS, "k") is None
    assert await theirs.asearch(()) == await theirs.asearch(USERS[:1]) == []
    assert await theirs.alist_namespaces() == await theirs.alist_namespaces(suffix=("ann",)) == []
    label = MemoryName("here", "desk").label
    assert await theirs.aget((label, *USERS), "k") is None
    assert await theirs.asearch((label,)) == await theirs.alist_namespaces(prefix=(label,)) == []
    await theirs.aput(USERS, "k", {"likes": "milk"})
    await theirs.adelete((label, *USERS), "k")
    assert (await (await desk.memory()).aget(USERS, "k")).value == {"likes": "tea"}
    rows = desk.backend.rows(memories_table)
    assert sorted((row["graph"], row["deployment"]) for row in rows) == sorted([("desk", "here"), (graph, deployment)])


async def test_items_of_all_memories_are_bounded_and_the_error_names_the_setting(desk):
    desk = await desk.other(limits=MemoryLimits(max_items=2))
    one, other = await desk.memory("a"), await desk.memory("b", "")
    await one.aput(("n",), "1", {})
    await in_thread(other.put, ("n",), "2", {})
    with pytest.raises(MemoryFullError, match="would hold 3 items; LANGGRAPH_WORKER_MAX_MEMORY_ITEMS=2"):
        await other.aput(("n",), "3", {})
    assert await other.aget(("n",), "3") is None
    await one.aput(("n",), "1", {"changed": True})
    await one.adelete(("n",), "1")
    await one.adelete(("n",), "1")
    await other.aput(("n",), "3", {})
    assert desk.held() == desk.counted()
    assert desk.held()[0] == 2


async def test_bytes_are_bounded_and_freed(desk):
    desk = await desk.other(limits=MemoryLimits(max_bytes=1_000))
    memory = await desk.memory()
    await memory.aput(("n",), "1", {"text": "x" * 700})
    with pytest.raises(MemoryFullError, match="LANGGRAPH_WORKER_MAX_MEMORY_BYTES=1000"):
        await memory.abatch([PutOp(("n",), "2", {"text": "x" * 300}), PutOp(("n",), "3", {})])
    assert desk.keys() == ["1"]
    await memory.aput(("n",), "1", {"text": "x" * 300})
    await memory.aput(("n",), "2", {"text": "x" * 300})
    assert desk.held() == desk.counted()


async def test_one_item_is_bounded(desk):
    desk = await desk.other(limits=MemoryLimits(max_item_bytes=100))
    memory = await desk.memory()
    with pytest.raises(MemoryFullError, match=r"key 'k' in .*111 bytes.*LANGGRAPH_WORKER_MAX_MEMORY_ITEM_BYTES=100"):
        await memory.aput(USERS, "k", {"text": "x" * 99})
    await memory.aput(USERS, "k", {"text": "x" * 80})


async def test_a_full_memory_refuses_no_other_runs_write(desk):
    desk = await desk.other(limits=MemoryLimits(max_items=3))
    memories = [await desk.memory(f"g{number}") for number in range(6)]
    done = await asyncio.gather(*(memory.aput(USERS, "k", {}) for memory in memories), return_exceptions=True)
    assert [type(one) for one in done].count(MemoryFullError) == 3
    assert desk.held() == desk.counted()
    assert desk.held()[0] == 3
    await desk.store.record(await desk.claim("fine"), [])


async def test_a_refused_put_fails_no_transaction_of_other_runs(desk, monkeypatch):
    desk = await desk.other(limits=MemoryLimits(max_items=2, max_item_bytes=1_000))
    memories = [await desk.memory(f"g{number}") for number in range(4)]
    await memories[0].aput(USERS, "k", {"n": 1})
    failed = []
    write = desk.store.database.write

    def watched(work: Any) -> Any:
        try:
            return write(work)
        except Exception as error:
            failed.append(error)
            raise

    monkeypatch.setattr(desk.store.database, "write", watched)
    puts = [memory.aput(USERS, "k", {"n": 2}) for memory in memories]
    whole = memories[0].abatch([PutOp(USERS, "k", {"n": 3}), PutOp(USERS, "a", {}), PutOp(USERS, "b", {})])
    done = await asyncio.gather(*puts, whole, return_exceptions=True)
    assert done[0] is None
    assert [type(one) for one in done].count(MemoryFullError) == 3
    assert failed == []
    assert (await memories[0].aget(USERS, "k")).value == {"n": 2}
    assert desk.held() == desk.counted()
    assert desk.held()[0] == 2


async def lose(desk: Any, claim: Any, how: str) -> None:
    match how:
        case "taken over":
            await desk.take_over()
        case "superseded":
            newer = attempt(2, task=desk.tasks[-1], at=10_000)
            await desk.store.accept([request(newer, "desk")])
        case _:
            assert await desk.store.finish(claim, result(claim))


@pytest.mark.parametrize("how", ["taken over", "superseded", "finished"])
async def test_who_has_lost_a_run_changes_nothing(desk, how):
    claim = await desk.claim()
    memory = desk.memories.memory_for(claim)
    await memory.aput(USERS, "k", {"n": 1})
    await lose(desk, claim, how)
    with pytest.raises(LeaseLostError):
        await memory.aput(USERS, "k", {"n": 2})
    with pytest.raises(LeaseLostError):
        await in_thread(memory.delete, USERS, "k")
    assert (await memory.aget(USERS, "k")).value == {"n": 1}
    assert desk.held() == desk.counted()


async def test_another_worker_reads_what_a_lost_one_put(desk):
    claim = await desk.claim()
    await desk.memories.memory_for(claim).aput(USERS, "k", {"n": 1})
    taken = await desk.take_over()
    memory = Memories(desk.store).memory_for(taken)
    assert (await memory.aget(USERS, "k")).value == {"n": 1}
    await memory.aput(USERS, "k", {"n": 2})


async def test_a_text_that_the_database_cannot_keep_fails_this_put_alone(desk):
    memory, other = await desk.memory(), await desk.memory("other")
    bad, good = memory.aput(USERS, "k", {"text": "\0"}), other.aput(USERS, "k", {"text": "fine"})
    done = await asyncio.gather(bad, good, return_exceptions=True)
    assert done[1] is None
    if desk.backend.shared:  # SQLite can keep it
        assert isinstance(done[0], MemoryValueError)
        assert desk.keys() == ["k"]
    assert desk.held() == desk.counted()


async def test_one_graphs_memory_is_forgotten_for_one_deployment(desk):
    mine, other = await desk.memory(), await desk.memory("desk", "there")
    await mine.abatch([PutOp(("n", str(number)), "k", {}) for number in range(5)])
    await other.aput(USERS, "kept", {})
    name = MemoryName("here", "desk")
    assert [await desk.store.memory.forget(name, 3) for _ in range(2)] == [3, 2]
    assert await mine.asearch(()) == []
    assert desk.keys() == ["kept"]
    assert [row["deployment"] for row in desk.backend.rows(memories_table)] == ["there"]
    assert await desk.store.memory.forget(name, SWEPT_AT_ONCE) == 0
    await mine.aput(USERS, "again", {})
    assert desk.held() == desk.counted()
