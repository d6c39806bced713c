"""Types as a reader wants them, and references that have a target: what ``nitpicky`` needs of the reference pages."""

from __future__ import annotations

import pkgutil
import sys
from types import SimpleNamespace
from typing import Any, get_type_hints

from docutils.nodes import Element, TextElement
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import stringify_annotation


def strip_constraints(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show a field of a model as ``str``, not as ``Annotated[str, FieldInfo(...)]``: its text says what it may hold."""
    shown = app.env.current_document.autodoc_annotations.get(name)
    if shown is not None and isinstance(obj, type) and issubclass(obj, BaseModel):
        shown |= {field: stringify_annotation(hint, "smart") for field, hint in plain_hints(obj).items()}


def plain_hints(model: type[BaseModel]) -> dict[str, Any]:
    """The fields' types without metadata. Pydantic's own bases are left out: not all hints there evaluate."""
    hints: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            written = vars(base).get("__annotations__", {})
            names = {name: hint for name, hint in written.items() if name in model.model_fields}
            hints |= get_type_hints(SimpleNamespace(__annotations__=names), vars(sys.modules[base.__module__]))
    return hints


def resolve(app: Sphinx, env: BuildEnvironment, node: Element, contnode: TextElement) -> Element | None:
    """Link a name to the page of what it stands for, or show it as code if that has no page; what is no name warns.

    So a re-exported ``workflow_events.WorkflowEvent`` is linked to the module that defines it, while a name of Python,
    Airflow or pydantic is plain: their pages cannot be asked for where there is no network.
    """
    if node.get("refdomain") != "py":
        return None
    written, module = str(node["reftarget"]), node.get("py:module")
    found = next(filter(None, map(locate, [written, f"{module}.{written}"] if module else [written])), None)
    if found is None:
        return None
    target = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    linked = env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, contnode
    )
    return contnode if linked is None else linked


def locate(dotted: str) -> object | None:
    """What a dotted name stands for; None if nothing has that name."""
    try:
        return pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError, ValueError):
        return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the listeners."""
    app.connect("autodoc-process-docstring", strip_constraints)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
