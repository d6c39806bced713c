from __future__ import annotations

import asyncio

import pytest
from langgraph.store.base import PutOp

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.cli.prune import prune
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.load import load_settings
from tests.support.checkpoints import put
from tests.support.run_store import claim_one, request, result


@pytest.fixture
def flags(monkeypatch, tmp_path):
    for setting in documentation():
        monkeypatch.delenv(setting.env, raising=False)
    return {"store_url": f"sqlite:///{tmp_path}/store.db", "keep_checkpoints": "0"}


async def run(flags, checkpoints: int, threads: int = 1) -> None:
    """Let a worker's store end runs with so many checkpoints each."""
    store = make_store(load_settings(flags))
    await store.open()
    try:
        shelf = Checkpoints(store)
        await shelf.setup()
        for _ in range(threads):
            await store.accept([request()])
            claim = await claim_one(store)
            for number in range(1, checkpoints + 1):
                await put(shelf.saver_for(claim), claim, number, x=number)
            assert await store.finish(claim, result(claim))
    finally:
        await store.close()


def pruned(flags, capsys) -> str:
    assert prune(flags) == 0
    return capsys.readouterr().out


def test_old_checkpoints_of_threads_that_stay_are_removed(flags, capsys):
    asyncio.run(run(flags, 12, threads=2))
    assert " 0 checkpoints that the other threads no longer need" in pruned(flags, capsys)
    flags["keep_checkpoints"] = "5"
    assert "removed 0 runs" in (said := pruned(flags, capsys))
    assert " 12 checkpoints that the other threads no longer need" in said
    assert "0 checkpoints that" in pruned(flags, capsys)


def test_a_workers_store_removes_them_when_a_run_ends(flags, capsys):
    asyncio.run(run({**flags, "keep_checkpoints": "5"}, 12))
    flags["keep_checkpoints"] = "1"  # of the six that are left, the latest stays, and the one before it
    assert "4 checkpoints that" in pruned(flags, capsys)


def test_a_store_that_no_worker_has_opened_has_no_checkpoints(flags, capsys):
    store = make_store(load_settings(flags))

    async def create() -> None:
        await store.open()
        await store.close()

    asyncio.run(create())
    assert "0 checkpoints that" in pruned({**flags, "keep_checkpoints": "5"}, capsys)


def test_expired_items_of_long_term_memory_are_removed(flags, capsys):
    async def remember() -> None:
        store = make_store(load_settings(flags))
        await store.open()
        memories = Memories(store)
        await memories.setup()
        await Checkpoints(store).setup()
        await store.accept([request()])
        memory = memories.memory_for(await claim_one(store))
        await memory.abatch([PutOp(("n",), str(number), {}, ttl=-1) for number in range(3)])
        await memory.aput(("n",), "kept", {})
        await store.close()

    asyncio.run(remember())
    assert "and 3 items of long-term memory that had expired" in pruned(flags, capsys)
    assert "and 0 items of long-term memory" in pruned(flags, capsys)
