"""How a task with several agents ends: with the results of those that succeeded, or with an exception that names those
that did not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_langgraph.exceptions import (
    AgentsFailed,
    FinalAgentsFailed,
    LangGraphError,
    RunCancelled,
    RunError,
    RunTimedOut,
    SettingsError,
    WaitError,
)
from airflow_provider_langgraph.requests.cancel import Canceller
from airflow_provider_langgraph.requests.outcome import agent_value, result_in
from airflow_provider_langgraph.requests.question import log_questions
from airflow_provider_langgraph.requests.result_value import ResultFormat
from airflow_provider_langgraph.requests.task_identity import note_returned
from workflow_events.plain_text import one_line
from workflow_events.results import ResultStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from workflow_events.results import WorkflowResultEvent

ERRORS_KEY = "errors"
"""The XCom that says which agents failed, and why."""

LONGEST_ERROR_CHARACTERS = 2_000

_ASKS = (
    "the graph asks a person, which an agent among several cannot do. Ask it in a task of its own, a "
    "LangGraphTriggerOperator with on_interrupt='return'; the task's log says what it asks"
)


def return_values(
    event: Mapping[str, Any],
    result_format: ResultFormat,
    events_topic: str,
    context: Context,
    canceller: Canceller,
    log_of: Callable[[str], Any],
    names_of: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """What the task returns: the results by agent, in the author's order, without those of agents that failed. Of one
    that an orchestrator has asked several times, the last that succeeded.

    Why an agent failed is in its lines of the log, and in the XCom ``errors``.

    :param event: an :class:`~airflow_provider_langgraph.requests.agent_replies.AgentReplies`.
    :param log_of: the logger of an agent.
    :param names_of: by agent, what its author calls the arguments of its request.
    :raises RunError: (a subclass) too many agents failed; names them.
    :raises LangGraphError: as for one agent, where it never had the chance.
    """
    if event["kind"] != "result":
        raise WaitError(event["error"])
    values: dict[str, Any] = {}
    errors: dict[str, LangGraphError] = {}
    names = [*event["agents"], *([event["orchestrator"]] if event["orchestrator"] else [])]
    earlier = event.get("earlier", {})  # an older trigger passes none on
    for agent in [name for name in names if name in event["replies"]]:
        log = log_of(agent)
        for reply in (event["replies"][agent], earlier.get(agent)):
            if reply is None or agent in values:
                continue
            try:
                result = _result(reply, events_topic, canceller, log)
                values[agent] = agent_value(result, result_format, log, names_of.get(agent, {}))
            except LangGraphError as error:
                errors.setdefault(agent, error)
                log.error("The agent failed: %s", error)
    if errors:
        _push_errors(context, errors, log_of(next(iter(errors))))
    if event["problem"]:
        raise FinalAgentsFailed(event["problem"])
    if _has_failed(event, values, errors):
        raise _failure(event, errors)
    note_returned(context)
    return values


def _result(reply: Mapping[str, Any], events_topic: str, canceller: Canceller, log: Any) -> WorkflowResultEvent:
    if reply["kind"] == "unsent":
        raise SettingsError(reply["error"])
    result = result_in(dict(reply), UUID(reply["request"]), canceller)
    if result.status is ResultStatus.INTERRUPTED:
        log_questions(result, log, events_topic)
        result = result.model_copy(update={"error": _ASKS})
    return result


def _has_failed(event: Mapping[str, Any], values: Mapping[str, Any], errors: Mapping[str, LangGraphError]) -> bool:
    if event["orchestrator"] in errors:
        return True
    succeeded = [agent for agent in values if agent != event["orchestrator"]]
    match event["policy"]:
        case "fail_fast":
            return bool(errors)
        case "all_done":
            return bool(errors) and not succeeded
        case _:
            return len(succeeded) < int(event["needed"])


def _failure(event: Mapping[str, Any], errors: Mapping[str, LangGraphError]) -> LangGraphError:
    """The exception of a task that too many of its agents have failed."""
    total, needed = len(event["agents"]), event["needed"]
    if event["orchestrator"] in errors:
        errors, total, needed = {event["orchestrator"]: errors[event["orchestrator"]]}, 1, 1
    # Of some that failed, the task itself has cancelled the others.
    causes = {agent: error for agent, error in errors.items() if not isinstance(error, RunCancelled)} or errors
    can_retry_help = total - sum(not error.retriable for error in causes.values()) >= needed
    text = "; ".join(f"agent {agent!r}: {error}" for agent, error in causes.items())
    if len(causes) > 1:
        text = f"{len(causes)} of {total} agents failed: {text}"
    first = next(iter(causes.values()))
    result = first.result if isinstance(first, RunError) else None
    wait = _longest_wait(causes.values())
    if result is not None and wait != result.retry_after_seconds:
        result = result.model_copy(update={"retry_after_seconds": wait})
    kinds = {type(error) for error in causes.values()}
    if len(kinds) > 1 or first.retriable is not can_retry_help:
        return (AgentsFailed if can_retry_help else FinalAgentsFailed)(text, result)
    return type(first)(text, result) if isinstance(first, RunError) else type(first)(text)


def _longest_wait(errors: Iterable[LangGraphError]) -> float | None:
    """How long a retry has to wait, so that it is long enough for all of them."""
    named = [one.result.retry_after_seconds for one in errors if isinstance(one, RunError) and one.result]
    return max((seconds for seconds in named if seconds is not None), default=None)


def _push_errors(context: Context, errors: Mapping[str, LangGraphError], log: Any) -> None:
    found = {agent: _described(error) for agent, error in errors.items()}
    try:
        context["ti"].xcom_push(key=ERRORS_KEY, value=found)
    except Exception as error:  # noqa: BLE001 - how the agents ended matters more
        log.warning("The XCom %r cannot be written: %s", ERRORS_KEY, error)


def _described(error: LangGraphError) -> dict[str, str | None]:
    result = error.result if isinstance(error, RunError) else None
    if result is not None:
        status: str | None = result.status.value
    else:
        status = ResultStatus.TIMEOUT.value if isinstance(error, RunTimedOut) else None
    error_type = result.error_type if result is not None else None
    return {
        "status": status,
        "error_type": one_line(error_type or type(error).__name__),
        "error": str(error)[:LONGEST_ERROR_CHARACTERS],
    }
