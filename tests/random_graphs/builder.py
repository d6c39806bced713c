"""From a description to a graph of LangGraph's."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, RetryPolicy, Send

from tests.random_graphs.actions import MEMORY, ask, digest, perform
from tests.random_graphs.description import Ask, Call, Flow, Graph, Node, Saver, keeps, walk
from tests.random_graphs.ledger import Execution, Ledger, Place
from tests.random_graphs.scripts import Invoke, Script, run_in_loop, run_in_thread


class StumbleError(Exception):
    """Ends a run. Its task may be retried; the worker does not repeat it by itself."""


_RETRY = RetryPolicy(initial_interval=0.001, backoff_factor=1.0, jitter=False, max_attempts=5, retry_on=TimeoutError)


def keep_new(before: list[str], after: list[str]) -> list[str]:
    """Both, each line once: a subgraph gives back the lines that it was given."""
    return before + [line for line in after if line not in before]


def keep_highest(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: max(before.get(name, 0), after.get(name, 0)) for name in [*before, *after]}


def keep_last(before: str, after: str) -> str:
    return after


class State(TypedDict, total=False):
    log: Annotated[list[str], keep_new]
    total: Annotated[int, operator.add]
    visits: Annotated[dict[str, int], keep_highest]
    item: Annotated[str, keep_last]


@dataclass(frozen=True)
class Builder:
    """Builds the graphs of one case.

    :param place: of the graphs that it builds.
    :param try_number: which try of its task in Airflow this is.
    :param renamed: the node or flow that LangGraph gets under another name; what it says and notes stays the same.
    """

    ledger: Ledger
    place: Place
    try_number: Callable[[], int] = lambda: 1
    renamed: str = ""

    def build(self, part: Graph | Flow) -> Pregel[Any]:
        if isinstance(part, Flow):
            return self._flow(part)
        return self._graph(part)

    def _child(self, part: Graph | Flow) -> Pregel[Any]:
        return replace(self, place=self.place.inside(part.saver)).build(part)

    # ---- graphs ----

    def _graph(self, graph: Graph) -> Pregel[Any]:
        builder = StateGraph(State)
        for index, node in enumerate(graph.nodes):
            self._add(builder, graph, index)
            targets = [self._name(graph, target) for target in node.to]
            if node.routing in ("conditional", "send"):
                builder.add_conditional_edges(
                    self._deployed(node.name), lambda state, node=node: self._route(graph, node, state)
                )
            elif node.routing == "edges":
                for target in () if node.is_handled else targets:
                    builder.add_edge(self._deployed(node.name), target)
        builder.add_edge(START, self._name(graph, 0))
        return builder.compile(checkpointer=_checkpointer(graph.saver), name=graph.name)

    def _add(self, builder: StateGraph[Any], graph: Graph, index: int) -> None:
        node = graph.nodes[index]
        if node.child is not None:
            builder.add_node(self._deployed(node.name), self._child(node.child))
            return
        options: dict[str, Any] = {}
        if node.failures:
            options["retry_policy"] = _RETRY
        if node.is_handled:
            options["error_handler"] = self._handler(graph, node)
        builder.add_node(self._deployed(node.name), self._code(graph, node), **options)

    def _handler(self, graph: Graph, node: Node) -> Callable[[State], Any]:
        def handler(state: State) -> Any:
            execution = Execution(self.ledger, self.place, f"{_key(node, state)}!")
            update = _update(node, state, [f"{execution.key} handled"])
            execution.end()
            goto = (
                self._route(graph, node, state)
                if node.routing != "edges"
                else [self._name(graph, to) for to in node.to]
            )
            return Command(update=update, goto=goto)

        return handler

    def _code(self, graph: Graph, node: Node) -> Callable[..., Any]:
        def finish(state: State, said: list[str]) -> Any:
            update = _update(node, state, said)
            if node.routing not in ("goto", "send by command") or node.is_handled:
                return update
            return Command(update=update, goto=self._route(graph, node, state))

        script = self._script(node)
        return _asynchronous(script, finish) if node.is_async else _synchronous(script, finish)

    def _script(self, node: Node) -> Callable[[State], Script]:
        children = {id(one): self._child(one.child) for one in node.actions if isinstance(one, Call)}
        failed: Counter[str] = Counter()
        # What a node has asked, and what a child keeps, outlasts the process; how often the node was repeated does not.
        fails_first = any(isinstance(one, Ask) or keeps(one) for one in walk(node))

        def fail(execution: Execution) -> None:
            if failed[execution.own] < node.failures:
                failed[execution.own] += 1
                raise TimeoutError("passes when it is repeated")

        def act(state: State, execution: Execution) -> Script:
            said = [f"{execution.key} of {len(state.get('log', []))} {state.get('total', 0)}"]
            if fails_first:
                fail(execution)
            for action in node.actions:
                said += yield from perform(action, children.get(id(action)), execution)
            fail(execution)
            if node.is_handled or (node.stumbles and self.try_number() == 1):
                raise StumbleError(f"{execution.key} fails")
            return said

        def script(state: State) -> Script:
            execution = Execution(self.ledger, self.place, _key(node, state))
            try:
                said = yield from act(state, execution)
            except BaseException:
                execution.leave()
                raise
            execution.end()
            return said

        return script

    def _name(self, graph: Graph, index: int) -> str:
        return END if index == len(graph.nodes) else self._deployed(graph.nodes[index].name)

    def _deployed(self, name: str) -> str:
        return f"{name}_renamed" if name == self.renamed else name

    def _route(self, graph: Graph, node: Node, state: State) -> Any:
        """Where a node goes. A conditional edge sees the state after the node, ``goto`` the one before it."""
        if node.routing.startswith("send"):
            key = f"{node.name}#{state.get('visits', {}).get(node.name, 0)}"
            to = self._name(graph, node.to[0])
            return [Send(to, {"item": f"{key}.{number}", "log": []}) for number in range(node.fan)]
        if node.back is not None and not state.get("visits", {}).get(node.name):
            return self._name(graph, node.back)
        return self._name(graph, node.to[len(state.get("log", [])) % len(node.to)])

    # ---- functional flows ----

    def _flow(self, flow: Flow) -> Pregel[Any]:
        steps = [(step, self._task_or_child(step.does)) for step in flow.steps]

        def script(given: Mapping[str, Any]) -> Script:
            said: list[str] = []
            for number, (step, ready) in enumerate(steps):
                key = f"{flow.name}({given.get('item', '')}).{number}"
                match step.does:
                    case Ask(questions):
                        asker = Execution(self.ledger, self.place, key, quiet=True)
                        said += [ask(f"{key}?{index}", asker) for index in range(questions)]
                    case Call():
                        [found] = yield Invoke(ready, [{"log": [], "item": key}], None, together=False)
                        said += digest(found)
                    case Node():
                        # All are started before one is waited for.
                        lines = yield [ready({"item": f"{key}.{index}"}) for index in range(step.fan)]
                        said += [line for one in lines for line in one]
            return said

        def finish(said: list[str], previous: Any) -> Any:
            kept = previous["total"] if flow.saver == "own" and previous else 0
            return {"log": said, "total": len(said) + kept}

        async def asynchronous(given: dict[str, Any], *, previous: Any = None) -> Any:
            return finish(await run_in_loop(script(given)), previous)

        def synchronous(given: dict[str, Any], *, previous: Any = None) -> Any:
            return finish(run_in_thread(script(given)), previous)

        code = asynchronous if flow.is_async else synchronous
        code.__name__ = self._deployed(flow.name)
        return entrypoint(checkpointer=_checkpointer(flow.saver))(code)

    def _task_or_child(self, does: object) -> Any:
        if isinstance(does, Call):
            return self._child(does.child)
        if not isinstance(does, Node):
            return None
        script = self._script(does)
        code = (
            _asynchronous(script, lambda state, said: said)
            if does.is_async
            else _synchronous(script, lambda state, said: said)
        )
        return task(code, name=does.name, retry_policy=_RETRY if does.failures else None)


# ---- a node of either kind ----


def _asynchronous(script: Callable[[State], Script], finish: Callable[[State, list[str]], Any]) -> Callable[..., Any]:
    async def node(state: State) -> Any:
        return finish(state, await run_in_loop(script(state)))

    return node


def _synchronous(script: Callable[[State], Script], finish: Callable[[State, list[str]], Any]) -> Callable[..., Any]:
    def node(state: State) -> Any:
        return finish(state, run_in_thread(script(state)))

    return node


# ---- places in a graph ----


def _key(node: Node, state: State) -> str:
    return f"{node.name}({state.get('item', '')})#{state.get('visits', {}).get(node.name, 0) + 1}"


def _update(node: Node, state: State, said: list[str]) -> State:
    visits = state.get("visits", {}).get(node.name, 0) + 1
    return {"log": said, "total": 1, "visits": {node.name: visits}}


def _checkpointer(saver: Saver) -> Any:
    return {"inherited": None, "own": True, "none": False, MEMORY: InMemorySaver() if saver == MEMORY else None}[saver]
