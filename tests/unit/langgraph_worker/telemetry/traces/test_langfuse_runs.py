"""Langfuse's own client, sending to a server that records it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from langgraph_worker.execution.model_calls import heard_by, traced_by
from langgraph_worker.telemetry.traces.graph_spans import SpanContent
from langgraph_worker.telemetry.traces.langfuse_runs import LangfuseTracing, _session
from langgraph_worker.telemetry.traces.port import StartEnd
from langgraph_worker.telemetry.traces.trace_ids import span_of_start, trace_of_logical_run
from langgraph_worker.telemetry.usage import UsageCounter
from tests.support.langfuse import langfuse_server
from tests.support.trace_claims import claim_of

SECRET = "the position is open"


async def asks(state: Any) -> Any:
    await FakeListChatModel(responses=[SECRET]).ainvoke(SECRET)
    interrupt(SECRET)


def fails(state: Any) -> Any:
    raise ValueError(SECRET)


async def trace_of(node: Any, claim: Any, content: SpanContent, monkeypatch: pytest.MonkeyPatch, key: str) -> list[Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    graph = builder.compile(checkpointer=InMemorySaver())
    with langfuse_server() as server:
        for name, value in {**server.env, "LANGFUSE_PUBLIC_KEY": key}.items():  # the client keeps one for each key
            monkeypatch.setenv(name, value)
        tracing = LangfuseTracing.from_environment("w1", content)
        start = tracing.start(claim)
        context = contextvars.copy_context()
        context.run(traced_by, start.handlers)

        async def work() -> None:
            with heard_by(UsageCounter(lambda _: None), None):
                await graph.ainvoke({"messages": []}, {"configurable": {"thread_id": "t"}})

        await asyncio.gather(asyncio.create_task(work(), context=context), return_exceptions=True)
        start.end(StartEnd("interrupted"))
        await asyncio.to_thread(tracing.close)
        return list(server.received.spans)


@pytest.mark.parametrize("is_captured", [False, True])
async def test_a_run_is_in_the_trace_of_its_logical_run_and_its_session_is_the_thread(monkeypatch, is_captured):
    claim = claim_of(thread_name="talk")
    spans = await trace_of(asks, claim, SpanContent(messages=is_captured), monkeypatch, f"pk-{is_captured}")
    assert {span.trace_id for span in spans} == {trace_of_logical_run(claim.logical_run)}
    kinds = sorted(span.attributes["langfuse.observation.type"] for span in spans)
    assert kinds == ["chain", "chain", "generation"]
    (root,) = [span for span in spans if span.parent_id == span_of_start(claim.correlation_id, 1)]
    assert root.attributes["langfuse.internal.as_root"] is True
    assert root.attributes["session.id"] == "talk"
    assert root.attributes["langfuse.trace.name"] == "desk"
    assert (SECRET in str(spans)) is is_captured


@pytest.mark.parametrize("texts", [False, True])
async def test_the_text_of_an_exception_follows_the_workers_setting(monkeypatch, texts):
    spans = await trace_of(fails, claim_of(), SpanContent(exception_texts=texts), monkeypatch, f"pk-texts-{texts}")
    assert [span.error for span in spans] == [SECRET if texts else "ValueError"] * 2
    assert (SECRET in str(spans)) is texts


def test_a_name_that_langfuse_does_not_take_is_replaced_by_the_threads_id():
    assert _session(claim_of(thread_name="kühn")) == "thread"
    assert _session(claim_of(thread_name="x" * 201)) == "thread"
    assert _session(claim_of(thread_name=None)) == "thread"
