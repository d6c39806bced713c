"""The run store of a worker's settings and project."""

from __future__ import annotations

from pathlib import Path

from langgraph_worker.graphs.loader import load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.load import load_settings
from tests.support.run_store import request
from tests.support.worker import GRAPHS


async def test_it_keeps_to_the_limits_of_the_project(tmp_path: Path) -> None:
    graphs = load_graphs(read_manifest(GRAPHS / "limited" / "langgraph.json"))
    store = make_store(load_settings({"store_url": f"sqlite:///{tmp_path}/store.db"}), graphs)
    await store.open()
    try:
        await store.accept([request(graph=graph) for graph in ("limited", "free") for _ in range(4)])
        claims = await store.claim("w1", 10, list(graphs.names))
    finally:
        await store.close()
    assert sorted(claim.graph for claim in claims) == ["free"] * 4 + ["limited"] * 2
