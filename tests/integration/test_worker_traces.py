"""The traces of a real worker, as real receivers get them: one for all starts of a logical run, on each store."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from devtools.broker import Broker
from devtools.processes import wait_until
from langgraph_worker.telemetry.traces.trace_ids import span_of_start, trace_of_logical_run
from tests.support.langfuse import SECRET_KEY, LangfuseServer, langfuse_server
from tests.support.otlp import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.support.worker import GRAPHS, PLAIN, SECONDS, Desk, Gate, desk_of
from workflow_events import ResultStatus
from workflow_events.control import WorkflowPausedEvent, WorkflowUnpausedEvent
from workflow_events.headers import of_message
from workflow_events.identity import lineage_of, logical_run_id
from workflow_events.models import WorkflowEvent
from workflow_events.trace_context import TraceParent, traceparent_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TRACED = GRAPHS / "traced" / "langgraph.json"
SECRET = "position-of-tests"
TASK = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
ANSWERING_TASK = TraceParent("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@dataclass(frozen=True)
class Traced:
    """A worker whose traces go to both receivers."""

    desk: Desk
    otlp: OtlpReceiver
    langfuse: LangfuseServer

    def ask(self, trace: TraceParent | None, **fields: Any) -> UUID:
        event = {**PLAIN, "event_id": str(uuid.uuid4()), "graph": "traced", **fields}
        self.desk.send(json.dumps(event), () if trace is None else (("traceparent", str(trace).encode()),))
        return UUID(event["event_id"])

    def wait_for(self, name: str, parent: str) -> ReceivedSpan:
        def found() -> list[ReceivedSpan]:
            return [span for span in self.otlp.spans if (span.name, span.parent_id) == (name, parent)]

        child = self.desk.worker.child
        show = [child] if child else []
        return wait_until(f"the span {name!r}", found, timeout=SECONDS, show=show)[0]  # type: ignore[no-any-return]

    def starts(self) -> dict[str, ReceivedSpan]:
        return {span.span_id: span for span in self.otlp.spans if span.name == "invoke_workflow traced"}

    @property
    def generations(self) -> list[ReceivedSpan]:
        """The calls of models that Langfuse has."""
        spans = self.langfuse.received.spans
        return [span for span in spans if span.attributes.get("langfuse.observation.type") == "generation"]

    def below(self, parent: str) -> list[str]:
        return [span.name for span in self.otlp.spans if span.parent_id == parent]


@pytest.fixture(params=["sqlite", "postgres"])
def traced(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Traced]:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with (
        otlp_receiver() as otlp,
        langfuse_server() as langfuse,
        desk_of(
            broker,
            tmp_path,
            TRACED,
            default_graph="traced",
            lease_seconds=2,
            store_url=url,
            exception_texts="false",
            variables={**otlp.env, **langfuse.env, "OTEL_TRACES_EXPORTER": "otlp"},
        ) as desk,
    ):
        yield Traced(desk, otlp, langfuse)


def ask_until_it_asks(traced: Traced, trace: TraceParent | None) -> tuple[UUID, Gate, str]:
    """A request whose run is repeated, killed, taken over and paused, until it asks; the id of its question."""
    desk = traced.desk
    gate = desk.gate()
    request = traced.ask(trace, payload={"data": gate.data})
    gate.wait_for("wait")
    second = span_of_start(request, 2)
    # The kill loses what is not sent.
    traced.wait_for("node plan", second)
    wait_until("Langfuse to have the call", lambda: traced.generations, timeout=SECONDS)
    assert desk.worker.child is not None
    desk.worker.child.kill()
    desk.worker.launch()
    desk.worker.wait_ready()
    gate.wait_for("wait", 2)
    desk.steer(WorkflowPausedEvent(scope="fleet", at_once=True))
    desk.logged("[stopped] stopped before its end: the fleet is paused")
    desk.steer(WorkflowUnpausedEvent(scope="fleet"))
    gate.wait_for("wait", 3)
    gate.open()
    asked = desk.answer(request)
    assert asked.status is ResultStatus.INTERRUPTED
    return request, gate, asked.interrupts[0].id


def test_a_retry_a_takeover_a_pause_and_an_answer_are_in_one_trace(traced: Traced) -> None:
    desk = traced.desk
    with desk.worker:
        request, gate, question = ask_until_it_asks(traced, TASK)
        fields = {"event_type": "workflow.resumed", "round": 1, "payload": {"data": {}}}
        answer = traced.ask(ANSWERING_TASK, answers=[{"interrupt_id": question, "value": "yes"}], **fields)
        assert desk.answer(answer).status is ResultStatus.SUCCESS
        log = desk.worker.child.output() if desk.worker.child else ""
    assert gate.ledger == ["fetch", "plan", "plan", "wait", "wait", "wait", "trade"]

    trace = TASK.trace_id
    first, lost, third, fourth = (span_of_start(request, number) for number in (1, 2, 3, 4))
    resumed = span_of_start(answer, 1)
    starts = traced.starts()
    assert set(starts) == {first, third, fourth, resumed}  # the killed one's own span was never sent
    assert {span.trace_id for span in traced.otlp.spans} == {trace}
    assert {span.parent_id for span in starts.values()} == {TASK.span_id}
    assert [starts[one].links for one in (first, third, fourth, resumed)] == [
        (),
        ((trace, lost),),
        ((trace, third),),
        ((ANSWERING_TASK.trace_id, ANSWERING_TASK.span_id),),
    ]
    statuses = [starts[one].attributes["langgraph.run.status"] for one in (first, third, fourth, resumed)]
    assert statuses == ["backs_off", "paused", "interrupted", "success"]
    assert [starts[one].attributes["langgraph.run.takeovers"] for one in (first, third)] == [0, 1]
    assert starts[first].error == "node 'plan': ConnectError"
    assert traced.below(first) == ["node fetch", "node plan"]
    assert traced.below(lost) == ["node plan"]
    assert [span.error for span in traced.otlp.spans if span.parent_id == first] == [None, "ConnectError"]
    assert "node approve" in traced.below(fourth)
    assert sorted(traced.below(resumed)) == ["node approve", "node trade"]
    fetch = next(span for span in traced.otlp.spans if span.name == "node fetch")
    assert traced.below(fetch.span_id) == ["read the book"]

    # Who reads the result or the progress goes on in the same trace.
    (reply,) = desk.messages(request)[:1]
    assert traceparent_of(of_message(reply)) == str(TraceParent(trace, fourth))

    chat = next(span for span in traced.otlp.spans if span.name == "chat small")
    assert chat.attributes["gen_ai.provider.name"] == "mistral_ai"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 7
    assert starts[resumed].attributes["gen_ai.aggregated_usage.output_tokens"] == 3
    assert not any("gen_ai.usage.input_tokens" in span.attributes for span in starts.values())
    assert starts[resumed].service["service.name"] == "langgraph-worker"

    langfuse = traced.langfuse
    assert langfuse.is_authorized
    assert {span.trace_id for span in langfuse.received.spans} == {trace}
    assert len(traced.generations) == 2
    # Each has its own spans, and none of the other's.
    assert {span.scope for span in langfuse.received.spans} == {"langfuse-sdk"}
    assert {span.scope for span in traced.otlp.spans} == {"langgraph_worker", "author"}
    assert [span for span in (*traced.otlp.spans, *langfuse.received.spans) if SECRET in str(span)] == []
    assert SECRET not in log
    assert SECRET_KEY not in f"{traced.otlp.spans} {langfuse.received.spans} {log}"


def test_without_a_trace_of_its_own_the_logical_run_names_it(traced: Traced) -> None:
    desk = traced.desk
    with desk.worker:
        request, _, question = ask_until_it_asks(traced, None)
        fields = {"event_type": "workflow.resumed", "round": 1, "payload": {"data": {}}}
        answer = traced.ask(None, answers=[{"interrupt_id": question, "value": "yes"}], **fields)
        assert desk.answer(answer).status is ResultStatus.SUCCESS
    starts = traced.starts()
    assert set(starts) == {*(span_of_start(request, number) for number in (1, 3, 4)), span_of_start(answer, 1)}
    event = WorkflowEvent.model_validate({**PLAIN, "event_id": str(request)})
    trace = trace_of_logical_run(logical_run_id(lineage_of(event), request))
    assert {span.trace_id for span in (*traced.otlp.spans, *traced.langfuse.received.spans)} == {trace}
    assert {span.parent_id for span in starts.values()} == {""}


@pytest.fixture
def silent_receiver() -> Iterator[int]:
    """A port that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_receiver_that_never_answers_slows_and_ends_nothing(
    broker: Broker, tmp_path: Path, silent_receiver: int
) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent_receiver}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with desk_of(broker, tmp_path, TRACED, default_graph="traced", variables=variables) as desk, desk.worker:
        gate = desk.gate()
        gate.open()
        for _ in range(3):
            assert desk.run("traced", gate.data).status is ResultStatus.INTERRUPTED
        child = desk.worker.child
        assert child is not None
        desk.worker.stop()
        log = child.output()
    assert "the last traces are lost: their receiver has not taken them within 3 s" in log
    assert "[stopped] worker stopped" in log
    assert "Traceback" not in log
