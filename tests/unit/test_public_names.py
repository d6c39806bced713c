"""What others import: the names that a minor version keeps, and the one version that everything reports."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

EXPORTED = {
    "workflow_events": {
        "Answer",
        "Attempt",
        "Budget",
        "DecodeError",
        "EncodeError",
        "EventSource",
        "EventType",
        "Fleet",
        "GraphAnnouncement",
        "GraphCommand",
        "GraphSend",
        "Interrupt",
        "MessageTooLargeError",
        "ModelUsage",
        "PauseScope",
        "ProgressKind",
        "ResultStatus",
        "RunConfig",
        "TopicSpec",
        "UnsupportedSchemaError",
        "WorkerAnnouncement",
        "WorkflowCancelledEvent",
        "WorkflowEvent",
        "WorkflowEventMetadata",
        "WorkflowEventPayload",
        "WorkflowEventsError",
        "WorkflowPausedEvent",
        "WorkflowProgressEvent",
        "WorkflowQueryEvent",
        "WorkflowResultEvent",
        "WorkflowSupersededEvent",
        "WorkflowUnpausedEvent",
    },
    "langgraph_worker.idempotency": {"idempotency_key"},
}


@pytest.mark.parametrize("module", EXPORTED)
def test_the_exported_names_are_these(module):
    found = importlib.import_module(module)
    assert sorted(found.__all__) == sorted(EXPORTED[module])
    assert all(hasattr(found, name) for name in found.__all__)


@pytest.mark.parametrize("package", ["airflow_provider_langgraph", "langgraph_worker"])
def test_each_side_reports_the_version_of_pyproject(package):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert importlib.import_module(package).__version__ == project["version"]


def test_the_worker_prints_its_version():
    command = [sys.executable, "-m", "langgraph_worker", "--version"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.split()[-1] == importlib.import_module("langgraph_worker").__version__


def test_no_page_spells_the_version():
    version = importlib.import_module("langgraph_worker").__version__
    pages = [ROOT / "README.md", ROOT / "docs" / "conf.py", *(ROOT / "docs").rglob("*.md")]
    assert [page.name for page in pages if version in page.read_text()] == []
