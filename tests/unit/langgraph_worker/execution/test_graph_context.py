"""A run's context: built from the graph's schema, out of the event's values, the assistant's and the entry's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict
from uuid import UUID, uuid5

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime, get_runtime
from langgraph.types import interrupt
from pydantic import BaseModel, Field

from tests.support.runs import Desk, Failing, State, chain, opened
from workflow_events.models import RunConfig
from workflow_events.results import ResultStatus, WorkflowResultEvent


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


@dataclass
class Limits:
    depth: int = 1


@dataclass
class Base:
    user: str


@dataclass
class Data(Base):
    language: str = "en"
    limits: Limits = field(default_factory=Limits)


class Model(BaseModel):
    user: str
    language: str = "en"
    limits: dict[str, int] = Field(default_factory=dict)


class Plain(TypedDict):
    user: str
    language: NotRequired[str]


@dataclass
class Defaults:
    language: str = "en"
    model: str = "small"


class Seen:
    """Keeps what nodes were given."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.configs: list[dict[str, Any]] = []
        self.runtimes: list[Runtime[Any]] = []

    def node(self, state: State, runtime: Runtime[Any], config: RunnableConfig) -> State:
        self.contexts.append(runtime.context)
        self.runtimes.append(runtime)
        self.configs.append(dict(config))
        return {"log": ["seen"]}

    def graph(self, schema: Any = None, **nodes: Any) -> Pregel[Any]:
        builder = StateGraph(State, context_schema=schema)
        before = START
        for name, node in (nodes or {"node": self.node}).items():
            builder.add_node(name, node)
            builder.add_edge(before, name)
            before = name
        return builder.compile()


async def run(desk: Desk, graph: Any, **event: Any) -> WorkflowResultEvent:
    return (await desk.run(await desk.claim("g", **event), graph)).result


@pytest.mark.parametrize(
    ("schema", "given", "context"),
    [
        (Data, {"user": "ann", "limits": {"depth": 3}}, Data("ann", "en", Limits(3))),
        (Model, {"user": "ann", "language": "de"}, Model(user="ann", language="de")),
        (Plain, {"user": "ann"}, {"user": "ann"}),
        (None, {"any": [1, {"thing": None}]}, {"any": [1, {"thing": None}]}),
    ],
)
async def test_a_context_is_an_instance_of_the_graphs_schema(desk, schema, given, context):
    seen = Seen()
    assert (await run(desk, seen.graph(schema), context=given)).status is ResultStatus.SUCCESS
    assert seen.contexts == [context]
    assert {name: seen.configs[0]["configurable"][name] for name in given} == given


@pytest.mark.parametrize(
    ("schema", "context"),
    [(Defaults, Defaults("de")), (Plain, {"language": "de"}), (None, {"language": "de", "elsewhere": 1})],
)
async def test_without_a_context_configurable_stands_in_for_it(desk, schema, context):
    seen = Seen()
    asked = RunConfig(configurable={"language": "de", "elsewhere": 1})
    assert (await run(desk, seen.graph(schema), config=asked)).status is ResultStatus.SUCCESS
    assert seen.contexts == [context]


@pytest.mark.parametrize(("schema", "context"), [(Defaults, Defaults()), (Plain, None), (None, None)])
async def test_without_any_value_the_schemas_defaults_hold(desk, schema, context):
    seen = Seen()
    assert (await run(desk, seen.graph(schema))).status is ResultStatus.SUCCESS
    assert seen.contexts == [context]


async def test_a_graphs_own_configurable_is_the_weakest(desk):
    seen = Seen()
    graph = seen.graph(Data).with_config(configurable={"user": "own", "language": "own"})
    await run(desk, graph, context={"language": "de"})
    assert seen.contexts == [Data("own", "de")]


async def test_the_model_that_an_event_chose_is_in_the_context(desk):
    seen = Seen()
    await run(desk, seen.graph(Defaults), context={"language": "de"}, config=RunConfig(model="large"))
    assert seen.contexts == [Defaults("de", "large")]


@pytest.mark.parametrize(
    ("schema", "given", "says"),
    [
        (Data, {"usr": "ann"}, "field 'context.usr': the context schema of graph 'g' has no 'usr'. It has: lang"),
        (
            Model,
            {"usr": "ann"},
            "field 'context.usr': the context schema of graph 'g' has no 'usr'. It has: lang",
        ),
        (
            Plain,
            {"usr": "ann"},
            "field 'context.usr': the context schema of graph 'g' has no 'usr'. It has: lang",
        ),
        (Data, {"language": "de"}, "field 'context.user': the context schema of graph 'g' requires it. Set it in"),
        (Model, {"language": "de"}, "field 'context.user': the context schema of graph 'g' requires it. Set it in"),
        (Data, None, "field 'context.user': the context schema of graph 'g' requires it. Set it in"),
        (Data, {"user": 7}, "field 'context.user': Input should be a valid string"),
        (Model, {"user": 7}, "field 'context.user': Input should be a valid string"),
        (Plain, {"user": 7}, "field 'context.user': Input should be a valid string"),
        (
            Data,
            {"user": "a", "limits": {"depth": "x"}},
            "field 'context.limits': depth: Input should be a valid int",
        ),
        (Model, {"user": "a", "limits": {"b": "x"}}, "field 'context.limits': b: Input should be a valid integer"),
    ],
)
async def test_a_context_that_does_not_fit_runs_no_node_and_names_its_field(desk, schema, given, says):
    seen = Seen()
    result = await run(desk, seen.graph(schema), context=given)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "invalid_context", False)
    assert result.error.startswith(says)
    assert seen.contexts == []


async def test_a_value_of_configurable_that_does_not_fit_is_named_there(desk):
    result = await run(desk, Seen().graph(Defaults), config=RunConfig(configurable={"language": 7}))
    assert result.error.startswith("field 'config.configurable.language': Input should be a valid string")


async def test_a_class_that_pydantic_cannot_read_takes_what_it_is_given(desk):
    class Odd:
        pass

    @dataclass
    class Loose:
        odd: Odd | None = None
        unknown: NotImportedHere = None  # noqa: F821 - as under TYPE_CHECKING

    seen = Seen()
    await run(desk, seen.graph(Loose), context={"odd": 1, "unknown": 2})
    assert (seen.contexts[0].odd, seen.contexts[0].unknown) == (1, 2)


async def test_a_class_that_refuses_its_values_is_named(desk):
    @dataclass
    class Strict:
        user: str = ""

        def __post_init__(self) -> None:
            raise ValueError("the value is geheim")

    result = await run(desk, Seen().graph(Strict), context={"user": "ann"})
    assert result.error == "field 'context': the context schema of graph 'g' raises ValueError"


ENTRY = {
    "context": {"user": "fleet", "language": "en"},
    "configurable": {"depth": 1, "base_url": "https://ours.example"},
    "assistants": {
        "night": {"description": "Cheap.", "context": {"language": "de"}, "configurable": {"depth": 2}},
        "empty": {},
    },
}


@pytest.mark.parametrize(
    ("event", "context", "depth"),
    [
        ({}, Data("fleet", "en"), 1),
        ({"assistant": "empty"}, Data("fleet", "en"), 1),
        ({"assistant": "night"}, Data("fleet", "de"), 2),
        ({"assistant": "night", "context": {"language": "fr"}}, Data("fleet", "fr"), 2),
        ({"config": RunConfig(configurable={"depth": 3, "user": "ann"})}, Data("ann", "en"), 3),
    ],
)
async def test_an_event_overrides_its_assistant_which_overrides_the_entry(desk, event, context, depth):
    desk.entry = ENTRY
    seen = Seen()
    assert (await run(desk, seen.graph(Data), **event)).status is ResultStatus.SUCCESS
    assert seen.contexts == [context]
    configurable = seen.configs[0]["configurable"]
    assert (configurable["depth"], configurable["user"]) == (depth, context.user)
    assert configurable["base_url"] == "https://ours.example"  # what no event may set, the fleet may


async def test_an_unknown_assistant_is_refused_with_the_known_ones(desk):
    desk.entry = ENTRY
    seen = Seen()
    result = await run(desk, seen.graph(Data), assistant="day")
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "unknown_assistant", False)
    assert "graph 'g' has no assistant 'day'" in result.error
    assert result.error.endswith("which lists: empty, night")
    assert seen.contexts == []


async def test_a_wrong_value_of_the_manifest_is_named_there(desk):
    desk.entry = {"assistants": {"night": {"context": {"usr": "x"}}}}
    result = await run(desk, Seen().graph(Defaults), assistant="night")
    assert result.error.startswith("langgraph.json, graph 'g': key 'assistants.night.context.usr': the context schema")


async def test_nodes_find_the_names_that_langgraphs_server_gives(desk):
    desk.entry = ENTRY
    own = uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "g")
    for assistant, id_ in ((None, own), ("night", uuid5(own, "night"))):
        seen = Seen()
        claim = await desk.claim("g", assistant=assistant)
        await desk.run(claim, seen.graph(Data))
        configurable, metadata = seen.configs[0]["configurable"], seen.configs[0]["metadata"]
        assert (configurable["graph_id"], configurable["assistant_id"]) == ("g", str(id_))
        assert (metadata["graph_id"], metadata["assistant_id"]) == ("g", str(id_))
        assert configurable["run_id"] == str(claim.logical_run)
        server = seen.runtimes[0].server_info
        assert (server.graph_id, server.assistant_id) == ("g", str(id_))


async def test_a_manifest_does_not_choose_the_thread(desk):
    desk.entry = {"configurable": {"thread_id": "x", "run_id": "x", "__logical_run": "x"}, "context": {"graph_id": "x"}}
    seen = Seen()
    claim = await desk.claim("g")
    await desk.run(claim, seen.graph())
    configurable = seen.configs[0]["configurable"]
    assert (configurable["thread_id"], configurable["run_id"]) == (claim.thread_id, str(claim.logical_run))
    assert configurable["graph_id"] == "g"


async def test_a_child_graph_and_a_tools_runtime_have_the_same_context(desk):
    seen = Seen()

    def calls(state: State) -> State:
        seen.contexts.append(get_runtime(Data).context)
        return {}

    child = seen.graph(Data)
    await run(desk, seen.graph(Data, child=child, calls=calls), context={"user": "ann"})
    assert seen.contexts == [Data("ann"), Data("ann")]


async def test_a_takeover_and_a_retry_have_the_context_of_their_event(desk):
    seen = Seen()
    failing = Failing(2, ConnectionError("gone"))
    graph = seen.graph(Data, node=seen.node, failing=failing, last=seen.node)
    claim = await desk.claim("g", context={"user": "ann"})
    await desk.only_run(claim, graph)
    await desk.only_run(claim, graph)
    assert (await desk.run(claim, graph)).result.status is ResultStatus.SUCCESS
    assert seen.contexts == [Data("ann"), Data("ann")]


async def test_a_context_that_changes_a_nodes_output_is_part_of_its_cache_key(desk):
    from langgraph.cache.memory import InMemoryCache
    from langgraph.types import CachePolicy

    def says(state: State, runtime: Runtime[Defaults]) -> State:
        return {"log": [runtime.context.language]}

    builder = StateGraph(State, context_schema=Defaults)
    builder.add_node("says", says, cache_policy=CachePolicy())
    builder.add_edge(START, "says")
    graph = builder.compile(cache=InMemoryCache())
    for language in ("de", "fr"):
        assert (await run(desk, graph, context={"language": language})).result == {"log": [language]}


async def test_asking_does_not_lose_the_context(desk):
    seen = Seen()

    def asks(state: State, runtime: Runtime[Data]) -> State:
        seen.contexts.append(runtime.context)
        return {"log": [interrupt("?")]}

    graph = seen.graph(Data, asks=asks)
    claim = await desk.claim("g", context={"user": "ann"})
    assert (await desk.only_run(claim, graph)).result.status is ResultStatus.INTERRUPTED
    assert (await desk.run(claim, graph)).result.status is ResultStatus.INTERRUPTED
    assert seen.contexts == [Data("ann")]


async def test_a_graph_without_nodes_that_read_a_context_runs_as_before(desk):
    assert (await run(desk, chain(a=lambda state: {"log": ["a"]}))).result == {"log": ["a"]}
