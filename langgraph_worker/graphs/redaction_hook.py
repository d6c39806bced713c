"""``redact`` of ``langgraph.json``: the project's function through which content goes before it leaves the store."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph_worker.domain.json_values import describe
from langgraph_worker.domain.redaction import Hook
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import FORMS, GraphSpec, parse_target
from workflow_events.log_words import with_article

KEY = "redact"


def hook_spec(path: Path, value: Any) -> GraphSpec | None:
    """Where the function is; None: the project has none.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if value is None:
        return None
    target = parse_target(value) if isinstance(value, str) else None
    if target is None:
        raise GraphLoadError(f"{path}: key {KEY!r} must be {FORMS}, a function, and not {value!r}")
    return GraphSpec(KEY, *target)


def load_hook(path: Path, spec: GraphSpec | None, load: Callable[[GraphSpec], Any]) -> Hook | None:
    """Import the function.

    :param path: the manifest.
    :param load: gives a variable of a file.
    :raises GraphLoadError: names the file, the key and what is wrong: without it nothing may leave.
    """
    if spec is None:
        return None
    where = f"{path}: key {KEY!r} ({spec.target})"
    try:
        hook = load(spec)
    except GraphLoadError as error:
        raise GraphLoadError(f"{where}: {error}") from None
    except (Exception, SystemExit) as error:
        raise GraphLoadError(f"{where}: importing it raises {type(error).__name__}: {describe(error)}") from error
    if not callable(hook):
        raise GraphLoadError(f"{where}: it is {with_article(type(hook).__name__)}, not a function")
    if inspect.iscoroutinefunction(hook):
        raise GraphLoadError(f"{where}: it is async. Logs cannot wait for it: make it a plain function")
    try:
        inspect.signature(hook).bind("text", "log", "")
    except TypeError:
        raise GraphLoadError(
            f"{where}: it must take three arguments: the text or number, the place and the path"
        ) from None
    except ValueError:  # it has no signature: a builtin
        pass
    return hook  # type: ignore[no-any-return]
