"""What of a graph's schemas is announced: no more than holds for every request that a run accepts."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AnyMessage
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.graphs.announced import announcement_of, what_context_it_takes, what_it_takes
from langgraph_worker.graphs.graph_spec import graph_spec
from langgraph_worker.graphs.loader import Graph
from langgraph_worker.graphs.schemas import schemas_of
from workflow_events import GraphAnnouncement


def graph_of(state: Any, **schemas: Any) -> Any:
    built = StateGraph(state, **schemas)
    built.add_node("node", lambda state: {})
    built.add_edge(START, "node")
    return built.compile()


def taken(state: Any, **schemas: Any) -> Any:
    graph = graph_of(state, **schemas)
    return what_it_takes(graph, schemas_of(graph)["input"])


def without_titles(properties: Any) -> Any:
    """Pydantic names each field of a ``TypedDict`` once more, from Python 3.12 on."""
    return {name: {key: field[key] for key in field if key != "title"} for name, field in properties.items()}


class Plain(TypedDict):
    question: str
    answer: str


class Asked(TypedDict):
    question: str


class Checked(BaseModel):
    question: str
    limit: int = Field(5, ge=0)


class Inner(BaseModel):
    size: int


def latest(left: int, right: str) -> int:
    return left + len(right)


class Reduced(TypedDict):
    lines: Annotated[list[str], operator.add]
    length: Annotated[int, latest]


class Nested(BaseModel):
    inner: Inner
    messages: Annotated[list[AnyMessage], add_messages] = []


class Tree(BaseModel):
    left: Tree | None = None


class Twice(BaseModel):
    one: Tree


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    question: str = Field(alias="theQuestion")


class Split(BaseModel):
    tags: Annotated[list[str], BeforeValidator(str.split)]


@dataclass
class Held:
    question: str
    answer: str = ""


def test_of_a_typed_dict_there_are_the_names_since_a_run_compares_nothing_else():
    assert without_titles(taken(Plain)["properties"]) == {"question": {}, "answer": {}}
    assert without_titles(taken(Plain, input_schema=Asked)["properties"]) == {"question": {}}


@pytest.mark.parametrize("schemas", [{}, {"input_schema": Asked}])
def test_fields_that_nodes_fill_in_are_not_required(schemas):
    assert "required" not in taken(Plain, **schemas)


@pytest.mark.parametrize("state", [Checked, Held])
def test_what_the_first_node_cannot_be_without_is_required(state):
    assert taken(state)["required"] == ["question"]


def test_a_model_that_no_node_is_sure_to_get_refuses_nothing():
    built = StateGraph(Checked)
    built.add_node("node", lambda state: {}, input_schema=Plain)
    built.add_edge(START, "node")
    found = what_it_takes(built.compile(), None)
    assert found == {"type": "object", "properties": {"question": {}, "limit": {}}}


def test_a_field_whose_reducer_is_a_function_of_its_own_has_no_type():
    found = without_titles(taken(Reduced)["properties"])
    assert found == {"lines": {"type": ["array", "object"]}, "length": {}}


def test_a_model_inside_has_its_fields():
    found = taken(Nested)
    inner = without_titles({"inner": found["properties"]["inner"]})["inner"]
    assert inner == {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


def test_definitions_that_a_field_still_refers_to_stay():
    assert list(taken(Twice)["$defs"]) == ["Tree"]


def test_messages_may_be_given_in_each_of_langchains_ways_and_their_classes_are_left_out():
    found = taken(MessagesState)
    assert found["properties"]["messages"].keys() <= {"title", "description"}
    assert "$defs" not in found


def test_of_a_model_whose_names_langgraph_does_not_read_nothing_is_said():
    assert taken(Aliased) is None


def test_of_a_function_nothing_is_said_as_a_run_does_not_look_at_its_annotation():
    @entrypoint()
    def run(data: dict[str, int]) -> int:
        return len(data)

    assert what_it_takes(run, schemas_of(run)["input"]) is None


def context_of(context: Any) -> Any:
    graph = graph_of(Plain, context_schema=context)
    return what_context_it_takes(graph, schemas_of(graph)["context"])


@pytest.mark.parametrize(
    ("context", "fields"),
    [
        (Checked, {"question": {"type": "string"}, "limit": {"type": "integer", "minimum": 0}}),
        (Held, {"question": {"type": "string"}, "answer": {"type": "string"}}),
        (Asked, {"question": {"type": "string"}}),
        (Split, {"tags": {}}),
    ],
)
def test_values_of_a_context_have_the_types_that_a_worker_compares(context, fields):
    found = context_of(context)
    assert without_titles(found["properties"]) == fields
    assert "required" not in found


def test_of_a_context_with_aliases_and_of_none_nothing_is_said():
    assert context_of(Aliased) is None
    assert context_of(None) is None


def test_a_manifest_s_words_are_announced_too(tmp_path):
    entry = {"path": "./d.py:g", "description": "Trades", "assistants": {"night": {"description": "Cheap"}}}
    spec = graph_spec(tmp_path, "desk", entry)
    found = announcement_of(Graph.from_variable(spec, graph_of(Plain)))
    assert (found.graph, found.description, found.assistants) == ("desk", "Trades", {"night": "Cheap"})
    assert found.input is not None
    assert found.output is not None
    assert found.digest != GraphAnnouncement(graph="desk", description="Trades", assistants=found.assistants).digest


def test_a_factory_is_not_called(tmp_path):
    def make() -> Any:
        raise AssertionError("called")

    found = announcement_of(Graph(graph_spec(tmp_path, "made", "./d.py:make"), make, "factory"))
    assert (found.graph, found.input, found.output) == ("made", None, None)


def test_a_graph_whose_schemas_cannot_be_made_is_announced_by_its_name(tmp_path, monkeypatch):
    def fail(graph: Any) -> Any:
        raise RuntimeError("odd")

    monkeypatch.setattr("langgraph_worker.graphs.announced.schemas_of", fail)
    found = announcement_of(Graph.from_variable(graph_spec(tmp_path, "desk", "./d.py:g"), graph_of(Plain)))
    assert (found.graph, found.input) == ("desk", None)


def test_a_secret_that_is_a_default_or_a_description_is_not_announced(tmp_path):
    class Context(BaseModel):
        api_key: str = Field(default="sk-12345678", description="such as sk-12345678")

    entry = {"path": "./d.py:g", "description": "by sk-12345678", "assistants": {"a": {"description": "sk-12345678"}}}
    graph = Graph.from_variable(graph_spec(tmp_path, "desk", entry), graph_of(Context, context_schema=Context))
    assert "sk-12345678" in announcement_of(graph).model_dump_json()
    found = announcement_of(graph, Redactor(["sk-12345678"], lambda value, place, path: "-"))
    assert "sk-12345678" not in found.model_dump_json()
    assert found.description == "by ***"
