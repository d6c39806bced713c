"""A graph's picture, whatever names its nodes have."""

from __future__ import annotations

import operator
import re
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from langgraph_worker.graphs.picture import mermaid


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def graph_of(*names: str, inner: Any = None) -> Any:
    built = StateGraph(State)
    for name in names:
        built.add_node(name, inner or (lambda state: {}))
    for source, target in zip((START, *names), names, strict=False):
        built.add_edge(source, target)
    return built.compile()


def test_plain_names_are_drawn_as_langgraph_draws_them():
    graph = graph_of("plan", "ask_model")
    assert mermaid(graph) == graph.get_graph(xray=True).draw_mermaid()


@pytest.mark.parametrize(
    "name", ['say "no"', "a](b", "a --> b", "x\n\tclick x href", "```", "<script>", "#quot;", "%%{init}%%", "ü;y"]
)
def test_a_name_is_one_label_and_nothing_else(name):
    plain, odd = mermaid(graph_of("plain")).splitlines(), mermaid(graph_of(name)).splitlines()
    assert len(odd) == len(plain)
    label = odd[plain.index("\tplain(plain)")]
    inside = label[label.index("(") + 1 : label.rindex(")")]
    assert re.fullmatch(r"[\w .,'!?*+=/@#;-]+", inside, re.ASCII)
    assert "".join(re.sub(r"#(\d+);", lambda found: chr(int(found[1])), inside)) == name


@pytest.mark.parametrize("name", ["end", "Graph", "style"])
def test_a_word_of_mermaids_is_no_id(name):
    picture = mermaid(graph_of(name))
    assert f"\t{name}_({name})\n" in picture
    assert f"\t__start__ --> {name}_;\n" in picture


def test_two_names_that_differ_in_odd_signs_alone_are_two_nodes():
    picture = mermaid(graph_of("a?", "a!"))
    ids = re.findall(r"^\t(\w+)\(a[?!]\)$", picture, re.MULTILINE)
    assert len(set(ids)) == 2


def test_the_name_of_a_subgraph_is_escaped_too():
    picture = mermaid(graph_of('in "ner"', inner=graph_of("deep", "deeper")))
    assert "\tsubgraph in__ner_\n" in picture
    assert "(deep)" in picture


def test_the_names_of_branches_are_escaped():
    built = StateGraph(State).add_node("a", lambda state: {}).add_edge(START, "a")
    built.add_conditional_edges("a", lambda state: "x", {'" --> b;\n\tc': END, "other": "a"})
    lines = mermaid(built.compile()).splitlines()
    assert not any(line.strip().startswith("c") and "classDef" not in line for line in lines[6:])
    assert any("#34; --#62; b#59;#10;#9;c" in line for line in lines)
