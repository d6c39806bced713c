"""The code map and the glossary name what exists, so they cannot rot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CODE_MAP = DOCS / "explanation" / "code-map.md"

NAMED = re.compile(
    r"`((?:workflow_events|airflow_provider_langgraph|langgraph_worker|devtools|tests)/[\w/]*)(\.py)?(?::([\w.]+))?`"
)
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if NAMED.search(path.read_text())]


def defined_in(tree: ast.Module | ast.ClassDef) -> dict[str, ast.stmt]:
    """The names that a module or a class defines, without importing it."""
    names: dict[str, ast.stmt] = {}
    for statement in tree.body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names[statement.name] = statement
            case ast.Assign():
                names |= {target.id: statement for target in statement.targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = statement
    return names


def missing(path: str, suffix: str, dotted: str) -> str | None:
    """What does not exist of a name such as ``package/module.py:Class.method``; None if all does."""
    file = ROOT / (path + suffix)
    if not (file.is_file() if suffix else file.is_dir()):
        return path + suffix
    scope: ast.Module | ast.ClassDef | None = ast.parse(file.read_text()) if dotted else None
    for part in filter(None, dotted.split(".")):
        found = defined_in(scope).get(part) if scope is not None else None
        if found is None:
            return f"{path}{suffix}:{dotted}"
        scope = found if isinstance(found, ast.ClassDef) else None
    return None


def test_there_are_pages_that_name_code():
    assert {CODE_MAP, DOCS / "glossary.md", DOCS / "explanation" / "rules.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_module_and_function_that_a_page_names_exists(page):
    assert [gone for named in NAMED.findall(page.read_text()) if (gone := missing(*named))] == []


def test_what_is_gone_is_found():
    assert missing("langgraph_worker/gone", ".py", "") == "langgraph_worker/gone.py"
    assert missing("langgraph_worker/gone/", "", "") == "langgraph_worker/gone/"
    assert missing("workflow_events/topics", ".py", "Fleet.gone") == "workflow_events/topics.py:Fleet.gone"
    assert missing("workflow_events/topics", ".py", "Fleet.specs.gone") == "workflow_events/topics.py:Fleet.specs.gone"
    assert missing("workflow_events/topics", ".py", "DAY_MS") is None


@pytest.mark.parametrize("package", ["airflow_provider_langgraph", "langgraph_worker"])
def test_the_code_map_lists_every_folder(package):
    listed = set(re.findall(r"^\| `([\w/]+)/` \|", CODE_MAP.read_text(), re.MULTILINE))
    folders = {str(path.parent.relative_to(ROOT)) for path in (ROOT / package).rglob("__init__.py")} - {package}
    inner = {folder for folder in folders if "/testing/" in folder}
    assert folders - inner <= listed


def test_the_code_map_lists_the_folders_in_the_order_of_the_layers():
    contracts = (ROOT / "setup.cfg").read_text()
    for package in ("airflow_provider_langgraph", "langgraph_worker"):
        section = contracts.split(f"    {package}\nlayers =\n")[1].partition("\n\n")[0].partition("exhaustive")[0]
        layers = [layer for layer in section.split() if (ROOT / package / layer).is_dir()]
        listed = re.findall(rf"^\| `{package}/(\w+)/` \|", CODE_MAP.read_text(), re.MULTILINE)
        assert listed == layers


def test_every_explanation_ends_with_its_modules():
    for page in sorted((DOCS / "explanation").glob("*.md")):
        if page.stem in {"index", "limits", "rules", "code-map"}:
            continue
        _, heading, modules = page.read_text().partition("\n## In the code\n")
        assert heading, page.name
        assert NAMED.search(modules), page.name
