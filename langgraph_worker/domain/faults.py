"""The one place that says what a fault gives: the result's status, whether a retry helps, and if a dead letter is kept.

:data:`FAULTS` are the faults that the worker names itself; their name is the result's ``error_type``. What a graph
raises becomes a ``failure`` whose ``error_type`` is the exception's class name, and
:func:`~langgraph_worker.execution.exception_rules.can_retry_help` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

from langgraph_worker.domain.reply_encoding import RESULT_NOT_JSON, RESULT_TOO_LARGE
from workflow_events.results import ResultStatus


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a request can go wrong.

    :param name: the result's ``error_type``.
    :param status: the result's status.
    :param retriable: whether the same request can do better later, without anyone changing anything.
    :param dead_letter: whether the record is written to the dead-letter topic.
    :param when: for the docs.
    :param remedy: what a person can do about it, for the docs.
    """

    name: str
    status: ResultStatus
    retriable: bool
    dead_letter: bool
    when: str
    remedy: str


def _refused(name: str, when: str, remedy: str) -> Fault:
    return Fault(name, ResultStatus.ERROR, retriable=False, dead_letter=True, when=when, remedy=remedy)


def _unusable(name: str, when: str, remedy: str) -> Fault:
    return Fault(name, ResultStatus.ERROR, retriable=False, dead_letter=False, when=when, remedy=remedy)


# At the intake. Each is answered if the record names a correlation id, and dead-lettered in any case.
INVALID_EVENT = _refused(
    "invalid_event",
    "the record is not a request: not JSON, a wrong field, an unknown event type",
    "correct the field that the text names, and send the event again with a new event_id",
)
UNSUPPORTED_SCHEMA = _refused(
    "unsupported_schema",
    "the event's schema version is newer than this worker",
    "upgrade the workers before Airflow's side",
)
EVENT_TOO_LARGE = _refused(
    "event_too_large",
    "the record is over LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
    "pass a reference to large data, or raise LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
)
NOT_SUPPORTED = _refused(
    "not_supported",
    "the event asks for something that this version does not do",
    "leave the field out that the text names, or upgrade the workers",
)
NO_GRAPH_NAMED = _refused(
    "no_graph_named",
    "the event names no graph, and the worker has several and no default",
    "name a graph in the event, or set LANGGRAPH_WORKER_DEFAULT_GRAPH",
)
MODEL_NOT_ALLOWED = _refused(
    "model_not_allowed",
    "config.model is not in LANGGRAPH_WORKER_ALLOWED_MODELS",
    "choose a model of the list, or add it to LANGGRAPH_WORKER_ALLOWED_MODELS",
)
REPLY_TOPIC_NOT_ALLOWED = _refused(
    "reply_topic_not_allowed",
    "reply_topic is neither the results topic nor in LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS",
    "leave reply_topic out, or add it to LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS",
)
NOT_STORABLE = _refused(
    "not_storable",
    "the event is valid, but the run store cannot decide on it or keep it",
    "read the worker's log, which has the cause; correct the event, or mend the run store",
)
UNDECODABLE = _refused(
    "undecodable",
    "the Kafka client cannot unpack the record, so that nobody knows whom to answer: the dead letter has the offsets",
    "read the dead letter, and find out who wrote the record",
)

OVERLOADED = Fault(
    "overloaded",
    ResultStatus.ERROR,
    retriable=True,
    dead_letter=False,
    when="its deployment has half of LANGGRAPH_WORKER_MAX_WAITING unfinished of the graph, and others use the fleet",
    remedy="let Airflow retry; see what holds the graph up, or raise LANGGRAPH_WORKER_MAX_WAITING",
)

INTERRUPT_NOT_PENDING = Fault(
    "interrupt_not_pending",
    ResultStatus.ERROR,
    retriable=False,
    dead_letter=False,
    when="the event answers a question that is unknown, answered by another request, asked before a fresh start, or "
    "asked by a run that it does not name, or by several; or its run would ask a question after one",
    remedy="answer the question that is pending now: the latest result of the thread names its id",
)

# Of a run.
UNKNOWN_GRAPH = _unusable(
    "unknown_graph",
    "no worker knew the graph within LANGGRAPH_WORKER_UNKNOWN_GRAPH_GRACE_SECONDS",
    "correct the name, or deploy a worker whose langgraph.json has the graph",
)
UNKNOWN_ASSISTANT = _unusable(
    "unknown_assistant",
    "the event names an assistant that the graph's entry in langgraph.json does not have",
    "choose one of the assistants that the text names, or add it to the entry of the graph",
)
INVALID_CONTEXT = _unusable(
    "invalid_context",
    "the graph's context schema does not have a name in the context, lacks one that it requires, or has another type",
    "correct the name or the value that the text names, by the graph's context schema (langgraph-worker graphs shows "
    "it)",
)
NOT_STARTABLE = _unusable(
    "not_startable",
    "the run store cannot read the stored request, or not store its start",
    "read the worker's log, which has the cause, and clear the task",
)
GRAPH_NOT_USABLE = _unusable(
    "graph_not_usable",
    "the graph's factory gave something that is no graph",
    "let the factory return a graph, compiled or not",
)
CONFIG_NOT_ALLOWED = _unusable(
    "config_not_allowed",
    "context or config.configurable has a name that moves power (an endpoint, a key, a provider, a model, a command, "
    "another graph), or one that the entry of the graph in langgraph.json does not let events set; or "
    "config.interrupt_before or .interrupt_after names a node that the graph does not have",
    "leave the name out, or let the entry of the graph allow it as the text says",
)
INPUT_NOT_ALLOWED = _unusable(
    "input_not_allowed",
    "a value of the event would make LangGraph replace what a reducer has gathered, or remove messages, or the event "
    "has a command or is a fork, and the entry of the graph in langgraph.json does not allow that",
    "leave the value out, or let the entry of the graph allow it as the text says",
)
BAD_INPUT = _unusable(
    "bad_input",
    "the graph rejects payload.data before any node has run",
    "correct the input by the text, which names field and rule (langgraph-worker graphs shows the schema)",
)
STORED_STATE_INVALID = _unusable(
    "stored_state_invalid",
    "the graph does not take the state that its thread has stored: the state's schema has changed since",
    "give the state's schema a default for what the text names; or start over, as the text says",
)
RESULT_NOT_SERIALIZABLE = _unusable(
    "result_not_serializable",
    "the graph's state, or its final state, holds a value that cannot be stored or sent",
    "return plain values from the node that the text names, or leave the value out of the output",
)
NOT_JSON = _unusable(
    RESULT_NOT_JSON,
    "the result has text that is no Unicode, or is nested too deeply",
    "find what writes such text, or nests so deeply, and replace it in a node",
)
TOO_LARGE = _unusable(
    RESULT_TOO_LARGE,
    "the result is over LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
    "return less, or a reference to large data; else raise max.message.bytes of the results topic, and then "
    "LANGGRAPH_WORKER_MAX_MESSAGE_BYTES",
)
REDACTION_FAILED = _unusable(
    "redaction_failed",
    "the project's redaction hook raised, or returned what has no JSON form, so that the run's result may not leave",
    "mend the function that langgraph.json names in 'redact', restart the workers, and go on with the run "
    "(langgraph-worker runs resume, or clear the task with on_clear='resume'): its finished nodes do not run again",
)
CHECKPOINT_GONE = _unusable(
    "checkpoint_gone",
    "the checkpoint with which a fork is to begin is not there: its run was pruned, it was trimmed, or it is another "
    "store's",
    "choose one that is there (langgraph-worker runs checkpoints), and keep more (LANGGRAPH_WORKER_KEEP_CHECKPOINTS)",
)
GRAPH_CHANGED = Fault(
    "graph_changed",
    ResultStatus.FAILURE,
    retriable=False,
    dead_letter=False,
    when="an unfinished run cannot go on: a node it knew is gone from the deployed graph",
    remedy="deploy the graph with the node that the text names, or clear the task to start afresh",
)
WORKER_LOST = Fault(
    "worker_lost",
    ResultStatus.FAILURE,
    retriable=False,
    dead_letter=True,
    when="several workers in a row vanished while they ran it, and it wrote no new checkpoint",
    remedy="see how the worker that the text names ended (memory, a crash in native code), and mend that; then clear "
    "the task, or replay its dead letter: that goes on from the last checkpoint",
)
DEADLINE = Fault(
    "deadline",
    ResultStatus.TIMEOUT,
    retriable=True,
    dead_letter=False,
    when="the event's deadline passed before the run started, while it ran, or while it waited to be repeated",
    remedy="do what the text says of the cause; allow a longer timeout, or run more workers",
)
BUDGET_EXCEEDED = Fault(
    "budget_exceeded",
    ResultStatus.FAILURE,
    retriable=False,
    dead_letter=False,
    when="the run has spent what the event's budget, or that of its graph's entry in langgraph.json, allows; or it can "
    "not be known what a model costs",
    remedy="allow more of what the text names, and clear the task; with on_clear='resume' it goes on where it ended",
)
CANCELLED = Fault(
    "cancelled",
    ResultStatus.CANCELLED,
    retriable=False,
    dead_letter=False,
    when="the request was cancelled: its task was killed or timed out, or a person cancelled it",
    remedy="none, if it was wanted; else clear the task",
)
SUPERSEDED = Fault(
    "superseded",
    ResultStatus.CANCELLED,
    retriable=True,
    dead_letter=False,
    when="a newer attempt of the same task exists",
    remedy="none: the newer attempt has the result",
)

FAULTS: tuple[Fault, ...] = (
    INVALID_EVENT,
    UNSUPPORTED_SCHEMA,
    EVENT_TOO_LARGE,
    NOT_SUPPORTED,
    NO_GRAPH_NAMED,
    MODEL_NOT_ALLOWED,
    REPLY_TOPIC_NOT_ALLOWED,
    NOT_STORABLE,
    UNDECODABLE,
    OVERLOADED,
    INTERRUPT_NOT_PENDING,
    UNKNOWN_GRAPH,
    UNKNOWN_ASSISTANT,
    NOT_STARTABLE,
    GRAPH_NOT_USABLE,
    CONFIG_NOT_ALLOWED,
    INPUT_NOT_ALLOWED,
    INVALID_CONTEXT,
    BAD_INPUT,
    STORED_STATE_INVALID,
    RESULT_NOT_SERIALIZABLE,
    NOT_JSON,
    TOO_LARGE,
    REDACTION_FAILED,
    CHECKPOINT_GONE,
    GRAPH_CHANGED,
    WORKER_LOST,
    DEADLINE,
    BUDGET_EXCEEDED,
    CANCELLED,
    SUPERSEDED,
)
