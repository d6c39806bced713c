"""What a graph may be given: any JSON but null, messages, and a command where its entry allows it."""

from __future__ import annotations

import operator
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import Command

from tests.support.runs import Desk, chain, opened
from workflow_events.models import WorkflowEventPayload
from workflow_events.results import ResultStatus, WorkflowResultEvent
from workflow_events.run_config import GraphCommand


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


@pytest.mark.parametrize("value", ["cats", ["a", {"b": None}], 7, 0, False, "", [], {"a": 1}])
async def test_a_function_gets_the_json_that_was_sent(desk, value):
    seen = []

    @entrypoint()
    def workflow(given: Any) -> Any:
        seen.append(given)
        return {"said": given}

    result = (await desk.run(await desk.claim("g", value), workflow)).result
    assert (result.status, result.result) == (ResultStatus.SUCCESS, {"said": value})
    assert seen == [value]


@pytest.mark.parametrize(
    ("value", "kind"), [("cats", "a str"), (["cats"], "a list"), ([1], "a list"), (7654, "an int")]
)
async def test_a_graph_whose_state_is_a_mapping_refuses_all_else_before_any_node(desk, value, kind):
    ran = []
    result = (await desk.run(await desk.claim("g", value), chain(a=lambda state: ran.append(1) or {}))).result
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "bad_input", False)
    assert result.error.startswith(
        f"field 'payload.data': the graph rejects its input: it takes a mapping, and was given {kind}. "
    )
    assert "cats" not in result.error
    assert "7654" not in result.error
    assert "A template of Airflow renders to text" in result.error
    assert ran == []


async def test_the_item_of_a_mapping_that_was_mapped_over_is_named_as_such(desk):
    result = (await desk.run(await desk.claim("g", ["task", "x"]), chain(a=lambda state: {}))).result
    assert result.error.endswith(
        "Airflow makes such pairs of .expand(input={...}), which maps over the mapping's items: write "
        ".expand(input=[{...}])"
    )


@pytest.mark.parametrize(
    "message", [{"role": "user", "content": "hi"}, {"type": "human", "content": "hi"}, ["user", "hi"]]
)
async def test_messages_are_json(desk, message):
    seen = []

    def node(state: MessagesState) -> MessagesState:
        seen.extend(state["messages"])
        return {"messages": []}

    result = (await desk.run(await desk.claim("g", {"messages": [message]}), chain(MessagesState, node=node))).result
    assert result.status is ResultStatus.SUCCESS
    assert [(type(one), one.content) for one in seen] == [(HumanMessage, "hi")]


def steps() -> StateGraph[Any]:
    """Three nodes, one after the other."""
    return chain(a=lambda state: {"log": ["a"]}, b=lambda state: {"log": ["b"]}, c=lambda state: {"log": ["c"]})


async def commanded(desk: Desk, command: dict[str, Any]) -> WorkflowResultEvent:
    """A first turn of a conversation, and a second one by a command."""
    await desk.run(await desk.claim("g", {"value": 1}, thread_id="chat"), steps())
    payload = WorkflowEventPayload(command=GraphCommand.model_validate(command))
    return (await desk.run(await desk.claim("g", thread_id="chat", payload=payload), steps())).result


@pytest.mark.parametrize(
    ("command", "log"),
    [
        ({"update": {"value": 2}, "goto": "b"}, ["a", "b", "c", "b", "c"]),
        ({"goto": ["c"]}, ["a", "b", "c", "c"]),
        ({"goto": [{"node": "c", "input": {"value": 9}}]}, ["a", "b", "c", "c"]),
    ],
)
async def test_a_command_changes_the_state_and_goes_where_it_says(desk, command, log):
    desk.entry = {"events": {"command": True}}
    result = await commanded(desk, command)
    assert (result.status, result.result["log"]) == (ResultStatus.SUCCESS, log)


async def test_a_command_needs_the_leave_of_the_graphs_entry(desk):
    result = await commanded(desk, {"goto": "c"})
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "input_not_allowed")
    assert result.error.startswith("field 'payload.command': ")
    assert '{"events": {"command": true}} in the entry of graph \'g\'' in result.error


async def test_a_command_to_a_node_that_is_not_there_is_refused(desk):
    desk.entry = {"events": {"command": True}}
    result = await commanded(desk, {"goto": "z"})
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "bad_input")
    assert result.error == "field 'payload.command.goto': graph 'g' has no node 'z'. It has: a, b, c"


async def test_what_langgraph_obeys_in_an_update_needs_leave_too(desk):
    desk.entry = {"events": {"command": True}}
    result = await commanded(desk, {"update": {"log": {"__overwrite__": []}}})
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "input_not_allowed")
    assert result.error.startswith("field 'payload.command.update.log': ")


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_command_does_what_it_does_in_langgraph_alone(desk, turns):
    desk.entry = {"events": {"command": True}}
    alone = steps().compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "chat"}}
    for _ in range(turns):
        await alone.ainvoke({"value": 1}, config)
        await desk.run(await desk.claim("g", {"value": 1}, thread_id="chat"), steps())
    payload = WorkflowEventPayload(command=GraphCommand(update={"value": 2}, goto="c"))
    result = (await desk.run(await desk.claim("g", thread_id="chat", payload=payload), steps())).result
    assert result.result == await alone.ainvoke(Command(update={"value": 2}, goto="c"), config)


async def refused(desk: Desk, command: dict[str, Any], graph: Any = None) -> str:
    """The error of a command that is allowed, and not done."""
    desk.entry = {"events": {"command": True}}
    payload = WorkflowEventPayload(command=GraphCommand.model_validate(command))
    result = (await desk.run(await desk.claim("g", payload=payload), graph or steps())).result
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "bad_input"), result
    assert desk.steps() == []
    return result.error


@pytest.mark.parametrize("goto", ["__start__", {"node": "__start__", "input": {}}, "__end__", ["a", "a|b"]])
async def test_no_command_goes_to_what_langgraph_would_ignore(desk, goto):
    said = await refused(desk, {"goto": goto})
    assert re.fullmatch(r"field 'payload.command.goto': graph 'g' has no node '.+'. It has: a, b, c", said)


@pytest.mark.parametrize(
    "name",
    ["nope", "__interrupt__", "__resume__", "__error__", "__start__", "__pregel_tasks", "branch:to:c", "__root__", ""],
)
@pytest.mark.parametrize("in_pairs", [False, True], ids=["object", "pairs"])
async def test_no_command_updates_what_is_no_key_of_the_state(desk, name, in_pairs):
    """LangGraph drops most of it, fails with an error of its own on some, and obeys the rest."""
    update = [["value", 1], [name, 2]] if in_pairs else {"value": 1, name: 2}
    said = await refused(desk, {"update": update})
    assert said == f"field 'payload.command.update': the state of graph 'g' has no key {name!r}. It has: log, value"


@pytest.mark.parametrize("update", ["text", 7, ["text"], [1, 2], [["a", 1, 2]], [[1, 2]]])
async def test_an_update_of_a_state_with_keys_names_them(desk, update):
    said = await refused(desk, {"update": update})
    assert said.startswith("field 'payload.command.update': must be an object, or a list of pairs of key and value")
    assert said.endswith("The state of graph 'g' has: log, value")


async def test_an_update_may_be_pairs_as_for_langgraphs_server(desk):
    desk.entry = {"events": {"command": True}}
    result = await commanded(desk, {"update": [["log", ["x"]], ["log", ["y"]]], "goto": "c"})
    assert result.result["log"] == ["a", "b", "c", "x", "y", "c"]


async def test_what_langgraph_obeys_in_a_pair_needs_leave_too(desk):
    desk.entry = {"events": {"command": True}}
    result = await commanded(desk, {"update": [["log", {"__overwrite__": []}]]})
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "input_not_allowed")


async def test_a_state_without_keys_is_updated_whole(desk):
    def listed() -> Any:
        return chain(Annotated[list, operator.add], a=lambda state: ["a"])

    assert "must be no object" in await refused(desk, {"update": {"a": 1}}, listed())
    await desk.run(await desk.claim("g", ["in"], thread_id="chat"), listed())
    payload = WorkflowEventPayload(command=GraphCommand(update=["x"], goto="a"))
    result = (await desk.run(await desk.claim("g", thread_id="chat", payload=payload), listed())).result
    assert result.result == ["in", "a", "x", "a"]


async def test_a_function_takes_no_command(desk):
    """LangGraph would give it the command itself, as its input."""

    @entrypoint()
    def workflow(given: Any) -> Any:
        raise AssertionError

    assert "graph 'g' has no node 'workflow'" in await refused(desk, {"goto": "workflow"}, workflow)
    assert "has no node 'workflow'" in await refused(desk, {"goto": {"node": "workflow"}}, workflow)
    assert "has no state that an event could update" in await refused(desk, {"update": {"x": 1}}, workflow)


async def test_an_update_that_the_graph_rejects_is_the_commands(desk):
    said = await refused(desk, {"update": [["value", 1], ["value", 2]]})
    assert said.startswith("field 'payload.command': the graph rejects its input: ")
    assert "For troubleshooting" not in said
