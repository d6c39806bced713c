"""From a manifest to graphs that can run: every form that LangGraph documents.

The variable of an entry is a compiled graph, a builder (``StateGraph``), or a factory that takes nothing, ``config``,
``runtime`` or both, and gives a graph, an awaitable of one, or a (possibly asynchronous) context manager around one.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import _ExecutionRuntime

from langgraph_worker.domain.json_values import describe
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.event_rights import EventRights
from langgraph_worker.graphs.graph_spec import GraphSpec, OnNewRelease
from langgraph_worker.graphs.manifest import Manifest
from langgraph_worker.graphs.memories import Memories
from langgraph_worker.graphs.node_names import node_names
from langgraph_worker.settings.secret_values import secret_variables

PROJECT_FILE = "langgraph_project__"
"""How the name of a module begins that is imported from a file of no package."""

_FORMS = "a compiled graph, a StateGraph, or a function that returns one"
_MAX_WRAPPINGS = 4  # an awaitable of a context manager of a builder, and one to spare


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph of the manifest, its module imported.

    :param value: a compiled graph, or a factory.
    :param kind: what the variable holds, for the log and the command line: ``compiled``, ``builder`` or ``factory``.
    """

    spec: GraphSpec
    value: Any
    kind: str

    @classmethod
    def from_variable(cls, spec: GraphSpec, value: Any) -> Graph:
        """The graph of a variable's value; a builder is compiled here, once.

        :raises ValueError: the builder does not compile, and why.
        """
        if isinstance(value, StateGraph):
            return cls(spec, value.compile(), "builder")
        return cls(spec, value, "compiled" if isinstance(value, Pregel) else "factory")


class Graphs:
    """The graphs of one project.

    :param memories: LangGraph's long-term memory, for graphs that bring none of their own.
    :param folders: where the project's own modules lie.
    :ivar release: which version of the project this is; None: not known.
    """

    def __init__(self, graphs: Mapping[str, Graph], memories: Memories, folders: Collection[Path] = ()) -> None:
        self.folders = folders
        self.release: str | None = None
        self._graphs = dict(graphs)
        self._memories = memories
        self._node_names: dict[str, frozenset[str]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names that events may use."""
        return frozenset(self._graphs)

    @property
    def packages(self) -> frozenset[str]:
        """The packages of graphs that the manifest names by a module."""
        specs = [graph.spec for graph in self._graphs.values()]
        return frozenset(spec.source.partition(".")[0] for spec in specs if not spec.is_file)

    def __iter__(self) -> Any:
        """The graphs, in the manifest's order."""
        return iter(self._graphs.values())

    @asynccontextmanager
    async def open(self, name: str, config: RunnableConfig, deployment: str = "") -> AsyncIterator[Pregel[Any]]:
        """One run's graph, compiled, without a checkpointer of ours; its context managers end with the block.

        :param config: what factories get; a copy, so that they cannot change the run's.
        :param deployment: the graph gets its memory for this one.
        :raises GraphLoadError: the factory gave something else than a graph.
        """
        graph, memory = self._graphs[name], self._memories.memory(name, deployment)
        async with AsyncExitStack() as stack:
            value = await _unwrap(await self._value(graph, config, memory), stack)
            compiled = value.compile() if isinstance(value, StateGraph) else value
            if not isinstance(compiled, Pregel):
                raise GraphLoadError(
                    f"graph {name!r} ({graph.spec.target}): it gave a {type(value).__name__}, not {_FORMS}"
                )
            yield compiled if compiled.store is not None else compiled.copy(update={"store": memory})

    def rights(self, name: str) -> EventRights:
        """What events may set for a graph."""
        return self._graphs[name].spec.rights

    @property
    def kept_checkpoints(self) -> dict[str, int]:
        """How many checkpoints the threads of graphs keep whose entries say so."""
        specs = [graph.spec for graph in self._graphs.values()]
        return {spec.name: spec.keep_checkpoints for spec in specs if spec.keep_checkpoints is not None}

    def on_new_release(self, name: str) -> OnNewRelease:
        """What happens to a run of a graph that another release began."""
        return self._graphs[name].spec.on_new_release

    def node_names(self, name: str, opened: Pregel[Any]) -> frozenset[str]:
        """The node names of a graph that :meth:`open` gave, at every depth."""
        if self._graphs[name].kind == "factory":
            return node_names(opened)
        if name not in self._node_names:  # it takes about a millisecond for each node
            self._node_names[name] = node_names(opened)
        return self._node_names[name]

    async def _value(self, graph: Graph, config: RunnableConfig, memory: BaseStore) -> Any:
        if graph.kind != "factory":
            return graph.value
        copied: RunnableConfig = {**config, "configurable": dict(config.get("configurable", {}))}
        arguments = _arguments(graph.value, copied, memory)
        if _is_async(graph.value):
            return graph.value(**arguments)
        # A plain function may block (build a client, ask a server for its models): not on the event loop.
        return await _in_thread(graph.value, **arguments)


def load_graphs(manifest: Manifest, memories: Memories) -> Graphs:
    """Import every graph of a project; factories are not called yet.

    Puts the project's folders on ``sys.path``, and its variables into the environment: those that hold the worker's
    secrets stay out, also where one ``.env`` file is the worker's and the project's.

    :raises GraphLoadError: names the graph, its file and what is wrong.
    """
    for folder in reversed(manifest.import_paths):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    secrets = secret_variables()
    for name, value in manifest.env.items():
        if name.upper() not in secrets:
            os.environ.setdefault(name, value)
    graphs = {spec.name: _load(spec, manifest) for spec in manifest.graphs}
    return Graphs(graphs, memories, (manifest.root, *manifest.import_paths))


def _load(spec: GraphSpec, manifest: Manifest) -> Graph:
    where = f"graph {spec.name!r} ({spec.target}, in {manifest.path})"
    try:
        module = _import_file(spec, manifest) if spec.is_file else importlib.import_module(spec.source)
    except GraphLoadError as error:
        raise GraphLoadError(f"{where}: {error}") from None
    except (Exception, SystemExit) as error:
        raise GraphLoadError(
            f"{where}: importing it raises {type(error).__name__}: {describe(error)}. Install what it needs into the "
            "worker's environment, or correct the file"
        ) from error
    if not hasattr(module, spec.variable):
        raise GraphLoadError(f"{where}: there is no {spec.variable!r} in {spec.source}")
    value = getattr(module, spec.variable)
    if not isinstance(value, (Pregel, StateGraph)) and not callable(value):
        raise GraphLoadError(f"{where}: {spec.variable!r} is a {type(value).__name__}, not {_FORMS}")
    try:
        return Graph.from_variable(spec, value)
    except ValueError as error:
        raise GraphLoadError(f"{where}: it does not compile: {error}") from error


def _import_file(spec: GraphSpec, manifest: Manifest) -> ModuleType:
    file = (manifest.root / spec.source).resolve()
    if not file.is_file():
        raise GraphLoadError(f"there is no file {file}")
    # Part of a package: import it as such, so that relative imports work and nothing is imported twice.
    if dotted := _dotted_name(file, manifest.import_paths):
        return importlib.import_module(dotted)
    # The name is always the same: checkpoints name the classes that they hold by it.
    name = PROJECT_FILE + "__".join(Path(spec.source).with_suffix("").parts).replace(".", "").replace("-", "_")
    if name in sys.modules:
        return sys.modules[name]
    module_spec = importlib.util.spec_from_file_location(name, file)
    if module_spec is None or module_spec.loader is None:
        raise GraphLoadError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _dotted_name(file: Path, import_paths: tuple[Path, ...]) -> str | None:
    for root in import_paths:
        if not file.is_relative_to(root):
            continue
        folders = list(file.relative_to(root).parent.parts)
        inner = [root.joinpath(*folders[: depth + 1]) for depth in range(len(folders))]
        if folders and all((folder / "__init__.py").is_file() for folder in inner):
            return ".".join([*folders, file.stem])
    return None


def _arguments(factory: Callable[..., Any], config: RunnableConfig, store: BaseStore) -> dict[str, Any]:
    """The runtime is recognised by its annotation or name, and any other parameter without a default is the config."""
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = str(parameter.annotation)
        if "ServerRuntime" in annotation or "_ExecutionRuntime" in annotation or name == "runtime":
            arguments[name] = _ExecutionRuntime(access_context="threads.create_run", store=store)
        elif "RunnableConfig" in annotation or name == "config" or parameter.default is parameter.empty:
            arguments[name] = config
    return arguments


def _is_async(factory: Callable[..., Any]) -> bool:
    # @asynccontextmanager leaves a plain function around an asynchronous generator.
    inner = inspect.unwrap(factory)
    return any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (factory, inner)
    )


async def _unwrap(value: Any, stack: AsyncExitStack) -> Any:
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(value, (Pregel, StateGraph)):
            break
        if inspect.isawaitable(value):
            value = await value
        elif inspect.isasyncgen(value):
            value = await stack.enter_async_context(asynccontextmanager(lambda generator=value: generator)())
        elif isinstance(value, AbstractAsyncContextManager):
            value = await stack.enter_async_context(value)
        elif isinstance(value, AbstractContextManager):
            value = await _enter_in_thread(value, stack)
    return value


async def _in_thread(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    def call() -> Any:
        try:
            return function(*arguments, **named)
        except StopIteration as error:
            # A future cannot carry it: its waiter would wait for ever.
            raise RuntimeError(f"{function!r} raised StopIteration") from error

    return await asyncio.to_thread(call)


async def _enter_in_thread(manager: AbstractContextManager[Any], stack: AsyncExitStack) -> Any:
    entered = await _in_thread(manager.__enter__)

    async def leave(*exception: Any) -> bool:
        return bool(await _in_thread(manager.__exit__, *exception))

    stack.push_async_exit(leave)
    return entered
