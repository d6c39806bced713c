"""The exceptions that a task can fail with. Whether Airflow retries is part of the type.

::

    LangGraphError (AirflowException)
    ├── SettingsError                 a setting is wrong; never retried
    │   └── GraphCheckError           ... because the workers announce no such graph, or other fields of it
    ├── KafkaError                    Kafka could not be used; retried
    │   ├── KafkaSettingsError        ... because the connection's settings are wrong; never retried
    │   ├── PublishError              the request was not acknowledged, the agent may not have been asked
    │   │   └── MessageRefusedError   ... because the broker takes none of its size; never retried
    │   └── WaitError                 the reply cannot be waited for, or cannot be read
    └── RunError                      the agent answered, but not with a result
        ├── RunFailed                 status failure: the graph ran and failed
        ├── RunRejected               status error: the request could not be run
        ├── RunTimedOut               status timeout, or no answer before the deadline
        ├── RunCancelled              status cancelled: by a person, or by a newer attempt
        ├── RunInterrupted            status interrupted: the graph waits for a person
        │   └── AnswerTimeoutError    ... and nobody has answered within answer_timeout; never retried
        ├── AgentsFailed              several agents of one task failed, or its orchestrator cannot be followed
        ├── ResultRefusedError        status success, but Airflow cannot keep the result as it is; never retried
        └── OutputSchemaError         status success, but the result does not fit output_schema; never retried

How they are named: ``…Error`` for what could not be done, and for each base class; ``Run`` with a participle for a run
that has ended without a result, after the result's status. ``retriable`` is given by the class.

Each ``Run…`` class, and ``AgentsFailed``, has a twin ``Final…`` that is an ``AirflowFailException`` too, raised when
the worker reports that running again cannot help: Airflow then fails the task at once, without its retries. Catch the
plain name for both.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from workflow_events.plain_text import indented
from workflow_events.results import ResultStatus, WorkflowResultEvent

__all__ = [
    "AgentsFailed",
    "AnswerTimeoutError",
    "FinalAgentsFailed",
    "FinalRunCancelled",
    "FinalRunFailed",
    "FinalRunInterrupted",
    "FinalRunRejected",
    "FinalRunTimedOut",
    "GraphCheckError",
    "KafkaError",
    "KafkaSettingsError",
    "LangGraphError",
    "MessageRefusedError",
    "OutputSchemaError",
    "PublishError",
    "ResultRefusedError",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunInterrupted",
    "RunRejected",
    "RunTimedOut",
    "SettingsError",
    "WaitError",
]


_LONGEST_SECONDS = 10 * 365 * 86_400.0  # what a timedelta can be added to a date with


class LangGraphError(AirflowException):
    """Base of this provider's errors.

    Its text may quote a graph, a message or a broker: control characters in it are escaped, and further lines indented.

    :cvar retriable: whether Airflow's retry can help although nothing is changed.
    """

    retriable = True

    def __init__(self, message: str = "") -> None:
        super().__init__(indented(message))


class SettingsError(LangGraphError, AirflowFailException):
    """An argument, a configuration option or the rendered input is wrong: names it and the remedy."""

    retriable = False


class GraphCheckError(SettingsError):
    """The workers announce no such graph or assistant, or the graph does not take such an input: names the field."""


class KafkaError(LangGraphError):
    """Kafka could not be used."""


class KafkaSettingsError(KafkaError, AirflowFailException):
    """The Kafka connection holds a setting that cannot work, or would break the protocol."""

    retriable = False


class PublishError(KafkaError):
    """The broker has not acknowledged the request. Publishing it again is safe: it is the same request."""


class MessageRefusedError(PublishError, AirflowFailException):
    """The broker takes no message of this size. Remedy: pass a reference to large data, or raise the topic's limit."""

    retriable = False


class WaitError(KafkaError):
    """The reply cannot be waited for, or arrived in a form that cannot be read."""


class RunError(LangGraphError):
    """The agent answered, but not with a result.

    :ivar result: the whole answer; None when none came before the deadline.
    """

    def __init__(self, message: str, result: WorkflowResultEvent | None = None) -> None:
        super().__init__(message)
        self.result = result

    @property
    def retry_after(self) -> timedelta | None:
        """How long to wait before a retry, as the worker names it; None: it names nothing."""
        seconds = None if self.result is None else self.result.retry_after_seconds
        return None if seconds is None else timedelta(seconds=min(seconds, _LONGEST_SECONDS))


class RunFailed(RunError):
    """The graph ran and failed."""


class RunRejected(RunError):
    """The request could not be run: unknown graph, input the graph refuses, a dead letter."""


class RunTimedOut(RunError):
    """The deadline passed before the agent had finished."""


class RunCancelled(RunError):
    """The run was cancelled, or a newer attempt of the task took its place."""


class RunInterrupted(RunError):
    """The graph waits for a person's answer."""


class AgentsFailed(RunError):
    """Several agents of one task failed in different ways, or its orchestrator's answer cannot be followed: names them.
    Where all failed in the same way, or one did, the class is that of their failure.
    """


class ResultRefusedError(RunError, AirflowFailException):
    """The agent succeeded, but its result is not returned: it holds keys of which Airflow makes objects, or what
    Airflow cannot keep.
    """

    retriable = False


class OutputSchemaError(RunError, AirflowFailException):
    """The agent succeeded, but its result does not fit the task's ``output_schema``: names the field."""

    retriable = False


class FinalRunFailed(RunFailed, AirflowFailException):
    """:class:`RunFailed`, and running again cannot help."""

    retriable = False


class FinalRunRejected(RunRejected, AirflowFailException):
    """:class:`RunRejected`, and running again cannot help."""

    retriable = False


class FinalRunTimedOut(RunTimedOut, AirflowFailException):
    """:class:`RunTimedOut`, and running again cannot help."""

    retriable = False


class FinalRunCancelled(RunCancelled, AirflowFailException):
    """:class:`RunCancelled`, and running again cannot help."""

    retriable = False


class FinalRunInterrupted(RunInterrupted, AirflowFailException):
    """:class:`RunInterrupted`, and running again cannot help: it would ask the same question."""

    retriable = False


class FinalAgentsFailed(AgentsFailed, AirflowFailException):
    """:class:`AgentsFailed`, and running again cannot help."""

    retriable = False


class AnswerTimeoutError(FinalRunInterrupted):
    """A task with ``on_interrupt="ask"`` has waited for a person's answer as long as its ``answer_timeout`` says.

    The graph's question stays open; running again would ask it again.
    """


_BY_STATUS: dict[ResultStatus, tuple[type[RunError], type[RunError]]] = {
    ResultStatus.FAILURE: (RunFailed, FinalRunFailed),
    ResultStatus.ERROR: (RunRejected, FinalRunRejected),
    ResultStatus.TIMEOUT: (RunTimedOut, FinalRunTimedOut),
    ResultStatus.CANCELLED: (RunCancelled, FinalRunCancelled),
    ResultStatus.INTERRUPTED: (RunInterrupted, FinalRunInterrupted),
}
# Used when the worker does not know. A timeout is retried because the retry resumes from the last checkpoint; a
# question stays the same question.
_RETRIABLE_BY_DEFAULT = frozenset({ResultStatus.FAILURE, ResultStatus.TIMEOUT})


_WITHOUT_ERROR = {
    ResultStatus.INTERRUPTED: (
        "the graph waits for a person's answer; the task's log and its XCom 'question' say what it asks"
    ),
    ResultStatus.CANCELLED: "the run was cancelled",
}


def error_for(result: WorkflowResultEvent, error: str | None = None) -> RunError:
    """The exception for a result other than ``success``. Its text says why, and whether a retry can help.

    :param error: the result's reason in the author's words; None: as it is.
    """
    error = error or result.error
    retriable = result.retriable if result.retriable is not None else result.status in _RETRIABLE_BY_DEFAULT
    kind = _BY_STATUS[result.status][0 if retriable else 1]
    type_ = f", {result.error_type}" if result.error_type else ""
    help_ = "a retry can help" if retriable else "a retry cannot help"
    thread = f", thread {result.thread_name}" if result.thread_name else ""
    worker = f", worker {result.worker_id}" if result.worker_id else ""
    return kind(
        f"{error or _WITHOUT_ERROR.get(result.status, 'no reason given')} "
        f"(status {result.status.value}{type_}; {help_}; request {result.correlation_id}{thread}{worker})",
        result,
    )
