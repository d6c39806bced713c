"""What an event may not set: what would give its sender power over the graph, or over what the graph has stored."""

from __future__ import annotations

import operator
import tracemalloc
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest
from langchain_core.runnables import ConfigurableField, RunnableConfig, RunnableSerializable
from langgraph.checkpoint.base import CheckpointMetadata
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from langgraph_worker.execution.event_check import require_allowed, require_fitting
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.event_rights import EventRights
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from tests.support.runs import chain, opened
from workflow_events.models import Answer, EventSource, EventType, RunConfig, WorkflowEvent, WorkflowEventPayload
from workflow_events.results import ResultStatus
from workflow_events.run_config import GraphCommand

MODELS = frozenset({"qwen"})


class State(MessagesState):
    audit: Annotated[list[str], operator.add]


class Context(TypedDict, total=False):
    user_id: str
    language: str


def builder() -> StateGraph[Any, Any, Any, Any]:
    built = StateGraph(State, context_schema=Context)
    built.add_node("act", lambda state: {"audit": ["acted"]})
    built.add_edge(START, "act")
    return built


GRAPH: Pregel[Any] = builder().compile()


def event(data: dict[str, Any] | None = None, *answers: Any, **configurable: Any) -> WorkflowEvent:
    kind = EventType.WORKFLOW_RESUMED if answers else EventType.WORKFLOW_TRIGGERED
    return WorkflowEvent(
        event_type=kind,
        source=EventSource.AIRFLOW,
        workflow_id="dag",
        workflow_run_id="run",
        payload=WorkflowEventPayload(data=data or {}),
        config=RunConfig(configurable=configurable),
        round=1 if answers else 0,
        answers=[Answer(interrupt_id=f"i{number}", value=value) for number, value in enumerate(answers)],
    )


def refusal(asked: WorkflowEvent, rights: EventRights | None = None) -> str:
    """The fault and its text; empty if there is none."""
    try:
        require_allowed(asked, "desk", rights or EventRights(), MODELS)
        require_fitting(asked, "desk", GRAPH, rights or EventRights())
    except RunFaultError as error:
        return f"{error.fault.name}: {error}"
    return ""


@pytest.mark.parametrize(
    "name",
    [
        "base_url",
        "first_base_url",
        "openai_api_base",
        "api_key",
        "OPENAI_API_KEY",
        "apikey",
        "x-api-key",
        "model_provider",
        "first_model_provider",
        "azure_endpoint",
        "default_headers",
        "model_kwargs",
        "client_kwargs",
        "extra_body",
        "http_client",
        "http_async_client",
        "openai_proxy",
        "aws_secret_access_key",
        "password",
        "access_token",
        "azure_ad_token",
        "aws_session_token",
        "token",
        "endpoint_url",
        "inference_server_url",
        "target_uri",
        "url",
        "credentials_profile_name",
        "client_options",
        "client_args",
        "mcp_servers",
        "proxies",
        "baseURL",
        "openaiApiKey",
        "first_baseUrl",
        "baseurl",
        "api_keys",
        "apiKeys",
        "secrets",
        "endpoints",
        "providers",
        "mcp",
        "mcp_config",
        "mcp_connections",
        "connection_string",
        "database_url",
        "dsn",
        "connections",
        "webhook_url",
        "command",
    ],
)
def test_what_moves_power_is_refused_and_the_text_says_how_to_allow_it(name):
    said = refusal(event(**{name: "https://evil.example"}))
    assert said.startswith(f"config_not_allowed: field 'config.configurable.{name}': ")
    assert f'write {{"events": {{"configurable": ["{name}"]}}}} in the entry of graph \'desk\'' in said
    assert refusal(event(**{name: "x"}), EventRights(frozenset({name}))) == ""


@pytest.mark.parametrize(
    "name",
    [
        "user_id",
        "userId",
        "language",
        "tenant",
        "organization",
        "thread",
        "thread_name",
        "deployment",
        "max_tokens",
        "tokens",
        "temperature",
        "document_url",
        "hostname",
        "keyword",
        "keywords",
        "mcp_prompt",
        "server_name",
        "author",
        "top_k",
        "client_name",
        "LANGUAGE",
    ],
)
def test_what_a_plain_project_needs_passes(name):
    assert refusal(event(**{name: 1})) == ""


@pytest.mark.parametrize("name", ["models", "fallback_models", "model_names", "modelIds", "llms"])
def test_several_models_are_all_of_the_list(name):
    assert refusal(event(**{name: ["qwen"]})) == ""
    assert refusal(event(**{name: "qwen"})) == ""
    for value in (["qwen", "gpt-9"], {"fast": "gpt-9"}, [["gpt-9"]], "gpt-9"):
        assert "is not allowed here (allowed: qwen)" in refusal(event(**{name: value}))
        assert "is not allowed here (allowed: qwen)" in refusal(with_context(profile={name: value}))


@pytest.mark.parametrize(
    "name",
    [
        *("first_model", "model_name", "judge-model", "model_id", "azure_deployment", "deployment_name", "judgeModel"),
        *("model_2", "fallbackModel2", "llm", "judge_llm", "llmName", "LLM"),
    ],
)
def test_models_are_chosen_from_the_list_also_under_the_names_that_langchain_makes(name):
    assert refusal(event(**{name: "qwen"})) == ""
    said = refusal(event(**{name: "gpt-9"}))
    assert (
        "'gpt-9' is not allowed here (allowed: qwen). Leave it out, or add it to LANGGRAPH_WORKER_ALLOWED_MODELS"
        in said
    )
    assert refusal(event(**{name: ["qwen"]})) != ""  # no text, so none of the list


def test_an_entry_narrows_the_names_to_a_list():
    rights = EventRights(frozenset({"user_id"}))
    assert refusal(event(user_id="u"), rights) == ""
    assert refusal(event(language="en"), rights) == (
        "config_not_allowed: field 'config.configurable.language': events may not set it for graph 'desk'. Leave it "
        "out, or add it to 'events.configurable' in its entry in langgraph.json, which lists: user_id"
    )


def test_an_entry_narrows_the_names_to_the_graphs_own_schema():
    rights = EventRights("declared")
    assert refusal(event(user_id="u", language="en"), rights) == ""
    assert refusal(event(tenant="t"), rights) == (
        "config_not_allowed: field 'config.configurable.tenant': the context schema of graph 'desk' does not have it. "
        "Leave it out, or add it to the schema, which has: language, user_id"
    )
    assert "a key, a provider" in refusal(event(api_key="k"), rights)


# LangGraph writes the others at each checkpoint, whatever the config has.
@pytest.mark.parametrize("name", sorted(CheckpointMetadata.__annotations__.keys() - {"source", "step", "parents"}))
def test_what_langgraph_reads_back_from_a_checkpoints_metadata_is_its_own(name):
    with pytest.raises(ValidationError, match=f"{name}: LangGraph's own"):
        RunConfig(configurable={name: "x"})


async def test_no_value_ends_the_later_runs_of_a_conversation(tmp_path):
    async with opened(tmp_path / "runs.db") as desk:
        values = dict.fromkeys(("source", "step", "parents", "writes", "task_id", "id", "ts", "tags"), "x")
        asked = RunConfig(configurable=values)
        for number in range(2):
            claim = await desk.claim("desk", {"log": [str(number)]}, thread_id="talk", config=asked)
            outcome = await desk.run(claim, chain(a=lambda state: {}))
            assert outcome.result.status is ResultStatus.SUCCESS
        assert outcome.result.result == {"log": ["0", "1"]}


class PersonDict(TypedDict):
    user_id: str


class DeskDict(PersonDict, total=False):
    language: str


@dataclass
class PersonData:
    user_id: str


@dataclass
class DeskData(PersonData):
    language: str = "en"


class PersonModel(BaseModel):
    user_id: str


class DeskModel(PersonModel):
    language: str = "en"


@pytest.mark.parametrize("schema", [DeskDict, DeskData, DeskModel])
def test_a_schema_has_the_names_that_it_inherits(schema):
    graph = StateGraph(State, context_schema=schema).add_node("act", lambda state: {}).add_edge(START, "act").compile()
    for name, is_declared in (("user_id", True), ("language", True), ("tenant", False)):
        with nullcontext() if is_declared else pytest.raises(RunFaultError, match="has: language, user_id"):
            require_fitting(event(**{name: "x"}), "desk", graph, EventRights("declared"))


OVERWRITES = [
    {"__overwrite__": ["clean"]},
    {"type": "__overwrite__", "value": ["clean"]},
]
REMOVALS = [
    {"role": "remove", "content": "", "id": "__remove_all__"},
    {"type": "remove", "content": "", "id": "1"},
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "RemoveMessage"], "kwargs": {"id": "1"}},
    {"lc": 1, "type": "constructor", "role": "remove", "content": "", "id": "__remove_all__"},
]


@pytest.mark.parametrize("value", OVERWRITES + REMOVALS)
def test_a_value_that_langgraph_would_obey_is_refused_wherever_it_stands(value):
    for asked, place in (
        (event({"audit": value}), "payload.data.audit"),
        (event({"child": {"lists": [0, [value]]}}), "payload.data.child.lists.1.0"),
        (event(None, "yes", {"deep": value}), "answers.1.value.deep"),
    ):
        said = refusal(asked)
        assert said.startswith(f"input_not_allowed: field '{place}': "), said
        assert '{"events": {"overwrite": true}}' in said
        assert refusal(asked, EventRights(overwrite=True)) == ""


@pytest.mark.parametrize(
    "value",
    [
        {"type": "remove", "item": 3},
        {"action": "overwrite"},
        {"role": "user", "content": "remove __overwrite__", "id": "1"},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {}},
        ["__overwrite__"],
    ],
)
def test_a_value_that_only_looks_like_it_passes(value):
    assert refusal(event({"audit": value})) == ""


def test_the_depth_of_a_value_is_no_matter():
    deep: Any = {"__overwrite__": 1}
    for _ in range(5_000):
        deep = [deep]
    asked = event()
    asked.payload.data["audit"] = deep
    assert refusal(asked).startswith("input_not_allowed")


def test_a_long_name_around_many_values_costs_no_memory():
    asked = event({"k" * 20_000: [[] for _ in range(20_000)]})
    tracemalloc.start()
    try:
        assert refusal(asked) == ""
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("message", [OVERWRITES[0], REMOVALS[0], REMOVALS[3]])
async def test_a_run_is_answered_and_the_graph_does_not_start(tmp_path, message):
    data = {"audit": message} if "__overwrite__" in message else {"messages": [message]}
    graph = Graph.from_variable(GraphSpec("desk", "x", False, "x"), builder())
    async with opened(tmp_path / "runs.db") as desk:
        outcome = await desk.runner(Graphs({"desk": graph})).run(await desk.claim("desk", data), RunControl())
        assert (outcome.result.status, outcome.result.error_type) == (ResultStatus.ERROR, "input_not_allowed")
        assert desk.steps() == []
        allowed = replace(graph, spec=replace(graph.spec, rights=EventRights(overwrite=True)))
        claim = await desk.claim("desk", data)
        outcome = await desk.runner(Graphs({"desk": allowed})).run(claim, RunControl())
        assert outcome.result.status is ResultStatus.SUCCESS


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"config": RunConfig(configurable={"base_url": "https://evil.example"})}, "config_not_allowed"),
        ({"context": {"mcp": {"servers": ["https://evil.example"]}}}, "config_not_allowed"),
        ({"config": RunConfig(configurable={"answer_model": "gpt-9"})}, "config_not_allowed"),
        ({"payload": WorkflowEventPayload(command=GraphCommand(goto="act"))}, "input_not_allowed"),
    ],
)
async def test_a_factory_does_not_see_what_is_refused(tmp_path, given, fault):
    """It would connect to the server at once, with its key."""
    seen: list[Any] = []

    def make(config: RunnableConfig) -> StateGraph[Any, Any, Any, Any]:
        seen.append(config["configurable"])
        return builder()

    async with opened(tmp_path / "runs.db") as desk:
        outcome = await desk.run(await desk.claim("desk", **given), make)
        assert (outcome.result.status, outcome.result.error_type) == (ResultStatus.ERROR, fault)
        assert seen == []


def with_context(**context: Any) -> WorkflowEvent:
    return event().model_copy(update={"context": context})


@pytest.mark.parametrize("name", ["base_url", "api_key", "model_provider", "default_headers", "openai_proxy"])
def test_a_context_moves_no_power_either(name):
    said = refusal(with_context(**{name: "https://evil.example"}))
    assert said.startswith(f"config_not_allowed: field 'context.{name}': it may name an endpoint, a key, a provider")
    assert refusal(with_context(**{name: "x"}), EventRights(frozenset({name}))) == ""


@pytest.mark.parametrize("name", ["model", "answer_model", "model_name", "query_model"])
def test_a_context_names_a_model_of_the_list(name):
    assert refusal(with_context(**{name: "qwen"})) == ""
    assert refusal(with_context(**{name: "gpt-9"})).startswith(f"config_not_allowed: field 'context.{name}': model ")


@pytest.mark.parametrize(
    ("inner", "place"),
    [
        ({"base_url": "x"}, "context.user_id.base_url"),
        ([{"deep": {"model": "gpt-9"}}], "context.user_id.0.deep.model"),
        ({"api_key": None}, "context.user_id.api_key"),
        ([{"transport": "stdio", "command": "sh"}], "context.user_id.0.command"),
        ({"env": {"LD_PRELOAD": "x"}}, "context.user_id.env"),
    ],
)
def test_no_part_of_a_context_moves_power(inner, place):
    assert refusal(with_context(user_id=inner)).startswith(f"config_not_allowed: field '{place}': ")
    assert refusal(with_context(user_id=inner), EventRights(frozenset({"user_id"}))) == ""
    # Nodes find the context in configurable, too, so what is refused in the one is refused in the other.
    assert refusal(event(user_id=inner)).startswith(f"config_not_allowed: field '{place.replace('context', FIELD)}': ")
    said = refusal(event(tenant=inner))
    assert said.startswith(f"config_not_allowed: field '{place.replace('context.user_id', FIELD + '.tenant')}': ")
    assert said.count('"configurable": ["tenant"]') == 1


FIELD = "config.configurable"


def test_rights_hold_for_a_context_as_for_configurable():
    listed = EventRights(frozenset({"language"}))
    assert refusal(with_context(language="de"), listed) == ""
    assert refusal(with_context(user_id="ann"), listed).endswith("in langgraph.json, which lists: language")
    assert "context schema of graph 'desk'" in refusal(with_context(tenant="x"), EventRights("declared"))


@pytest.mark.parametrize("value", OVERWRITES + REMOVALS[:2])
def test_a_context_holds_nothing_that_langgraph_obeys(value):
    assert refusal(with_context(profile=value)).startswith("input_not_allowed: field 'context.profile': ")
    assert refusal(event(profile=value)).startswith("input_not_allowed: field 'config.configurable.profile': ")
    assert refusal(event(profile=value), EventRights(overwrite=True)) == ""


@pytest.mark.parametrize(("value", "called"), [("qwen", ["qwen", "qwen"]), ("gpt-9", [])])
async def test_langchains_configurable_fields_take_a_model_of_the_list_only(tmp_path, value, called):
    """As ``init_chat_model(configurable_fields="any", config_prefix="first")`` reads them: by names in the config."""
    asked: list[str] = []

    class Model(RunnableSerializable[Any, str]):
        model: str = "small"

        def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:  # noqa: A002
            asked.append(self.model)
            return "said"

    model = Model().configurable_fields(model=ConfigurableField(id="first_model"))

    def act(state: State, config: RunnableConfig) -> dict[str, Any]:
        return {"audit": [model.invoke("hi", config)]}

    async with opened(tmp_path / "store.db") as desk:
        make = desk.runner
        desk.runner = lambda graphs: replace(make(graphs), limits=replace(make(graphs).limits, models=MODELS))
        for way in ({"context": {"first_model": value}}, {"config": RunConfig(configurable={"first_model": value})}):
            claim = await desk.claim("desk", {"audit": []}, **way)
            await desk.run(claim, chain(State, act=act))
    assert asked == called
