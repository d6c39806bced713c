"""From a manifest to graphs that can run: every form that LangGraph documents.

The variable of an entry is a compiled graph, a builder (``StateGraph``), or a factory that takes nothing, ``config``,
``runtime`` or both, and gives a graph, an awaitable of one, or a (possibly asynchronous) context manager around one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langgraph_worker.domain.json_values import describe
from langgraph_worker.domain.redaction import Hook, Redactor
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.factories import made_by, server_runtime
from langgraph_worker.graphs.graph_module import append_import_paths, import_graph_module, name_clash
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.manifest import Manifest
from langgraph_worker.graphs.memory_config import MemoryConfig, load_memory
from langgraph_worker.graphs.model_limits import ModelLimits
from langgraph_worker.graphs.no_server import refuse_server_clients
from langgraph_worker.graphs.node_names import node_names
from langgraph_worker.graphs.project_env import set_variables
from langgraph_worker.graphs.redaction_hook import load_hook
from workflow_events.log_words import with_article
from workflow_events.nearest_name import did_you_mean

_FORMS = "a compiled graph, a StateGraph, or a function that returns one"


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph of the manifest, its module imported.

    :param value: a compiled graph, or a factory; of a broken one the error.
    :param kind: what the variable holds, for the log and the command line: ``compiled``, ``builder`` or ``factory``;
        ``broken`` where it cannot be loaded.
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

    :param memory: how the long-term memory of graphs that bring none finds and forgets.
    :param folders: where the project's own modules lie.
    :param models: what the providers of its models allow.
    :param hook: the function through which content leaves.
    :ivar redactor: what redacts it; without the secrets of a worker it knows none.
    :ivar release: which version of the project this is; None: not known.
    """

    def __init__(
        self,
        graphs: Mapping[str, Graph],
        memory: MemoryConfig | None = None,
        folders: Collection[Path] = (),
        models: ModelLimits | None = None,
        hook: Hook | None = None,
    ) -> None:
        self.models = models or ModelLimits()
        self.memory = memory or MemoryConfig()
        self.folders = folders
        self.hook = hook
        self.redactor = Redactor(hook=hook)
        self.release: str | None = None
        self._graphs = dict(graphs)
        self._node_names: dict[str, frozenset[str]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names that events may use."""
        return frozenset(self._graphs)

    @property
    def broken(self) -> dict[str, GraphLoadError]:
        """Why graphs cannot be loaded; a worker has none."""
        return {name: graph.value for name, graph in self._graphs.items() if graph.kind == "broken"}

    @property
    def packages(self) -> frozenset[str]:
        """The packages of graphs that the manifest names by a module."""
        specs = [graph.spec for graph in self._graphs.values()]
        return frozenset(spec.source.partition(".")[0] for spec in specs if not spec.is_file)

    def __iter__(self) -> Any:
        """The graphs, in the manifest's order."""
        return iter(self._graphs.values())

    @asynccontextmanager
    async def open(
        self,
        name: str,
        config: RunnableConfig,
        memory: BaseStore | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Pregel[Any]]:
        """A graph, compiled, without a checkpointer of ours; its context managers end with the block.

        :param config: what factories get; a copy, so that they cannot change the run's.
        :param memory: what a graph gets that brings no long-term memory; None: one that ends with the block.
        :param context: the run's values, for factories that take a runtime; None: the graph is looked at, not run.
        :raises GraphLoadError: the factory gave something else than a graph, or the graph is broken.
        """
        graph, memory = self._graphs[name], InMemoryStore() if memory is None else memory
        if name in self.broken:
            raise self.broken[name]
        async with AsyncExitStack() as stack:
            value = graph.value
            if graph.kind == "factory":
                value = await made_by(value, config, server_runtime(memory, context), stack)
            compiled = value.compile() if isinstance(value, StateGraph) else value
            if not isinstance(compiled, Pregel):
                raise GraphLoadError(
                    f"graph {name!r} ({graph.spec.target}): it gave {with_article(type(value).__name__)}, not {_FORMS}"
                )
            yield compiled if compiled.store is not None else compiled.copy(update={"store": memory})

    @property
    def kept_checkpoints(self) -> dict[str, int]:
        """How many checkpoints the threads of graphs keep whose entries say so."""
        specs = [graph.spec for graph in self._graphs.values()]
        return {spec.name: spec.keep_checkpoints for spec in specs if spec.keep_checkpoints is not None}

    @property
    def max_running(self) -> dict[str, int]:
        """How many runs of graphs may run at once, over all workers of the fleet, where their entries say so."""
        specs = [graph.spec for graph in self._graphs.values()]
        return {spec.name: spec.max_running for spec in specs if spec.max_running is not None}

    def spec(self, name: str) -> GraphSpec:
        """A graph's entry in the manifest: what it sets, and what events may set."""
        return self._graphs[name].spec

    def node_names(self, name: str, opened: Pregel[Any]) -> frozenset[str]:
        """The node names of a graph that :meth:`open` gave, at every depth."""
        if self._graphs[name].kind == "factory":
            return node_names(opened)
        if name not in self._node_names:  # it takes about a millisecond for each node
            self._node_names[name] = node_names(opened)
        return self._node_names[name]


def load_graphs(
    manifest: Manifest, *, keep_broken: bool = False, on_hook: Callable[[Hook | None], object] | None = None
) -> Graphs:
    """Import a project's redaction hook, then every graph, and its embedding function; factories are not called yet.

    Appends the project's folders to ``sys.path``, and puts its variables into the environment.

    :param keep_broken: whether one that cannot be loaded stands beside the others, as ``broken``.
    :param on_hook: called twice, before any module of the project is imported, and with its hook before its graphs'
        are: what they log is redacted.
    :raises GraphLoadError: names the graph, its file and what is wrong.
    """
    refuse_server_clients()
    append_import_paths(manifest)
    set_variables(manifest.env)
    on_hook = on_hook or (lambda hook: None)
    on_hook(None)
    hook = load_hook(manifest.path, manifest.redact, lambda spec: variable_of(spec, manifest))
    on_hook(hook)
    load = _load_or_keep if keep_broken else _load
    graphs = {spec.name: load(spec, manifest) for spec in manifest.graphs}
    memory = load_memory(manifest.path, manifest.store, lambda spec: variable_of(spec, manifest))
    return Graphs(graphs, memory, (manifest.root, *manifest.import_paths), manifest.models, hook)


def _load_or_keep(spec: GraphSpec, manifest: Manifest) -> Graph:
    try:
        return _load(spec, manifest)
    except GraphLoadError as error:
        return Graph(spec, error, "broken")


def _load(spec: GraphSpec, manifest: Manifest) -> Graph:
    where = f"graph {spec.name!r} ({spec.target}, in {manifest.path})"
    try:
        value = variable_of(spec, manifest)
    except GraphLoadError as error:
        raise GraphLoadError(f"{where}: {error}") from None
    except (Exception, SystemExit) as error:
        raise GraphLoadError(
            f"{where}: importing it raises {type(error).__name__}: {describe(error)}. Install what it needs into the "
            f"worker's environment, or correct the file{name_clash(spec, manifest, error)}"
        ) from error
    if not isinstance(value, (Pregel, StateGraph)) and not callable(value):
        raise GraphLoadError(f"{where}: {spec.variable!r} is {with_article(type(value).__name__)}, not {_FORMS}")
    try:
        return Graph.from_variable(spec, value)
    except ValueError as error:
        raise GraphLoadError(f"{where}: it does not compile: {error}") from error


def variable_of(spec: GraphSpec, manifest: Manifest) -> Any:
    """The variable that an entry of the manifest names, its module imported.

    :raises GraphLoadError: there is no such file or variable. What the module raises passes through.
    """
    module = import_graph_module(spec, manifest)
    if not hasattr(module, spec.variable):
        names = [name for name in vars(module) if not name.startswith("_")]
        meant = did_you_mean(spec.variable, names) or f" Correct the name in {manifest.path.name}"
        raise GraphLoadError(f"there is no {spec.variable!r} in {spec.source}.{meant}{name_clash(spec, manifest)}")
    return getattr(module, spec.variable)
