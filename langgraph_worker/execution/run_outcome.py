"""The outcome of a run, from how its graph's stream ended or from what was raised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.resumed_graphs import GraphChangedError
from langgraph_worker.checkpoints.serializer import NamingSerializer, NotStorableError
from langgraph_worker.domain import faults
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.domain.json_values import NotSerializableError, describe, locate, to_json
from langgraph_worker.domain.results import Outcome, Reporter
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.execution.exception_rules import rejects_input
from langgraph_worker.execution.graph_stream import StreamEnd
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.run_retries import RunRetries
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.thread_position import graph_changed
from workflow_events.log_words import with_article
from workflow_events.results import Interrupt

_NO_MAPPING = (
    "Send a mapping if that is the graph's state. A template of Airflow renders to text: pass another task's output as "
    "it is, or a mapping with templates inside"
)
_ITEM_OF_A_MAPPING = (
    "Send a mapping if that is the graph's state. Airflow makes such pairs of .expand(input={...}), which maps over "
    "the mapping's items: write .expand(input=[{...}])"
)
_TAKES_A_MAPPING = "Expected dict, got "
"""How LangGraph begins to say that a graph's input is no mapping. The value follows, which no text may quote."""

_ADVICE_OF_LANGGRAPH = "\nFor troubleshooting, visit: "
"""How LangGraph's texts end. Its page is about what nodes return, and here no node has run."""


_NAMED = (RunFaultError, GraphChangedError, GraphLoadError, NotStorableError)
"""The worker's own; among the members of a group, they are why the others failed too."""


def outcome_of_end(reporter: Reporter, end: StreamEnd, excess: str | None = None) -> Outcome:
    """Success, or the questions that wait for a person; a fault if the state has no JSON form.

    :param excess: why the run is over its budget, although its graph has ended: a node made something else of a call
        that was refused.
    """
    now = datetime.now(UTC)
    if excess is not None:
        return reporter.fault(faults.BUDGET_EXCEEDED, excess, now)
    try:
        state = to_json(end.state)
        if end.interrupts is None:
            return reporter.success(state, now)
        questions = [Interrupt(id=interrupt.id, value=to_json(interrupt.value)) for interrupt in end.interrupts]
        return reporter.interrupted(state, questions, now)
    except NotSerializableError as error:
        where = _located(error, reporter)
        text = f"the result cannot be sent as JSON: {where}. Return plain values, or leave it out of the output"
        return reporter.fault(faults.RESULT_NOT_SERIALIZABLE, text, now, error)


def outcome_of_error(
    reporter: Reporter,
    error: BaseException,
    steps: StepRecorder,
    retries: RunRetries,
    *,
    timed_out: bool,
    excess: str | None = None,
) -> Outcome:
    """The worker's own fault if the error is one, else what the graph raised, which may be repeated.

    :param timed_out: the deadline has ended the run, and the error follows from that.
    :param excess: why the run is over its budget, which has ended it; None if it is not.
    """
    now = datetime.now(UTC)
    if timed_out:
        return reporter.past_deadline(now)
    if excess is not None:
        return reporter.fault(faults.BUDGET_EXCEEDED, excess, now)
    error = next((leaf for leaf in leaves(error) if isinstance(leaf, _NAMED)), error)
    if isinstance(error, RunFaultError):
        return reporter.fault(error.fault, str(error), now)
    if isinstance(error, GraphChangedError):
        return reporter.fault(faults.GRAPH_CHANGED, graph_changed(reporter.claim.graph, error.gone), now)
    if isinstance(error, GraphLoadError):
        return reporter.fault(faults.GRAPH_NOT_USABLE, str(error), now, error)
    if isinstance(error, NotStorableError):
        return reporter.fault(faults.RESULT_NOT_SERIALIZABLE, _not_storable(error, steps, reporter), now, error)
    if steps.started == 0 and rejects_input(error):
        text = f"the graph rejects its input: {_input_problem(error, reporter)}"
        if reporter.claim.event.payload.command is not None:
            text = f"field 'payload.command': {text}"
        elif not isinstance(reporter.claim.event.payload.data, dict):
            text = f"field 'payload.data': {text}. {_remedy(reporter.claim.event.payload.data)}"
        return reporter.fault(faults.BAD_INPUT, text, now, error)
    return reporter.raised(error, steps.failed_node, now, retries.judge(error, now))


def _input_problem(error: BaseException, reporter: Reporter) -> str:
    if not reporter.exception_texts:
        return type(error).__name__
    text = describe(error).partition(_ADVICE_OF_LANGGRAPH)[0]
    if not text.startswith(_TAKES_A_MAPPING):
        return text
    command, data = reporter.claim.event.payload.command, reporter.claim.event.payload.data
    given = data if command is None else command.update
    return f"it takes a mapping, and was given {with_article(type(given).__name__)}"


def _remedy(given: Any) -> str:
    is_item = isinstance(given, list) and len(given) == 2 and isinstance(given[0], str)
    return _ITEM_OF_A_MAPPING if is_item else _NO_MAPPING


def _located(error: NotSerializableError, reporter: Reporter) -> str:
    return str(error if reporter.exception_texts else NotSerializableError(error.path, error.kind))


def _not_storable(error: NotStorableError, steps: StepRecorder, reporter: Reporter) -> str:
    node, output = steps.last_output or ("", None)
    located = locate(output, NamingSerializer(LoadableClasses()).dumps_typed)
    where = f"node {node!r}: {_located(located, reporter)}" if located is not None else reporter.described(error)
    return f"the graph's state cannot be stored: {where}. Return plain values from nodes"
