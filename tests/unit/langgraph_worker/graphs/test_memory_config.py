"""The key ``store`` of langgraph.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs import memory_config
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.memory_config import IndexSpec, StoreSpec
from tests.unit.langgraph_worker.graphs.test_loader import HEAD, project

pytestmark = pytest.mark.usefixtures("own_imports")

EMBED = """
def embed(texts): return [[1.0, float(len(text))] for text in texts]
async def aembed(texts): return embed(texts)
from langchain_core.embeddings import Embeddings
class Own(Embeddings):
    def embed_documents(self, texts): return embed(texts)
    def embed_query(self, text): return embed([text])[0]
own = Own()
number = 5
"""


def loaded(folder: Path, store: Any) -> Graphs:
    folder.joinpath("meaning.py").write_text(EMBED)
    return project(folder, {"store": store}, agent=HEAD + "graph = build()")


@pytest.mark.parametrize("variable", ["embed", "aembed", "own"])
async def test_a_function_of_a_file_embeds(tmp_path, variable):
    index = {"dims": 2, "embed": f"./meaning.py:{variable}", "fields": ["text"]}
    found = loaded(tmp_path, {"index": index}).memory.index
    assert (found.dims, found.fields) == (2, ("text",))
    assert isinstance(found.embeddings, Embeddings)
    assert await found.embeddings.aembed_documents(["four"]) == [[1.0, 4.0]]


def test_a_file_of_a_folder_is_meant_by_its_ending_too(tmp_path):
    assert loaded(tmp_path, {"index": {"dims": 2, "embed": "meaning.py:embed"}}).memory.index.fields == ("$",)


def test_without_the_key_nothing_is_embedded_and_nothing_expires(tmp_path):
    for store in (None, {}, {"index": None, "ttl": None}, {"index": {}}):
        memory = loaded(tmp_path, store).memory
        assert (memory.index, memory.ttl) == (None, None)


def test_ttl_is_read(tmp_path):
    ttl = {"default_ttl": 60, "refresh_on_read": False, "sweep_interval_minutes": 0.5}
    assert loaded(tmp_path, {"ttl": ttl}).memory.ttl == ttl
    assert loaded(tmp_path, {"ttl": {}}).memory.ttl == {"default_ttl": None, "refresh_on_read": True}


def written(folder: Path, store: Any) -> Path:
    path = folder / "langgraph.json"
    path.write_text(json.dumps({"graphs": {"a": "./a.py:graph"}, "store": store}))
    return path


def test_a_provider_is_named(tmp_path):
    store = {"index": {"dims": 1536, "embed": "openai:text-embedding-3-small", "fields": "text"}}
    manifest = read_manifest(written(tmp_path, store))
    assert manifest.store == StoreSpec(IndexSpec(1536, "openai:text-embedding-3-small", ("text",)))


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ([], r"key 'store' must be an object"),
        ({"index": []}, r"'store.index' must be an object"),
        ({"index": {"embed": "a:b"}}, r"'store.index.dims' must be how many numbers.* not None"),
        ({"index": {"embed": "a:b", "dims": True}}, r"'store.index.dims'.* not True"),
        ({"index": {"dims": 3}}, r"'store.index.embed' must be \"provider:model\".* not None"),
        ({"index": {"dims": 3, "embed": "text-embedding"}}, r"'store.index.embed'"),
        ({"index": {"dims": 3, "embed": "a:b", "fields": [1]}}, r"'store.index.fields' must be a list of paths"),
        ({"ttl": 5}, r"'store.ttl' must be an object"),
        ({"ttl": {"default_ttl": "day"}}, r"'store.ttl.default_ttl' must be a number of minutes.* not 'day'"),
        ({"ttl": {"default_ttl": 0}}, r"'store.ttl.default_ttl'.* above 0, and not 0"),
        ({"ttl": {"sweep_interval_minutes": -1}}, r"'store.ttl.sweep_interval_minutes'"),
        ({"ttl": {"refresh_on_read": "no"}}, r"'store.ttl.refresh_on_read' must be true or false"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_is_right(tmp_path, store, says):
    with pytest.raises(GraphLoadError, match=f"langgraph.json: key {says}|langgraph.json: {says}"):
        read_manifest(written(tmp_path, store))


@pytest.mark.parametrize(
    ("embed", "says"),
    [
        ("./gone.py:embed", r"there is no file .*gone\.py"),
        ("./meaning.py:gone", "there is no 'gone' in ./meaning.py"),
        ("./meaning.py:number", "it is an int, not a function or LangChain's Embeddings"),
        ("nobody:knows", r"install langchain and the provider's package"),
    ],
)
def test_an_embedding_function_that_cannot_be_loaded_is_named(tmp_path, embed, says):
    with pytest.raises(GraphLoadError, match=rf"(?s)key 'store.index.embed' \({embed}\): .*{says}"):
        loaded(tmp_path, {"index": {"dims": 2, "embed": embed}})


def test_a_providers_package_that_is_there_but_broken_is_named_with_the_cause(tmp_path, monkeypatch):
    def broken(embed: Any) -> None:  # as LangChain raises it, which is not installed here
        raise ImportError("Please install langchain-openai") from ImportError("no ModelRefusalError")

    monkeypatch.setattr(memory_config, "ensure_embeddings", broken)
    with pytest.raises(GraphLoadError, match=r"install langchain-openai \(ImportError: no ModelRefusalError\)\. It"):
        loaded(tmp_path, {"index": {"dims": 2, "embed": "openai:text-embedding-3-small"}})
