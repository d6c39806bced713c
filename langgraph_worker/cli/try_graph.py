"""``langgraph-worker try``: run one graph here, as a worker would, but without Kafka."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from langgraph_worker.cli.options import DEFAULT_STORE
from langgraph_worker.cli.output import graphs_print_to_stderr, print_note
from langgraph_worker.cli.progress_lines import ProgressLines
from langgraph_worker.cli.try_request import WORKFLOW, TryRequest
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import WorkerError
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.graphs.project import load_project
from langgraph_worker.runtime.local_worker import UnansweredError, local_worker
from langgraph_worker.runtime.process import run_loop
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.telemetry.logs import redact_logs
from workflow_events.plain_text import one_line
from workflow_events.results import Interrupt, ResultStatus, WorkflowResultEvent

_EXIT_CODES = {ResultStatus.SUCCESS: 0, ResultStatus.INTERRUPTED: 3}
_SHOWN = ("status", "result", "interrupts", "error", "error_type", "thread_id", "usage")


def try_graph(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Run a graph once, print its progress on stderr and its result as JSON on stdout. What the graph prints goes to
    stderr, too.

    :returns: 0 for success, 3 if it waits for an answer, 1 for every other result.
    :raises WorkerError: the settings or the command line are wrong, or the graph cannot be loaded.
    """
    request = TryRequest.from_arguments(arguments)
    results: list[WorkflowResultEvent] = []
    with ExitStack() as stack:
        stack.enter_context(graphs_print_to_stderr())
        settings = load_settings(flags)
        settings = settings.model_copy(update={"store_url": _store_url(arguments, stack)})
        graphs = load_project(settings, print_note, keep_broken=True, on_redactor=redact_logs)
        if arguments.graph not in graphs.names:
            known = ", ".join(sorted(graphs.names))
            raise WorkerError(f"{settings.langgraph_json} has no graph {arguments.graph!r}. It has {known}")
        if arguments.graph in graphs.broken:
            raise graphs.broken[arguments.graph]
        code = run_loop(settings.node_threads, lambda nodes: _run(settings, graphs, nodes, request, results))
    for result in results:  # none after Ctrl-C
        print(json.dumps(_shown(result), indent=2, ensure_ascii=False))
    return code


def _store_url(arguments: argparse.Namespace, stack: ExitStack) -> str:
    """The store of conversations: never that of the settings, which is a fleet's."""
    store: Path | None = arguments.store or (DEFAULT_STORE if arguments.thread is not None else None)
    if store is None:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="langgraph-try-"))) / "store.db"
    return f"sqlite:///{store.absolute()}"


async def _run(
    settings: WorkerSettings,
    graphs: Graphs,
    nodes: NodeThreads,
    request: TryRequest,
    results: list[WorkflowResultEvent],
) -> int:
    async with local_worker(settings, graphs, nodes, ProgressLines()) as worker:
        asked = await worker.questions(WORKFLOW, request.thread)
        try:
            result = await worker.ask(request.event(asked))
        except UnansweredError as error:
            raise WorkerError(
                f"conversation {request.thread!r} waits for an answer: give it with --answer, or begin another one "
                f"with --thread. It asks\n{_in_words(error.questions, graphs.redactor)}"
            ) from None
    results.append(result)
    return _EXIT_CODES.get(result.status, 1)


def _shown(result: WorkflowResultEvent) -> dict[str, object]:
    """What a person wants of a result: no empty fields, nothing of Kafka's side."""
    values = result.model_dump(mode="json")
    return {name: values[name] for name in _SHOWN if values[name] not in (None, [], {}) or name == "result"}


def _in_words(questions: list[Interrupt], redactor: Redactor) -> str:
    shown = [(question.id, redactor.shown("show", question.value, "question")) for question in questions]
    return "\n".join(one_line(f"{name}: {json.dumps(value, ensure_ascii=False)}") for name, value in shown)
