"""The long-term memory does what LangGraph's own store in memory does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_worker.errors import MemoryValueError
from tests.support.memories import in_thread

USERS = ("users", "ann")


async def test_what_is_put_is_read_by_await_and_from_a_thread(desk):
    memory = await desk.memory()
    await memory.aput(USERS, "k", {"likes": "tea"})
    await in_thread(memory.put, (*USERS, "notes"), "n", {"text": "ünïcode", "deep": {"list": [1, 2.5, None, True]}})
    assert (await in_thread(memory.get, USERS, "k")).value == {"likes": "tea"}
    found = await memory.aget((*USERS, "notes"), "n")
    assert found.value == {"text": "ünïcode", "deep": {"list": [1, 2.5, None, True]}}
    assert (found.namespace, found.key) == ((*USERS, "notes"), "n")
    assert found.created_at.utcoffset().total_seconds() == 0
    await memory.aput(USERS, "k", {"likes": "milk"})
    assert [item.value for item in await memory.asearch(USERS, filter={"likes": "milk"})] == [{"likes": "milk"}]
    await in_thread(memory.delete, USERS, "k")
    await memory.adelete(USERS, "k")
    assert await memory.aget(USERS, "k") is None


async def test_synchronous_calls_on_the_event_loop_are_refused(desk):
    memory = await desk.memory()
    with pytest.raises(RuntimeError, match="await its asynchronous form"):
        memory.put(USERS, "k", {})


async def test_a_node_with_a_loop_of_its_own_may_await(desk):
    memory = await desk.memory()

    def node() -> Any:
        async def work() -> Any:
            await memory.aput(USERS, "k", {"n": 1})
            return await memory.aget(USERS, "k")

        return asyncio.run(work())

    assert (await in_thread(node)).value == {"n": 1}


PLACES = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "x", "c"), ("ab",), ("b", "a"), ("user_1",), ("userX1",), ("A",)]
ASKED: list[Any] = [
    SearchOp(()),
    SearchOp((), limit=3, offset=2),
    SearchOp(("a",)),
    SearchOp(("a", "b")),
    SearchOp(("user_1",)),
    SearchOp((), filter={"n": 3}),
    SearchOp((), filter={"n": {"$gte": 4}}),
    ListNamespacesOp(),
    ListNamespacesOp(limit=2, offset=1),
    *(ListNamespacesOp(max_depth=depth) for depth in (1, 2, 3)),
    *(
        ListNamespacesOp(match_conditions=(MatchCondition(kind, path),), max_depth=depth)
        for kind in ("prefix", "suffix")
        for path in (("a",), ("c",), ("*",), ("a", "*"), ("*", "a"), ("*", "*", "c"), ("*", "*", "*"), ("a", "b"))
        for depth in (None, 1)
    ),
    ListNamespacesOp(match_conditions=(MatchCondition("prefix", ("a",)), MatchCondition("suffix", ("c",)))),
]


def in_any_order(found: Any) -> Any:
    """Items that were put together have no order in common between stores."""
    return (
        sorted((item.namespace, item.key, item.value["n"]) for item in found)
        if found and not isinstance(found[0], tuple)
        else sorted(found)
    )


async def test_it_answers_as_langgraphs_store_in_memory(desk):
    memory, stock = await desk.memory(), InMemoryStore()
    puts = [PutOp(place, f"k{number}", {"n": number}) for number, place in enumerate(PLACES)]
    await memory.abatch(puts)
    await stock.abatch(puts)
    for op in ASKED:
        [ours], [theirs] = await memory.abatch([op]), await stock.abatch([op])
        if isinstance(op, SearchOp) and op.limit == 3:
            assert len(ours) == len(theirs)
        elif isinstance(op, ListNamespacesOp) and op.limit == 2:
            assert len(ours) == 2
        else:
            assert in_any_order(ours) == in_any_order(theirs), op
    assert await memory.abatch([GetOp(place, f"k{number}") for number, place in enumerate(PLACES)]) != []


async def test_a_batch_reads_what_was_there_and_writes_all_or_nothing(desk):
    memory = await desk.memory()
    await memory.aput(USERS, "a", {"n": 1})
    results = await memory.abatch(
        [PutOp(USERS, "a", {"n": 2}), GetOp(USERS, "a"), PutOp(USERS, "b", {"n": 3}), PutOp(USERS, "b", None)]
    )
    assert [results[0], results[1].value, *results[2:]] == [None, {"n": 1}, None, None]
    assert await memory.aget(USERS, "b") is None
    with pytest.raises(MemoryValueError):
        await memory.abatch([PutOp(USERS, "a", {"n": 9}), PutOp(USERS, "c", {"n": object()})])
    assert (await memory.aget(USERS, "a")).value == {"n": 2}
    many = [PutOp(("many",), f"{number:03}", {"n": number}) for number in range(250)]
    await memory.abatch(many)
    assert len(await memory.asearch(("many",), limit=1_000)) == 250
    assert [item.value["n"] for item in await memory.abatch([GetOp(("many",), one.key) for one in many])] == [
        *range(250)
    ]


async def test_a_search_that_fails_beside_a_put_leaves_it_unwritten_and_uncounted(desk):
    memory = await desk.memory()
    wrong = SearchOp(("n",), filter={"size": {"$like": 1}})
    with pytest.raises(ValueError, match=r"\$like"):
        await memory.abatch([PutOp(("n",), "new", {}), GetOp(("other",), "k"), wrong])
    assert desk.held() == desk.counted() == (0, 0)


@pytest.mark.parametrize(
    "value",
    [5, ["text"], "text", {"x": object()}, {"x": float("nan")}, {"x": "\ud800"}, {"x": {1, 2}}],
    ids=["number", "list", "text", "object", "nan", "surrogate", "set"],
)
async def test_a_value_that_json_cannot_hold_names_its_place(desk, value):
    memory = await desk.memory()
    with pytest.raises(MemoryValueError, match=r"key 'k' in .'users', 'ann'.: the value must be a dict that JSON"):
        await memory.abatch([PutOp(USERS, "k", value)])
    assert desk.held() == desk.counted() == (0, 0)


async def test_a_value_is_kept_as_it_was_when_it_was_put(desk):
    memory = await desk.memory()
    value = {"list": [1]}
    putting = asyncio.ensure_future(memory.aput(USERS, "k", value))
    await asyncio.sleep(0)
    value["list"].append(2)
    await putting
    assert (await memory.aget(USERS, "k")).value == {"list": [1]}


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", "b\0"), ("langgraph",), ()])
async def test_namespaces_that_langgraph_refuses_are_refused(desk, namespace):
    memory = await desk.memory()
    with pytest.raises(InvalidNamespaceError):
        await memory.aput(namespace, "k", {})


@pytest.mark.parametrize("label", ["a.b", "", "b\0", 1])
async def test_labels_in_a_batch_are_checked_too(desk, label):
    """A batch goes past the methods in which LangGraph checks them."""
    memory = await desk.memory()
    ops = [
        GetOp((label,), "k"),
        PutOp((label,), "k", {}),
        SearchOp((label,)),
        ListNamespacesOp(match_conditions=(MatchCondition("prefix", (label,)),)),
    ]
    for op in ops:
        with pytest.raises(InvalidNamespaceError, match=r"labels (may|are)"):
            await memory.abatch([op])


async def test_a_filter_that_it_does_not_know_is_the_graphs_error(desk):
    memory = await desk.memory()
    with pytest.raises(ValueError, match="operator"):
        await memory.asearch(USERS, filter={"n": {"$near": 1}})
    with pytest.raises(ValueError, match=r"namespace label|cannot be asked"):
        await memory.asearch(("x\0",))


async def test_many_runs_put_at_once(desk):
    runs = [await desk.memory() for _ in range(5)]
    await asyncio.gather(
        *(memory.aput(USERS, f"{run}-{number}", {}) for run, memory in enumerate(runs) for number in range(10)),
        *(in_thread(memory.put, USERS, f"t{run}", {}) for run, memory in enumerate(runs)),
    )
    assert len(await runs[0].asearch(USERS, limit=100)) == 55
    assert desk.held() == desk.counted()


async def test_numbers_are_compared_as_numbers(desk):
    memory = await desk.memory()
    values = {"two": 2, "nine": 9, "ten": 10.5, "hundred": 100, "minus": -3, "other": None}
    await memory.abatch([PutOp(USERS, key, {"n": value} if value is not None else {}) for key, value in values.items()])

    async def found(**condition: Any) -> set[str]:
        return {item.key for item in await memory.asearch(USERS, filter={"n": condition})}

    assert await found(**{"$gt": 9}) == {"ten", "hundred"}
    assert await found(**{"$gte": 9.0, "$lt": 100}) == {"nine", "ten"}
    assert await found(**{"$lte": 2}) == {"two", "minus"}
    assert await found(**{"$gt": 1e30}) == set()
