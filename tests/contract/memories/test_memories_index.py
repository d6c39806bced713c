"""Search by meaning: with a function of the project, or LangChain's embeddings. PostgreSQL needs pgvector for it."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Sequence

import psycopg
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.memory_dialect import index_config
from langgraph_worker.checkpoints.memory_postgres import PostgresMemory
from langgraph_worker.checkpoints.memory_vectors import EmbeddingError, KnownVectors
from langgraph_worker.checkpoints.vector_distance import cosine_distance
from langgraph_worker.errors import StoreError
from langgraph_worker.store.engines.postgres import server_url
from tests.support.memories import in_thread
from tests.support.run_store import Backend, Clock, empty
from tests.support.word_vectors import vectors, word_index

NOTES = ("notes",)
TEXTS = {"a": "tea and more tea", "b": "rain, rain, tea", "c": "code in the rain", "d": "code code code"}


async def avectors(texts: Sequence[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return vectors(texts)


class OwnEmbeddings(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return vectors(texts)

    def embed_query(self, text: str) -> list[float]:
        return vectors([text])[0]


@pytest.mark.parametrize("embed", [vectors, avectors, OwnEmbeddings()], ids=["function", "coroutine", "langchain"])
async def test_search_finds_by_meaning(indexed, embed):
    desk = await indexed.other(config=word_index(embed, ("text",)))
    memory, other = await desk.memory(), await desk.memory("other")
    await in_thread(memory.put, NOTES, "a", {"text": TEXTS["a"]})
    await memory.abatch([PutOp(NOTES, key, {"text": TEXTS[key], "n": key}) for key in "bcd"])
    await other.aput(NOTES, "theirs", {"text": "tea tea tea"})
    await memory.aput(NOTES, "plain", {"text": "tea"}, index=False)
    found = await memory.asearch(NOTES, query="tea", limit=2)
    assert [(item.key, item.namespace) for item in found] == [("a", NOTES), ("b", NOTES)]
    assert found[0].score > found[1].score
    found = await in_thread(memory.search, (), query="code", filter={"n": "c"})
    assert [item.key for item in found] == ["c"]
    assert [item.key for item in await other.asearch((), query="tea")] == ["theirs"]
    assert len(await memory.asearch(NOTES, limit=10)) == 5
    assert desk.held() == desk.counted()


async def test_it_finds_what_langgraphs_store_in_memory_finds(indexed):
    values = {key: {"text": text, "more": [{"of": text[:4]}, {"of": f"rain {key}"}]} for key, text in TEXTS.items()}
    for fields in (("$",), ("text",), ("more[*].of",), ("text", "more[0].of")):
        index = IndexConfig(dims=3, embed=vectors, fields=list(fields))
        desk = await indexed.other(config=word_index(fields=fields))
        memory, stock = await desk.memory(f"graph {fields}"), InMemoryStore(index=index)
        puts = [PutOp(NOTES, key, value) for key, value in values.items()]
        await memory.abatch(puts)
        for put in puts:  # its batch counts equal texts once
            await stock.abatch([put])
        for query in ("tea", "rain", "code"):
            op = SearchOp(NOTES, query=query, limit=4)
            [ours], [theirs] = await memory.abatch([op]), await stock.abatch([op])
            expected = pytest.approx({item.key: item.score for item in theirs}, abs=1e-5)
            assert {item.key: item.score for item in ours} == expected, (fields, query)


async def test_embedding_holds_neither_the_event_loop_nor_a_transaction(indexed):
    begun, go_on = threading.Event(), threading.Event()

    def slow(texts: Sequence[str]) -> list[list[float]]:
        begun.set()
        assert go_on.wait(10)
        return vectors(texts)

    desk = await indexed.other(config=word_index(slow))
    memory = await desk.memory()
    putting = asyncio.create_task(memory.aput(NOTES, "slow", {"text": "tea"}))
    in_node = asyncio.create_task(in_thread(memory.put, NOTES, "too", {"text": "tea"}))
    await asyncio.to_thread(begun.wait, 10)
    await memory.aput(NOTES, "plain", {}, index=False)
    assert desk.keys() == ["plain"]
    go_on.set()
    await asyncio.gather(putting, in_node)
    assert desk.keys() == ["plain", "slow", "too"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda texts: [[1.0, 2.0]] * len(texts), r"gave 1 vectors of 2 numbers; .* 3 numbers \(store.index.dims\)"),
        (lambda texts: [[1.0, 2.0, 3.0]] * 2, "gave 2 vectors of 3 numbers; it must give 1 vectors"),
        (lambda texts: None, "store.index.embed"),
        (lambda texts: [["a", "b", "c"]], "store.index.embed"),
    ],
    ids=["length", "count", "nothing", "texts"],
)
async def test_a_function_that_gives_no_vectors_is_named(indexed, wrong, says):
    desk = await indexed.other(config=word_index(wrong))
    memory = await desk.memory()
    with pytest.raises(EmbeddingError, match=says):
        await memory.aput(NOTES, "k", {"text": "tea"})
    with pytest.raises(EmbeddingError, match=says):
        await in_thread(memory.search, NOTES, query="tea")
    assert desk.keys() == []


async def test_an_error_of_the_function_is_the_graphs(indexed):
    def fails(texts: Sequence[str]) -> list[list[float]]:
        raise ConnectionError("no model")

    memory = await (await indexed.other(config=word_index(fails))).memory()
    with pytest.raises(ConnectionError, match="no model"):
        await memory.aput(NOTES, "k", {})
    with pytest.raises(ConnectionError, match="no model"):
        await in_thread(memory.put, NOTES, "k", {})


@pytest.fixture
def postgres_backend(contract_database: str, clock: Clock) -> Backend:
    empty(contract_database)
    return Backend(contract_database, clock, shared=True)


async def test_without_pgvector_the_start_names_it(postgres_backend):
    url = server_url(postgres_backend.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT FROM pg_available_extensions WHERE name = 'vector'").fetchone():
            pytest.skip("this server has pgvector")
    store = await postgres_backend.open()
    try:
        with pytest.raises(
            StoreError, match=r"store.index .* needs the extension pgvector.* install pgvector"
        ) as raised:
            await Memories(store, word_index()).setup()
        assert not raised.value.retriable
    finally:
        await postgres_backend.close()


def test_vectors_for_pgvector_are_recorded_with_their_items():
    index = word_index(fields=("text",)).index
    put = PutOp(("m", "n"), "k", {"text": "tea"})
    dialect = PostgresMemory(None, index)  # type: ignore[arg-type]
    old, item, vector = dialect.record([put], KnownVectors({"tea": [1.0, 2.0, 3.0]}))
    assert old.rows == [[["m.n"], ["k"]]]
    assert "INSERT INTO store " in item.sql
    assert "INSERT INTO store_vectors " in vector.sql
    assert vector.rows == [["m.n", "k", "text", [1.0, 2.0, 3.0]]]
    assert index_config(index, None)["ann_index_config"]["kind"] == "flat"


def test_the_distance_in_python_is_the_cosine_distance():
    def of(*numbers: float) -> bytes:
        return array("f", numbers).tobytes()

    assert cosine_distance(of(1, 0), of(2, 0)) == pytest.approx(0)
    assert cosine_distance(of(1, 0), of(0, 3)) == pytest.approx(1)
    assert cosine_distance(of(1, 1), of(-2, -2)) == pytest.approx(2)
    assert cosine_distance(of(1, 0), of(0, 0)) is None
