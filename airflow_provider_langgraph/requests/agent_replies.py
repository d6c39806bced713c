"""The replies of a task's agents, on their way from the trigger to the task, as the payload of the trigger's event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_langgraph.exceptions import LangGraphError
from airflow_provider_langgraph.requests.agent_work import AgentWork
from airflow_provider_langgraph.requests.orchestration import StepEnd, agent_of
from airflow_provider_langgraph.requests.outcome import decode_reply
from airflow_provider_langgraph.requests.reply import Reply, record_in
from airflow_provider_langgraph.requests.usage import summed
from workflow_events.results import ModelUsage, ResultStatus


class AgentReplies(Reply):
    """The payload. Its ``kind`` is ``result``, or ``broken`` as for one reply; its repr shows no result.

    ``replies`` has, by agent, the :class:`Reply` to its last request, with ``step`` and ``request``. Their kinds are
    those of one reply, and ``unsent``: the request cannot be published, ``error`` says why; a retry cannot help.
    ``earlier`` has, with the policy ``all_done``, the last reply that is a success of each agent whose last request
    failed. ``usage`` is what all steps took, by model.
    ``agents``, ``orchestrator``, ``policy`` and ``needed`` are the plan's, and ``problem`` says why it cannot go on.
    """

    def __repr__(self) -> str:
        agents = ", ".join(f"{agent}={reply['kind']}" for agent, reply in self.get("replies", {}).items())
        return f"<kind={self['kind']} bytes={self.get('bytes', 0)} {agents}>"


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What a step has come to: the reply for the task, and what the trigger itself needs of it.

    :param usage: what the step took, by model; empty if the reply cannot be read.
    """

    reply: Reply
    end: StepEnd
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)


def answer_of(reply: Reply) -> StepAnswer:
    """Read a reply. That takes as long as the reply is large, and each is read once: in a thread, not on the event
    loop that all triggers share.
    """
    if reply["kind"] != "result":
        return StepAnswer(reply, _failed(str(reply.get("error") or "no reply came by the deadline")))
    try:
        result = decode_reply(record_in(dict(reply)))
    except LangGraphError as error:
        return StepAnswer(reply, _failed(str(error)))
    if result.status is ResultStatus.SUCCESS:
        return StepAnswer(reply, StepEnd(is_success=True, result=result.result), result.usage)
    return StepAnswer(reply, _failed(f"{result.status.value}: {result.error or 'no reason given'}"), result.usage)


def _failed(error: str) -> StepEnd:
    return StepEnd(is_success=False, error=error)


def packed(work: AgentWork, answers: Mapping[str, StepAnswer], problem: str, most_bytes: int) -> AgentReplies:
    """The payload that carries the replies to their task. Parses none of them.

    :param answers: by step, in the order in which they came.
    :param most_bytes: of all replies together.
    """
    plan = work.plan
    last = {agent_of(step): step for step in answers}
    earlier = _earlier(answers, last) if plan.policy == "all_done" else {}  # another policy returns none of these
    size = sum(answers[step].reply.get("bytes", 0) for step in (*last.values(), *earlier.values()))
    if size > most_bytes:
        why = (
            f"the replies of {len(last)} agents have {size:,} bytes together, and a trigger passes on {most_bytes:,} "
            "at most: let the graphs return references instead, or set deferrable=False"
        )
        return AgentReplies(kind="broken", error=why)
    usage = summed(answer.usage for answer in answers.values())
    return AgentReplies(
        kind="result",
        bytes=size,
        agents=list(plan.names),
        orchestrator=None if plan.orchestrator is None else plan.orchestrator.name,
        policy=plan.policy,
        needed=plan.needed,
        problem=problem,
        replies=_replies(work, answers, last),
        earlier=_replies(work, answers, earlier),
        usage={model: used.model_dump(mode="json") for model, used in usage.items()},
    )


def _earlier(answers: Mapping[str, StepAnswer], last: Mapping[str, str]) -> dict[str, str]:
    """By agent whose last step failed, its last one that succeeded, if there is one."""
    succeeded = {agent_of(step): step for step, answer in answers.items() if answer.end.is_success}
    return {agent: step for agent, step in succeeded.items() if not answers[last[agent]].end.is_success}


def _replies(
    work: AgentWork, answers: Mapping[str, StepAnswer], steps: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """By agent, the reply to a step of it."""
    return {
        agent: {**answers[step].reply, "step": step, "request": str(work.request_id(step))}
        for agent, step in steps.items()
    }
