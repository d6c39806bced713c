"""Build the result of a run, which is stored and sent, from what happened in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from langgraph_worker.domain.exception_texts import described, traceback_of, type_name
from langgraph_worker.domain.faults import DEADLINE, REDACTION_FAILED, RESULT_NOT_SERIALIZABLE, Fault
from langgraph_worker.domain.graph_traceback import graph_traceback
from langgraph_worker.domain.models import Claim, Failure
from langgraph_worker.domain.redaction import RedactionError, Redactor
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, NoRetry, RaisedError
from langgraph_worker.domain.spending import Spending, sum_of
from workflow_events.log_words import in_utc
from workflow_events.results import Interrupt, ModelUsage, ResultStatus, WorkflowResultEvent

_MAX_ERROR_CHARACTERS = 4_000  # in a result
MAX_MODEL_CHARACTERS = 512  # of a model's name in the run store
_NOTHING = ModelUsage(cost_usd=0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the result to store, and the error's context if there was an error.

    :param back_off: the worker repeats the run instead; None: this is its end.
    """

    result: WorkflowResultEvent
    failure: Failure | None = None
    back_off: BackOff | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What is decided about an exception of a graph.

    :param retriable: whether running it again can help.
    """

    retriable: bool
    raised: RaisedError = field(default_factory=lambda: RaisedError(ErrorClass.FINAL))
    next_try: BackOff | NoRetry = field(default_factory=NoRetry)

    @property
    def said(self) -> str:
        """What the worker did about it, to be put behind the exception's text."""
        reason = self.next_try.reason if isinstance(self.next_try, NoRetry) else ""
        return reason and f"; {reason}"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Builds the outcome of one run.

    :param started_at: when this worker started it, UTC.
    :param usage: what its logical run has spent, by model.
    :param exception_texts: whether the text of a graph's exception may leave this worker; else only its type does.
    """

    claim: Claim
    worker_id: str
    started_at: datetime
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)
    exception_texts: bool = True

    def success(self, state: JsonValue, finished_at: datetime) -> Outcome:
        """The graph came to its end."""
        return Outcome(self._result(ResultStatus.SUCCESS, finished_at, result=state))

    def interrupted(self, state: JsonValue, interrupts: Sequence[Interrupt], finished_at: datetime) -> Outcome:
        """The graph waits for a person."""
        return Outcome(self._result(ResultStatus.INTERRUPTED, finished_at, result=state, interrupts=list(interrupts)))

    def fault(self, fault: Fault, text: str, finished_at: datetime, error: BaseException | None = None) -> Outcome:
        """The run failed with a fault that the worker names itself."""
        result = self._result(
            fault.status,
            finished_at,
            error=cut_error(text),
            # What the project's own code raised; no other frame says more than the text does.
            traceback=error and graph_traceback(error, with_text=self.exception_texts, fallback=False),
            error_type=fault.name,
            retriable=fault.retriable,
        )
        return Outcome(result, Failure(fault.name, text, self._traceback(error)))

    def past_deadline(self, finished_at: datetime) -> Outcome:
        """The deadline passed."""
        at = self.claim.event.deadline
        text = (
            f"the deadline {in_utc(at) if at else ''} passed while the graph was running. Allow the "
            "task a longer timeout; its execution_timeout counts too"
        )
        return self.fault(DEADLINE, text, finished_at)

    def not_storable(self, error: Exception, finished_at: datetime) -> Outcome:
        """The run store cannot keep what the run has written, or its end. Holds as little as a result can."""
        bare = replace(self, usage={})
        return Outcome(bare.fault(RESULT_NOT_SERIALIZABLE, str(error), finished_at).result)

    def raised(self, error: BaseException, node: str | None, finished_at: datetime, judged: Judged) -> Outcome:
        """The graph raised."""
        kind = type_name(error)
        text = f"{f'node {node!r}: ' if node else ''}{self.described(error)}"
        back_off = judged.next_try if isinstance(judged.next_try, BackOff) else None
        wait = judged.next_try.wait_seconds
        failure = Failure(
            kind,
            text,
            self._traceback(error),
            node,
            judged.raised.error_class,
            judged.raised.model,
            None if back_off is None else wait,
        )
        result = self._result(
            ResultStatus.FAILURE,
            finished_at,
            error=cut_error(text) + judged.said,
            traceback=graph_traceback(error, with_text=self.exception_texts),
            error_type=kind,
            retriable=judged.retriable,
            retry_after_seconds=wait if judged.retriable else None,
        )
        return Outcome(result, failure, back_off)

    def described(self, error: BaseException) -> str:
        """A graph's exception, as far as it may leave this worker."""
        return described(error, with_text=self.exception_texts)

    def _traceback(self, error: BaseException | None) -> str:
        return traceback_of(error, with_text=self.exception_texts)

    def _result(self, status: ResultStatus, finished_at: datetime, **rest: Any) -> WorkflowResultEvent:
        event = self.claim.event
        return WorkflowResultEvent(
            correlation_id=event.event_id,
            workflow_id=event.workflow_id,
            workflow_run_id=event.workflow_run_id,
            status=status,
            thread_id=self.claim.thread_id,
            thread_name=self.claim.thread_name,
            release=self.claim.release,
            usage=dict(self.usage),
            attempts=self.claim.attempts,
            started_at=self.started_at,
            finished_at=finished_at,
            worker_id=self.worker_id,
            **rest,
        )


def redacted(outcome: Outcome, redactor: Redactor) -> Outcome:
    """The outcome as it may leave the store.

    :raises RedactionError: the hook failed.
    """
    if outcome.failure is None or redactor.changes_nothing:
        return replace(outcome, result=redactor.result(outcome.result))
    failure, said = redactor.failure(outcome.failure), outcome.result.error or ""
    cut = cut_error(outcome.failure.message)
    if not said.startswith(cut):
        return replace(outcome, result=redactor.result(outcome.result), failure=failure)
    # The whole text, cut again: of a secret that the cut has halved, the redactor would not know the half.
    result = redactor.result(outcome.result.model_copy(update={"error": None}))
    error = cut_error(failure.message) + said.removeprefix(cut)
    return replace(outcome, result=result.model_copy(update={"error": error}), failure=failure)


def unredacted(outcome: Outcome, why: RedactionError) -> Outcome:
    """The outcome of a run whose result or error the project's hook has not redacted: it says that alone."""
    text = f"{why}, so that nothing of the run's {outcome.result.status.value} may leave the worker"
    update = {"status": REDACTION_FAILED.status, "error": text, "error_type": REDACTION_FAILED.name}
    bare: dict[str, Any] = {
        "result": None,
        "interrupts": [],
        "traceback": None,
        "retriable": REDACTION_FAILED.retriable,
    }
    result = outcome.result.model_copy(update=update | bare | {"retry_after_seconds": None})
    return Outcome(result, Failure(REDACTION_FAILED.name, text, ""), outcome.back_off)


def storable_usage(usage: Mapping[str, ModelUsage]) -> dict[str, ModelUsage]:
    """Tokens by model as a run store keeps them, whatever a provider calls its models and a model's client counts.

    Of a name that is too long, the beginning and a hash of the whole are kept: two models stay two.
    """
    kept: dict[str, ModelUsage] = {}
    for model, used in usage.items():
        name = _storable_model(model)
        before = kept.get(name, _NOTHING)
        kept[name] = sum_of(before, used)
    return kept


def storable(spent: Spending) -> Spending:
    """What was spent, as a run store keeps it."""
    unreported = frozenset(map(_storable_model, spent.unreported))
    return replace(spent, usage=storable_usage(spent.usage), unreported=unreported)


def _storable_model(model: str) -> str:
    name = clean(model)
    if len(name) > MAX_MODEL_CHARACTERS:
        name = name[: MAX_MODEL_CHARACTERS - 64] + hashlib.sha256(name.encode()).hexdigest()
    return name


def cut_error(text: str) -> str:
    """An error's text as long as a result may have it."""
    if len(text) <= _MAX_ERROR_CHARACTERS:
        return text
    return (
        f"{text[:_MAX_ERROR_CHARACTERS]} ... ({len(text) - _MAX_ERROR_CHARACTERS:,} more characters in the run store)"
    )
