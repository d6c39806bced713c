"""What a search by meaning finds after updates and deletes, how it pages, and which vectors are kept at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from langgraph.store.base import PutOp

from langgraph_worker.checkpoints.memory_vectors import EmbeddingError
from langgraph_worker.domain.memory import MemoryName
from langgraph_worker.errors import MemoryValueError, StoreError
from tests.support.memories import Desk
from tests.support.word_vectors import vectors, word_index

NOTES = ("notes",)
TEN_YEARS_MINUTES = 10 * 365 * 24 * 60


def kept(desk: Desk) -> list[tuple[str, str]]:
    """The key and the field of each vector in the database."""
    return sorted((str(key), str(field)) for key, field in desk.select("SELECT key, field_name FROM store_vectors"))


async def keys(memory: Any, query: str, **how: Any) -> list[str]:
    return [item.key for item in await memory.asearch(NOTES, query=query, **how)]


async def test_an_update_leaves_no_vector_of_the_value_before(indexed):
    desk = await indexed.other(config=word_index(fields=("texts[*]",)))
    memory = await desk.memory()
    await memory.aput(NOTES, "k", {"texts": ["tea", "rain", "code"]})
    await memory.aput(NOTES, "other", {"texts": ["code"]})
    assert kept(desk) == [("k", "texts[*].0"), ("k", "texts[*].1"), ("k", "texts[*].2"), ("other", "texts[*]")]
    await memory.aput(NOTES, "k", {"texts": ["tea"]})
    assert kept(desk) == [("k", "texts[*]"), ("other", "texts[*]")]
    assert await keys(memory, "code", limit=1) == ["other"]
    await memory.aput(NOTES, "k", {"texts": ["tea"]}, index=False)
    assert await keys(memory, "tea") == ["other"]
    await memory.aput(NOTES, "k", {"name": "tea"}, index=["name"])
    assert kept(desk) == [("k", "name"), ("other", "texts[*]")]
    await memory.abatch([PutOp(NOTES, "k", {"texts": ["rain"]}), PutOp(NOTES, "other", None)])
    assert kept(desk) == [("k", "texts[*]")]


async def test_one_batch_may_replace_delete_and_add(indexed):
    memory = await indexed.memory()
    await memory.abatch([PutOp(NOTES, f"k{number}", {"text": "tea"}) for number in range(4)])
    await memory.abatch(
        [
            PutOp(NOTES, "k0", {"text": "rain"}),
            PutOp(NOTES, "k1", {"text": "rain"}, index=False),
            PutOp(NOTES, "k2", None),
            PutOp(NOTES, "new", {"text": "tea tea"}),
        ]
    )
    assert await keys(memory, "tea") == ["k3", "new", "k0"]
    assert await keys(memory, "rain", limit=1) == ["k0"]


async def test_what_is_deleted_expires_or_is_forgotten_leaves_no_vector(indexed):
    memory, other = await indexed.memory(), await indexed.memory("other")
    for key in ("deleted", "expired", "kept"):
        await memory.aput(NOTES, key, {"text": "tea"}, ttl=5 if key == "expired" else None)
    await other.aput(NOTES, "theirs", {"text": "tea"})
    await memory.adelete(NOTES, "deleted")
    assert [key for key, _ in kept(indexed)] == ["expired", "kept", "theirs"]
    indexed.expire("expired")
    assert await keys(memory, "tea") == ["kept"]
    assert [key for key, _ in kept(indexed)] == ["kept", "theirs"]
    assert await indexed.store.memory.forget(MemoryName("here", "desk"), 10) == 1
    assert [key for key, _ in kept(indexed)] == ["theirs"]


async def test_a_search_by_meaning_lets_what_it_finds_live_longer(indexed):
    memory = await indexed.memory()
    await memory.aput(NOTES, "found", {"text": "tea"}, ttl=TEN_YEARS_MINUTES)
    await memory.aput(NOTES, "not asked", {"text": "rain"}, ttl=TEN_YEARS_MINUTES)
    indexed.backend.clock.advance(timedelta(days=400).total_seconds())
    expiry = "SELECT key, expires_at FROM store ORDER BY key"
    before = dict(indexed.select(expiry))
    await memory.asearch(NOTES, query="tea", limit=1, refresh_ttl=True)
    after = dict(indexed.select(expiry))
    assert after["found"] > before["found"]
    assert after["not asked"] == before["not asked"]


async def test_pages_of_a_search_by_meaning_have_no_end_before_the_last_item(indexed):
    memory = await indexed.memory()
    await memory.abatch([PutOp(NOTES, f"{number:02}", {"text": "tea" + "rain" * number}) for number in range(25)])
    pages = [await keys(memory, "tea", limit=4, offset=first) for first in range(0, 28, 4)]
    assert [key for page in pages for key in page] == [f"{number:02}" for number in range(25)]


async def test_items_of_many_vectors_hide_no_other_item(indexed):
    desk = await indexed.other(config=word_index(fields=("texts[*]",)))
    memory = await desk.memory()
    await memory.aput(NOTES, "many", {"texts": [f"tea {number}" for number in range(60)]})
    await memory.abatch([PutOp(NOTES, key, {"texts": ["tea rain"]}) for key in "ab"])
    assert await keys(memory, "tea", limit=3) == ["many", "a", "b"]


async def test_filters_hold_before_the_nearest_are_counted(indexed):
    memory = await indexed.memory()
    puts = [PutOp(NOTES, f"{number:02}", {"text": "tea", "n": number, "of": {"x": number}}) for number in range(30)]
    await memory.abatch([*puts, PutOp(NOTES, "far", {"text": "code", "n": -1})])
    assert await keys(memory, "tea", filter={"n": -1}) == ["far"]
    assert await keys(memory, "tea", filter={"n": {"$gte": 28}}, limit=5) in (["28", "29"], ["29", "28"])
    assert sorted(await keys(memory, "tea", filter={"n": {"$ne": 3}}, limit=50)) == sorted(
        [f"{number:02}" for number in range(30) if number != 3] + ["far"]
    )
    assert await keys(memory, "tea", filter={"n": 99}) == []


async def test_one_put_may_have_more_texts_than_a_statement_has_parameters(indexed):
    desk = await indexed.other(config=word_index(fields=("texts[*]",)))
    memory = await desk.memory()
    puts = [PutOp(NOTES, f"{number}", {"texts": [f"tea {each}" for each in range(900)]}) for number in range(20)]
    await memory.abatch(puts)
    assert len(kept(desk)) == 18_000
    with pytest.raises(MemoryValueError, match=r"store.put: key 'much' in \('notes',\): .* has 9,000 texts .*8,000"):
        await memory.aput(NOTES, "much", {"texts": [f"tea {each}" for each in range(9_000)]})
    assert len(kept(desk)) == 18_000


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39, -1e39])
async def test_numbers_that_no_vector_can_hold_are_the_functions_fault(indexed, number):
    def wrong(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, number, 0.0] for _ in texts]

    desk = await indexed.other(config=word_index(wrong))
    memory = await desk.memory()
    with pytest.raises(EmbeddingError, match=r"store.index.embed gave .*(nan|inf|1e\+39).*finite"):
        await memory.aput(NOTES, "k", {"text": "tea"})
    with pytest.raises(EmbeddingError, match=r"store.index.embed"):
        await memory.asearch(NOTES, query="tea")
    assert desk.keys() == []


async def test_a_text_without_direction_is_found_last(indexed):
    def none_for_empty(texts: Sequence[str]) -> list[list[float]]:
        return [[0.0] * 3 if "nothing" in text else one for text, one in zip(texts, vectors(texts), strict=True)]

    desk = await indexed.other(config=word_index(none_for_empty))
    memory = await desk.memory()
    for text in ("nothing", "tea", "rain"):
        await memory.aput(NOTES, text, {"text": text})
    assert await keys(memory, "tea") == ["tea", "rain", "nothing"]
    assert await keys(memory, "tea", limit=2) == ["tea", "rain"]
    assert len(await memory.asearch(NOTES, query="nothing")) == 3


async def test_many_runs_put_and_search_at_once(indexed):
    memories = [await indexed.memory(f"graph {number}", f"here {number % 2}") for number in range(8)]

    async def work(number: int) -> list[str]:
        memory = memories[number]
        for round_ in range(5):
            await memory.abatch([PutOp(NOTES, f"{number} {round_} {key}", {"text": "tea"}) for key in range(10)])
        return await keys(memory, "tea", limit=100)

    found = await asyncio.gather(*map(work, range(8)))
    for number, one in enumerate(found):
        assert len(one) == 50
        assert all(key.startswith(f"{number} ") for key in one)
    assert indexed.held() == indexed.counted()


async def test_other_dims_after_a_deploy_are_named_at_its_start(indexed):
    memory = await indexed.memory()
    await memory.aput(NOTES, "k", {"text": "tea"})

    def four(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, *one] for one in vectors(texts)]

    with pytest.raises(StoreError, match=r"store.index.dims .* is 4, but .* have 3 numbers.*store_vectors") as raised:
        await indexed.other(config=word_index(four, dims=4))
    assert not raised.value.retriable
    for table in ("store_vectors", "vector_migrations"):  # what the text names for PostgreSQL works on both
        indexed.execute(f"DROP TABLE {table}")
    try:
        desk = await indexed.other(config=word_index(four, dims=4))
        memory = await desk.memory()
        assert (await memory.aget(NOTES, "k")).value == {"text": "tea"}
        assert await keys(memory, "tea") == []
        await memory.aput(NOTES, "k", {"text": "tea"})
        assert await keys(memory, "tea") == ["k"]
    finally:
        for table in ("store_vectors", "vector_migrations"):
            indexed.execute(f"DROP TABLE {table}")
