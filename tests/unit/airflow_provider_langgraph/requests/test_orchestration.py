"""Which agent comes next, and when a task is over: pure, so the examples are drawn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_langgraph.requests.orchestration import (
    AgentPlan,
    PlannedAgent,
    StepEnd,
    agent_of,
    next_move,
    possible_steps,
    step_chains,
)

NAMES = ("vision", "text", "sum")
FAILED = StepEnd(is_success=False, error="failure: the market is closed")


def done(result=None):
    return StepEnd(is_success=True, result={} if result is None else result)


def plan(mode="parallel", names=NAMES, **fields):
    agents = tuple(PlannedAgent(name) for name in names)
    if mode == "supervisor":
        fields = {"orchestrator": PlannedAgent("boss"), "max_rounds": 2} | fields
    return AgentPlan(mode, **{"agents": agents} | fields)


def wanted(one, ends):
    return [step.name for step in next_move(one, ends).steps]


class TestParallel:
    def test_all_are_asked_at_once_and_those_that_ended_no_more(self):
        assert wanted(plan(), {}) == list(NAMES)
        assert wanted(plan(), {"text": done()}) == ["vision", "sum"]
        assert next_move(plan(), dict.fromkeys(NAMES, done())).is_over

    def test_each_gets_its_own_input(self):
        one = plan(agents=(PlannedAgent("vision", {"a": 1}), PlannedAgent("text", ["hi"]), PlannedAgent("sum")))
        assert [step.input for step in next_move(one, {}).steps] == [{"a": 1}, ["hi"], {}]

    def test_the_first_failure_ends_it(self):
        assert next_move(plan(), {"text": FAILED}).is_over

    def test_all_done_waits_for_all(self):
        one = plan(policy="all_done")
        assert wanted(one, {"text": FAILED, "vision": done()}) == ["sum"]
        assert next_move(one, dict.fromkeys(NAMES, FAILED)).is_over

    @given(quorum=st.integers(1, 4), kinds=st.lists(st.sampled_from([done(), FAILED]), max_size=4))
    def test_a_quorum_is_over_as_soon_as_it_is_reached_or_cannot_be(self, quorum, kinds):
        names = ("a", "b", "c", "d")
        one = plan(names=names, policy="quorum", quorum=quorum)
        ends = dict(zip(names, kinds, strict=False))
        succeeded = kinds.count(done())
        can_still = succeeded + len(names) - len(kinds)
        assert next_move(one, ends).is_over is (succeeded >= quorum or can_still < quorum)


class TestSequential:
    def test_one_after_the_other(self):
        assert wanted(plan("sequential"), {}) == ["vision"]
        assert wanted(plan("sequential"), {"vision": done()}) == ["text"]
        assert next_move(plan("sequential"), dict.fromkeys(NAMES, done())).is_over

    def test_a_failure_ends_it(self):
        assert next_move(plan("sequential"), {"vision": FAILED}).is_over

    @pytest.mark.parametrize(
        ("agent", "previous", "given_input"),
        [
            (PlannedAgent("text", {"b": "own"}), {"a": 1, "b": 2}, {"a": 1, "b": "own"}),
            (PlannedAgent("text"), {"a": 1}, {"a": 1}),
            (PlannedAgent("text"), ["a"], ["a"]),
            (PlannedAgent("text", {"b": 2}, previous_as="draft"), {"a": 1}, {"b": 2, "draft": {"a": 1}}),
            (PlannedAgent("text", None, previous_as="draft"), "a text", {"draft": "a text"}),
            (PlannedAgent("text", {}, previous_as="draft"), None, {"draft": None}),
        ],
    )
    def test_the_result_is_handed_on(self, agent, previous, given_input):
        one = plan("sequential", agents=(PlannedAgent("vision"), agent))
        [step] = next_move(one, {"vision": StepEnd(is_success=True, result=previous)}).steps
        assert step.input == given_input

    @pytest.mark.parametrize(
        ("own", "previous", "says"),
        [
            ({"b": 2}, ["a"], "the result of 'vision' is a list, and its input_data a mapping"),
            ("text", {"a": 1}, "the result of 'vision' is a mapping, and its input_data a text"),
            (None, None, "the result of 'vision' is null, and its input_data a mapping"),
        ],
    )
    def test_what_cannot_be_merged_is_one_clear_problem(self, own, previous, says):
        one = plan("sequential", agents=(PlannedAgent("vision"), PlannedAgent("text", own)))
        move = next_move(one, {"vision": StepEnd(is_success=True, result=previous)})
        assert move.is_over
        assert move.problem.startswith(f"agent 'text': {says}")
        assert "previous_as" in move.problem

    @pytest.mark.parametrize("previous", [None, ["a"], "a text", {"a": 1}])
    def test_of_one_that_is_asked_no_input_is_made_again(self, previous):
        agents = (PlannedAgent("vision"), PlannedAgent("text", {"b": 2}, previous_as="draft"))
        one = plan("sequential", agents=agents).without_inputs()
        move = next_move(one, {"vision": StepEnd(is_success=True, result=previous)}, asked=("vision", "text"))
        assert (move.is_over, move.problem, [step.name for step in move.steps]) == (False, "", ["text"])

    def test_templates_in_a_result_stay_as_they_are(self):
        [step] = next_move(plan("sequential"), {"vision": done({"a": "{{ var.value.key }}"})}).steps
        assert step.input == {"a": "{{ var.value.key }}"}


class TestSupervisor:
    def test_the_orchestrator_is_given_the_agents_and_what_they_answered(self):
        agents = (PlannedAgent("vision", description="sees"), PlannedAgent("text"))
        one = plan("supervisor", agents=agents, orchestrator=PlannedAgent("boss", {"goal": "g"}))
        [first] = next_move(one, {}).steps
        named = [{"name": "vision", "description": "sees"}, {"name": "text"}]
        assert (first.name, first.agent) == ("boss#1", "boss")
        assert first.input == {"goal": "g", "agents": named, "results": []}
        [second] = next_move(one, {"boss#1": done({"next": "vision"}), "vision#1": done({"seen": 1})}).steps
        assert second.name == "boss#2"
        assert second.input == {"goal": "g", "agents": named, "results": [{"agent": "vision", "result": {"seen": 1}}]}

    def test_it_names_the_next_agent_and_may_give_it_an_input(self):
        agents = (PlannedAgent("vision", {"size": "small"}), PlannedAgent("text", {"a": 1}, previous_as="task"))
        one = plan("supervisor", agents=agents)
        [step] = next_move(one, {"boss#1": done({"next": "vision", "input": {"size": "huge", "url": "u"}})}).steps
        assert (step.name, step.agent) == ("vision#1", "vision")
        assert step.input == {"size": "small", "url": "u"}  # what the author wrote counts more
        [step] = next_move(one, {"boss#1": done({"next": "text", "input": "write"})}).steps
        assert step.input == {"a": 1, "task": "write"}
        [step] = next_move(one, {"boss#1": done({"next": "text", "input": None})}).steps
        assert step.input == {"a": 1}

    @pytest.mark.parametrize("end", ["FINISH", "__end__", None])
    def test_it_ends(self, end):
        move = next_move(plan("supervisor"), {"boss#1": done({"next": end})})
        assert (move.is_over, move.problem) == (True, "")

    def test_an_agent_that_is_asked_again_is_another_step(self):
        ends = {"boss#1": done({"next": "text"}), "text#1": done(), "boss#2": done({"next": "text"})}
        assert wanted(plan("supervisor"), ends) == ["text#2"]

    @pytest.mark.parametrize(
        ("result", "says"),
        [
            (
                {"next": "visoin"},
                "'boss#1' names 'visoin' as the next agent, which this task does not have. Did you mean",
            ),
            ({"next": "boss"}, "It has vision, text, sum; FINISH ends it."),
            ({"next": ["text"]}, "names a list as the next agent"),
            ({"answer": 1}, "the result of 'boss#1' has no key 'next'"),
            (["text"], "the result of 'boss#1' is a list"),
            ({"next": "a\nb\x1b" * 99}, r"names 'a\nb\x1b"),
        ],
    )
    def test_an_answer_that_cannot_be_followed_is_one_clear_problem(self, result, says):
        move = next_move(plan("supervisor"), {"boss#1": done(result)})
        assert move.is_over
        assert says in move.problem
        assert move.problem.isprintable()
        assert len(move.problem) < 400

    def test_there_is_a_bound(self):
        ends = {"boss#1": done({"next": "text"}), "text#1": done(), "boss#2": done({"next": "text"}), "text#2": done()}
        assert wanted(plan("supervisor"), ends) == ["boss#3"]
        assert next_move(plan("supervisor"), ends | {"boss#3": done({"next": "FINISH"})}).problem == ""
        move = next_move(plan("supervisor"), ends | {"boss#3": done({"next": "text"})})
        assert "this task asks 2 times at most" in move.problem

    def test_a_failure_ends_it_or_is_given_to_the_orchestrator(self):
        ends = {"boss#1": done({"next": "text"}), "text#1": FAILED}
        assert next_move(plan("supervisor"), ends).is_over
        [step] = next_move(plan("supervisor", policy="all_done"), ends).steps
        assert step.input["results"] == [{"agent": "text", "error": "failure: the market is closed"}]
        assert next_move(plan("supervisor", policy="all_done"), {"boss#1": FAILED}).is_over


@st.composite
def plans(draw):
    mode = draw(st.sampled_from(["parallel", "sequential", "supervisor"]))
    names = NAMES[: draw(st.integers(1, 3))]
    policies = {"parallel": ["fail_fast", "all_done", "quorum"], "sequential": ["fail_fast"]}
    policy = draw(st.sampled_from(policies.get(mode, ["fail_fast", "all_done"])))
    quorum = draw(st.integers(1, len(names))) if policy == "quorum" else 0
    rounds = {"max_rounds": draw(st.integers(1, 4))} if mode == "supervisor" else {}
    return plan(mode, names, policy=policy, quorum=quorum, **rounds)


results = st.one_of(
    st.sampled_from([FAILED, done({"next": "FINISH"}), done(["a list"])]),
    st.sampled_from([*NAMES, "nobody"]).map(lambda name: done({"next": name, "input": {"from": name}})),
)


@given(one=plans(), data=st.data())
def test_one_that_starts_again_comes_to_the_same_steps_and_asks_none_twice(one, data):
    """Nothing is kept but the replies, in whatever order they are found again."""
    ends, asked = {}, []
    while not (move := next_move(one, ends)).is_over:
        assert move.steps
        for step in move.steps:
            assert step.name not in ends
            assert agent_of(step.name) == step.agent
            asked += [] if step in asked else [step]
        ends[data.draw(st.sampled_from(move.steps)).name] = data.draw(results)

        again = AgentPlan.from_dict(json.loads(json.dumps(one.to_dict())))
        shuffled = dict(data.draw(st.permutations(list(ends.items()))))
        assert next_move(again, shuffled) == next_move(one, ends)
    names = [step.name for step in asked]
    assert len(set(names)) == len(names)  # no step has two inputs
    assert set(names) <= set(possible_steps(one))
    assert move.steps == ()


@pytest.mark.parametrize("mode", ["parallel", "sequential", "supervisor"])
def test_the_chains_have_all_steps_and_the_first_of_each_is_asked_first(mode):
    chains = step_chains(plan(mode))
    assert {step for chain in chains for step in chain} == set(possible_steps(plan(mode)))
    assert [chain[0] for chain in chains if chain[0] not in wanted(plan(mode), {})] == []


@given(routes=st.lists(st.sampled_from(NAMES), max_size=4))
def test_a_step_of_a_chain_is_asked_only_once_the_one_before_it_has_ended(routes):
    one = plan("supervisor", max_rounds=4)
    ends = {}
    routing = iter([*routes, "FINISH"])
    while not (move := next_move(one, ends)).is_over:
        [step] = move.steps
        for chain in step_chains(one):
            before = chain[: chain.index(step.name)] if step.name in chain else []
            assert set(before) <= set(ends)
        ends[step.name] = done({"next": next(routing)}) if step.agent == "boss" else done()
