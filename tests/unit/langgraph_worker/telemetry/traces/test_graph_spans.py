"""A graph's nodes, agents, models and tools as spans, from LangGraph itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langgraph_worker.execution.model_calls import heard_by, traced_by
from langgraph_worker.telemetry.traces.graph_spans import SpanContent
from langgraph_worker.telemetry.traces.open_telemetry import OpenTelemetryTracing, make_provider
from langgraph_worker.telemetry.traces.port import StartEnd
from langgraph_worker.telemetry.usage import UsageCounter
from tests.support.trace_claims import claim_of
from workflow_events.results import ModelUsage

SECRET = "the position is open"


@dataclass
class Traces:
    """Spans, as they were sent."""

    content: SpanContent = field(default_factory=SpanContent)
    sent: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    provider: TracerProvider = field(default_factory=lambda: make_provider("w1"))

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.sent))

    @property
    def author(self) -> trace.Tracer:
        return self.provider.get_tracer("author")

    async def run(self, builder: Any, given: Any = None, **options: Any) -> None:
        """Run a graph as the worker does: in a context of its own."""
        start = OpenTelemetryTracing(self.provider, self.content).start(claim_of())
        context = contextvars.copy_context()
        context.run(start.enter)
        context.run(traced_by, start.handlers)

        async def work() -> None:
            with heard_by(UsageCounter(lambda _: None), None):
                parts = builder.compile(**options).astream(
                    given or {"messages": []}, {"configurable": {"thread_id": "t"}}, stream_mode=["tasks", "values"]
                )
                async for _ in parts:
                    pass

        try:
            await asyncio.create_task(work(), context=context)
        finally:
            start.end(StartEnd("success"))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name: of several the last one."""
        return {span.name: span for span in self.sent.get_finished_spans()}

    def tree(self, parent: int | None = None) -> list[Any]:
        """Names, each followed by those below it."""
        found: list[Any] = []
        for span in sorted(self.sent.get_finished_spans(), key=lambda one: one.start_time or 0):
            if (span.parent.span_id if span.parent else None) == parent:
                below = self.tree(span.context.span_id)
                found += [span.name, below] if below else [span.name]
        return found


@pytest.fixture
def traces() -> Iterator[Traces]:
    found = Traces()
    yield found
    found.provider.shutdown()


def chain(*nodes: Callable[[Any], Any]) -> StateGraph[Any]:
    builder = StateGraph(MessagesState)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    return builder


async def test_what_a_node_does_itself_is_below_the_node_in_the_loop_and_in_a_thread(traces):
    async def one(state):
        with traces.author.start_as_current_span("own"):
            await FakeListChatModel(responses=["a"]).ainvoke("?")
        return {}

    def two(state):
        with traces.author.start_as_current_span("own in a thread"):
            FakeListChatModel(responses=["a"]).invoke("?")
        return {}

    await traces.run(chain(one, two))
    assert traces.tree() == [
        "invoke_workflow desk",
        ["node one", ["own", ["chat"]], "node two", ["own in a thread", ["chat"]]],
    ]


async def test_a_node_that_has_ended_is_above_nothing(traces):
    """LangGraph runs nodes that are alone in their superstep in one task, and reports their ends in others."""

    async def inner(state):
        await chain(first, second).compile().ainvoke(state)
        with traces.author.start_as_current_span("afterwards"):
            pass
        return {}

    async def first(state):
        return {}

    async def second(state):
        return {}

    await traces.run(chain(inner))
    assert traces.tree() == ["invoke_workflow desk", ["node inner", ["node first", "node second", "afterwards"]]]


async def test_a_stream_of_tokens_is_above_nothing_that_its_reader_does(traces):
    async def reads(state):
        async for _ in FakeListChatModel(responses=["ab"]).astream("?"):
            with traces.author.start_as_current_span("token"):
                pass
        return {}

    await traces.run(chain(reads))
    assert traces.tree() == ["invoke_workflow desk", ["node reads", ["chat", "token", "token"]]]


async def test_a_thread_without_the_nodes_context_is_below_the_node_all_the_same(traces):
    def starts_a_thread(state, config):
        call = lambda: FakeListChatModel(responses=["a"]).invoke("?", config)  # noqa: E731
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return {}

    await traces.run(chain(starts_a_thread))
    assert traces.tree() == ["invoke_workflow desk", ["node starts_a_thread", ["chat"]]]


class ToolModel(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def agent_with(name: str, called: Any) -> Any:
    answers = [AIMessage("", tool_calls=[{"name": called.name, "args": {"word": "x"}, "id": "c1"}]), AIMessage("done")]
    return create_agent(ToolModel(messages=iter(answers)), [called], name=name)


async def test_an_agent_that_is_the_tool_of_another_is_below_it(traces):
    @tool
    def look_up(word: str) -> str:
        """Look it up."""
        return word

    inner = agent_with("inner", look_up)

    @tool
    async def delegate(word: str) -> str:
        """Let another agent do it."""
        return str((await inner.ainvoke({"messages": [("user", word)]}))["messages"][-1].content)

    builder = StateGraph(MessagesState)
    builder.add_node("outer", agent_with("outer", delegate))
    builder.add_edge(START, "outer")
    await traces.run(builder)
    model = ["node model", ["chat"]]
    within = [*model, "node tools", ["execute_tool look_up"], *model]
    agent = [*model, "node tools", ["execute_tool delegate", ["invoke_agent inner", within]], *model]
    assert traces.tree() == ["invoke_workflow desk", ["node outer", ["invoke_agent outer", agent]]]
    assert dict(traces.spans["execute_tool look_up"].attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
    }
    assert (traces.spans["invoke_agent inner"].attributes or {})["gen_ai.agent.name"] == "inner"


async def test_a_question_is_no_error_and_an_exception_is_one(traces):
    def asks(state):
        interrupt(SECRET)

    await traces.run(chain(asks), checkpointer=InMemorySaver())
    asked = traces.spans["node asks"]
    assert (asked.status.status_code.name, dict(asked.attributes or {})["langgraph.outcome"]) == (
        "UNSET",
        "interrupted",
    )
    assert SECRET not in str(asked.to_json())


@pytest.mark.parametrize(("texts", "said"), [(True, f"ValueError: {SECRET}"), (False, "ValueError")])
async def test_the_text_of_an_exception_follows_the_workers_setting(texts, said):
    traces = Traces(SpanContent(exception_texts=texts))

    def fails(state):
        raise ValueError(SECRET)

    with pytest.raises(ValueError, match=SECRET):
        await traces.run(chain(fails))
    failed = traces.spans["node fails"]
    assert (failed.status.status_code.name, failed.status.description) == ("ERROR", said)
    assert (failed.attributes or {})["error.type"] == "ValueError"
    assert (SECRET in str(failed.to_json())) is texts


class NamedModel(FakeListChatModel):
    def _get_ls_params(self, stop: Any = None, **_: Any) -> Any:
        return {"ls_provider": "google_genai", "ls_model_type": "chat", "ls_model_name": "pro", "ls_temperature": 0.5}

    def _call(self, *_: Any, **__: Any) -> str:
        return SECRET


@pytest.mark.parametrize("is_captured", [False, True])
async def test_prompts_answers_and_arguments_are_there_only_if_they_are_captured(is_captured):
    traces = Traces(SpanContent(messages=is_captured))

    @tool
    def look_up(word: str) -> str:
        """Look it up."""
        return word

    async def calls(state):
        await NamedModel(responses=["a"]).ainvoke(SECRET)
        await look_up.ainvoke({"word": SECRET})
        return {}

    await traces.run(chain(calls))
    chat = dict(traces.spans["chat pro"].attributes or {})
    assert chat["gen_ai.provider.name"] == "gcp.gemini"
    assert chat["gen_ai.request.temperature"] == 0.5
    content = {"gen_ai.input.messages", "gen_ai.output.messages"}
    assert content <= set(chat) if is_captured else not content & set(chat)
    for span in traces.spans.values():
        assert (SECRET in span.to_json()) is (is_captured and span.name in ("chat pro", "execute_tool look_up"))


def test_text_that_no_exporter_can_encode_is_made_printable(traces):
    start = OpenTelemetryTracing(traces.provider, SpanContent()).start(claim_of(thread_name="half \ud800 \0"))
    start.end(StartEnd("failure", "ValueError", "half \ud800"))
    span = traces.spans["invoke_workflow desk"]
    assert (span.attributes or {})["langgraph.thread.name"] == "half ? \ufffd"
    assert span.status.description == "half ?"


async def test_what_a_node_leaves_open_ends_with_its_start(traces):
    stuck = asyncio.Event()

    async def hangs(state):
        await stuck.wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await traces.run(chain(hangs))
    assert dict(traces.spans["node hangs"].attributes or {})["langgraph.outcome"] == "stopped"


def test_a_start_has_its_runs_names_and_its_totals_under_names_of_their_own(traces):
    start = OpenTelemetryTracing(traces.provider, SpanContent()).start(claim_of(thread_name="talk", takeovers=2))
    used = {"a": ModelUsage(input_tokens=7, output_tokens=3, requests=1, cost_usd=0.5), "b": ModelUsage(input_tokens=1)}
    start.end(StartEnd("failure", "ValueError", "node 'a': ValueError", used))
    start.end(StartEnd("worker_failed"))  # the first call counts
    span = traces.spans["invoke_workflow desk"]
    found = dict(span.attributes or {})
    assert found["gen_ai.conversation.id"] == "thread"
    assert found["langgraph.thread.name"] == "talk"
    assert found["langgraph.run.takeovers"] == 2
    assert found["langgraph.run.status"] == "failure"
    assert found["gen_ai.aggregated_usage.input_tokens"] == 8
    assert "langgraph.run.cost_usd" not in found  # one price is not known
    assert not any(name.startswith("gen_ai.usage.") for name in found)
    assert (span.status.status_code.name, span.status.description) == ("ERROR", "node 'a': ValueError")


def test_a_trace_that_is_not_sampled_costs_no_callbacks_and_keeps_its_ids(traces):
    start = OpenTelemetryTracing(traces.provider, SpanContent()).start(
        claim_of(first_traceparent=f"00-{'a' * 32}-{'b' * 16}-00")
    )
    assert start.handlers == ()
    assert start.traceparent is not None
    assert start.traceparent.startswith(f"00-{'a' * 32}-")
    assert start.traceparent.endswith("-00")
    start.end(StartEnd("success"))
    assert traces.spans == {}
