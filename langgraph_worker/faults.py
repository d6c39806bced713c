"""The one place that says which fault gives what: a result's status, whether a retry helps, a dead letter or none.

:data:`FAULTS` are the faults that the worker names itself; their name is the result's ``error_type``. What a graph
raises becomes a ``failure`` whose ``error_type`` is the exception's class name, and :func:`can_retry_help` judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

from langgraph.errors import EmptyInputError, GraphRecursionError, InvalidUpdateError
from pydantic import ValidationError

from langgraph_worker.reply import RESULT_NOT_JSON, RESULT_TOO_LARGE
from workflow_events.results import ResultStatus


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a request can go wrong.

    :param name: the result's ``error_type``.
    :param status: the result's status.
    :param retriable: whether the same request can do better later, without anyone changing anything.
    :param dead_letter: whether the record is written to the dead-letter topic.
    :param when: for the docs.
    """

    name: str
    status: ResultStatus
    retriable: bool
    dead_letter: bool
    when: str


def _refused(name: str, when: str) -> Fault:
    return Fault(name, ResultStatus.ERROR, retriable=False, dead_letter=True, when=when)


def _unusable(name: str, when: str) -> Fault:
    return Fault(name, ResultStatus.ERROR, retriable=False, dead_letter=False, when=when)


# At the intake. Each is answered if the record names a correlation id, and dead-lettered in any case.
INVALID_EVENT = _refused("invalid_event", "the record is not a request: not JSON, a wrong field, an unknown event type")
UNSUPPORTED_SCHEMA = _refused("unsupported_schema", "the event's schema version is newer than this worker")
EVENT_TOO_LARGE = _refused("event_too_large", "the record is over LANGGRAPH_WORKER_MAX_MESSAGE_BYTES")
NOT_SUPPORTED = _refused("not_supported", "the event asks for something that this version does not do")
NO_GRAPH_NAMED = _refused("no_graph_named", "the event names no graph, and the worker has several and no default")
MODEL_NOT_ALLOWED = _refused("model_not_allowed", "config.model is not in LANGGRAPH_WORKER_ALLOWED_MODELS")
REPLY_TOPIC_NOT_ALLOWED = _refused(
    "reply_topic_not_allowed", "reply_topic is neither the results topic nor in LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS"
)

INTERRUPT_NOT_PENDING = Fault(
    "interrupt_not_pending",
    ResultStatus.ERROR,
    retriable=False,
    dead_letter=False,
    when="the event answers a question that is unknown, answered by somebody else, or left behind by a fresh start",
)

# Of a run.
UNKNOWN_GRAPH = _unusable(
    "unknown_graph", "no worker knew the graph within LANGGRAPH_WORKER_UNKNOWN_GRAPH_GRACE_SECONDS"
)
GRAPH_NOT_USABLE = _unusable("graph_not_usable", "the graph's factory gave something that is no graph")
BAD_INPUT = _unusable("bad_input", "the graph rejects payload.data before any node has run")
RESULT_NOT_SERIALIZABLE = _unusable(
    "result_not_serializable", "the graph's state, or its final state, holds a value that cannot be stored or sent"
)
NOT_JSON = _unusable(RESULT_NOT_JSON, "the result has text that is no Unicode, or is nested too deeply")
TOO_LARGE = _unusable(RESULT_TOO_LARGE, "the result is over LANGGRAPH_WORKER_MAX_MESSAGE_BYTES")
GRAPH_CHANGED = Fault(
    "graph_changed",
    ResultStatus.FAILURE,
    retriable=False,
    dead_letter=False,
    when="an unfinished run cannot go on: a node it knew is gone from the deployed graph",
)
WORKER_LOST = Fault(
    "worker_lost",
    ResultStatus.FAILURE,
    retriable=False,
    dead_letter=True,
    when="several workers in a row vanished while they ran it, and it came no further",
)
DEADLINE = Fault(
    "deadline",
    ResultStatus.TIMEOUT,
    retriable=True,
    dead_letter=False,
    when="the event's deadline passed before the run started, or while it ran",
)
CANCELLED = Fault(
    "cancelled",
    ResultStatus.CANCELLED,
    retriable=False,
    dead_letter=False,
    when="somebody cancelled the request: its task was killed or timed out, or a person did",
)
SUPERSEDED = Fault(
    "superseded",
    ResultStatus.CANCELLED,
    retriable=True,
    dead_letter=False,
    when="a newer attempt of the same task exists",
)

FAULTS: tuple[Fault, ...] = (
    INVALID_EVENT,
    UNSUPPORTED_SCHEMA,
    EVENT_TOO_LARGE,
    NOT_SUPPORTED,
    NO_GRAPH_NAMED,
    MODEL_NOT_ALLOWED,
    REPLY_TOPIC_NOT_ALLOWED,
    INTERRUPT_NOT_PENDING,
    UNKNOWN_GRAPH,
    GRAPH_NOT_USABLE,
    BAD_INPUT,
    RESULT_NOT_SERIALIZABLE,
    NOT_JSON,
    TOO_LARGE,
    GRAPH_CHANGED,
    WORKER_LOST,
    DEADLINE,
    CANCELLED,
    SUPERSEDED,
)

FINAL_EXCEPTIONS: tuple[type[BaseException], ...] = (
    SystemExit,
    KeyboardInterrupt,
    TypeError,
    NameError,
    ImportError,
    SyntaxError,
    NotImplementedError,
    InvalidUpdateError,
    EmptyInputError,
    GraphRecursionError,
)
"""Faults of the program or its settings: the same again gives the same again."""

WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that pass: time-outs, conflicts, too early, too many requests."""

_INPUT_ERRORS = (ValidationError, InvalidUpdateError, EmptyInputError)


def rejects_input(error: BaseException) -> bool:
    """Whether an exception that came before any node ran says that the graph does not take its input."""
    return isinstance(error, _INPUT_ERRORS)


def can_retry_help(error: BaseException) -> bool:
    """Whether running a graph again can help after it raised this.

    An HTTP status (``status_code`` of the exception, as the model clients have it, or of its ``response``) decides
    first, then :data:`FINAL_EXCEPTIONS`; whatever is unknown may pass.
    """
    status = _http_status(error)
    if status is not None:
        return status >= 500 or status in WORTH_ANOTHER_TRY
    return not isinstance(error, FINAL_EXCEPTIONS)


def _http_status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
