"""The project of a worker: its manifest read, its graphs imported."""

from __future__ import annotations

import os
from collections.abc import Callable

from langgraph_worker.domain.redaction import Hook, Redactor
from langgraph_worker.errors import SettingsError
from langgraph_worker.graphs.loader import Graphs, load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.release import release_of
from langgraph_worker.settings.known_secrets import known_secrets
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.secret_values import take_secrets_out_of_environment


def load_project(
    settings: WorkerSettings,
    note: Callable[[str], object] | None = None,
    *,
    keep_broken: bool = False,
    on_redactor: Callable[[Redactor], object] | None = None,
) -> Graphs:
    """The graphs of the settings' ``langgraph.json``.

    The worker's secrets leave the environment first: the project's code, and the processes that it starts, get none.

    :param note: called, before anything is imported, with a sentence for each thing of the project that is missing here
        or not served.
    :param keep_broken: whether a graph that cannot be loaded stands beside the others, as ``broken``.
    :param on_redactor: called with what redacts from then on, before anything is imported that it is there for, and at
        last with :attr:`Graphs.redactor`.
    :raises GraphLoadError: names the file, the graph and what is wrong.
    :raises SettingsError: the default graph is none of them.
    """
    take_secrets_out_of_environment()
    manifest = read_manifest(settings.langgraph_json)
    if note is not None:
        for sentence in manifest.notes:
            note(sentence)

    def redact(hook: Hook | None) -> Redactor:
        redactor = Redactor(known_secrets(settings, os.environ), hook)
        if on_redactor is not None:
            on_redactor(redactor)
        return redactor

    graphs = load_graphs(manifest, keep_broken=keep_broken, on_hook=redact)
    graphs.redactor = redact(graphs.hook)  # modules may have read further variables from files
    graphs.release = release_of(manifest, settings.release)
    default = settings.default_graph
    if default is not None and default not in graphs.names:
        raise SettingsError(
            f"LANGGRAPH_WORKER_DEFAULT_GRAPH={default!r}: {settings.langgraph_json} has no such graph. It has "
            f"{', '.join(sorted(graphs.names))}"
        )
    return graphs
