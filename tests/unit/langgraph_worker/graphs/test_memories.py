"""The long-term memory of graphs that bring none: apart by graph and deployment, and bounded."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from langgraph_worker.errors import MemoryFullError
from langgraph_worker.graphs.memories import Memories
from tests.unit.langgraph_worker.graphs.test_loader import CONFIG, HEAD, project

USERS = ("users", "ann")


async def test_no_graph_and_no_deployment_reads_what_another_wrote():
    memories = Memories()
    mine = memories.memory("desk", "here")
    mine.put(USERS, "k", {"likes": "tea"})
    await mine.aput((*USERS, "notes"), "n", {"text": "x"})
    for other in (memories.memory("desk", "there"), memories.memory("chat", "here"), memories.memory("desk", "")):
        assert other.get(USERS, "k") is None
        assert await other.aget(USERS, "k") is None
        assert other.search(()) == await other.asearch(USERS[:1]) == []
        assert other.list_namespaces() == await other.alist_namespaces() == []
    again = memories.memory("desk", "here")
    assert again.get(USERS, "k").value == {"likes": "tea"}
    assert {item.key for item in await again.asearch(("users",))} == {"k", "n"}
    assert again.list_namespaces(prefix=("users",)) == [USERS, (*USERS, "notes")]
    assert again.search(USERS)[0].namespace == USERS


async def test_items_of_all_memories_are_bounded_and_the_error_names_the_setting():
    memories = Memories(max_items=2)
    one, other = memories.memory("a", ""), memories.memory("b", "")
    one.put(("n",), "1", {})
    await other.aput(("n",), "2", {})
    with pytest.raises(MemoryFullError, match="LANGGRAPH_WORKER_MAX_MEMORY_ITEMS=2"):
        other.put(("n",), "3", {})
    assert other.get(("n",), "3") is None
    one.put(("n",), "1", {"changed": True})
    one.delete(("n",), "1")
    one.delete(("n",), "1")
    await other.aput(("n",), "3", {})


def test_bytes_are_bounded_and_freed():
    memories = Memories(max_bytes=1_000)
    memory = memories.memory("a", "")
    memory.put(("n",), "1", {"text": "x" * 800})
    with pytest.raises(MemoryFullError, match="LANGGRAPH_WORKER_MAX_MEMORY_BYTES=1000"):
        memory.put(("n",), "2", {"text": "x" * 300})
    memory.put(("n",), "1", {"text": "x" * 300})
    memory.put(("n",), "2", {"text": "x" * 300})


@pytest.mark.parametrize("value", [5, ["text"], "text"], ids=["number", "list", "text"])
def test_what_cannot_be_put_takes_no_room(value):
    memories = Memories(max_items=3)
    memory = memories.memory("a", "")
    memory.put(("n",), "old", {"text": "x"})
    for number in range(5):
        with pytest.raises((TypeError, ValueError)):
            memory.put(("n",), f"new{number}", value)
        with pytest.raises((TypeError, ValueError)):
            memory.batch([PutOp(("n",), f"good{number}", {}), PutOp(("n",), "old", value)])
    assert [item.value for item in memory.search(())] == [{"text": "x"}]
    for key in "1", "2":
        memories.memory("b", "").put(("n",), key, {})


def test_a_search_that_fails_beside_a_put_leaves_it_unwritten_and_uncounted():
    memories = Memories(max_items=2)
    memory = memories.memory("a", "")
    memory.put(("n",), "1", {"size": 1})
    wrong = SearchOp(("n",), filter={"size": {"$like": 1}})
    for number in range(5):
        with pytest.raises(ValueError, match=r"\$like"):
            memory.batch([PutOp(("n",), f"new{number}", {}), GetOp(("other",), "k"), wrong])
    assert [item.key for item in memory.search(())] == ["1"]
    assert memory.list_namespaces() == [("n",)]
    memory.put(("n",), "2", {})


def test_a_batch_reads_what_was_there_before_it_and_answers_in_its_order():
    memory = Memories().memory("a", "")
    memory.put(("n",), "1", {"v": 1})
    first, put, found = memory.batch([GetOp(("n",), "1"), PutOp(("n",), "1", {"v": 2}), SearchOp(("n",))])
    assert put is None
    assert first.value == found[0].value == {"v": 1}
    assert memory.get(("n",), "1").value == {"v": 2}


@pytest.mark.parametrize(
    "value",
    [{"audio": b"\xff\xfe"}, {"text": "\ud800"}, {b"\xff": 1}, {"of": bytearray(b"\xff" * 9)}],
    ids=["bytes", "surrogate", "key", "bytearray"],
)
def test_what_has_no_form_in_json_is_kept_and_counted(value):
    memories = Memories(max_bytes=1_000)
    memory = memories.memory("a", "")
    memory.put(("n",), "1", value)
    assert memory.get(("n",), "1").value == value
    with pytest.raises(MemoryFullError):
        memory.put(("n",), "2", {**value, "more": "x" * 1_000})


def test_what_holds_nothing_takes_no_room():
    memories = Memories()
    for number in range(100):
        memory = memories.memory("a", f"d{number}")
        memory.get((f"n{number}",), "k")
        memory.put((f"n{number}",), "k", {})
        memory.delete((f"n{number}",), "k")
        assert memory.list_namespaces() == []
    del memory
    memories.memory("a", "kept").put(("n",), "k", {})
    gc.collect()
    assert len(memories._known) == 1
    assert memories.memory("a", "kept").get(("n",), "k") is not None


async def test_a_factory_and_its_graph_get_the_memory_of_the_deployment(tmp_path: Path):
    text = "def graph(runtime):\n    runtime.store.put(('n',), 'k', {})\n    return build()"
    graphs = project(tmp_path, wrote=HEAD + text, reads=HEAD + "graph = build()")
    async with graphs.open("wrote", CONFIG, "here") as graph:
        assert graph.store.get(("n",), "k") is not None
    async with graphs.open("reads", CONFIG, "here") as graph:
        assert graph.store.get(("n",), "k") is None
