"""A release that lost a node of a graph inside of a node: LangGraph would skip the rest of that graph without an error
(rule 11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langgraph_worker.graphs.node_names import node_names
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus


def passes(name: str) -> Callable[[State], State]:
    return lambda state: {"log": [name]}


def as_node(child: Any) -> Any:
    return chain(sub=child.compile())


def as_history(child: Any) -> Any:
    return chain(sub=child.compile(checkpointer=True))


def two_deep(child: Any) -> Any:
    return chain(sub=chain(inner=child.compile()).compile())


def awaited(child: Any) -> Any:
    compiled = child.compile()

    async def sub(state: State) -> State:
        return {"log": (await compiled.ainvoke({}))["log"]}

    return chain(sub=sub)


def called(child: Any) -> Any:
    compiled = child.compile()

    def sub(state: State) -> State:
        return {"log": compiled.invoke({})["log"]}

    return chain(sub=sub)


def called_second(child: Any) -> Any:
    first, second = chain(other=passes("other")).compile(), child.compile()

    async def sub(state: State) -> State:
        await first.ainvoke({})
        return {"log": (await second.ainvoke({}))["log"]}

    return chain(sub=sub)


def of_a_tool(child: Any) -> Any:
    compiled = child.compile()

    @tool
    async def consult() -> str:
        """Ask the other agent."""
        return ",".join((await compiled.ainvoke({}))["log"])

    def model(state: MessagesState) -> Any:
        return {"messages": [AIMessage("", tool_calls=[{"name": "consult", "args": {}, "id": "1"}])]}

    return chain(MessagesState, model=model, sub=ToolNode([consult], handle_tool_errors=False))


FORMS = [as_node, as_history, two_deep, awaited, called, called_second, of_a_tool]


@pytest.mark.parametrize("form", FORMS)
async def test_a_child_that_lost_a_node_is_not_continued(case, form):
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), form(chain(a=passes("a"), b=failing, c=passes("c"))))
    renamed = form(chain(a=passes("a"), renamed=failing, c=passes("c")))
    again = await case.run(await case.desk.attempt("t", "g"), renamed)
    assert (again.status, again.error_type, again.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
    path = "sub|inner|b" if form is two_deep else "sub|b"
    assert f"no longer has the node {path!r}" in again.error


def built(child: Any) -> Any:
    async def sub(state: State) -> State:
        return {"log": (await child.compile().ainvoke({}))["log"]}

    return chain(sub=sub)


def built_in_a_thread(child: Any) -> Any:
    def sub(state: State) -> State:
        return {"log": child.compile().invoke({})["log"]}

    return chain(sub=sub)


def built_with_a_history(child: Any) -> Any:
    async def sub(state: State) -> State:
        return {"log": (await child.compile(checkpointer=True).ainvoke({}))["log"]}

    return chain(sub=sub)


def built_second(child: Any) -> Any:
    async def sub(state: State) -> State:
        await chain(other=passes("other")).compile().ainvoke({})
        return {"log": (await child.compile().ainvoke({}))["log"]}

    return chain(sub=sub)


def built_two_deep(child: Any) -> Any:
    return chain(sub=built(chain(inner=child.compile())).compile())


def guarded(child: Any) -> Any:
    async def sub(state: State) -> State:
        try:
            return {"log": (await child.compile().ainvoke({}))["log"]}
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - as an author writes it
            return {"log": ["instead"]}

    return chain(sub=sub)


BUILT = [built, built_in_a_thread, built_with_a_history, built_second, built_two_deep, guarded]


@pytest.mark.parametrize("form", BUILT)
async def test_a_child_that_cannot_be_seen_is_not_skipped_either(case, form):
    failing = Failing(1, ConnectionError())
    first = form(chain(a=passes("a"), b=failing, c=passes("c")))
    assert not any(name.endswith("|b") for name in node_names(first.compile()))
    await case.run(await case.desk.attempt("t", "g"), first)
    renamed = form(chain(a=passes("a"), renamed=failing, c=passes("c")))
    for _ in range(2):  # what was wrong is not kept
        again = await case.run(await case.desk.attempt("t", "g"), renamed)
        assert (again.status, again.error_type, again.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
        path = "sub|sub|inner|b" if form is built_two_deep else "sub|b"
        assert f"no longer has the node {path!r}" in again.error
    good = form(chain(a=passes("a"), b=failing, c=passes("c")))
    done = await case.run(await case.desk.attempt("t", "g"), good)
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["a", "b", "c"]})


def beside(**nodes: Any) -> Any:
    """Nodes that start at once, and one after them."""
    builder = StateGraph(State).add_node("last", passes("last"))
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name).add_edge(name, "last")
    return builder


@pytest.mark.parametrize("form", [built, guarded])
async def test_one_of_several_next_nodes_is_not_skipped(case, form):
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), form(beside(a=passes("a"), b=failing)))
    renamed = form(beside(a=passes("a"), renamed=failing))
    again = await case.run(await case.desk.attempt("t", "g"), renamed)
    assert (again.error_type, failing.left) == ("graph_changed", 0)
    assert "no longer has the node 'sub|b'" in again.error


async def test_a_question_in_a_child_that_cannot_be_seen_is_answered(case):
    child = chain(ask=case.ran.asks("ask", "buy? "), again=case.ran.asks("again", "sell? "), c=passes("c"))
    graph = built(child)
    asked = await case.ask(graph)
    second = await case.answer(graph, {asked["buy? "]: "yes"})
    assert [question.value for question in second.interrupts] == ["sell? "]


async def test_a_node_may_look_at_its_childs_state_and_leave_it(case):
    failing = Failing(1, ConnectionError())
    looks = False

    async def sub(state: State) -> State:
        child = chain(a=passes("a"), b=failing).compile()
        if looks:
            return {"log": list((await child.aget_state(get_config())).next)}
        return {"log": (await child.ainvoke({}))["log"]}

    await case.run(await case.desk.attempt("t", "g"), chain(sub=sub))
    looks = True
    done = await case.run(await case.desk.attempt("t", "g"), chain(sub=sub))
    assert (done.status, done.result) == (ResultStatus.SUCCESS, {"log": ["b"]})


@pytest.mark.parametrize("form", [*FORMS, *BUILT])
async def test_a_child_that_only_gained_a_node_goes_on(case, form):
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), form(chain(a=passes("a"), b=failing)))
    longer = form(chain(a=passes("a"), b=failing, c=passes("c")))
    again = await case.run(await case.desk.attempt("t", "g"), longer)
    assert again.status is ResultStatus.SUCCESS
    if form is not of_a_tool:
        assert again.result == {"log": ["a", "b", "c"]}


def test_a_node_is_named_by_its_way_from_the_top():
    child = chain(a=passes("a"), b=passes("b"))
    assert node_names(two_deep(child).compile()) == {"sub", "sub|inner", "sub|inner|a", "sub|inner|b"}
    assert node_names(of_a_tool(child).compile()) == {"model", "sub", "sub|a", "sub|b"}


def test_a_graph_that_calls_itself_has_its_nodes_once():
    class Again:
        graph: Any = None

    async def again(state: State) -> Any:
        return await Again.graph.ainvoke(state)

    Again.graph = chain(again=again).compile()
    assert node_names(Again.graph) == {"again"}


async def test_a_node_that_shows_no_child_any_more_starts_from_its_beginning(case):
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), as_node(chain(a=passes("a"), b=failing)))
    again = await case.run(await case.desk.attempt("t", "g"), chain(sub=passes("plain")))
    assert (again.status, again.result) == (ResultStatus.SUCCESS, {"log": ["plain"]})


# ---- tasks ----


def flow_of(failing: Failing, name: str) -> Any:
    @task(name=name)
    async def pay(amount: int) -> str:
        return f"paid {amount}"

    @task
    def book() -> str:
        return failing({})["log"][0]

    async def settle() -> str:
        return await pay(5)

    @entrypoint()
    async def flow(data: dict[str, Any]) -> list[str]:
        return [await pay(3), await settle(), await book()]

    return flow


async def test_a_flow_that_lost_a_task_is_not_continued(case):
    """LangGraph would find no result of the task under its new name, and run it again."""
    failing = Failing(1, ConnectionError())
    await case.run(await case.desk.attempt("t", "g"), flow_of(failing, "pay"))
    again = await case.run(await case.desk.attempt("t", "g"), flow_of(failing, "transfer"))
    assert (again.status, again.error_type, again.retriable) == (ResultStatus.FAILURE, "graph_changed", False)
    assert "no longer has the node 'flow|pay'" in again.error
    done = await case.run(await case.desk.attempt("t", "g"), flow_of(failing, "pay"))
    assert (done.status, done.result) == (ResultStatus.SUCCESS, ["paid 3", "paid 5", "b"])


def test_a_task_is_named_by_its_way_from_the_top():
    flow = flow_of(Failing(0, ConnectionError()), "pay")
    assert node_names(flow) == {"flow", "flow|pay", "flow|book"}
    assert node_names(as_node(chain(calls=lambda state: flow.invoke({}))).compile()) >= {"sub|calls|flow|pay"}
