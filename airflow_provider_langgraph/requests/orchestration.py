"""Which agent of a task comes next, and when the task is over: decided from what has ended, without any I/O.

A step is one request to one agent. Its name is the same whenever it is decided, so that a trigger that starts again
comes to the same steps, and finds their results. In ``supervisor`` mode each call has a name: ``writer#2``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import JsonValue

from workflow_events.log_words import with_article
from workflow_events.nearest_name import did_you_mean

Mode = Literal["parallel", "sequential", "supervisor"]
MODES = ("parallel", "sequential", "supervisor")

Policy = Literal["fail_fast", "all_done", "quorum"]
POLICIES = ("fail_fast", "all_done")
"""Those that an author names; a number of agents is the third."""

NEXT_KEY, INPUT_KEY = "next", "input"
"""What an orchestrator's result has: the agent to ask now, and what to give it."""

ENDS = ("FINISH", "__end__")
"""An orchestrator that names one of these, or None, asks no agent any more."""

AGENTS_KEY, RESULTS_KEY = "agents", "results"
"""What an orchestrator's input has besides its own: the agents, and what they have answered so far."""

_LONGEST_SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """One agent, as far as the coordination knows it.

    :param input: its own input, as JSON; None if it has none.
    :param previous_as: under which key of its input it gets what is handed on; None: its keys are merged.
    :param description: for an orchestrator.
    """

    name: str
    input: JsonValue = None
    previous_as: str | None = None
    description: str | None = None

    @property
    def known_input(self) -> JsonValue:
        """What its input has of its author, whatever is handed on to it."""
        own = _own(self)
        return {key: own[key] for key in own if key != self.previous_as} if isinstance(own, dict) else own


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """What a task with several agents does.

    :param quorum: with the policy of that name, how many agents have to succeed.
    :param max_rounds: in ``supervisor`` mode, how many times an agent is asked at most.
    """

    mode: Mode
    agents: tuple[PlannedAgent, ...]
    policy: Policy = "fail_fast"
    quorum: int = 0
    orchestrator: PlannedAgent | None = None
    max_rounds: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The agents' names, in the author's order; without the orchestrator's."""
        return tuple(agent.name for agent in self.agents)

    @property
    def needed(self) -> int:
        """How many agents have to succeed, at least."""
        match self.policy:
            case "fail_fast":
                return len(self.agents)
            case "all_done":
                return 1
            case "quorum":
                return self.quorum

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"agents": [asdict(agent) for agent in self.agents]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentPlan:
        """Read :meth:`to_dict` back."""
        orchestrator = data["orchestrator"]
        return cls(
            **{name: data[name] for name in ("mode", "policy", "quorum", "max_rounds")},
            agents=tuple(PlannedAgent(**agent) for agent in data["agents"]),
            orchestrator=None if orchestrator is None else PlannedAgent(**orchestrator),
        )

    def without_inputs(self) -> AgentPlan:
        """The plan for a trigger that publishes nothing."""
        return replace(self, agents=tuple(PlannedAgent(agent.name) for agent in self.agents))


@dataclass(frozen=True, slots=True)
class Step:
    """One request to one agent.

    :param name: names the request; of an agent that is asked once, the agent's name.
    :param input: its whole input, as JSON; None of one that is asked already, which needs none.
    """

    name: str
    agent: str
    input: JsonValue


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended.

    :param error: why it has no result, for an orchestrator.
    """

    is_success: bool
    result: JsonValue = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """What has to be the case now.

    :param steps: they have to be under way, in this order.
    :param is_over: nothing more is asked; what is still under way is of no use any more.
    :param problem: why the task cannot go on, although its agents did; names the agent. Empty if that is not so.
    """

    steps: tuple[Step, ...] = ()
    is_over: bool = False
    problem: str = ""


_OVER = Move(is_over=True)


class _ProblemError(Exception):
    """What an agent has answered cannot be followed."""


def next_move(plan: AgentPlan, ends: Mapping[str, StepEnd], asked: Collection[str] = ()) -> Move:
    """What to do, given the steps that have ended, in any order.

    :param ends: by the name of the step.
    :param asked: the steps that are asked already. Their input is not made again: the plan of a trigger may be one
        :meth:`without inputs <AgentPlan.without_inputs>`, of which another input would come, or none.
    """
    try:
        match plan.mode:
            case "parallel":
                return _parallel(plan, ends)
            case "sequential":
                return _sequential(plan, ends, asked)
            case "supervisor":
                return _supervised(plan, ends, asked)
    except _ProblemError as problem:
        return Move(is_over=True, problem=str(problem))


def possible_steps(plan: AgentPlan) -> Iterator[str]:
    """The names of all steps that the plan can come to."""
    if plan.orchestrator is None:
        yield from plan.names
        return
    for number in range(1, plan.max_rounds + 2):
        yield _call(plan.orchestrator.name, number)
        if number <= plan.max_rounds:
            yield from (_call(name, number) for name in plan.names)


def step_chains(plan: AgentPlan) -> list[list[str]]:
    """:func:`possible_steps` in chains: of each, a step is asked only once the one before it has been answered."""
    if plan.mode == "parallel":
        return [[name] for name in plan.names]
    if plan.orchestrator is None:
        return [list(plan.names)]
    routing = [_call(plan.orchestrator.name, number) for number in range(1, plan.max_rounds + 2)]
    calls = range(1, plan.max_rounds + 1)
    return [routing, *([routing[0], *(_call(name, number) for number in calls)] for name in plan.names)]


def agent_of(step: str) -> str:
    """The agent that a step asks. No agent's name has the mark that numbers its calls."""
    return step.partition("#")[0]


def _parallel(plan: AgentPlan, ends: Mapping[str, StepEnd]) -> Move:
    succeeded = sum(end.is_success for end in ends.values())
    failed = len(ends) - succeeded
    is_over = len(ends) == len(plan.agents)
    if plan.policy != "all_done":
        is_over = is_over or succeeded >= plan.needed or len(plan.agents) - failed < plan.needed
    if is_over:
        return _OVER
    return Move(tuple(Step(agent.name, agent.name, _own(agent)) for agent in plan.agents if agent.name not in ends))


def _sequential(plan: AgentPlan, ends: Mapping[str, StepEnd], asked: Collection[str]) -> Move:
    before: str | None = None
    for agent in plan.agents:
        end = ends.get(agent.name)
        if end is None:
            if agent.name in asked:
                return _wait_for(agent.name)
            given = (
                _own(agent) if before is None else _handed_on(agent, ends[before].result, f"the result of {before!r}")
            )
            return Move((Step(agent.name, agent.name, given),))
        if not end.is_success:
            return _OVER
        before = agent.name
    return _OVER


def _wait_for(step: str) -> Move:
    return Move((Step(step, agent_of(step), None),))


def _supervised(plan: AgentPlan, ends: Mapping[str, StepEnd], asked: Collection[str]) -> Move:
    orchestrator = plan.orchestrator
    assert orchestrator is not None  # the mode has one
    agents = {agent.name: agent for agent in plan.agents}
    calls: Counter[str] = Counter()
    results: list[JsonValue] = []
    for number in range(1, plan.max_rounds + 2):
        asking = _call(orchestrator.name, number)
        if asking not in ends:
            if asking in asked:
                return _wait_for(asking)
            return Move((Step(asking, orchestrator.name, _briefing(plan, orchestrator, results)),))
        if not ends[asking].is_success:
            return _OVER
        name, given = _route(asking, ends[asking].result, plan.names)
        if name is None:
            return _OVER
        if number > plan.max_rounds:
            raise _ProblemError(
                f"{asking!r} names {name!r}, but this task asks {plan.max_rounds} times at most. Let the orchestrator "
                f"end with {ENDS[0]!r} before that, or raise max_rounds, then clear the task"
            )
        calls[name] += 1
        step = _call(name, calls[name])
        if step not in ends:
            if step in asked:
                return _wait_for(step)
            agent = agents[name]
            whole = _own(agent) if given is None else _handed_on(agent, given, f"the input that {asking!r} gives it")
            return Move((Step(step, name, whole),))
        end = ends[step]
        if not end.is_success and plan.policy == "fail_fast":
            return _OVER
        results.append({"agent": name, "result": end.result} if end.is_success else {"agent": name, "error": end.error})
    return _OVER


def _briefing(plan: AgentPlan, orchestrator: PlannedAgent, results: list[JsonValue]) -> JsonValue:
    """The input of an orchestrator."""
    own = orchestrator.input if isinstance(orchestrator.input, dict) else {}
    agents: list[JsonValue] = [
        {"name": agent.name, **({"description": agent.description} if agent.description else {})}
        for agent in plan.agents
    ]
    return {**own, AGENTS_KEY: agents, RESULTS_KEY: list(results)}


def _route(asking: str, result: JsonValue, names: tuple[str, ...]) -> tuple[str | None, JsonValue]:
    """The agent that an orchestrator names, None where it ends; and what it gives the agent."""
    if not isinstance(result, dict) or NEXT_KEY not in result:
        what = f"has no key {NEXT_KEY!r}" if isinstance(result, dict) else f"is {_kind(result)}"
        raise _ProblemError(
            f"the result of {asking!r} {what}. Let the orchestrator's result name the next agent under {NEXT_KEY!r}, "
            f"or end with {ENDS[0]!r}, then clear the task"
        )
    name = result[NEXT_KEY]
    if name is None or name in ENDS:
        return None, None
    if not isinstance(name, str) or name not in names:
        meant = did_you_mean(name, names) if isinstance(name, str) else ""
        shown = repr(name[:_LONGEST_SHOWN_CHARACTERS]) if isinstance(name, str) else _kind(name)
        raise _ProblemError(
            f"{asking!r} names {shown} as the next agent, which this task does not have.{meant} "
            f"It has {', '.join(names)}; {ENDS[0]} ends it. Correct the orchestrator, or agents, then clear the task"
        )
    return name, result.get(INPUT_KEY)


def _own(agent: PlannedAgent) -> JsonValue:
    return {} if agent.input is None else agent.input


def _handed_on(agent: PlannedAgent, given: JsonValue, what: str) -> JsonValue:
    """An agent's input, with what is handed on to it. What the author wrote counts more."""
    own = _own(agent)
    if agent.previous_as is not None and isinstance(own, dict):
        return {**own, agent.previous_as: given}
    if isinstance(given, dict) and isinstance(own, dict):
        return {**given, **own}
    if agent.input is None and given is not None:
        return given
    raise _ProblemError(
        f"agent {agent.name!r}: {what} is {_kind(given)}, and its input_data {_kind(own)}: only mappings can be "
        "merged. Give the agent a 'previous_as', the key of its input that gets what is handed on, then clear the task"
    )


def _call(name: str, number: int) -> str:
    return f"{name}#{number}"


def _kind(value: JsonValue) -> str:
    kinds = {dict: "mapping", list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return "null" if value is None else with_article(kinds[type(value)])
