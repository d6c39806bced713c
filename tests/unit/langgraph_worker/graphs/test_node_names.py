"""Which names of a graph's nodes are known before it runs (rule 11)."""

from __future__ import annotations

from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.graphs.node_names import node_names
from tests.support.runs import State, chain


def passes(state: State) -> State:
    return {"log": []}


def test_the_names_of_every_graph_that_a_node_calls_are_known():
    first, second = chain(other=passes).compile(), chain(b=passes).compile()

    async def sub(state: State) -> State:
        await first.ainvoke({})
        return {"log": (await second.ainvoke({}))["log"]}

    assert node_names(chain(sub=sub).compile()) == {"sub", "sub|other", "sub|b"}


def test_a_loaded_graph_knows_the_names_at_every_depth():
    built = chain(sub=chain(inner=chain(b=passes).compile()).compile()).compile()
    graphs = Graphs({"desk": Graph.from_variable(GraphSpec("desk", "x", False, "x"), built)})
    assert graphs.node_names("desk", built) == {"sub", "sub|inner", "sub|inner|b"}
